"""Clocks that only move when told to."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

_START = datetime(2026, 1, 1, tzinfo=UTC)
_POLL = 0.002


class ManualClock:
    """A clock that stands still until a test moves it; its wall and monotonic time move apart if asked."""

    def __init__(self, start: datetime = _START) -> None:
        self._lock = threading.Lock()
        self._now = start.astimezone(UTC)
        self._passed = timedelta(0)

    def now(self) -> datetime:
        """Return the wall time that the test set, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that the test let pass."""
        return self._passed.total_seconds()

    @property
    def passed(self) -> timedelta:
        """How much time the test let pass: what `monotonic` says, without its rounding."""
        return self._passed

    def advance(self, duration: timedelta) -> None:
        """Let *duration* pass, on both scales.

        Raises:
            ValueError: The duration is negative; use `step` for a clock set back.
        """
        if duration < timedelta(0):
            raise ValueError("time does not run backwards; use step() for a clock that is set back")
        with self._lock:
            self._now += duration
            self._passed += duration

    def step(self, distance: timedelta) -> None:
        """Set the wall time forward or back by *distance*; no time passes."""
        with self._lock:
            self._now += distance

    def wait(self, wakeup: threading.Event, seconds: float) -> bool:
        """Block until *wakeup* is set or another thread has let *seconds* pass."""
        deadline = self.monotonic() + seconds
        while not wakeup.is_set() and self.monotonic() < deadline:
            wakeup.wait(_POLL)
        return wakeup.is_set()


class AutoClock(ManualClock):
    """A manual clock that whoever waits on it moves: waiting takes no real time."""

    def wait(self, wakeup: threading.Event, seconds: float) -> bool:
        """Let *seconds* pass at once, unless *wakeup* is set."""
        if not wakeup.is_set() and seconds > 0:
            self.advance(timedelta(seconds=seconds))
        return wakeup.is_set()
