-- Those tables of a Rapua 6.14 site's SQLite database that the three jobs read or write, and some
-- around them: columns, types, defaults and indexes as the real migrations leave them.
CREATE TABLE users (
  created_at            TIMESTAMP    NOT NULL DEFAULT current_timestamp,
  updated_at            TIMESTAMP    NOT NULL DEFAULT current_timestamp,
  id                    varchar(36)  NOT NULL,
  name                  varchar(255),
  email                 VARCHAR      NOT NULL,
  email_verified        boolean,
  email_token           varchar(36),
  email_token_expiry    TIMESTAMP,
  password              varchar(255),
  provider              varchar(255),
  current_instance_id   varchar(36),
  display_name          varchar(255),
  share_email           boolean      NOT NULL DEFAULT false,
  work_type             varchar(100),
  free_credits          int          DEFAULT 10,
  paid_credits          int          DEFAULT 0,
  monthly_credit_limit  int          DEFAULT 10,
  stripe_customer_id    varchar(255),
  PRIMARY KEY (id, email),
  UNIQUE (id),
  UNIQUE (email)
);

CREATE TABLE credit_adjustments (
  id                  varchar(36)  NOT NULL,
  created_at          TIMESTAMP    NOT NULL DEFAULT current_timestamp,
  user_id             varchar(36)  NOT NULL,
  credits             int          NOT NULL,
  reason              varchar(255) NOT NULL,
  credit_purchase_id  varchar(36),
  PRIMARY KEY (id),
  UNIQUE (id)
);
CREATE INDEX idx_credit_adjustments_user_id     ON credit_adjustments (user_id);
CREATE INDEX idx_credit_adjustments_purchase_id ON credit_adjustments (credit_purchase_id);

CREATE TABLE credit_purchases (
  id                  varchar(36)  NOT NULL,
  created_at          TIMESTAMP    NOT NULL DEFAULT current_timestamp,
  updated_at          TIMESTAMP    NOT NULL DEFAULT current_timestamp,
  user_id             varchar(36)  NOT NULL,
  credits             int          NOT NULL,
  amount_paid         int          NOT NULL,
  stripe_payment_id   varchar(255),
  stripe_session_id   varchar(255) NOT NULL,
  stripe_customer_id  varchar(255),
  receipt_url         varchar(500),
  status              varchar(20)  NOT NULL DEFAULT 'pending',
  PRIMARY KEY (id),
  UNIQUE (id),
  UNIQUE (stripe_session_id)
);
CREATE INDEX idx_credit_purchases_user_id           ON credit_purchases (user_id);
CREATE INDEX idx_credit_purchases_stripe_session_id ON credit_purchases (stripe_session_id);
CREATE INDEX idx_credit_purchases_status            ON credit_purchases (status);

CREATE TABLE uploads (
  id            VARCHAR NOT NULL,
  original_url  VARCHAR NOT NULL,
  timestamp     TIMESTAMP,
  location_id   VARCHAR,
  instance_id   VARCHAR,
  team_code     VARCHAR,
  block_id      VARCHAR,
  storage       VARCHAR NOT NULL,
  delete_data   VARCHAR,
  type          VARCHAR,
  PRIMARY KEY (id)
);

CREATE TABLE blocks (
  id                   VARCHAR NOT NULL,
  owner_id             VARCHAR NOT NULL,
  type                 int,
  data                 jsonb,
  ordering             int,
  points               int,
  validation_required  bool,
  context              VARCHAR(50) DEFAULT 'location_content',
  PRIMARY KEY (id)
);

CREATE TABLE team_block_states (
  created_at      TIMESTAMP NOT NULL DEFAULT current_timestamp,
  updated_at      TIMESTAMP NOT NULL DEFAULT current_timestamp,
  team_code       VARCHAR   NOT NULL,
  block_id        VARCHAR   NOT NULL,
  is_complete     bool,
  points_awarded  int,
  player_data     jsonb,
  PRIMARY KEY (team_code, block_id)
);

CREATE TABLE notifications (
  created_at  TIMESTAMP NOT NULL DEFAULT current_timestamp,
  updated_at  TIMESTAMP NOT NULL DEFAULT current_timestamp,
  id          VARCHAR   NOT NULL,
  content     varchar(255),
  type        varchar(255),
  team_code   varchar(36),
  dismissed   bool,
  PRIMARY KEY (id)
);

CREATE TABLE teams (
  created_at         TIMESTAMP NOT NULL DEFAULT current_timestamp,
  updated_at         TIMESTAMP NOT NULL DEFAULT current_timestamp,
  code               VARCHAR   NOT NULL,
  name               VARCHAR,
  instance_id        VARCHAR   NOT NULL,
  has_started        BOOLEAN   DEFAULT false,
  must_scan_out      VARCHAR,
  points             INTEGER,
  id                 varchar(36),
  skipped_group_ids  text      DEFAULT '[]',
  PRIMARY KEY (code),
  UNIQUE (code)
);
CREATE INDEX id ON teams (id);   -- yes, the real index is named "id"

CREATE TABLE instances (
  created_at                TIMESTAMP NOT NULL DEFAULT current_timestamp,
  updated_at                TIMESTAMP NOT NULL DEFAULT current_timestamp,
  id                        varchar(36) NOT NULL,
  name                      varchar(255),
  user_id                   varchar(36),
  start_time                TIMESTAMP,
  end_time                  TIMESTAMP,
  is_quick_start_dismissed  bool,
  is_template               bool,
  template_id               varchar(36),
  game_structure            text,
  PRIMARY KEY (id)
);

