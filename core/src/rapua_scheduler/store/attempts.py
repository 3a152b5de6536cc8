"""What becomes of runs that are claimed, each function within a transaction that its caller holds."""

# ruff: noqa: S608  statements are put together from constants; what comes from elsewhere is bound

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from operator import attrgetter

from attrs import frozen

from rapua_scheduler.run import LogLine, Outcome, Run, Start
from rapua_scheduler.store.rows import (
    ATTEMPT_COLUMNS,
    RUN_COLUMNS,
    log_fields,
    outcome_fields,
    to_json,
    to_micros,
    to_run,
)
from rapua_scheduler.store.rules import MOST_LINES, MOST_LOGGED
from rapua_scheduler.store.statements import CONSUMING, UNANSWERED, UNFINISHED, RefusedError, field, require
from rapua_scheduler.store.transactions import savepoint

_MOST_AT_ONCE = 1000
"""Notes that go in as one text: with the longest errors, 64 MiB."""

_IS_RUNNING = f"""
    runs.run_id = {field(0)} AND runs.attempt = {field(1)} AND runs.status = 'running' AND runs.owner = :owner
"""

# -- what nobody waits for

Perform = Callable[[sqlite3.Connection, dict[str, object]], int]


@frozen
class Note:
    """Something about an attempt, to be recorded without anybody waiting for it.

    Attributes:
        given: What is to be recorded, as it goes into JSON, beginning with the run's id and the attempt.
        perform: Records it, and others like it, and returns how many were those of running attempts.
        has_lines: Whether lines of the log are at its end.
    """

    given: Sequence[object]
    perform: Perform
    has_lines: bool


def end(run_id: str, attempt: int, outcome: Outcome, log: Sequence[LogLine], *, again: bool) -> Note:
    """Return the note for `Store.finish`."""
    given = (run_id, attempt, *outcome_fields(outcome), log_fields(log))
    return Note(given, _end_again if again else _end, bool(log))


def progress(run_id: str, attempt: int, done: int | None, total: int | None, log: Sequence[LogLine]) -> Note:
    """Return the note for `Store.report`."""
    given = (run_id, attempt, done, total, None, None, log_fields(log))
    return Note(given, _report, bool(log))


def record(connection: sqlite3.Connection, notes: Sequence[Note], owner: int) -> Sequence[bool]:
    """Record notes in their order, and return for each whether its attempt was the running one."""
    recorded: list[bool] = []
    for alike in _alike(notes):
        if _record_all(connection, alike, owner):
            recorded += [True] * len(alike)
        else:
            recorded += [_record_all(connection, [note], owner) for note in alike]
    return recorded


def _alike(notes: Sequence[Note]) -> Iterator[Sequence[Note]]:
    """Yield notes of one kind that come together."""
    for _, alike in groupby(notes, attrgetter("perform")):
        while chunk := list(islice(alike, _MOST_AT_ONCE)):
            yield chunk


def _record_all(connection: sqlite3.Connection, notes: Sequence[Note], owner: int) -> bool:
    given: dict[str, object] = {"notes": to_json([note.given for note in notes]), "owner": owner}
    try:
        with savepoint(connection):
            require(notes[0].perform(connection, given) == len(notes))
            if any(note.has_lines for note in notes):
                connection.execute(_ADD_LINES, given)
                connection.execute(_CUT_LOGS, given)
    except RefusedError:
        return False
    return True


_END = f"""
    UPDATE runs SET
        status = iif({field(2)} = 'interrupted' AND cancel_by IS NOT NULL, 'cancelled', {field(2)}),
        finished_at = {field(3)}, result = {field(4)}, error = {field(5)}
    FROM json_each(:notes) AS given WHERE {_IS_RUNNING}
"""

_KEEP_ATTEMPT = f"""
    INSERT OR IGNORE INTO attempts (run, {ATTEMPT_COLUMNS})
    SELECT runs.id, runs.attempt, {field(2)}, runs.started_at, {field(3)}, {field(5)}
    FROM json_each(:notes) AS given JOIN runs ON {_IS_RUNNING}
"""

_END_AGAIN = f"""
    UPDATE runs SET status = 'queued', failures = failures + 1
    FROM json_each(:notes) AS given WHERE {_IS_RUNNING}
"""

_REPORT = f"""
    UPDATE runs SET done = coalesce({field(2)}, done), total = coalesce({field(3)}, total)
    FROM json_each(:notes) AS given WHERE {_IS_RUNNING}
"""


def _end(connection: sqlite3.Connection, given: dict[str, object]) -> int:
    return connection.execute(_END, given).rowcount


def _end_again(connection: sqlite3.Connection, given: dict[str, object]) -> int:
    connection.execute(_KEEP_ATTEMPT, given)
    return connection.execute(_END_AGAIN, given).rowcount


def _report(connection: sqlite3.Connection, given: dict[str, object]) -> int:
    return connection.execute(_REPORT, given).rowcount


_ADD_LINES = f"""
    INSERT INTO log_lines (run, number, at, attempt, level, text)
    SELECT
        runs.id,
        coalesce((SELECT max(number) FROM log_lines WHERE run = runs.id), 0) + 1 + line.key,
        {", ".join(f"json_extract(line.value, '$[{position}]')" for position in range(4))}
    FROM json_each(:notes) AS given JOIN runs ON runs.run_id = {field(0)}, json_each(given.value, '$[6]') AS line
"""

_CUT_LOGS = f"""
    DELETE FROM log_lines WHERE (run, number) IN (
        SELECT run, number FROM (
            SELECT run, number,
                row_number() OVER newest_first AS place,
                sum(length(CAST(text AS BLOB))) OVER newest_first AS size
            FROM log_lines
            WHERE run IN (SELECT runs.id FROM json_each(:notes) AS given JOIN runs ON runs.run_id = {field(0)})
            WINDOW newest_first AS (PARTITION BY run ORDER BY number DESC)
        )
        WHERE place > {MOST_LINES} OR size > {MOST_LOGGED}
    )
"""

# -- what is waited for


def begin(connection: sqlite3.Connection, owner: int, starts: Sequence[Start]) -> Sequence[bool]:
    """See `Store.begin`."""
    if _begin_all(connection, owner, starts):
        return [True] * len(starts)
    return [_begin_all(connection, owner, [start]) for start in starts]


_BEGIN = f"""
    UPDATE runs SET status = 'running', attempt = {field(1)}, started_at = {field(2)}, done = NULL, total = NULL
    FROM json_each(:starts) AS given
    WHERE runs.run_id = {field(0)} AND runs.status = 'queued' AND runs.owner = :owner AND runs.cancel_by IS NULL
"""


def _begin_all(connection: sqlite3.Connection, owner: int, starts: Sequence[Start]) -> bool:
    given = to_json([(start.run_id, start.attempt, to_micros(start.at)) for start in starts])
    try:
        with savepoint(connection):
            require(connection.execute(_BEGIN, {"starts": given, "owner": owner}).rowcount == len(starts))
    except RefusedError:
        return False
    return True


def drop(connection: sqlite3.Connection, run_id: str, outcome: Outcome) -> bool:
    """See `Store.drop`."""
    cursor = connection.execute(
        """
        UPDATE runs SET status = ?, finished_at = ?, result = ?, error = ? WHERE run_id = ? AND status = 'queued'
        """,
        (*outcome_fields(outcome), run_id),
    )
    return cursor.rowcount > 0


# The error stays NULL, which it is while a run goes on, if nobody wanted it cancelled.
_LOSE = """
    UPDATE runs SET finished_at = :at, losses = losses + 1,
        status = iif(cancel_by IS NULL, 'lost', 'cancelled'),
        error = 'cancelled by ' || cancel_by || '; its host died'
    WHERE id IN (SELECT value FROM json_each(:lost))
"""


def mark_lost(connection: sqlite3.Connection, at: datetime, is_alive: Callable[[int], bool]) -> Sequence[Run]:
    """See `Store.mark_lost`; also forgets the owners that are dead, but for the one that was host last.

    Args:
        connection: The writer's.
        at: When the runs are taken to have ended.
        is_alive: Tells whether the lock of an owner is held.
    """
    running = f"{UNFINISHED} AND status = 'running'"
    owners = connection.execute(f"SELECT id FROM owners UNION SELECT owner FROM runs WHERE {running}").fetchall()
    dead = to_json([owner for (owner,) in owners if not is_alive(owner)])
    theirs = f"{running} AND owner IN (SELECT value FROM json_each(?))"
    lost = to_json([row_id for (row_id,) in connection.execute(f"SELECT id FROM runs WHERE {theirs}", (dead,))])
    connection.execute(_LOSE, {"at": to_micros(at), "lost": lost})
    connection.execute(
        """
        DELETE FROM owners WHERE id IN (SELECT value FROM json_each(?))
            AND id IS NOT (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'host')
        """,
        (dead,),
    )
    ended = f"SELECT {RUN_COLUMNS} FROM runs WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    return [to_run(row) for row in connection.execute(ended, (lost,))]


def rerun(connection: sqlite3.Connection, owner: int, run_id: str) -> Run | None:
    """See `Store.rerun`."""
    row = connection.execute(f"SELECT id FROM runs WHERE run_id = ? AND {UNANSWERED}", (run_id,)).fetchone()
    return None if row is None else _queue_again(connection, owner, row[0])


def reopen(connection: sqlite3.Connection, owner: int, job_key: str, fire_key: str) -> Run | None:
    """See `Store.reopen`."""
    row = connection.execute(
        f"SELECT id FROM runs WHERE fire_key = ? AND job_key = ? AND {CONSUMING} AND NOT ({UNFINISHED})",
        (fire_key, job_key),
    ).fetchone()
    if row is None:
        return None
    connection.execute("UPDATE runs SET cancel_by = NULL WHERE id = ?", row)  # it was asked of what has ended
    return _queue_again(connection, owner, row[0])


def leave(connection: sqlite3.Connection, run_ids: Collection[str]) -> None:
    """See `Store.leave`."""
    connection.execute(
        f"UPDATE runs SET is_answered = 1 WHERE run_id IN (SELECT value FROM json_each(?)) AND {UNANSWERED}",
        (to_json(list(run_ids)),),
    )


def _queue_again(connection: sqlite3.Connection, owner: int, row_id: int) -> Run:
    # What was dropped before it began was no attempt; what was dropped after one has failed is there already.
    connection.execute(
        f"""
        INSERT OR IGNORE INTO attempts (run, {ATTEMPT_COLUMNS})
        SELECT id, {ATTEMPT_COLUMNS} FROM runs WHERE id = ? AND started_at IS NOT NULL
        """,
        (row_id,),
    )
    connection.execute(
        """
        UPDATE runs SET
            status = 'queued', owner = ?, trigger = iif(trigger = 'backfill', trigger, 'rerun'),
            finished_at = NULL, result = NULL, error = NULL, is_answered = 0
        WHERE id = ?
        """,
        (owner, row_id),
    )
    return to_run(connection.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE id = ?", (row_id,)).fetchone())
