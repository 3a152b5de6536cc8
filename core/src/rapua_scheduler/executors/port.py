"""The executor port: where one attempt executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from rapua_scheduler.context import Cancellation
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run


@frozen(eq=False)
class Assignment:
    """What an executor needs to know of an attempt that it has carried out elsewhere.

    Attributes:
        registered: The job.
        run: The run, with the number of the attempt.
        dry_run: Whether the job must stop short of every effect.
        now: The host's time, in UTC.
        remaining: Seconds until the attempt times out; None is never.
        cancellation: Whether the run is cancelled, and why.
        find_last_success: Gives the fire time of the newest run of this job that succeeded, in UTC.
        note_progress: Told that so many items are through, of so many or of an unknown number.
        note_line: Told of a line that the job logged or printed: its level, such as "info", its text, and,
            of one that it logged, "event" and the other fields that the text was made from.
    """

    registered: RegisteredJob
    run: Run
    dry_run: bool
    now: datetime
    remaining: float | None
    cancellation: Cancellation
    find_last_success: Callable[[], datetime | None]
    note_progress: Callable[[int, int | None], None]
    note_line: Callable[[str, str, Mapping[str, Any] | None], None]


class Work(Protocol):
    """One attempt, as an executor sees it."""

    @property
    def assignment(self) -> Assignment | None:
        """What this attempt is, for an executor outside this process; None if it is no attempt at a run."""

    def begin(self) -> bool:
        """Say that execution begins; False if the attempt has been written off meanwhile."""

    def call(self) -> object:
        """Call the job; for an asynchronous one, return its coroutine. May raise anything."""

    def end(self, returned: object, error: BaseException | None) -> None:
        """Say that execution has ended, exactly once for each that has begun; never raises."""


LookAfter = Callable[[Work], None]
"""Looks at what work may have left behind in this process; quick, and never raises."""


def leave_alone(_: Work) -> None:
    """Look at nothing: the process is somebody else's."""


class Executor(Protocol):
    """Executes the attempts of one plugin, without ever blocking its caller."""

    def submit(self, work: Work) -> None:
        """Execute *work* as soon as there is room."""

    def cancel(self, work: Work) -> None:
        """Interrupt *work*, as far as that can be done from outside; does nothing once it has ended."""

    def write_off(self, work: Work) -> None:
        """Give the room that *work* takes to others: it did not end when it should have."""

    def close(self) -> None:
        """Execute nothing more; what is executing in this process is left to itself."""
