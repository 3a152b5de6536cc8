"""What a running job is handed: its identity, its time, its log, and its cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from datetime import datetime, timedelta
from typing import Any, TypeVar

from rapua_scheduler.clock import Clock
from rapua_scheduler.errors import ContextClosedError, JobCancelled
from rapua_scheduler.run import Run, Trigger

T = TypeVar("T")


_cancelling = threading.Lock()


class Cancellation:
    """A run's flag that says stop, and why; set once, from any thread.

    Attributes:
        is_set: Whether the run is cancelled.
        reason: Why, for a person; empty while it is not.
    """

    __slots__ = ("_event", "is_set", "reason")

    def __init__(self) -> None:
        self.is_set = False
        self.reason = ""
        self._event: threading.Event | None = None

    def cancel(self, reason: str) -> None:
        """Cancel the run; the first reason stays."""
        with _cancelling:
            if self.is_set:
                return
            self.reason = reason
            self.is_set = True
            if self._event is not None:
                self._event.set()

    @property
    def event(self) -> threading.Event:
        """An event that is set when the run is cancelled; made at its first use, as few jobs wait."""
        with _cancelling:
            if self._event is None:
                self._event = threading.Event()
                if self.is_set:
                    self._event.set()
            return self._event


class JobContext:
    """The world as one attempt at one run sees it.

    Made by the host and handed to `Job.run`; not to be kept: using one after its run has ended
    raises `ContextClosedError`. Its methods may be called from any thread that the job starts.
    """

    __slots__ = (
        "_cancellation",
        "_clock",
        "_closed",
        "_deadline",
        "_dry_run",
        "_find_last_success",
        "_log",
        "_make_log",
        "_on_progress",
        "_run",
        "_zone_fire_time",
    )

    def __init__(
        self,
        run: Run,
        *,
        fire_time: datetime,
        clock: Clock,
        cancellation: Cancellation,
        make_log: Callable[[], Any],
        find_last_success: Callable[[], datetime | None],
        deadline: float | None = None,
        dry_run: bool = False,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Make the context of *run*'s current attempt.

        Args:
            run: The run, as claimed.
            fire_time: The run's fire time in the site's zone.
            clock: The host's clock.
            cancellation: Set by the host to cancel the attempt.
            make_log: Makes the bound logger at its first use.
            find_last_success: Gives the fire time of the newest run of this job that succeeded.
            deadline: When the attempt times out, on the clock's monotonic scale.
            dry_run: Whether the job must stop short of every effect.
            on_progress: Told of progress, as (done, total).
        """
        self._run = run
        self._zone_fire_time = fire_time
        self._clock = clock
        self._cancellation = cancellation
        self._make_log = make_log
        self._log: Any = None
        self._deadline = deadline
        self._find_last_success = find_last_success
        self._dry_run = dry_run
        self._on_progress = on_progress
        self._closed = False

    def _open_run(self) -> Run:
        if self._closed:
            raise ContextClosedError(self._run.run_id)
        return self._run

    @property
    def job_key(self) -> str:
        """Key of the job."""
        return self._open_run().job_key

    @property
    def fire_time(self) -> datetime:
        """The instant this run is for, aware, in the site's zone; not the time it was started at."""
        self._open_run()
        return self._zone_fire_time

    @property
    def run_key(self) -> str:
        """The same text for every attempt at one fire time; store it together with the effect."""
        return self._open_run().run_key

    @property
    def run_id(self) -> str:
        """Identifies this run in `history`, `show` and the log."""
        return self._open_run().run_id

    @property
    def attempt(self) -> int:
        """Which try of the run this is, from 1."""
        return self._open_run().attempt

    @property
    def trigger(self) -> Trigger:
        """Why the run was started."""
        return self._open_run().trigger

    @property
    def last_success(self) -> datetime | None:
        """Fire time of this job's newest run that succeeded, in the site's zone; None if none has."""
        self._open_run()
        found = self._find_last_success()
        return None if found is None else found.astimezone(self._zone_fire_time.tzinfo)

    @property
    def dry_run(self) -> bool:
        """Whether the job must stop short of every effect."""
        self._open_run()
        return self._dry_run

    @property
    def log(self) -> Any:
        """A structlog logger, bound to the job and the run."""
        self._open_run()
        if self._log is None:
            self._log = self._make_log()
        return self._log

    @property
    def cancelled(self) -> bool:
        """Whether the run has been told to stop."""
        self._open_run()
        return self._cancellation.is_set

    def now(self) -> datetime:
        """Return the host's time, aware, in the site's zone."""
        self._open_run()
        return self._clock.now().astimezone(self._zone_fire_time.tzinfo)

    def raise_if_cancelled(self) -> None:
        """Go on, or end the attempt if the run has been told to stop.

        Raises:
            JobCancelled: The run is cancelled; let it through.
        """
        self._open_run()
        if self._cancellation.is_set:
            raise JobCancelled(self._cancellation.reason)

    def sleep(self, seconds: float) -> None:
        """Wait, in a plain job, until *seconds* have passed or the run is cancelled.

        Raises:
            JobCancelled: The run is cancelled.
        """
        self._open_run()
        self._clock.wait(self._cancellation.event, seconds)
        self.raise_if_cancelled()

    def track(self, iterable: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Yield from *iterable*, reporting progress; before each item is a cancellation point.

        Args:
            iterable: What to go through.
            total: How many items there are; taken from the iterable if it knows its length.

        Raises:
            JobCancelled: The run is cancelled, at the next item.
        """
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        for done, item in enumerate(iterable, start=1):
            self.raise_if_cancelled()
            yield item
            self.progress(done, total)

    def progress(self, done: int, total: int | None = None) -> None:
        """Report that *done* of *total* items are through."""
        self._open_run()
        if self._on_progress is not None:
            self._on_progress(done, total)

    def remaining(self) -> timedelta | None:
        """Return how long this attempt may still take; None is without limit, never below zero."""
        self._open_run()
        if self._deadline is None:
            return None
        return timedelta(seconds=max(0.0, self._deadline - self._clock.monotonic()))

    def close(self) -> None:
        """End the context; the host calls this when the attempt has ended."""
        self._closed = True


def is_cancellation(error: BaseException) -> bool:
    """Tell whether a job has let through that it was cancelled; asyncio's word for it, too."""
    # by name, so that hosts without an asynchronous job need not load asyncio
    return isinstance(error, JobCancelled) or type(error).__name__ == "CancelledError"
