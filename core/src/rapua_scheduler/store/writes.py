"""What changes the database, each function within a transaction that its caller holds.

Many rows go in as one JSON text and one statement. Every step of a statement gives up the interpreter
lock, and a plugin that computes may keep it for 5 ms each time: 300 claims, one by one beside two such
threads, were measured to take up to 5.5 s, and at once 0.1 s.
"""

# ruff: noqa: S608  statements are put together from constants; what comes from elsewhere is bound

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from attrs import evolve

from rapua_scheduler.errors import UnknownJobError
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, Run, RunStatus
from rapua_scheduler.store.port import StoredJob
from rapua_scheduler.store.rows import (
    GAP_COLUMNS,
    JOB_COLUMNS,
    RUN_COLUMNS,
    decision_fields,
    gap_fields,
    job_fields,
    run_fields,
    to_gap,
    to_job,
    to_json,
    to_micros,
    to_optional_micros,
    to_run,
)
from rapua_scheduler.store.rules import fold_gaps
from rapua_scheduler.store.texts import storable
from rapua_scheduler.store.transactions import savepoint

_MOST_FINISHES = 1000
"""Outcomes that go in as one text: with the longest errors, 64 MiB."""


def _at(position: int) -> str:
    """Return the SQL for a field of the row that is at hand in the JSON text `given`."""
    return f"json_extract(given.value, '$[{position}]')"


# -- owners


def next_owner(connection: sqlite3.Connection) -> int:
    """Return a number that no opening of the store has had, as far as the database knows."""
    (highest,) = connection.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'owners'"
    ).fetchone()
    return int(highest) + 1


def add_owner(connection: sqlite3.Connection, owner: int, pid: int, host_name: str, started_at: datetime) -> None:
    """Record an opening of the store."""
    row = (owner, pid, storable(host_name), to_micros(started_at))
    connection.execute("INSERT INTO owners VALUES (?, ?, ?, ?)", row)


def set_host(connection: sqlite3.Connection, owner: int) -> None:
    """Record which opening is the active host's."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('host', ?)", (str(owner),))


# -- jobs

_DECLARE = f"""
    INSERT INTO jobs ({JOB_COLUMNS})
    SELECT {", ".join(_at(position) for position in range(7))}, :at, NULL, :at, :at
    FROM json_each(:jobs) AS given WHERE true
    ON CONFLICT (key) DO UPDATE SET
        name = excluded.name, plugin = excluded.plugin, distribution = excluded.distribution,
        version = excluded.version, schedule = excluded.schedule, fingerprint = excluded.fingerprint,
        mark = coalesce(mark, excluded.mark), first_seen_at = coalesce(first_seen_at, excluded.first_seen_at),
        last_seen_at = excluded.last_seen_at
"""


def declare(connection: sqlite3.Connection, jobs: Sequence[RegisteredJob], at: datetime) -> Mapping[str, StoredJob]:
    """See `Store.declare`."""
    connection.execute(_DECLARE, {"jobs": to_json([job_fields(job) for job in jobs]), "at": to_micros(at)})
    rows = connection.execute(
        f"SELECT {JOB_COLUMNS} FROM jobs WHERE key IN (SELECT value FROM json_each(?))",
        (to_json([job.job.key for job in jobs]),),
    ).fetchall()
    return {row[0]: to_job(row) for row in rows}


def set_next(connection: sqlite3.Connection, next_fire_times: Mapping[str, datetime | None]) -> None:
    """See `Store.set_next`."""
    given = [(key, to_optional_micros(instant)) for key, instant in next_fire_times.items()]
    cursor = connection.execute(
        f"""
        UPDATE jobs SET next_fire_time = {_at(1)} FROM json_each(?) AS given
        WHERE jobs.key = {_at(0)} AND jobs.mark IS NOT NULL
        """,
        (to_json(given),),
    )
    if cursor.rowcount < len(given):
        _refuse_undeclared(connection, next_fire_times)


def _refuse_undeclared(connection: sqlite3.Connection, job_keys: Iterable[str]) -> None:
    declared = {key for (key,) in connection.execute("SELECT key FROM jobs WHERE mark IS NOT NULL")}
    for job_key in job_keys:
        if job_key not in declared:
            raise UnknownJobError(job_key, tuple(declared))


# -- runs

_NEXT_ID = "SELECT coalesce(max(id), 0) + 1 FROM runs"

_CLAIM = f"""
    INSERT INTO runs (id, run_id, job_key, fire_time, fire_key, trigger, status, attempt, owner, started_at, previous)
    SELECT :first + given.key, {_at(3)}, {_at(0)}, {_at(4)}, {_at(5)}, {_at(6)}, 'running', 1, :owner, {_at(7)},
        (SELECT last_run FROM jobs WHERE key = {_at(0)})
    FROM json_each(:decisions) AS given WHERE {_at(3)} IS NOT NULL
    ON CONFLICT DO NOTHING
"""

_MOVE_MARKS = f"""
    UPDATE jobs SET
        mark = {_at(1)},
        next_fire_time = {_at(2)},
        last_run = iif({_at(3)} IS NULL, last_run, :first + given.key)
    FROM json_each(:decisions) AS given
    WHERE jobs.key = {_at(0)} AND jobs.mark < coalesce({_at(4)}, {_at(1)})
"""


class _RefusedError(Exception):
    """Some of what was to be recorded must not be; undoes the savepoint it leaves."""


def _require(is_so: bool) -> None:
    if not is_so:
        raise _RefusedError


def decide(connection: sqlite3.Connection, owner: int, decisions: Sequence[Decision]) -> Sequence[bool]:
    """See `Store.decide`."""
    if _record(connection, owner, decisions):
        return [True] * len(decisions)
    recorded = [_record(connection, owner, [decision]) for decision in decisions]
    if not all(recorded):
        _refuse_undeclared(connection, (decision.job_key for decision in decisions))
    return recorded


def _record(connection: sqlite3.Connection, owner: int, decisions: Sequence[Decision]) -> bool:
    """Record all of *decisions*, or none; none, too, if two are on one job, as only one of them moves its mark."""
    claims = sum(decision.run is not None for decision in decisions)
    given: dict[str, object] = {
        "decisions": to_json([decision_fields(decision) for decision in decisions]),
        "owner": owner,
    }
    try:
        with savepoint(connection):
            _record_gaps(connection, [decision for decision in decisions if decision.gaps])
            (given["first"],) = connection.execute(_NEXT_ID).fetchone()
            if claims:
                _require(connection.execute(_CLAIM, given).rowcount == claims)
            _require(connection.execute(_MOVE_MARKS, given).rowcount == len(decisions))
    except _RefusedError:
        return False
    return True


def claim(connection: sqlite3.Connection, owner: int, run: Run) -> None:
    """Record a run that consumes no fire time; its job need not be declared.

    Raises:
        sqlite3.IntegrityError: Its id is taken.
    """
    run_id, fire_time, fire_key, trigger, started_at = run_fields(run)
    connection.execute("INSERT INTO jobs (key) VALUES (?) ON CONFLICT DO NOTHING", (run.job_key,))
    cursor = connection.execute(
        f"""
        INSERT INTO runs
            (id, run_id, job_key, fire_time, fire_key, trigger, status, attempt, owner, started_at, previous)
        SELECT ({_NEXT_ID}), ?, key, ?, ?, ?, 'running', ?, ?, ?, last_run FROM jobs WHERE key = ?
        """,
        (run_id, fire_time, fire_key, trigger, run.attempt, owner, started_at, run.job_key),
    )
    connection.execute("UPDATE jobs SET last_run = ? WHERE key = ?", (cursor.lastrowid, run.job_key))


_FINISH = f"""
    UPDATE runs SET status = {_at(2)}, finished_at = {_at(3)}, result = {_at(4)}, error = {_at(5)}
    FROM json_each(?) AS given
    WHERE runs.run_id = {_at(0)} AND runs.attempt = {_at(1)} AND runs.status = 'running'
"""


def finish(connection: sqlite3.Connection, given: Sequence[str]) -> Sequence[bool]:
    """Record ends of attempts, and return for each whether it was the running one.

    Args:
        connection: The writer's.
        given: What `finish_fields` returned for each, as JSON.
    """
    recorded: list[bool] = []
    for start in range(0, len(given), _MOST_FINISHES):
        chunk = given[start : start + _MOST_FINISHES]
        if _finish_all(connection, chunk):
            recorded += [True] * len(chunk)
        else:
            recorded += [_finish_all(connection, [one]) for one in chunk]
    return recorded


def _finish_all(connection: sqlite3.Connection, given: Sequence[str]) -> bool:
    try:
        with savepoint(connection):
            _require(connection.execute(_FINISH, (f"[{','.join(given)}]",)).rowcount == len(given))
    except _RefusedError:
        return False
    return True


def mark_lost(connection: sqlite3.Connection, at: datetime, is_alive: Callable[[int], bool]) -> Sequence[Run]:
    """See `Store.mark_lost`; also forgets the owners that are dead.

    Args:
        connection: The writer's.
        at: When the runs are taken to have ended.
        is_alive: Tells whether the lock of an owner is held.
    """
    owners = connection.execute(
        "SELECT id FROM owners UNION SELECT owner FROM runs WHERE status IN ('queued', 'running')"
    ).fetchall()
    dead = to_json([owner for (owner,) in owners if not is_alive(owner)])
    theirs = "status IN ('queued', 'running') AND owner IN (SELECT value FROM json_each(?))"
    rows = connection.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE {theirs} ORDER BY id", (dead,)).fetchall()
    connection.execute(f"UPDATE runs SET status = 'lost', finished_at = ? WHERE {theirs}", (to_micros(at), dead))
    connection.execute("DELETE FROM owners WHERE id IN (SELECT value FROM json_each(?))", (dead,))
    return [evolve(to_run(row), status=RunStatus.LOST, finished_at=at) for row in rows]


# -- gaps

_NEWEST_GAPS = f"""
    SELECT json_group_array(json_array(
        given.value, jobs.last_run, newest.id, newest.after_run,
        {", ".join(f"newest.{column}" for column in GAP_COLUMNS.split(", "))}
    ))
    FROM json_each(?) AS given
    LEFT JOIN jobs ON jobs.key = given.value
    LEFT JOIN gaps AS newest
        ON newest.id = (SELECT id FROM gaps WHERE job_key = given.value ORDER BY last DESC, id DESC LIMIT 1)
"""

_ADD_GAPS = f"""
    INSERT INTO gaps ({GAP_COLUMNS}, after_run)
    SELECT {", ".join(_at(position) for position in range(7))} FROM json_each(?) AS given
"""

_EXTEND_GAPS = f"""
    UPDATE gaps SET last = {_at(1)}, count = {_at(2)} FROM json_each(?) AS given WHERE gaps.id = {_at(0)}
"""


def _record_gaps(connection: sqlite3.Connection, decisions: Sequence[Decision]) -> None:
    if not decisions:
        return
    job_keys = to_json([decision.job_key for decision in decisions])
    (rows,) = connection.execute(_NEWEST_GAPS, (job_keys,)).fetchone()
    stored = {job_key: rest for job_key, *rest in json.loads(rows)}
    added: list[tuple[object, ...]] = []
    extended: list[tuple[object, ...]] = []
    for decision in decisions:
        last_run, newest_id, after_run, *fields = stored[decision.job_key]
        newest = to_gap(fields) if newest_id is not None and after_run == last_run else None
        folded = fold_gaps(newest, decision.gaps, None if decision.run is None else decision.run.fire_time)
        if newest is not None:
            grown = folded.pop(0)
            if grown is not newest:
                extended.append((newest_id, to_micros(grown.last), grown.count))
        added += [(*gap_fields(gap), last_run) for gap in folded]
    if added:
        connection.execute(_ADD_GAPS, (to_json(added),))
    if extended:
        connection.execute(_EXTEND_GAPS, (to_json(extended),))
