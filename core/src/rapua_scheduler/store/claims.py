"""What is decided, claimed and queued, each function within a transaction that its caller holds."""

# ruff: noqa: S608  statements are put together from constants; what comes from elsewhere is bound

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rapua_scheduler.run import Decision, Run, RunStatus, fold_gaps
from rapua_scheduler.store.owners import NOBODY
from rapua_scheduler.store.rows import (
    GAP_COLUMNS,
    RUN_COLUMNS,
    from_optional_micros,
    gap_fields,
    run_fields,
    to_gap,
    to_json,
    to_micros,
    to_optional_micros,
    to_run,
)
from rapua_scheduler.store.statements import UNFINISHED, RefusedError, field, refuse_undeclared, require
from rapua_scheduler.store.transactions import savepoint
from rapua_scheduler.store.words import bump

_NEXT_ID = "SELECT coalesce(max(id), 0) + 1 FROM runs"

# The field after those of the run tells which of the same text is the job's run before it, if one is.
_CLAIM = f"""
    INSERT INTO runs (
        id, job_key, run_id, fire_time, fire_key, trigger, status, attempt, started_at, asked_by, owner, previous
    )
    SELECT :first + given.key, {", ".join(field(position) for position in range(9))}, :owner,
        coalesce(:first + {field(9)}, (SELECT last_run FROM jobs WHERE key = {field(0)}))
    FROM json_each(:runs) AS given WHERE true
"""

_MOVE_MARKS = f"""
    UPDATE jobs SET
        mark = {field(1)},
        next_fire_time = {field(2)},
        last_run = coalesce(:first + {field(4)}, last_run),
        run_count = run_count + {field(5)}
    FROM json_each(:decisions) AS given
    WHERE jobs.key = {field(0)} AND jobs.mark < {field(3)}
"""


def decide(connection: sqlite3.Connection, owner: int, decisions: Sequence[Decision]) -> Sequence[bool]:
    """See `Store.decide`."""
    if _record(connection, owner, decisions):
        return [True] * len(decisions)
    recorded = [_record(connection, owner, [decision]) for decision in decisions]
    if not all(recorded):
        refuse_undeclared(connection, (decision.job_key for decision in decisions))
    return recorded


def _record(connection: sqlite3.Connection, owner: int, decisions: Sequence[Decision]) -> bool:
    """Record all of *decisions*, or none; none, too, if two are on one job, as only one of them moves its mark."""
    runs: list[Sequence[object]] = []
    marks: list[Sequence[object]] = []
    for decision in decisions:
        before = None
        for run in decision.runs:
            runs.append((*run_fields(run, run.status, 1), before))
            before = len(runs) - 1
        later_than = decision.runs[0].fire_time if decision.runs else decision.mark
        marks.append(
            (
                decision.job_key,
                to_micros(decision.mark),
                to_optional_micros(decision.next_fire_time),
                to_micros(later_than),
                before,
                len(decision.runs),
            )
        )
    given: dict[str, object] = {"decisions": to_json(marks), "runs": to_json(runs), "owner": owner}
    try:
        with savepoint(connection):
            _record_gaps(connection, [decision for decision in decisions if decision.gaps])
            (given["first"],) = connection.execute(_NEXT_ID).fetchone()
            if runs:
                require(connection.execute(f"{_CLAIM} ON CONFLICT DO NOTHING", given).rowcount == len(runs))
            require(connection.execute(_MOVE_MARKS, given).rowcount == len(decisions))
    except RefusedError:
        return False
    return True


def claim(connection: sqlite3.Connection, owner: int, run: Run) -> None:
    """See `Store.claim`.

    Raises:
        sqlite3.IntegrityError: Its id is taken.
    """
    _claim_by_hand(connection, owner, [run], RunStatus.RUNNING)


def enqueue(connection: sqlite3.Connection, runs: Sequence[Run]) -> None:
    """See `Store.enqueue`.

    Raises:
        sqlite3.IntegrityError: An id is taken.
    """
    if runs:
        _claim_by_hand(connection, NOBODY, runs, RunStatus.QUEUED)
        bump(connection)


def _claim_by_hand(connection: sqlite3.Connection, owner: int, runs: Sequence[Run], status: RunStatus) -> None:
    rows: list[Sequence[object]] = []
    newest: dict[str, int] = {}
    counts: dict[str, int] = {}
    for number, run in enumerate(runs):
        rows.append((*run_fields(run, status, run.attempt), newest.get(run.job_key)))
        newest[run.job_key] = number
        counts[run.job_key] = counts.get(run.job_key, 0) + 1
    (first,) = connection.execute(_NEXT_ID).fetchone()
    connection.execute(
        "INSERT INTO jobs (key) SELECT value FROM json_each(?) WHERE true ON CONFLICT DO NOTHING",
        (to_json(list(newest)),),
    )
    connection.execute(_CLAIM, {"runs": to_json(rows), "first": first, "owner": owner})
    connection.execute(
        f"""
        UPDATE jobs SET last_run = ? + {field(1)}, run_count = run_count + {field(2)}
        FROM json_each(?) AS given WHERE jobs.key = {field(0)}
        """,
        (first, to_json([(key, number, counts[key]) for key, number in newest.items()])),
    )


def take_queued(connection: sqlite3.Connection, owner: int, is_alive: Callable[[int], bool]) -> Sequence[Run]:
    """See `Store.take_queued`.

    Args:
        connection: The writer's.
        owner: Who takes them.
        is_alive: Tells whether the lock of an owner is held.
    """
    queued = f"{UNFINISHED} AND status = 'queued'"
    owners = connection.execute(f"SELECT DISTINCT owner FROM runs WHERE {queued}").fetchall()
    free = to_json([each for (each,) in owners if each != owner and (each == NOBODY or not is_alive(each))])
    theirs = f"{queued} AND owner IN (SELECT value FROM json_each(?))"
    rows = connection.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE {theirs} ORDER BY +id", (free,)).fetchall()
    connection.execute(f"UPDATE runs SET owner = ? WHERE {theirs}", (owner, free))
    return [to_run(row) for row in rows]


# -- gaps

_NEWEST_GAPS = f"""
    SELECT json_group_array(json_array(
        given.value, jobs.last_run, newest.id, newest.after_run, jobs.lowered_from,
        {", ".join(f"newest.{column}" for column in GAP_COLUMNS.split(", "))}
    ))
    FROM json_each(?) AS given
    LEFT JOIN jobs ON jobs.key = given.value
    LEFT JOIN gaps AS newest
        ON newest.id = (SELECT id FROM gaps WHERE job_key = given.value ORDER BY last DESC, id DESC LIMIT 1)
"""

_ADD_GAPS = f"""
    INSERT INTO gaps ({GAP_COLUMNS}, after_run)
    SELECT {", ".join(field(position) for position in range(7))} FROM json_each(?) AS given
"""

_EXTEND_GAPS = f"""
    UPDATE gaps SET last = {field(1)}, count = {field(2)} FROM json_each(?) AS given WHERE gaps.id = {field(0)}
"""


def _record_gaps(connection: sqlite3.Connection, decisions: Sequence[Decision]) -> None:
    if not decisions:
        return
    job_keys = to_json([decision.job_key for decision in decisions])
    (rows,) = connection.execute(_NEWEST_GAPS, (job_keys,)).fetchone()
    stored: Mapping[str, Sequence[Any]] = {job_key: rest for job_key, *rest in json.loads(rows)}
    added: list[tuple[object, ...]] = []
    extended: list[tuple[object, ...]] = []
    for decision in decisions:
        last_run, newest_id, after_run, lowered_from, *fields = stored[decision.job_key]
        newest = to_gap(fields) if newest_id is not None and after_run == last_run else None
        claimed = [run.fire_time for run in decision.runs]
        folded = fold_gaps(newest, decision.gaps, claimed, lowered_from=from_optional_micros(lowered_from))
        if newest is not None:
            grown = folded.pop(0)
            if grown is not newest:
                extended.append((newest_id, to_micros(grown.last), grown.count))
        added += [(*gap_fields(gap), last_run) for gap in folded]
    if added:
        connection.execute(_ADD_GAPS, (to_json(added),))
    if extended:
        connection.execute(_EXTEND_GAPS, (to_json(extended),))
