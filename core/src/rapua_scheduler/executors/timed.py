"""Execution in virtual time: a job is called at once, and comes to its end when its time is over."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import timedelta

from rapua_scheduler.clock import Clock
from rapua_scheduler.errors import JobCancelled
from rapua_scheduler.executors.calls import called
from rapua_scheduler.executors.port import Work


class TimedExecutor:
    """Executes work in the caller's own thread, for simulations; belongs to the thread that moves the clock."""

    def __init__(self, clock: Clock, takes: Callable[[Work], timedelta]) -> None:
        """Make an executor.

        Args:
            clock: Tells when work comes to its end.
            takes: How long a piece of work takes; zero ends it before `submit` returns.
        """
        self._clock = clock
        self._takes = takes
        self._ends: list[tuple[float, int, Work, object, BaseException | None]] = []
        self._submitted = 0

    def submit(self, work: Work) -> None:
        """Call the job of *work* now, and let it end when its time is over."""
        if not work.begin():
            return
        returned, error = called(work)
        seconds = self._takes(work).total_seconds()
        if seconds <= 0:
            work.end(returned, error)
            return
        self._submitted += 1
        heapq.heappush(self._ends, (self._clock.monotonic() + seconds, self._submitted, work, returned, error))

    def seconds_to_wait(self) -> float | None:
        """Return in how many seconds the next work comes to its end; None if nothing executes."""
        return max(0.0, self._ends[0][0] - self._clock.monotonic()) if self._ends else None

    def end_what_is_over(self) -> None:
        """End the work whose time is over."""
        while self._ends and self._ends[0][0] <= self._clock.monotonic():
            _, _, work, returned, error = heapq.heappop(self._ends)
            work.end(returned, error)

    def cancel(self, work: Work) -> None:
        """End *work* as a job does that looks at its cancellation."""
        for entry in list(self._ends):
            if entry[2] is work:
                self._ends.remove(entry)
                heapq.heapify(self._ends)
                work.end(None, JobCancelled("in virtual time"))

    def write_off(self, work: Work) -> None:
        """Do nothing: there is room for everything."""

    def close(self) -> None:
        """Execute nothing more; what executes never comes to its end, as when a host dies."""
        self._ends.clear()
