"""Look whether the file of a store is whole, and whether what is in it agrees with itself."""

# ruff: noqa: S608  statements are put together from constants

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from attrs import frozen

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import GapReason, RunStatus, Trigger
from rapua_scheduler.store.commits import check_complete
from rapua_scheduler.store.connections import open_for_reading, resolve
from rapua_scheduler.store.locks import noted_beside, store_id_beside
from rapua_scheduler.store.problems import store_error
from rapua_scheduler.store.schema import VERSION, read_version
from rapua_scheduler.store.statements import CONSUMING

_MOST_OF_A_KIND = 5

_RUN_WITHOUT_JOB = "SELECT run_id, job_key FROM runs WHERE job_key NOT IN (SELECT key FROM jobs)"
_NEWEST_GONE = """
    SELECT key FROM jobs LEFT JOIN runs ON runs.id = jobs.last_run AND runs.job_key = jobs.key
    WHERE jobs.last_run IS NOT NULL AND runs.id IS NULL
"""
_NEWEST_UNKNOWN = """
    SELECT key, run_id FROM jobs
    JOIN (SELECT job_key AS of_job, max(id) AS newest FROM runs GROUP BY job_key) ON of_job = key
    JOIN runs ON runs.id = newest WHERE jobs.last_run IS NOT newest
"""
_CHAIN_BROKEN = """
    SELECT run_id, job_key FROM (
        SELECT run_id, job_key, previous, lag(id) OVER (PARTITION BY job_key ORDER BY id) AS before FROM runs
    ) WHERE before IS NOT NULL AND previous IS NOT before
"""
_MISCOUNTED = """
    SELECT key, run_count, coalesce(runs, 0) FROM jobs
    LEFT JOIN (SELECT job_key, count(*) AS runs FROM runs GROUP BY job_key) ON job_key = key
    WHERE run_count <> coalesce(runs, 0)
"""
_CLAIMED_TWICE = f"""
    SELECT job_key, fire_key FROM runs NOT INDEXED WHERE {CONSUMING} GROUP BY job_key, fire_key HAVING count(*) > 1
"""
_UNKNOWN_WORD = f"""
    SELECT run_id, status, trigger FROM runs
    WHERE status NOT IN {tuple(map(str, RunStatus))} OR trigger NOT IN {tuple(map(str, Trigger))}
"""
_ODD_GAP = f"""
    SELECT id, job_key FROM gaps WHERE first > last OR count < 1 OR reason NOT IN {tuple(map(str, GapReason))}
"""

_FLAWS = (
    (_RUN_WITHOUT_JOB, "run {} is of job {}, which is not there"),
    (_NEWEST_GONE, "the newest run of job {} is not there"),
    (_NEWEST_UNKNOWN, "job {} does not know run {} for its newest"),
    (_CHAIN_BROKEN, "run {} of job {} does not lead to the run before it"),
    (_MISCOUNTED, "job {} counts {} runs, and has {}"),
    (_CLAIMED_TWICE, "job {} was claimed twice for {}"),
    (_UNKNOWN_WORD, "run {} has status {} and trigger {}, of which one is unknown"),
    (_ODD_GAP, "gap {} of job {} contradicts itself"),
    (
        "SELECT id, job_key FROM gaps WHERE job_key NOT IN (SELECT key FROM jobs)",
        "gap {} is of job {}, which is not there",
    ),
    ("SELECT DISTINCT run FROM attempts WHERE run NOT IN (SELECT id FROM runs)", "attempts are left of run {}"),
    ("SELECT DISTINCT run FROM log_lines WHERE run NOT IN (SELECT id FROM runs)", "log lines are left of run {}"),
)

_MARK_BEHIND = f"""
    SELECT key, count(*) FROM jobs JOIN runs ON job_key = key WHERE {CONSUMING} AND fire_time > mark GROUP BY key
"""

_REMARKS = ((_MARK_BEHIND, "job {}: its mark is behind {} of its claims, as after `release`; each still holds"),)


@frozen
class Condition:
    """What was found of a store.

    Attributes:
        path: Absolute path of its file.
        schema: The version of its schema.
        size: Bytes of its file, and of its latest changes beside it.
        jobs: How many jobs it knows.
        runs: How many runs.
        gaps: How many gaps.
        damages: What contradicts itself in it; none if it is sound.
        misplacement: Why it is not what its lock file says it should be; empty if it is.
        remarks: What an operator may wonder about, and is as it should be.
    """

    path: Path
    schema: int
    size: int
    jobs: int
    runs: int
    gaps: int
    damages: Sequence[str]
    misplacement: str
    remarks: Sequence[str]

    @property
    def is_sound(self) -> bool:
        """Whether a host may go on with it."""
        return not self.damages and not self.misplacement


def inspect_store(path: Path | str) -> Condition:
    """Look at every page of the store at *path*, and at what its rows say of each other.

    Takes some seconds a gigabyte, and keeps nobody from writing.

    Raises:
        StoreError: It is missing, or no store that this program can read; says what to do.
    """
    path = resolve(path)
    noted = noted_beside(path)
    with closing(open_for_reading(path, is_inspected=True)) as connection:
        try:
            connection.execute("BEGIN")  # so that all is of one moment
            return _condition(path, connection, noted)
        except sqlite3.Error as error:
            raise store_error(path, error) from error


def _condition(path: Path, connection: sqlite3.Connection, noted: int) -> Condition:
    schema = read_version(connection)
    damages = tuple(_damages(connection))
    if damages:  # then nothing else that it says can be relied on
        return Condition(path, schema, _size(path), 0, 0, 0, damages, "", ())
    jobs, runs, gaps = (_count(connection, table) for table in ("jobs", "runs", "gaps"))
    misplacement = _misplacement(path, connection, noted)
    if schema < VERSION:
        older = f"has schema {schema}, and this program writes {VERSION}; `rapua-scheduler run` brings it up to date"
        return Condition(path, schema, _size(path), jobs, runs, gaps, (), misplacement, (older,))
    damages, remarks = tuple(_told(connection, _FLAWS)), tuple(_told(connection, _REMARKS))
    return Condition(path, schema, _size(path), jobs, runs, gaps, damages, misplacement, remarks)


def _damages(connection: sqlite3.Connection) -> Iterator[str]:
    try:
        for (text,) in connection.execute("PRAGMA integrity_check(10)"):
            if text != "ok":
                yield from text.splitlines()
    except sqlite3.DatabaseError as error:  # it gives up on some damages
        yield str(error)


def _told(connection: sqlite3.Connection, questions: Sequence[tuple[str, str]]) -> Iterator[str]:
    for statement, text in questions:
        found = connection.execute(f"SELECT * FROM ({statement}) LIMIT {_MOST_OF_A_KIND + 1}").fetchall()
        for row in found[:_MOST_OF_A_KIND]:
            yield text.format(*row)
        if len(found) > _MOST_OF_A_KIND:
            yield "… and more of this kind"


def _misplacement(path: Path, connection: sqlite3.Connection, noted: int) -> str:
    (store_id,) = connection.execute("SELECT value FROM meta WHERE name = 'store_id'").fetchone() or ("",)
    beside = store_id_beside(path)
    if beside not in {"", store_id}:
        return "is not the store that its lock file belongs to"
    try:
        check_complete(path, connection, noted)
    except StoreError as error:
        return error.problem
    return ""


def _count(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def _size(path: Path) -> int:
    beside = (path, path.with_name(f"{path.name}-wal"))
    return sum(each.stat().st_size for each in beside if each.exists())
