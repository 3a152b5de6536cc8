"""What is read from the database."""

# ruff: noqa: S608  statements are put together from constants; what comes from elsewhere is bound

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import Gap, LogLine, PastAttempt, Run, RunStatus, Window
from rapua_scheduler.store.locks import HOST, is_held
from rapua_scheduler.store.port import HostRecord, StoredJob
from rapua_scheduler.store.problems import store_error
from rapua_scheduler.store.rows import (
    ATTEMPT_COLUMNS,
    GAP_COLUMNS,
    JOB_COLUMNS,
    LINE_COLUMNS,
    RUN_COLUMNS,
    WINDOW_COLUMNS,
    from_micros,
    from_optional_micros,
    to_attempt,
    to_gap,
    to_job,
    to_line,
    to_micros,
    to_run,
    to_window,
)
from rapua_scheduler.store.rules import left_out
from rapua_scheduler.store.schema import read_version
from rapua_scheduler.store.statements import CONSUMING, UNANSWERED, UNFINISHED

_UNFINISHED = {RunStatus.QUEUED, RunStatus.RUNNING}

# A job's runs are a chain from its newest claim to its oldest. The conditions beyond the id keep a link
# whose end was deleted from leading to a run that has come to have the same id.
_CHAIN = """
    WITH RECURSIVE chain AS (
        SELECT runs.* FROM jobs JOIN runs ON runs.id = jobs.last_run AND runs.job_key = jobs.key WHERE jobs.key = ?
        UNION ALL
        SELECT runs.* FROM chain JOIN runs
            ON runs.id = chain.previous AND runs.job_key = chain.job_key AND runs.id < chain.id
    )
"""

_ID = "(SELECT id FROM runs WHERE run_id = ?)"

_HOST = """
    SELECT owners.id, pid, host_name, started_at, (
        SELECT CAST(told.value AS INTEGER) FROM meta AS told JOIN meta AS teller ON teller.name = 'alive_owner'
        WHERE told.name = 'alive_at' AND teller.value = host.value
    )
    FROM meta AS host JOIN owners ON owners.id = CAST(host.value AS INTEGER) WHERE host.name = 'host'
"""


class SqliteReader:
    """The half of the store that only reads; it never waits for a commit."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Read through *connection*, which is closed with this.

        Args:
            path: Absolute path of the store's file.
            connection: In autocommit mode, and of no other use.
        """
        self._path = path
        self._reading = connection
        self._one_at_a_time = threading.Lock()
        self._is_reader_closed = False
        self._home = os.getpid()

    @property
    def path(self) -> Path:
        """Absolute path of the store's file."""
        return self._path

    @property
    def store_id(self) -> str:
        """What tells this store from any other; copies of it have the same."""
        ((store_id,),) = self._rows("SELECT value FROM meta WHERE name = 'store_id'")
        return str(store_id)

    @property
    def schema(self) -> int:
        """The version of its schema."""
        with self._exclusively() as connection:
            return read_version(connection)

    def host(self) -> HostRecord | None:
        """See `Store.host`."""
        rows = self._rows(_HOST)
        if not rows:
            return None
        owner, pid, host_name, started_at, alive_at = rows[0]
        is_active = is_held(self._path, HOST) and is_held(self._path, owner)
        return HostRecord(pid, host_name, from_micros(started_at), from_optional_micros(alive_at), is_active)

    def alive(self) -> datetime | None:
        """See `Store.alive`."""
        rows = self._rows("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'alive_at'")
        return from_micros(rows[0][0]) if rows else None

    def word(self) -> int:
        """See `Store.word`."""
        ((number,),) = self._rows("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'word'")
        return int(number)

    def releases(self) -> int:
        """See `Store.releases`."""
        ((number,),) = self._rows("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'releases'")
        return int(number)

    def unanswered(self) -> Sequence[Run]:
        """See `Store.unanswered`."""
        return [to_run(row) for row in self._rows(f"SELECT {RUN_COLUMNS} FROM runs WHERE {UNANSWERED} ORDER BY id")]

    def cancel_requests(self) -> Mapping[str, str]:
        """See `Store.cancel_requests`; an opening for reading only has no runs."""
        return {}

    def windows(self, *, job_key: str | None = None, since: datetime | None = None) -> Sequence[Window]:
        """See `Store.windows`."""
        terms: list[str] = []
        arguments: list[object] = []
        if job_key is not None:
            terms.append("job_key IN ('', ?)")
            arguments.append(job_key)
        if since is not None:
            terms.append("(until IS NULL OR until > ?)")
            arguments.append(to_micros(since))
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        rows = self._rows(f"SELECT {WINDOW_COLUMNS} FROM windows {where} ORDER BY since, job_key, kind, id", *arguments)
        return [to_window(row) for row in rows]

    def jobs(self) -> Sequence[StoredJob]:
        """See `Store.jobs`."""
        rows = self._rows(f"SELECT {JOB_COLUMNS} FROM jobs WHERE mark IS NOT NULL ORDER BY key")
        return [to_job(row) for row in rows]

    def claims_ahead(self) -> Mapping[str, Sequence[datetime]]:
        """See `Store.claims_ahead`."""
        found: dict[str, Sequence[datetime]] = {}
        for key, mark in self._rows("SELECT key, mark FROM jobs WHERE lowered_from > mark ORDER BY key"):
            later = f"{_CHAIN} SELECT fire_time FROM chain WHERE fire_time > ? AND {CONSUMING} ORDER BY fire_time"
            if rows := self._rows(later, key, mark):
                found[key] = [from_micros(fire_time) for (fire_time,) in rows]
        return found

    def run(self, run_id: str) -> Run | None:
        """See `Store.run`."""
        rows = self._rows(f"SELECT {RUN_COLUMNS} FROM runs WHERE run_id = ?", run_id)
        return to_run(rows[0]) if rows else None

    def runs(
        self,
        *,
        job_key: str | None = None,
        since: datetime | None = None,
        statuses: Collection[RunStatus] | None = None,
        id_part: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Run]:
        """See `Store.runs`."""
        terms: list[str] = []
        arguments: list[object] = []
        order = "id DESC"
        if since is not None:
            terms.append("started_at >= ?")
            arguments.append(to_micros(since))
            order = "+id DESC"  # the sign keeps SQLite from walking all runs rather than sorting the few it finds
        if statuses is not None:
            terms.append(f"status IN ({', '.join(repr(RunStatus(status).value) for status in statuses)})")
            if _UNFINISHED.issuperset(statuses):
                terms.append(UNFINISHED)
                order = "+id DESC"
        if id_part is not None:
            terms.append("(substr(run_id, 1, length(?)) = ? OR substr(run_id, -length(?)) = ?)")
            arguments += [id_part] * 4
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        if job_key is not None:
            statement = f"{_CHAIN} SELECT {RUN_COLUMNS} FROM chain {where}"
            arguments.insert(0, job_key)
        else:
            statement = f"SELECT {RUN_COLUMNS} FROM runs {where} ORDER BY {order}"
        return [to_run(row) for row in self._rows(f"{statement} LIMIT ?", *arguments, _or_all(limit))]

    def forgotten_until(self, job_key: str) -> datetime | None:
        """See `Store.forgotten_until`."""
        rows = self._rows("SELECT forgotten_until FROM jobs WHERE key = ?", job_key)
        return from_optional_micros(rows[0][0]) if rows else None

    def run_at(self, job_key: str, fire_time: datetime) -> Run | None:
        """See `Store.run_at`."""
        statement = f"{_CHAIN} SELECT {RUN_COLUMNS} FROM chain WHERE fire_time = ? AND {CONSUMING} LIMIT 1"
        rows = self._rows(statement, job_key, to_micros(fire_time))
        return to_run(rows[0]) if rows else None

    def attempts(self, run_id: str) -> Sequence[PastAttempt]:
        """See `Store.attempts`."""
        rows = self._rows(f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE run = {_ID} ORDER BY attempt", run_id)
        return [to_attempt(row) for row in rows]

    def log_lines(self, run_id: str) -> Sequence[LogLine]:
        """See `Store.log_lines`."""
        rows = self._rows(f"SELECT {LINE_COLUMNS} FROM log_lines WHERE run = {_ID} ORDER BY number", run_id)
        lines = [to_line(row) for row in rows]
        missing = rows[0][0] - 1 if rows else 0
        return [left_out(missing, lines[0]), *lines] if missing else lines

    def last_runs(self) -> Mapping[str, Run]:
        """See `Store.last_runs`."""
        newest = "jobs JOIN runs ON runs.id = jobs.last_run AND runs.job_key = jobs.key"
        rows = self._rows(f"SELECT {RUN_COLUMNS} FROM {newest} ORDER BY key")
        return {run.job_key: run for run in map(to_run, rows)}

    def last_success(self, job_key: str) -> datetime | None:
        """See `Store.last_success`."""
        rows = self._rows(f"{_CHAIN} SELECT fire_time FROM chain WHERE status = 'succeeded' LIMIT 1", job_key)
        return from_micros(rows[0][0]) if rows else None

    def gaps(
        self, *, job_key: str | None = None, since: datetime | None = None, limit: int | None = None
    ) -> Sequence[Gap]:
        """See `Store.gaps`."""
        terms = ["last >= ?"]
        arguments: list[object] = [_EARLIEST if since is None else to_micros(since)]
        if job_key is not None:
            terms.append("job_key = ?")
            arguments.append(job_key)
        statement = f"SELECT {GAP_COLUMNS} FROM gaps WHERE {' AND '.join(terms)} ORDER BY last DESC, id DESC LIMIT ?"
        return [to_gap(row) for row in self._rows(statement, *arguments, _or_all(limit))]

    def close(self) -> None:
        """Let go of the file; calling it again does nothing."""
        with self._one_at_a_time:
            self._is_reader_closed = True
            self._reading.close()

    def _refuse_if_closed(self) -> None:
        if self._is_reader_closed:
            raise StoreError(self._path, "is closed; open it again")

    def _rows(self, statement: str, *arguments: object) -> list[Any]:
        with self._exclusively() as connection:
            return connection.execute(statement, arguments).fetchall()

    @contextmanager
    def _exclusively(self) -> Iterator[sqlite3.Connection]:
        if os.getpid() != self._home:  # SQLite's connections do not survive a fork, nor may its locks be waited for
            raise StoreError(self._path, "was opened by the process that this one is a fork of; open it again")
        with self._one_at_a_time:
            self._refuse_if_closed()
            try:
                yield self._reading
            except sqlite3.Error as error:
                raise store_error(self._path, error) from error


_EARLIEST = -(2**63)
_ALL = -1


def _or_all(limit: int | None) -> int:
    return _ALL if limit is None else limit
