"""A real store that fails, or dies, when its simulation says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rapua_scheduler.errors import StoreError
from rapua_scheduler.store.sqlite import SqliteStore

CHANGES = {
    "begin",
    "decide",
    "declare",
    "drop",
    "finish",
    "hold",
    "leave",
    "note_alive",
    "pause",
    "release",
    "reopen",
    "rerun",
    "set_next",
    "take_queued",
}

LOOKS = {
    "alive",
    "cancel_requests",
    "claims_ahead",
    "jobs",
    "releases",
    "run_at",
    "runs",
    "unanswered",
    "windows",
    "word",
}
"""What a host reads while it is at work; each may fail as a change does."""


class Crash(BaseException):
    """The host dies here."""


class FaultyStore:
    """Hands everything on to a real store, but for the faults that are due.

    Attributes:
        inner: The real store.
        failures_due: How many of the next changes and looks fail without having been made.
        crash_in: After how many further changes the host dies; None is not at all.
        dies_after: Whether it dies once the change is made, or before.
    """

    def __init__(self, inner: SqliteStore) -> None:
        self.inner = inner
        self.failures_due = 0
        self.crash_in: int | None = None
        self.dies_after = False
        self.is_dead = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name in LOOKS:
            return self._failing(method)
        return self._guarded(name, method) if name in CHANGES else method

    def _failing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def look(*arguments: Any, **named: Any) -> Any:
            if self.is_dead:
                raise Crash
            if self.failures_due:
                self.failures_due -= 1
                raise StoreError("simulated", "the disk cannot be read")
            return method(*arguments, **named)

        return look

    def _guarded(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **named: Any) -> Any:
            if self.is_dead:
                raise Crash
            if self.failures_due:
                self.failures_due -= 1
                error = StoreError("simulated", "the disk is full")
                if name == "finish":
                    arguments[3](error, False)
                    return None
                raise error
            dies = self.crash_in == 0
            if self.crash_in is not None:
                self.crash_in -= 1
            if dies and not self.dies_after:
                self.is_dead = True
                raise Crash
            returned = method(*arguments, **named)
            if dies:
                self.is_dead = True
                raise Crash
            return returned

        return change
