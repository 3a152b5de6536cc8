"""Our own table in the site's database: which periods are complete."""

from __future__ import annotations

import sqlite3

from rapua_credit_topup.period import Period

TABLE = "rapua_scheduler_periods"
COLUMNS = ("job", "period", "completed_at", "run_key", "run_id", "users_credited", "credits_added")

_CREATE = """
    CREATE TABLE IF NOT EXISTS rapua_scheduler_periods (
      job             TEXT     NOT NULL,
      period          TEXT     NOT NULL,
      completed_at    TEXT     NOT NULL,
      run_key         TEXT     NOT NULL,
      run_id          TEXT     NOT NULL,
      users_credited  INTEGER  NOT NULL,
      credits_added   INTEGER  NOT NULL,
      PRIMARY KEY (job, period)
    )
"""


def exists(db: sqlite3.Connection) -> bool:
    """Tell whether the table is there."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (TABLE,)).fetchone() is not None


def is_complete(db: sqlite3.Connection, job_key: str, period: Period) -> bool:
    """Tell whether a run of *job_key* has completed *period*."""
    return exists(db) and (
        db.execute(
            "SELECT 1 FROM rapua_scheduler_periods WHERE job = ? AND period = ?", (job_key, period.name)
        ).fetchone()
        is not None
    )


def newest(db: sqlite3.Connection, job_key: str) -> str | None:
    """Return the name of the latest period that *job_key* has completed; None if there is none."""
    if not exists(db):
        return None
    found = db.execute("SELECT max(period) FROM rapua_scheduler_periods WHERE job = ?", (job_key,)).fetchone()[0]
    return None if found is None else str(found)


def complete(
    db: sqlite3.Connection,
    job_key: str,
    period: Period,
    *,
    completed_at: str,
    run_key: str,
    run_id: str,
    totals: tuple[int, int],
) -> None:
    """Record that *period* is complete, unless another host just did."""
    db.execute(_CREATE)
    db.execute(
        "INSERT INTO rapua_scheduler_periods"
        " (job, period, completed_at, run_key, run_id, users_credited, credits_added)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (job_key, period.name, completed_at, run_key, run_id, *totals),
    )
