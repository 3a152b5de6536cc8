"""The store in one SQLite file, for hosts."""

# ruff: noqa: S608  statements are put together from constants; what comes from elsewhere is bound

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from attrs import frozen

from rapua_scheduler.clock import Clock, SystemClock
from rapua_scheduler.errors import AnotherHostError, StoreError
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, LogLine, Outcome, Run, Start, WindowKind
from rapua_scheduler.store import attempts, claims, declarations, owners, pruning, words
from rapua_scheduler.store.attempts import Note
from rapua_scheduler.store.commits import check_complete
from rapua_scheduler.store.connections import (
    BUSY_SECONDS,
    open_complete,
    open_for_writing,
    open_second,
    resolve,
)
from rapua_scheduler.store.guard import Guard
from rapua_scheduler.store.locks import HOST, LockFile
from rapua_scheduler.store.port import PartUntil, StoredJob, unknown_part
from rapua_scheduler.store.problems import store_error
from rapua_scheduler.store.reads import SqliteReader
from rapua_scheduler.store.rules import check_decisions, check_manual, check_outcome, check_queued
from rapua_scheduler.store.statements import UNFINISHED
from rapua_scheduler.store.transactions import transaction
from rapua_scheduler.store.writer import Writer

T = TypeVar("T")


@frozen(eq=False)
class _Opening:
    """What makes an opening of the store one that writes."""

    writer: Writer[Note]
    locks: LockFile
    owner: int


class SqliteStore(SqliteReader):
    """A store in one SQLite file; see `Store` for what it promises.

    Several processes may have it open at once, and one process several times. Beside the file lies
    its lock file, which must never be deleted while anything has the store open.
    """

    def __init__(self, path: Path, reading: sqlite3.Connection, opening: _Opening | None) -> None:
        """Use `open` or `open_read_only`."""
        super().__init__(path, reading)
        self._opening = opening
        self._is_host = False
        self._guard: Guard | None = None
        self._letting_go = threading.Lock()

    @classmethod
    def open(
        cls, path: Path | str, *, create: bool, clock: Clock | None = None, busy_seconds: float = BUSY_SECONDS
    ) -> Self:
        """Open the store at *path* for reading and writing; the opening is an owner of runs.

        Args:
            path: The file.
            create: Whether to create it if it is missing, and never was there.
            clock: Tells when it was opened; by default the machine's.
            busy_seconds: How long a write waits for another process that has the store locked.

        Raises:
            StoreError: It cannot be used: missing, damaged, not writable, of another program, of a newer
                version. It was left as it is; says what to do.
        """
        path = resolve(path)
        with ExitStack() as undo:
            connection, store_id = open_for_writing(path, create=create)
            undo.callback(connection.close)
            connection.execute(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")
            locks = LockFile.share(path, store_id)
            undo.callback(locks.leave)
            noted = locks.noted()
            locks.note(check_complete(path, connection, noted))
            owner = _become_owner(path, connection, locks, (clock or SystemClock()).now())
            undo.callback(locks.unlock, owner)
            reading = open_second(path)
            undo.callback(reading.close)
            writer = Writer(path, connection, partial(attempts.record, owner=owner), note_commits=locks.note)
            undo.pop_all()
        return cls(path, reading, _Opening(writer, locks, owner))

    @classmethod
    def open_read_only(cls, path: Path | str) -> Self:
        """Open the store at *path* for listings: it is no owner, takes no lock, and creates no store.

        What is written by others meanwhile is seen. Every method that would change something raises
        `StoreError`.

        Raises:
            StoreError: It is missing or cannot be read; says what to do.
        """
        path = resolve(path)
        return cls(path, open_complete(path), None)

    def become_host(self) -> None:
        """See `Store.become_host`."""
        opening = self._for_writing()
        self._refuse_if_closed()  # its lock file is, too, and the descriptor may be that of another file by now
        if self._is_host:
            return
        if not opening.locks.lock(HOST):
            raise AnotherHostError(self._path, self._describe_host())
        self._is_host = True
        self._guard = Guard(self._path)
        opening.writer.call(partial(owners.set_host, owner=opening.owner))

    def declare(
        self, jobs: Sequence[RegisteredJob], at: datetime, *, adopt_from: datetime | None = None
    ) -> Mapping[str, StoredJob]:
        """See `Store.declare`."""
        return self._call(partial(declarations.declare, jobs=jobs, at=at, adopt_from=adopt_from))

    def set_next(self, next_fire_times: Mapping[str, datetime | None]) -> None:
        """See `Store.set_next`."""
        self._call(partial(declarations.set_next, next_fire_times=next_fire_times))

    # -- runs

    def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
        """See `Store.decide`."""
        opening = self._for_writing()
        check_decisions(decisions)
        return opening.writer.call(partial(claims.decide, owner=opening.owner, decisions=decisions))

    def claim(self, run: Run) -> None:
        """See `Store.claim`."""
        opening = self._for_writing()
        check_manual(run)
        opening.writer.call(partial(claims.claim, owner=opening.owner, run=run))

    def enqueue(self, runs: Sequence[Run]) -> None:
        """See `Store.enqueue`."""
        opening = self._for_writing()
        check_queued(runs)
        opening.writer.call(partial(claims.enqueue, runs=runs))

    def take_queued(self) -> Sequence[Run]:
        """See `Store.take_queued`."""
        opening = self._for_writing()
        return opening.writer.call(partial(claims.take_queued, owner=opening.owner, is_alive=opening.locks.is_locked))

    def begin(self, starts: Sequence[Start]) -> Sequence[bool]:
        """See `Store.begin`."""
        opening = self._for_writing()
        return opening.writer.call(partial(attempts.begin, owner=opening.owner, starts=starts))

    def drop(self, run_id: str, outcome: Outcome) -> bool:
        """See `Store.drop`."""
        opening = self._for_writing()
        check_outcome(run_id, outcome)
        return opening.writer.call(partial(attempts.drop, run_id=run_id, outcome=outcome))

    def finish(
        self,
        run_id: str,
        attempt: int,
        outcome: Outcome,
        then: Callable[[Exception | None, bool], None],
        *,
        again: bool = False,
        log: Sequence[LogLine] = (),
    ) -> None:
        """See `Store.finish`."""
        opening = self._for_writing()
        check_outcome(run_id, outcome)
        opening.writer.note(attempts.end(run_id, attempt, outcome, log, again=again), then)

    def report(self, run_id: str, attempt: int, *, done: int | None, total: int | None, log: Sequence[LogLine]) -> None:
        """See `Store.report`."""
        self._for_writing().writer.note(attempts.progress(run_id, attempt, done, total, log), _whether_or_not)

    def mark_lost(self, at: datetime) -> Sequence[Run]:
        """See `Store.mark_lost`."""
        opening = self._for_writing()
        return opening.writer.call(partial(attempts.mark_lost, at=at, is_alive=opening.locks.is_locked))

    def rerun(self, run_id: str) -> Run | None:
        """See `Store.rerun`."""
        opening = self._for_writing()
        return opening.writer.call(partial(attempts.rerun, owner=opening.owner, run_id=run_id))

    def reopen(self, job_key: str, fire_key: str) -> Run | None:
        """See `Store.reopen`."""
        opening = self._for_writing()
        return opening.writer.call(partial(attempts.reopen, owner=opening.owner, job_key=job_key, fire_key=fire_key))

    def leave(self, run_ids: Collection[str]) -> None:
        """See `Store.leave`."""
        self._call(partial(attempts.leave, run_ids=run_ids))

    # -- the operator's word

    def pause(self, job_key: str, at: datetime, reason: str, by: str) -> bool:
        """See `Store.pause`."""
        return self._call(partial(words.pause, job_key=job_key, at=at, reason=reason, by=by))

    def resume(self, job_key: str, at: datetime) -> bool:
        """See `Store.resume`."""
        return self._call(partial(words.resume, job_key=job_key, at=at))

    def hold(self, at: datetime, reason: str) -> None:
        """See `Store.hold`."""
        self._call(partial(words.hold, at=at, reason=reason))

    def release(
        self, at: datetime, job_key: str | None = None, *, part_until: PartUntil = unknown_part
    ) -> Sequence[str]:
        """See `Store.release`."""
        return self._call(partial(words.release, at=at, job_key=job_key, part_until=part_until))

    def set_absent(self, jobs: Mapping[str, tuple[WindowKind, str]], at: datetime) -> None:
        """See `Store.set_absent`."""
        self._call(partial(words.set_absent, jobs=jobs, at=at))

    def request_cancel(self, run_id: str, by: str) -> bool:
        """See `Store.request_cancel`."""
        return self._call(partial(words.request_cancel, run_id=run_id, by=by))

    def cancel_requests(self) -> Mapping[str, str]:
        """See `Store.cancel_requests`."""
        if self._opening is None:
            return super().cancel_requests()
        rows = self._rows(
            f"SELECT run_id, cancel_by FROM runs WHERE {UNFINISHED} AND owner = ? AND cancel_by IS NOT NULL",
            self._opening.owner,
        )
        return dict(rows)

    def note_alive(self, at: datetime) -> None:
        """See `Store.note_alive`."""
        opening = self._for_writing()
        opening.writer.call(partial(owners.note_alive, owner=opening.owner, at=at))

    # -- the end

    def prune(self, before: datetime, keep_runs: int, *, most: int = 1000) -> int:
        """See `Store.prune`."""
        return self._call(partial(pruning.prune, before=before, keep_runs=keep_runs, most=most))

    def close(self) -> None:
        """See `Store.close`."""
        if self._guard is not None:
            self._guard.release()
        super().close()  # first, so that the writer's is the last connection, and folds in the log
        opening = self._opening
        if opening is not None:
            opening.writer.close()
            if self._letting_go.acquire(blocking=False):
                if self._is_host:
                    opening.locks.unlock(HOST)
                opening.locks.unlock(opening.owner)
                opening.locks.leave()
                if self._guard is not None:
                    self._guard.close()

    def _call(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        return self._for_writing().writer.call(operation)

    def _for_writing(self) -> _Opening:
        if self._opening is None:
            raise StoreError(self._path, "was opened for reading only")
        return self._opening

    def _describe_host(self) -> str:
        host = self.host()
        if host is None or not host.is_active:
            return "a process that has just started"
        return f"process {host.pid} on {host.host_name}, since {host.started_at.isoformat(timespec='seconds')}"


def _whether_or_not(error: Exception | None, is_recorded: bool) -> None:
    """Do nothing, whatever became of it."""


def _become_owner(path: Path, connection: sqlite3.Connection, locks: LockFile, started_at: datetime) -> int:
    """Take the next owner's lock and record who has it; others see either both or nothing."""
    locked = None
    try:
        with transaction(connection):
            owner = owners.next_owner(connection)
            while not locks.lock(owner):  # held by who has the file open as it was before a backup was restored
                owner += 1
            locked = owner
            owners.add_owner(connection, owner, os.getpid(), socket.gethostname(), started_at)
    except BaseException as error:
        if locked is not None:
            locks.unlock(locked)
        if isinstance(error, sqlite3.Error):
            raise store_error(path, error) from error
        raise
    return owner
