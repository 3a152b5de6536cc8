"""Rapua sites with every kind of user and audit row, the truth about them known to the maker."""

from __future__ import annotations

import random
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from attrs import field, frozen

from rapua_scheduler.demo.database import create_database

REASON = "Monthly free credit top-up: topped up to "
AUCKLAND = ZoneInfo("Pacific/Auckland")
NOVEMBER = datetime(2026, 11, 1, tzinfo=AUCKLAND)

Scalars = tuple[object, ...]


@frozen
class Snapshot:
    """Everything in the three tables, as plain values."""

    users: dict[str, Scalars]
    adjustments: dict[str, Scalars]
    periods: list[Scalars] | None

    def balance(self, user_id: str) -> object:
        return self.users[user_id][1]

    def limit(self, user_id: str) -> object:
        return self.users[user_id][2]


def snapshot(path: Path) -> Snapshot:
    with closing(sqlite3.connect(path)) as db:
        users = {
            row[0]: row
            for row in db.execute(
                "SELECT id, free_credits, monthly_credit_limit, updated_at, paid_credits, email FROM users"
            )
        }
        adjustments = {
            row[0]: row
            for row in db.execute(
                "SELECT id, user_id, credits, reason, created_at, credit_purchase_id FROM credit_adjustments"
            )
        }
        has_periods = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'rapua_scheduler_periods'").fetchone()
        periods = db.execute("SELECT * FROM rapua_scheduler_periods").fetchall() if has_periods else None
        return Snapshot(users, adjustments, periods)


def execute(path: Path, sql: str, *parameters: object) -> int:
    with closing(sqlite3.connect(path, timeout=30)) as db, db:
        return db.execute(sql, parameters).rowcount


def add_user(path: Path, user_id: str, balance: object, limit: object) -> str:
    execute(
        path,
        "INSERT INTO users (id, email, free_credits, monthly_credit_limit) VALUES (?, ?, ?, ?)",
        user_id,
        f"{user_id}@example.org",
        balance,
        limit,
    )
    return user_id


def add_adjustment(
    path: Path, user_id: str, created_at: object, *, reason: str = REASON + "10", row_id: str | None = None
) -> str:
    row_id = row_id or str(uuid.uuid4())
    execute(
        path,
        "INSERT INTO credit_adjustments (id, created_at, user_id, credits, reason) VALUES (?, ?, ?, 3, ?)",
        row_id,
        created_at,
        user_id,
        reason,
    )
    return row_id


@frozen
class MadeSite:
    """A site and what its maker knows.

    Attributes:
        path: The database.
        zone: The site's zone.
        fire_time: The first instant of the month.
        credited: Users that somebody else has topped up this month.
        doubtful: Users with a top-up whose time nobody can read.
    """

    path: Path
    zone: ZoneInfo
    fire_time: datetime
    credited: set[str] = field(factory=set)
    doubtful: set[str] = field(factory=set)


def a_user_id(rng: random.Random) -> str:
    return rng.choices(
        (
            lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            lambda: f"user-{rng.randrange(10**6):06}",
            lambda: f"a-very-long-name-that-many-share-{rng.randrange(10**9)}@schools.example.org",
            lambda: rng.choice("aZ0 é'\"%_漢🎲~!") + str(rng.randrange(1000)),
        ),
        (6, 2, 2, 1),
    )[0]()


def a_balance_and_limit(rng: random.Random) -> tuple[object, object]:
    limit = rng.choice((10, 10, 10, 25, 25, 100, rng.randrange(1, 60)))
    return rng.choices(
        (
            (rng.randrange(limit), limit),
            (0, limit),
            (limit, limit),
            (limit + rng.randrange(1, 50), limit),
            (-rng.randrange(1, 20), limit),
            (None, limit),
            (rng.randrange(20), None),
            (None, None),
            (rng.choice(("seven", "", b"\xff\xfe", 2.5)), limit),
            (rng.randrange(10), rng.choice(("ten", 10.5, b"10"))),
            (rng.choice((-5, 0, 3)), rng.choice((0, -3))),
            (-(2**63), 2**63 - 1),
            (2**63 - 3, 2**63 - 1),
        ),
        (20, 6, 5, 5, 4, 2, 2, 1, 2, 2, 2, 0.3, 0.3),
    )[0]


def a_time(rng: random.Random, instant: datetime) -> object:
    """Return *instant* in one of the shapes that are found, some written by hand."""
    instant = instant.astimezone(UTC)
    digits = f"{instant:%Y-%m-%d %H:%M:%S}"
    return rng.choice(
        (
            digits,
            digits + "+00:00",
            f"{digits}.{rng.randrange(1, 10)}+00:00",
            f"{digits}.{rng.randrange(10**5, 10**6)}+00:00",
            digits.replace(" ", "T") + "Z",
            digits + " +0000 UTC",
            f"{instant.astimezone(AUCKLAND):%Y-%m-%d %H:%M:%S} +1300 NZDT",
            f"{instant.astimezone(AUCKLAND).isoformat()}",
            int(instant.timestamp()),
        )
    )


def make_site(
    path: Path, seed: int, *, users: int = 60, zone: ZoneInfo = AUCKLAND, year: int = 2026, month: int = 11
) -> MadeSite:
    """Make a site whose month begins at an ordinary midnight."""
    rng = random.Random(seed)
    begins = datetime(year, month, 1, tzinfo=zone)
    ends = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    made = MadeSite(path, zone, begins)
    create_database(path)
    with closing(sqlite3.connect(path)) as db, db:
        ids = list(dict.fromkeys(a_user_id(rng) for _ in range(users)))
        rng.shuffle(ids)
        for user_id in ids:
            db.execute(
                "INSERT INTO users (id, email, free_credits, monthly_credit_limit, updated_at)"
                " VALUES (?, ?, ?, ?, '2026-01-02 03:04:05+00:00')",
                (user_id, f"{user_id}@example.org", *a_balance_and_limit(rng)),
            )
        for _ in range(users * 2):
            user_id, kind = rng.choice(ids), rng.random()
            reason, when = REASON + str(rng.choice((10, 25))), begins - timedelta(days=rng.randrange(1, 400))
            created_at: object = a_time(rng, when)
            if kind < 0.08:  # by the original's job, this month
                when = rng.choice(
                    (begins, begins + timedelta(seconds=3), ends - timedelta(seconds=1), begins + timedelta(days=9))
                )
                created_at = a_time(rng, when)
                made.credited.add(user_id)
            elif kind < 0.16:  # a hair outside of the local month
                created_at = a_time(rng, rng.choice((begins - timedelta(seconds=1), ends)))
            elif kind < 0.19:
                created_at = rng.choice(("yesterday", "", f"{year}-{month:02}-32 00:00:00", b"\x00"))
                made.doubtful.add(user_id)
            elif kind < 0.40:  # not a top-up
                reason = rng.choice(("Gift: sorry", "Admin: Monthly free credit top-up", "Purchase", "Migration"))
                created_at = a_time(rng, begins + timedelta(seconds=1))
            db.execute(
                "INSERT INTO credit_adjustments (id, created_at, user_id, credits, reason) VALUES (?, ?, ?, 5, ?)",
                (str(uuid.UUID(int=rng.getrandbits(128), version=4)), created_at, user_id, reason),
            )
    made.doubtful.difference_update(made.credited)
    return made
