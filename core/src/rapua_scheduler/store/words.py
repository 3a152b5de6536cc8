"""The operator's word, and the windows in which jobs do not run; each within a transaction that its caller holds."""

# ruff: noqa: S608  statements are put together from constants; what comes from elsewhere is bound

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rapua_scheduler.run import WindowKind
from rapua_scheduler.store.port import PartUntil
from rapua_scheduler.store.rows import GAP_COLUMNS, WINDOW_COLUMNS, from_micros, to_gap, to_json, to_micros
from rapua_scheduler.store.rules import AHEAD, BY_HOST
from rapua_scheduler.store.statements import UNANSWERED, UNFINISHED, field, refuse_undeclared
from rapua_scheduler.store.texts import storable

_BEGIN = f"""
    INSERT INTO windows ({WINDOW_COLUMNS})
    SELECT {field(0)}, {field(1)}, :at, NULL, {field(2)}, :by FROM json_each(:windows) AS given WHERE true
    ON CONFLICT DO NOTHING
"""

# One that began later than it ended, by a clock that was wrong, never was.
_END = "UPDATE windows SET since = min(since, :at), until = :at WHERE until IS NULL"

_LOWERED = "max(:at, coalesce(pruned_until, :at))"
_MARK = "(SELECT mark FROM jobs WHERE key = job_key)"
_ARE_LATER = f"job_key IN (SELECT value FROM json_each(:keys)) AND last > {_MARK}"

_LOWER = (
    f"""
    UPDATE jobs SET mark = {_LOWERED}, lowered_from = max(mark, coalesce(lowered_from, mark)), next_fire_time = NULL
    WHERE key IN (SELECT value FROM json_each(:keys))
    """,
    f"DELETE FROM gaps WHERE {_ARE_LATER} AND first > {_MARK}",
)
_CUT = f"""
    SELECT id, fingerprint, mark, {", ".join(f"gaps.{column}" for column in GAP_COLUMNS.split(", "))}
    FROM gaps JOIN jobs ON key = job_key WHERE {_ARE_LATER}
"""


def bump(connection: sqlite3.Connection) -> None:
    """Let `word` return another number from now on."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'word'")


def pause(connection: sqlite3.Connection, job_key: str, at: datetime, reason: str, by: str) -> bool:
    """See `Store.pause`."""
    refuse_undeclared(connection, [job_key])
    return _said(connection, _begin(connection, [(job_key, WindowKind.PAUSED, reason)], at, by))


def resume(connection: sqlite3.Connection, job_key: str, at: datetime) -> bool:
    """See `Store.resume`."""
    refuse_undeclared(connection, [job_key])
    given = {"at": to_micros(at), "job_key": job_key}
    return _said(connection, connection.execute(f"{_END} AND job_key = :job_key AND kind = 'paused'", given).rowcount)


def hold(connection: sqlite3.Connection, at: datetime, reason: str) -> None:
    """See `Store.hold`."""
    _said(connection, _begin(connection, [("", WindowKind.HELD, reason)], at, BY_HOST))


def release(connection: sqlite3.Connection, at: datetime, job_key: str | None, part_until: PartUntil) -> Sequence[str]:
    """See `Store.release`."""
    given: dict[str, object] = {"at": to_micros(at), "job_key": job_key, "ahead": AHEAD // timedelta(microseconds=1)}
    connection.execute(f"{_END} AND kind = 'held'", given)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('alive_at', :at)", given)
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'releases'")
    bump(connection)
    later = f"mark > {_LOWERED} + :ahead AND key = coalesce(:job_key, key)"
    keys = [key for (key,) in connection.execute(f"SELECT key FROM jobs WHERE {later} ORDER BY key", given)]
    given["keys"] = to_json(keys)
    for statement in _LOWER:
        connection.execute(statement, given)
    connection.execute(
        "UPDATE schedules SET until = :at WHERE until > :at AND job_key = coalesce(:job_key, job_key)", given
    )
    for gap_id, fingerprint, mark, *fields in connection.execute(_CUT, given).fetchall():
        part = part_until(fingerprint, to_gap(fields), from_micros(mark))
        connection.execute(
            "UPDATE gaps SET last = ?, count = ? WHERE id = ?", (to_micros(part.last), part.count, gap_id)
        )
    return keys


def set_absent(connection: sqlite3.Connection, jobs: Mapping[str, tuple[WindowKind, str]], at: datetime) -> None:
    """See `Store.set_absent`."""
    declared = {key for (key,) in connection.execute("SELECT key FROM jobs WHERE mark IS NOT NULL")}
    given = [(key, kind, reason) for key, (kind, reason) in jobs.items() if key in declared]
    connection.execute(
        f"""
        {_END} AND kind IN ('absent', 'failed') AND EXISTS (
            SELECT 1 FROM json_each(:windows) AS given
            WHERE windows.job_key = {field(0)} AND windows.kind <> {field(1)}
        )
        """,
        {"at": to_micros(at), "windows": to_json(given)},
    )
    _begin(connection, given, at, BY_HOST)


def request_cancel(connection: sqlite3.Connection, run_id: str, by: str) -> bool:
    """See `Store.request_cancel`."""
    statement = f"UPDATE runs SET cancel_by = coalesce(cancel_by, ?) WHERE run_id = ? AND {UNFINISHED}"
    changes = connection.execute(statement, (storable(by), run_id)).rowcount
    changes += connection.execute(
        f"""
        UPDATE runs SET status = 'cancelled', cancel_by = :by, error = 'cancelled by ' || :by
        WHERE run_id = :run_id AND {UNANSWERED}
        """,
        {"by": storable(by), "run_id": run_id},
    ).rowcount
    return _said(connection, changes)


def _begin(
    connection: sqlite3.Connection, windows: Sequence[tuple[str, WindowKind, str]], at: datetime, by: str
) -> int:
    rows = [(job_key, kind.value, storable(reason)) for job_key, kind, reason in windows]
    given = {"windows": to_json(rows), "at": to_micros(at), "by": storable(by)}
    return connection.execute(_BEGIN, given).rowcount


def _said(connection: sqlite3.Connection, changes: int) -> bool:
    if changes:
        bump(connection)
    return bool(changes)
