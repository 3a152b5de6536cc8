"""The jobs of a host, and when each is due."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from datetime import datetime

from rapua_scheduler.backoff import seconds_after
from rapua_scheduler.clock import Clock
from rapua_scheduler.job_states import JobState

LONGEST_BACKOFF = 300.0
"""Seconds after which a next function that keeps misbehaving is asked again at the latest."""


class Agenda:
    """Keeps what is due next at hand, whatever the number of jobs; belongs to the timing thread.

    Attributes:
        latest_mark: The latest fire time that was decided on, of any job, in UTC; None before the first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[str, JobState] = {}
        self._heap: list[tuple[datetime, str, JobState]] = []
        self._broken: list[tuple[float, str, JobState]] = []
        self.latest_mark: datetime | None = None

    def __iter__(self) -> Iterator[JobState]:
        """Give the jobs in the order in which they came."""
        return iter(self._states.values())

    def __len__(self) -> int:
        """Return how many jobs there are."""
        return len(self._states)

    def find(self, job_key: str) -> JobState | None:
        """Return a job; None if it is not there."""
        return self._states.get(job_key)

    def add(self, state: JobState) -> None:
        """Take in a job; it is due once it is given to `schedule`."""
        self._states[state.job.key] = state
        self._note_mark(state.mark)

    def schedule(self, state: JobState) -> None:
        """Let a job come up when it is due, if that is known; jobs due at one instant go by key."""
        if state.due is not None:
            heapq.heappush(self._heap, (state.starts_at(state.due), state.job.key, state))

    def take_due(self, now: datetime) -> Iterator[tuple[JobState, datetime]]:
        """Give the jobs whose turn has come, each with its fire time, for as long as the caller goes on."""
        while self._heap and self._heap[0][0] <= now:
            at, _, state = heapq.heappop(self._heap)
            if state.due is not None and at == state.starts_at(state.due):  # or else it is due at another time by now
                yield state, state.due

    def seconds_to_next(self) -> float | None:
        """Return in how many seconds the next job is due; None if none is."""
        if not self._heap:
            return None
        return max(0.0, (self._heap[0][0] - self._clock.now()).total_seconds())

    def move(self, state: JobState, mark: datetime, due: datetime | None) -> None:
        """Note what was decided on a job."""
        state.mark, state.due = mark, due
        self._note_mark(mark)

    def lower(self, marks: Mapping[str, datetime]) -> None:
        """Note the marks of jobs, by key; of those whose marks are lower now it is not known when they are due."""
        for state in self:
            mark = marks.get(state.job.key, state.mark)
            if mark < state.mark:
                state.mark, state.due = mark, None
        self.latest_mark = max((state.mark for state in self), default=None)

    def set_aside(self, state: JobState) -> float:
        """Note that a job's next function misbehaves.

        Returns:
            Seconds until it comes up in `take_broken`.
        """
        state.failures += 1
        state.due = None
        seconds = seconds_after(state.failures, LONGEST_BACKOFF)
        heapq.heappush(self._broken, (self._clock.monotonic() + seconds, state.job.key, state))
        return seconds

    def take_broken(self) -> Iterator[JobState]:
        """Give the jobs whose next functions have misbehaved and are to be asked again now."""
        now = self._clock.monotonic()
        while self._broken and self._broken[0][0] <= now:
            state = heapq.heappop(self._broken)[2]
            if state.due is None and not state.question:
                yield state

    def seconds_to_broken(self) -> float | None:
        """Return in how many seconds the next of them is to be asked; None if there is none."""
        return self._broken[0][0] - self._clock.monotonic() if self._broken else None

    def _note_mark(self, mark: datetime) -> None:
        if self.latest_mark is None or mark > self.latest_mark:
            self.latest_mark = mark
