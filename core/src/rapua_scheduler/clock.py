"""The clock port: the only place that reads the machine's time."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_LONGEST_WAIT = 30 * 86_400.0  # longer ones the system cannot express


class Clock(Protocol):
    """Where the host takes its time from, and how it waits.

    Wall time decides when a job is due; monotonic time measures how long something took.
    """

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary point, never going back."""

    def wait(self, wakeup: threading.Event, seconds: float) -> bool:
        """Block until *wakeup* is set or *seconds* have passed.

        Args:
            wakeup: Set by another thread to end the wait early.
            seconds: Longest wait; zero or less only looks.

        Returns:
            Whether *wakeup* is set.
        """


class SystemClock:
    """The clock of the machine."""

    __slots__ = ()

    def now(self) -> datetime:
        """Return the machine's wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic time in seconds."""
        return time.monotonic()

    def wait(self, wakeup: threading.Event, seconds: float) -> bool:
        """Block until *wakeup* is set or *seconds* of real time, at most 30 days, have passed."""
        return wakeup.wait(min(max(0.0, seconds), _LONGEST_WAIT))


class ShiftedClock(SystemClock):
    """The clock of the machine, its wall time moved by a fixed distance.

    For demonstrations and rehearsals: a host on it behaves as it will at that time. Time passes
    at its usual rate.
    """

    __slots__ = ("_shift",)

    def __init__(self, shift: timedelta) -> None:
        self._shift = shift

    @classmethod
    def starting_at(cls, start: datetime) -> ShiftedClock:
        """Return a clock that reads *start* (aware) now."""
        return cls(start - datetime.now(UTC))

    def now(self) -> datetime:
        """Return the machine's wall time plus the shift, in UTC."""
        return datetime.now(UTC) + self._shift
