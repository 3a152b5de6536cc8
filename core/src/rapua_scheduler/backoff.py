"""How long to wait before something that has failed is tried again."""

from __future__ import annotations

from rapua_scheduler.clock import Clock

_SHORTEST = 1.0


def seconds_after(failures: int, longest: float) -> float:
    """Return the seconds to wait after so many failures in a row, from 1; they double up to *longest*."""
    return min(_SHORTEST * 2.0 ** min(failures - 1, 20), longest)  # 2.0**1024 is no float


class Backoff:
    """Counts the failures of one thing in a row, and tells when it may be tried again."""

    def __init__(self, clock: Clock, longest: float) -> None:
        """Begin without a failure.

        Args:
            clock: Measures the waits.
            longest: Seconds to wait at most.
        """
        self._clock = clock
        self._longest = longest
        self._failures = 0
        self._again_at = 0.0

    def note_failure(self) -> float:
        """Note that it has failed again, and return the seconds to wait."""
        self._failures += 1
        seconds = seconds_after(self._failures, self._longest)
        self._again_at = self._clock.monotonic() + seconds
        return seconds

    def note_success(self) -> None:
        """Note that it works: the next failure is the first in a row."""
        self._failures = 0

    def seconds_left(self) -> float:
        """Return in how many seconds it may be tried; 0 if at once."""
        return max(0.0, self._again_at - self._clock.monotonic())
