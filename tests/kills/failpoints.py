"""Failpoints: places of the product at which a process kills itself, put around it from outside.

Nothing in the product knows of them. A process that is to be killed puts them in itself, before it starts
anything; whoever started it is not changed.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from attrs import frozen

from rapua_scheduler.executors.threads import ThreadExecutor
from rapua_scheduler.runner import Attempt, Runner
from rapua_scheduler.store import schema, sqlite, writer
from rapua_scheduler.store.locks import LockFile
from rapua_scheduler.store.sqlite import SqliteStore

_METHODS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (
        SqliteStore,
        (
            "become_host",
            "mark_lost",
            "set_absent",
            "declare",
            "set_next",
            "alive",
            "note_alive",
            "unanswered",
            "rerun",
            "reopen",
            "leave",
            "take_queued",
            "begin",
            "decide",
            "drop",
            "finish",
            "report",
            "enqueue",
            "request_cancel",
            "pause",
            "resume",
            "hold",
            "release",
            "prune",
            "close",
        ),
    ),
    (LockFile, ("lock", "unlock", "note")),
    (Runner, ("start", "begin", "end")),
    (ThreadExecutor, ("submit",)),
    (Attempt, ("arrive",)),
)
_TRANSACTIONS = ((writer, "writer"), (sqlite, "opening"), (schema, "migration"))
_WRITING = ("BEGIN", "SAVEPOINT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "RELEASE", "COMMIT", "ROLLBACK")
ANY = "any"
"""In the place of a verb, stands for all of them: `store: any` is before any statement that writes."""

_EFFECT = ("effect: begun", "effect: committed", "effect: ended")


@frozen
class Crossing:
    """The moment at which a process comes to a point for the so-and-so-many-th time.

    Attributes:
        point: The point's name.
        number: From 1.
    """

    point: str
    number: int


class Failpoints:
    """Counts how often this process comes to each point, and kills it when the time has come."""

    def __init__(self, fatal: Crossing | None = None) -> None:
        self._fatal = fatal
        self._crossings: Counter[str] = Counter()

    def cross(self, point: str) -> None:
        """Note that the process is at *point*; from any thread."""
        if self._fatal is not None and self._fatal.point == point:
            self._crossings[point] += 1
            if self._crossings[point] == self._fatal.number:
                os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Put the points around the product, in this process and for good."""
        for owner, names in _METHODS:
            for name in names:
                setattr(owner, name, self._around(name, getattr(owner, name)))
        finish = SqliteStore.finish

        def finish_and_tell(store: SqliteStore, *arguments: Any, **options: Any) -> None:
            run_id, attempt, outcome, then, *rest = arguments

            def told(error: Exception | None, is_recorded: bool) -> None:
                self.cross("finish: recorded")
                then(error, is_recorded)

            finish(store, run_id, attempt, outcome, told, *rest, **options)

        SqliteStore.finish = finish_and_tell  # type: ignore[method-assign, assignment]
        for module, name in _TRANSACTIONS:
            module.transaction = self._around_transaction(name, module.transaction)  # type: ignore[attr-defined]
        self._trace_statements()

    def _around(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        before, after = f"{name}: before", f"{name}: after"

        @wraps(method)
        def crossing(*arguments: Any, **options: Any) -> Any:
            self.cross(before)
            returned = method(*arguments, **options)
            self.cross(after)
            return returned

        return crossing

    def _around_transaction(
        self, name: str, transaction: Callable[[sqlite3.Connection], AbstractContextManager[None]]
    ) -> Callable[[sqlite3.Connection], AbstractContextManager[None]]:
        @contextmanager
        def crossing(connection: sqlite3.Connection) -> Iterator[None]:
            self.cross(f"{name}: before BEGIN")
            with transaction(connection):
                self.cross(f"{name}: after BEGIN")
                yield
                self.cross(f"{name}: before COMMIT")
            self.cross(f"{name}: after COMMIT")

        return crossing

    def _trace_statements(self) -> None:
        connect = sqlite3.connect

        def connect_and_trace(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(database, *arguments, **options)
            stem = _stem(str(database))

            def note(statement: str) -> None:
                verb = statement.split(maxsplit=1)[0].upper() if statement.strip() else ""
                if verb in _WRITING:
                    self.cross(f"{stem}: {verb}")
                    self.cross(f"{stem}: {ANY}")

            connection.set_trace_callback(note)
            return connection

        sqlite3.connect = connect_and_trace  # type: ignore[assignment]


def points(*databases: str) -> list[str]:
    """Return the names of all points, in no order that means anything.

    Args:
        databases: Names of the files, without their endings, before whose statements there are points.
    """
    around = [f"{name}: {when}" for _, names in _METHODS for name in names for when in ("before", "after")]
    moments = ("before BEGIN", "after BEGIN", "before COMMIT", "after COMMIT")
    transactions = [f"{name}: {moment}" for _, name in _TRANSACTIONS for moment in moments]
    statements = [f"{stem}: {verb}" for stem in databases for verb in _WRITING]
    return [*around, "finish: recorded", *transactions, *statements, *_EFFECT]


def _stem(database: str) -> str:
    return Path(unquote(database.removeprefix("file:").partition("?")[0])).stem
