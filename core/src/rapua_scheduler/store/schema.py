"""The tables of the SQLite store, as the steps that lead from an empty file to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from rapua_scheduler.store.transactions import transaction

APPLICATION_ID = 0x72707361  # "rpsa"
"""In the header of every store, so that no other program's database is taken for one."""

Migration = Sequence[str]
"""SQL statements that lead from one version of the schema to the next."""

_FIRST: Migration = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "INSERT INTO meta VALUES ('store_id', lower(hex(randomblob(16))))",
    """
    CREATE TABLE owners (  -- the openings of the store that may still be alive
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        pid INTEGER NOT NULL,
        host_name TEXT NOT NULL,
        started_at INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE jobs (  -- only key and last_run, the rest empty, of one that was run but never declared
        key TEXT PRIMARY KEY,
        name TEXT NOT NULL DEFAULT '',
        plugin TEXT NOT NULL DEFAULT '',
        distribution TEXT NOT NULL DEFAULT '',
        version TEXT NOT NULL DEFAULT '',
        schedule TEXT NOT NULL DEFAULT '',
        fingerprint TEXT NOT NULL DEFAULT '',
        mark INTEGER,
        next_fire_time INTEGER,
        first_seen_at INTEGER,
        last_seen_at INTEGER,
        last_run INTEGER  -- runs.id of the job's newest claim
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,  -- in the order of the claims
        run_id TEXT NOT NULL UNIQUE,
        job_key TEXT NOT NULL,
        fire_time INTEGER NOT NULL,
        fire_key TEXT NOT NULL,
        trigger TEXT NOT NULL,
        status TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        owner INTEGER NOT NULL,
        started_at INTEGER,
        finished_at INTEGER,
        previous INTEGER,  -- id of the job's claim before this one
        result TEXT,
        error TEXT
    )
    """,
    # The fire key comes first, and a chain stands in for an index by job: new entries of either then lie
    # together at the end. Ordered by job, each run would touch a page of its own, and a tick of 10,000
    # jobs was measured to write 40 MB instead of 3.
    """
    CREATE UNIQUE INDEX claims ON runs (fire_key, job_key) WHERE trigger IN ('schedule', 'catch_up', 'rerun')
    """,
    "CREATE INDEX unfinished ON runs (owner) WHERE status IN ('queued', 'running')",
    "CREATE INDEX runs_by_start ON runs (started_at)",
    """
    CREATE TABLE gaps (
        id INTEGER PRIMARY KEY,
        job_key TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        count INTEGER,
        reason TEXT NOT NULL,
        detail TEXT NOT NULL,
        after_run INTEGER  -- jobs.last_run when the gap was recorded or extended
    )
    """,
    "CREATE INDEX gaps_by_job ON gaps (job_key, last)",
    "CREATE INDEX gaps_by_time ON gaps (last)",
    f"PRAGMA application_id = {APPLICATION_ID}",
)

_SECOND: Migration = (
    "ALTER TABLE runs ADD COLUMN failures INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN losses INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN asked_by TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE runs ADD COLUMN done INTEGER",
    "ALTER TABLE runs ADD COLUMN total INTEGER",
    "ALTER TABLE runs ADD COLUMN cancel_by TEXT",  # who has asked to cancel it
    "ALTER TABLE runs ADD COLUMN is_answered INTEGER NOT NULL DEFAULT 0",  # of one that ended unfinished
    # Before, such runs were left to the operator. Those that something was run after are left for good.
    """
    UPDATE runs SET is_answered = 1 WHERE status IN ('lost', 'interrupted')
        AND id IS NOT (SELECT last_run FROM jobs WHERE key = runs.job_key)
    """,
    """
    CREATE INDEX unanswered ON runs (id)
        WHERE status IN ('lost', 'interrupted') AND trigger <> 'manual' AND NOT is_answered
    """,
    """
    CREATE TABLE attempts (  -- those that were not the last of their run
        run INTEGER NOT NULL,  -- runs.id
        attempt INTEGER NOT NULL,
        status TEXT NOT NULL,
        started_at INTEGER,
        finished_at INTEGER,
        error TEXT,
        PRIMARY KEY (run, attempt)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE log_lines (
        run INTEGER NOT NULL,  -- runs.id
        number INTEGER NOT NULL,  -- from 1; how many lines are no longer there is what the first lacks
        at INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        level TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (run, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE windows (
        id INTEGER PRIMARY KEY,
        job_key TEXT NOT NULL,  -- empty: all jobs
        kind TEXT NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER,
        reason TEXT NOT NULL,
        begun_by TEXT NOT NULL
    )
    """,
    "CREATE INDEX windows_by_job ON windows (job_key)",
    "CREATE UNIQUE INDEX lasting ON windows (job_key, kind) WHERE until IS NULL",
    """
    CREATE TABLE schedules (  -- those that jobs had before, in the order in which they had them
        id INTEGER PRIMARY KEY,
        job_key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        until INTEGER NOT NULL
    )
    """,
    "CREATE INDEX schedules_by_job ON schedules (job_key)",
    "ALTER TABLE jobs ADD COLUMN pruned_until INTEGER",  # newest fire time whose claim was pruned
    "ALTER TABLE jobs ADD COLUMN forgotten_until INTEGER",  # newest fire time whose record was pruned
    "ALTER TABLE jobs ADD COLUMN lowered_from INTEGER",  # claims up to here may lie ahead of the mark
    "ALTER TABLE jobs ADD COLUMN run_count INTEGER NOT NULL DEFAULT 0",
    """
    UPDATE jobs SET run_count = counted.runs
    FROM (SELECT job_key, count(*) AS runs FROM runs GROUP BY job_key) AS counted
    WHERE counted.job_key = jobs.key
    """,
    "INSERT INTO meta VALUES ('word', '0'), ('releases', '0')",
)

MIGRATIONS: Sequence[Migration] = (_FIRST, _SECOND)
"""The n-th leads from version n - 1 to version n; one that has been released is never edited."""

VERSION = len(MIGRATIONS)
"""The version of the schema that this program reads and writes."""


def read_version(connection: sqlite3.Connection) -> int:
    """Return the version of the schema that a database has; 0 is an empty one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a database up to the newest version.

    Each step is one transaction together with its number, so that a process that is killed leaves
    the version before or the version after; another process that does the same waits and finds
    nothing left to do.
    """
    for version, migration in enumerate(migrations, start=1):
        if read_version(connection) >= version:
            continue
        with transaction(connection):
            if read_version(connection) >= version:  # another process was faster
                continue
            for statement in migration:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
