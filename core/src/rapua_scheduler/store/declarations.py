"""What is recorded of the jobs themselves, each function within a transaction that its caller holds."""

# ruff: noqa: S608  statements are put together from constants; what comes from elsewhere is bound

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime

from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.store.port import StoredJob
from rapua_scheduler.store.rows import JOB_COLUMNS, job_fields, to_job, to_json, to_micros, to_optional_micros
from rapua_scheduler.store.statements import field, refuse_undeclared

_KEEP_FORMER = f"""
    INSERT INTO schedules (job_key, fingerprint, until)
    SELECT jobs.key, jobs.fingerprint, :at FROM json_each(:jobs) AS given JOIN jobs ON jobs.key = {field(0)}
    WHERE jobs.fingerprint NOT IN ('', {field(6)}) ORDER BY given.key
"""

# The clock that told was ahead.
_END_FORMERS = """
    UPDATE schedules SET until = max(:at, mark) FROM jobs
    WHERE jobs.key = job_key AND until > max(:at, mark) AND job_key IN (SELECT value FROM json_each(:keys))
"""

_DECLARE = f"""
    INSERT INTO jobs
        (key, name, plugin, distribution, version, schedule, fingerprint, mark, first_seen_at, last_seen_at)
    SELECT {", ".join(field(position) for position in range(7))}, :mark, :at, :at
    FROM json_each(:jobs) AS given WHERE true
    ON CONFLICT (key) DO UPDATE SET
        name = excluded.name, plugin = excluded.plugin, distribution = excluded.distribution,
        version = excluded.version, schedule = excluded.schedule, fingerprint = excluded.fingerprint,
        mark = coalesce(mark, excluded.mark), first_seen_at = coalesce(first_seen_at, excluded.first_seen_at),
        last_seen_at = excluded.last_seen_at
"""


# The clock was ahead when the host opened the store: it has these jobs all the same.
_HOST_BEGAN = """
    UPDATE owners SET started_at = :at
    WHERE started_at > :at AND id = (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'host')
"""


def declare(
    connection: sqlite3.Connection, jobs: Sequence[RegisteredJob], at: datetime, adopt_from: datetime | None
) -> Mapping[str, StoredJob]:
    """See `Store.declare`."""
    if any(registered.job.formerly for registered in jobs):
        _rename(connection, jobs)
    given = {
        "jobs": to_json([job_fields(job) for job in jobs]),
        "keys": to_json([registered.job.key for registered in jobs]),
        "at": to_micros(at),
        "mark": to_micros(at if adopt_from is None else adopt_from),
    }
    for statement in (_KEEP_FORMER, _DECLARE, _END_FORMERS, _HOST_BEGAN):
        connection.execute(statement, given)
    connection.execute(
        """
        UPDATE windows SET since = min(since, :at), until = :at
        WHERE until IS NULL AND kind IN ('absent', 'failed') AND job_key IN (SELECT value FROM json_each(:keys))
        """,
        given,
    )
    rows = connection.execute(
        f"SELECT {JOB_COLUMNS} FROM jobs WHERE key IN (SELECT value FROM json_each(:keys))", given
    ).fetchall()
    return {row[0]: to_job(row) for row in rows}


def set_next(connection: sqlite3.Connection, next_fire_times: Mapping[str, datetime | None]) -> None:
    """See `Store.set_next`."""
    given = [(key, to_optional_micros(instant)) for key, instant in next_fire_times.items()]
    cursor = connection.execute(
        f"""
        UPDATE jobs SET next_fire_time = {field(1)} FROM json_each(?) AS given
        WHERE jobs.key = {field(0)} AND jobs.mark IS NOT NULL
        """,
        (to_json(given),),
    )
    if cursor.rowcount < len(given):
        refuse_undeclared(connection, next_fire_times)


def _rename(connection: sqlite3.Connection, jobs: Sequence[RegisteredJob]) -> None:
    known = {key for (key,) in connection.execute("SELECT key FROM jobs WHERE mark IS NOT NULL")}
    free = known - {registered.job.key for registered in jobs}
    for registered in jobs:
        former = next((key for key in registered.job.formerly if key in free), None)
        if former is not None and registered.job.key not in known:
            free.remove(former)
            for statement in _MOVE:
                connection.execute(statement, {"former": former, "key": registered.job.key})


# The job may have been run by hand under its new key before it was declared: then two chains become one.
_MOVE = (
    """
    WITH linked AS (
        SELECT id, lag(id) OVER (ORDER BY id) AS previous FROM runs WHERE job_key IN (:former, :key)
    )
    UPDATE runs SET job_key = :key, previous = linked.previous FROM linked WHERE runs.id = linked.id
    """,
    "UPDATE gaps SET job_key = :key WHERE job_key = :former",
    "UPDATE schedules SET job_key = :key WHERE job_key = :former",
    "UPDATE windows SET job_key = :key WHERE job_key = :former",
    "DELETE FROM jobs WHERE key = :key",
    """
    UPDATE jobs SET key = :key,
        last_run = (SELECT max(id) FROM runs WHERE job_key = :key),
        run_count = (SELECT count(*) FROM runs WHERE job_key = :key)
    WHERE key = :former
    """,
)
