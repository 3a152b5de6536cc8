"""The store in one SQLite file, for hosts."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

from attrs import frozen

from rapua_scheduler.clock import Clock, SystemClock
from rapua_scheduler.errors import AnotherHostError, StoreError
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, Outcome, Run
from rapua_scheduler.store import writes
from rapua_scheduler.store.commits import check_complete
from rapua_scheduler.store.connections import open_for_reading, open_for_writing, open_second, resolve
from rapua_scheduler.store.locks import HOST, LockFile, noted_beside
from rapua_scheduler.store.port import StoredJob
from rapua_scheduler.store.problems import store_error
from rapua_scheduler.store.reads import SqliteReader
from rapua_scheduler.store.rows import finish_fields, from_micros, to_json
from rapua_scheduler.store.rules import check_decisions, check_manual, check_outcome
from rapua_scheduler.store.transactions import transaction
from rapua_scheduler.store.writer import Writer


@frozen(eq=False)
class _Opening:
    """What makes an opening of the store one that writes."""

    writer: Writer[str]
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
        self._letting_go = threading.Lock()

    @classmethod
    def open(cls, path: Path | str, *, create: bool, clock: Clock | None = None) -> Self:
        """Open the store at *path* for reading and writing; the opening is an owner of runs.

        Args:
            path: The file.
            create: Whether to create it if it is missing, and never was there.
            clock: Tells when it was opened; by default the machine's.

        Raises:
            StoreError: It cannot be used: missing, damaged, not writable, of another program, of a newer
                version. It was left as it is; says what to do.
        """
        path = resolve(path)
        with ExitStack() as undo:
            connection, store_id = open_for_writing(path, create=create)
            undo.callback(connection.close)
            locks = LockFile.share(path, store_id)
            undo.callback(locks.leave)
            noted = locks.noted()
            locks.note(check_complete(path, connection, noted))
            owner = _become_owner(path, connection, locks, (clock or SystemClock()).now())
            undo.callback(locks.unlock, owner)
            reading = open_second(path)
            undo.callback(reading.close)
            writer = Writer(path, connection, writes.finish, note_commits=locks.note)
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
        noted = noted_beside(path)
        with ExitStack() as undo:
            connection = open_for_reading(path)
            undo.callback(connection.close)
            check_complete(path, connection, noted)
            undo.pop_all()
        return cls(path, connection, None)

    def become_host(self) -> None:
        """See `Store.become_host`."""
        opening = self._for_writing()
        if self._is_host:
            return
        if not opening.locks.lock(HOST):
            raise AnotherHostError(self._path, self._describe_host())
        self._is_host = True
        opening.writer.call(partial(writes.set_host, owner=opening.owner))

    def declare(self, jobs: Sequence[RegisteredJob], at: datetime) -> Mapping[str, StoredJob]:
        """See `Store.declare`."""
        return self._for_writing().writer.call(partial(writes.declare, jobs=jobs, at=at))

    def set_next(self, next_fire_times: Mapping[str, datetime | None]) -> None:
        """See `Store.set_next`."""
        self._for_writing().writer.call(partial(writes.set_next, next_fire_times=next_fire_times))

    def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
        """See `Store.decide`."""
        opening = self._for_writing()
        check_decisions(decisions)
        return opening.writer.call(partial(writes.decide, owner=opening.owner, decisions=decisions))

    def claim(self, run: Run) -> None:
        """See `Store.claim`."""
        opening = self._for_writing()
        check_manual(run)
        opening.writer.call(partial(writes.claim, owner=opening.owner, run=run))

    def finish(
        self, run_id: str, attempt: int, outcome: Outcome, then: Callable[[Exception | None, bool], None]
    ) -> None:
        """See `Store.finish`."""
        opening = self._for_writing()
        check_outcome(run_id, outcome)
        opening.writer.note(to_json(finish_fields(run_id, attempt, outcome)), then)

    def mark_lost(self, at: datetime) -> Sequence[Run]:
        """See `Store.mark_lost`."""
        opening = self._for_writing()
        return opening.writer.call(partial(writes.mark_lost, at=at, is_alive=opening.locks.is_locked))

    def close(self) -> None:
        """See `Store.close`."""
        super().close()  # first, so that the writer's is the last connection, and folds in the log
        opening = self._opening
        if opening is not None:
            opening.writer.close()
            if self._letting_go.acquire(blocking=False):
                if self._is_host:
                    opening.locks.unlock(HOST)
                opening.locks.unlock(opening.owner)
                opening.locks.leave()

    def _for_writing(self) -> _Opening:
        if self._opening is None:
            raise StoreError(self._path, "was opened for reading only")
        return self._opening

    def _describe_host(self) -> str:
        rows = self._rows(
            "SELECT pid, host_name, started_at FROM owners WHERE id = (SELECT value FROM meta WHERE name = 'host')"
        )
        if not rows:
            return "a process that has just started"
        pid, host_name, started_at = rows[0]
        return f"process {pid} on {host_name}, since {from_micros(started_at).isoformat(timespec='seconds')}"


def _become_owner(path: Path, connection: sqlite3.Connection, locks: LockFile, started_at: datetime) -> int:
    """Take the next owner's lock and record who has it; others see either both or nothing."""
    locked = None
    try:
        with transaction(connection):
            owner = writes.next_owner(connection)
            while not locks.lock(owner):  # held by who has the file open as it was before a backup was restored
                owner += 1
            locked = owner
            writes.add_owner(connection, owner, os.getpid(), socket.gethostname(), started_at)
    except BaseException as error:
        if locked is not None:
            locks.unlock(locked)
        if isinstance(error, sqlite3.Error):
            raise store_error(path, error) from error
        raise
    return owner
