"""The one connection of an opening that writes, and the commits that many callers share."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

from rapua_scheduler.errors import StoreError
from rapua_scheduler.logs import get_logger
from rapua_scheduler.store.commits import count_commit
from rapua_scheduler.store.locks import lock_path
from rapua_scheduler.store.problems import store_error
from rapua_scheduler.store.transactions import savepoint, transaction

T = TypeVar("T")
P = TypeVar("P")

Then = Callable[[Exception | None, bool], None]
Record = Callable[[sqlite3.Connection, Sequence[P]], Sequence[bool]]

_log = get_logger("rapua_scheduler.store")


class _Call(Generic[T]):
    """An operation that its caller waits for."""

    __slots__ = ("_done", "_error", "_operation", "_value")

    def __init__(self, operation: Callable[[sqlite3.Connection], T]) -> None:
        self._operation = operation
        self._value: T | None = None
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def perform(self, connection: sqlite3.Connection) -> None:
        self._value = self._operation(connection)

    def fail(self, error: BaseException) -> None:
        self._error = self._error or error

    def tell(self) -> None:
        self._done.release()

    def wait(self) -> None:
        self._done.acquire()

    def answer(self) -> T:
        if self._error is not None:
            raise self._error
        return cast("T", self._value)


class _Note(Generic[P]):
    """Something to be recorded that nobody waits for."""

    __slots__ = ("accepted", "error", "then", "what")

    def __init__(self, what: P, then: Then) -> None:
        self.what = what
        self.then = then
        self.accepted = False
        self.error: Exception | None = None


class Writer(Generic[P]):
    """Commits what is asked of it in as few transactions as the disk's pace allows.

    Whatever has come in while one transaction was being committed is the next; nothing waits for
    more to come. A caller that finds the writer idle commits by itself, which spares two changes of
    threads. Operations that share a transaction fail each by itself; if the transaction as a whole
    fails, then so do all.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        record: Record[P],
        *,
        note_commits: Callable[[int], None] | None = None,
    ) -> None:
        """Start the writer's thread.

        Args:
            path: The store's file.
            connection: The writer's alone from now on, and closed with it.
            record: Records notes, and returns of each whether it was accepted.
            note_commits: Told after each commit how many the store has had; None if they are not counted.
        """
        self._path = path
        self._connection = connection
        self._record = record
        self._note_commits = note_commits
        self._file = _identity(path)
        self._lock_path = lock_path(path)
        self._lock_file = _identity(self._lock_path)
        self._writing = threading.Lock()
        self._gate = threading.Lock()
        self._is_closed = False
        self._is_waiting = False  # the thread has something to commit, and nobody should get in before it
        self._queue: SimpleQueue[_Call[Any] | _Note[P] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="rapua-scheduler-store", daemon=True)
        self._thread.start()

    def call(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Perform *operation* in a transaction, and return its value once that is durable.

        Raises:
            StoreError: It could not be recorded, or the store is closed.
        """
        call = _Call(operation)
        is_in_callback = threading.get_ident() == self._thread.ident  # then nobody else would take it from the queue
        if not self._is_waiting and self._writing.acquire(blocking=is_in_callback):
            try:
                if self._is_closed:
                    raise self._closed()
                self._commit([call], [])
            finally:
                self._writing.release()
            return call.answer()
        with self._gate:
            if self._is_closed:
                raise self._closed()
            self._queue.put(call)
        call.wait()
        return call.answer()

    def note(self, what: P, then: Then) -> None:
        """Have *what* recorded, without waiting; *then* is called from the writer's thread."""
        with self._gate:
            if not self._is_closed:
                self._queue.put(_Note(what, then))
                return
        then(self._closed(), False)

    def close(self) -> None:
        """Record what is queued, and close the connection; calling it again does nothing."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            self._is_waiting = True
            with self._writing:
                self._is_waiting = False
                try:
                    while True:
                        batch.append(self._queue.get_nowait())
                except Empty:
                    is_open = None not in batch
                calls = [one for one in batch if isinstance(one, _Call)]
                notes = [one for one in batch if isinstance(one, _Note)]
                self._commit(calls, notes)
            for call in calls:
                call.tell()
            for note in notes:
                self._tell(note)
        with self._writing:
            self._connection.close()

    def _commit(self, calls: Sequence[_Call[Any]], notes: Sequence[_Note[P]]) -> None:
        if not calls and not notes:
            return
        try:
            self._check_file()
            with transaction(self._connection):
                if calls and len(calls) + len(notes) == 1:
                    calls[0].perform(self._connection)  # what it did is undone with the transaction
                else:
                    for call in calls:
                        self._perform(call)
                    self._perform_notes(notes)
                commits = 0 if self._note_commits is None else count_commit(self._connection)
        except BaseException as error:
            for call in calls:
                call.fail(self._as_ours(error))
            for note in notes:
                note.accepted, note.error = False, self._as_ours(error)
            if not isinstance(error, Exception):
                raise
        else:
            if self._note_commits is not None:
                self._note_commits(commits)

    def _check_file(self) -> None:
        if _identity(self._path) != self._file:
            raise StoreError(self._path, _MOVED)
        if _identity(self._lock_path) != self._lock_file:
            raise StoreError(self._path, _LOCK_GONE)

    def _perform(self, call: _Call[Any]) -> None:
        try:
            with savepoint(self._connection):
                call.perform(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            call.fail(self._as_ours(error))

    def _perform_notes(self, notes: Sequence[_Note[P]]) -> None:
        if not notes:
            return
        try:
            with savepoint(self._connection):
                accepted = self._record(self._connection, [note.what for note in notes])
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            if len(notes) == 1:
                notes[0].error = self._as_ours(error)
                return
            for note in notes:  # one of them is to blame
                self._perform_notes([note])
        else:
            for note, is_accepted in zip(notes, accepted, strict=True):
                note.accepted = is_accepted

    def _tell(self, note: _Note[P]) -> None:
        try:
            note.then(note.error, note.accepted)
        except BaseException:  # whatever it is, the other callers wait for this thread
            _log.exception("Callback of the store failed")

    def _as_ours(self, error: BaseException) -> Exception:
        if isinstance(error, StoreError):
            return StoreError(error.path, error.problem)  # one each: raising it in several threads mixes tracebacks
        if isinstance(error, (sqlite3.Error, OSError)):
            return store_error(self._path, error)
        if isinstance(error, Exception):
            return error
        return StoreError(self._path, f"was interrupted by {type(error).__name__} before it had recorded this")

    def _closed(self) -> StoreError:
        return StoreError(self._path, "is closed; open it again")


_LOCK_GONE = (
    "has lost its lock file, which was moved, replaced or deleted while in use: another process may take the store "
    "for free by now; start this process anew"
)
_MOVED = "was moved, replaced or deleted while in use; put it back, and start this process anew"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  once a commit: a Path costs as much again
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
