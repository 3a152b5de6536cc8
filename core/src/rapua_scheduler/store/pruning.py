"""What a store forgets, one step at a time, within a transaction that its caller holds."""

# ruff: noqa: S608  statements are put together from constants; what comes from elsewhere is bound

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from rapua_scheduler.run import RunStatus
from rapua_scheduler.store.rows import to_json, to_micros
from rapua_scheduler.store.statements import CONSUMING, UNANSWERED, UNFINISHED

_NEWEST_SUCCESS = """
    WITH RECURSIVE newest(id, job_key, status, previous) AS (
        SELECT id, job_key, status, previous FROM runs WHERE id = (SELECT last_run FROM jobs WHERE key = ?)
        UNION ALL
        SELECT older.id, older.job_key, older.status, older.previous FROM newest JOIN runs AS older
            ON older.id = newest.previous AND older.job_key = newest.job_key AND older.id < newest.id
        WHERE newest.status <> 'succeeded'
    )
    SELECT id FROM newest WHERE status = 'succeeded'
"""

# A claim of a fire time later than the mark, which may have been lowered, is all that guards it.
_MAY_GO = f"""
    NOT ({UNFINISHED}) AND NOT ({UNANSWERED}) AND runs.id <> jobs.last_run
    AND NOT ({CONSUMING} AND fire_time > mark)
"""

# What is older by its end is so by its start, but where the clock was put back; that way there is an index.
_ENDED_BEFORE = f"""
    SELECT runs.id, job_key, status FROM runs CROSS JOIN jobs ON jobs.key = runs.job_key
    WHERE (started_at < :before OR started_at IS NULL) AND finished_at < :before AND {_MAY_GO}
"""

_BEYOND = f"""
    WITH RECURSIVE chain(id, job_key, previous, place) AS (
        SELECT id, job_key, previous, 1 FROM jobs JOIN runs ON id = last_run
        WHERE key IN (SELECT value FROM json_each(:job_keys))
        UNION ALL
        SELECT runs.id, runs.job_key, runs.previous, place + 1 FROM chain JOIN runs
            ON runs.id = chain.previous AND runs.job_key = chain.job_key AND runs.id < chain.id
    )
    SELECT runs.id, runs.job_key, status
    FROM chain CROSS JOIN runs ON runs.id = chain.id JOIN jobs ON jobs.key = runs.job_key
    WHERE place > :keep_runs AND {_MAY_GO} ORDER BY runs.id
"""

_GAPS_BEFORE = "SELECT id FROM gaps WHERE last < :before"

_GAPS_BEYOND = """
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY job_key ORDER BY last DESC, id DESC) AS place
        FROM gaps WHERE job_key IN (SELECT job_key FROM gaps GROUP BY job_key HAVING count(*) > :keep_runs)
    )
    WHERE place > :keep_runs
"""

# As long as a mark is not past a window, it still tells why fire times in it were not run.
_FORGET_WINDOWS = """
    DELETE FROM windows WHERE until < :before AND NOT until > coalesce(
        iif(job_key = '', (SELECT min(mark) FROM jobs), (SELECT mark FROM jobs WHERE key = job_key)), until
    )
"""

_FORGET_SCHEDULES = """
    DELETE FROM schedules WHERE until < :before AND until <= (SELECT mark FROM jobs WHERE key = job_key)
"""

_GONE = "(SELECT value FROM json_each(:gone))"

# Where something older than what goes stays, the links of the job's chain lead past what goes.
_LINK = f"""
    WITH RECURSIVE chain(id, job_key, previous) AS (
        SELECT id, job_key, previous FROM jobs JOIN runs ON id = last_run WHERE key IN (
            SELECT gone.job_key FROM runs AS gone JOIN runs AS older
                ON older.id = gone.previous AND older.job_key = gone.job_key AND older.id < gone.id
            WHERE gone.id IN {_GONE} AND older.id NOT IN {_GONE}
        )
        UNION ALL
        SELECT runs.id, runs.job_key, runs.previous FROM chain JOIN runs
            ON runs.id = chain.previous AND runs.job_key = chain.job_key AND runs.id < chain.id
    )
    UPDATE runs SET previous = staying.previous
    FROM (
        SELECT id, lead(id) OVER (PARTITION BY job_key ORDER BY id DESC) AS previous
        FROM chain WHERE id NOT IN {_GONE}
    ) AS staying
    WHERE runs.id = staying.id AND runs.previous IS NOT staying.previous
"""

_FORGET_RUNS = (
    _LINK,
    f"""
    UPDATE jobs SET
        run_count = run_count - gone.runs, pruned_until = coalesce(max(pruned_until, until), pruned_until, until),
        forgotten_until = coalesce(max(forgotten_until, until), forgotten_until, until)
    FROM (
        SELECT job_key, count(*) AS runs, max(iif({CONSUMING}, fire_time, NULL)) AS until
        FROM runs WHERE id IN {_GONE} GROUP BY job_key
    ) AS gone
    WHERE jobs.key = gone.job_key
    """,
    f"DELETE FROM attempts WHERE run IN {_GONE}",
    f"DELETE FROM log_lines WHERE run IN {_GONE}",
    f"DELETE FROM runs WHERE id IN {_GONE}",
)

_FORGET_GAPS = (
    f"""
    UPDATE jobs SET forgotten_until = max(coalesce(forgotten_until, until), until)
    FROM (SELECT job_key, max(last) AS until FROM gaps WHERE id IN {_GONE} GROUP BY job_key) AS gone
    WHERE jobs.key = gone.job_key
    """,
    f"DELETE FROM gaps WHERE id IN {_GONE}",
)

_MOST_WALKED = 50_000
"""Runs that are looked at together for those that are too many, some 0.1 s."""


def prune(connection: sqlite3.Connection, before: datetime, keep_runs: int, most: int) -> int:
    """See `Store.prune`."""
    given: dict[str, object] = {"before": to_micros(before), "keep_runs": keep_runs}
    gone = _forget(connection, _runs(connection, _ENDED_BEFORE, given, most), _FORGET_RUNS)
    too_many = "SELECT key FROM jobs WHERE run_count > :keep_runs ORDER BY run_count DESC"
    job_keys = [key for (key,) in connection.execute(too_many, given)]
    at_once = 1 + _MOST_WALKED // (1 + keep_runs)
    for start in range(0, len(job_keys), at_once):
        if gone < most:
            given["job_keys"] = to_json(job_keys[start : start + at_once])
            gone += _forget(connection, _runs(connection, _BEYOND, given, most - gone), _FORGET_RUNS)
    for found in (_GAPS_BEFORE, _GAPS_BEYOND):
        rows = connection.execute(f"{found} LIMIT :most", {**given, "most": most - gone}).fetchall()
        gone += _forget(connection, [gap_id for (gap_id,) in rows], _FORGET_GAPS)
    for statement in (_FORGET_WINDOWS, _FORGET_SCHEDULES):
        connection.execute(statement, given)
    return gone


def _runs(connection: sqlite3.Connection, found: str, given: Mapping[str, object], most: int) -> Sequence[int]:
    """Return the ids of at most so many of the runs that were found, but for each job's newest success.

    That is looked for once for a job: it may lie thousands of failures back.
    """
    newest: dict[str, int | None] = {}
    ids: list[int] = []
    for row_id, job_key, status in connection.execute(found, given):
        if len(ids) == most:
            break
        if status == RunStatus.SUCCEEDED:
            if job_key not in newest:
                (newest[job_key],) = connection.execute(_NEWEST_SUCCESS, (job_key,)).fetchone() or (None,)
            if row_id == newest[job_key]:
                continue
        ids.append(row_id)
    return ids


def _forget(connection: sqlite3.Connection, ids: Sequence[int], statements: Iterable[str]) -> int:
    if ids:
        for statement in statements:
            connection.execute(statement, {"gone": to_json(ids)})
    return len(ids)
