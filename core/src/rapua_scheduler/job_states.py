"""What the engine keeps in mind of each job."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo

from attrs import frozen

from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.fire_times import first_after
from rapua_scheduler.job import Job
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.planner import lag_of
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.schedules import BuiltInSchedule

_FIRE_TIMES_LOOKED_AT = 32
_NO_LAG = timedelta(0)

TICK = timedelta(microseconds=1)
"""The shortest time there is."""


@frozen
class Former:
    """A schedule that a job had until it changed.

    Attributes:
        until: When it changed, in UTC; fire times after it are those of the next schedule.
        schedule: It, if it was a built-in one.
        pending: Of a function of its own, the fire time that was known to come next, in UTC, if one was.
    """

    until: datetime
    schedule: BuiltInSchedule | None = None
    pending: datetime | None = None

    def first_after(self, after: datetime, zone: tzinfo) -> datetime | None:
        """Return the first instant of it after *after* to be decided on, in UTC; None if there is none.

        A function that nobody has any more says nothing about the rest of its time: that is decided on when
        it is over.
        """
        if after >= self.until:
            return None
        if self.schedule is not None:
            first = first_after(self.schedule, after, zone)
            return first if first is not None and first <= self.until else None
        return self.pending if self.pending is not None and self.pending > after else self.until + TICK


def first_of_formers(formers: Iterable[Former], after: datetime, zone: tzinfo) -> datetime | None:
    """Return the first instant after *after* to be decided on by any of these, oldest first; None if none is."""
    for former in formers:
        first = former.first_after(after, zone)
        if first is not None:
            return first
        after = max(after, former.until)
    return None


class JobState:
    """One job of the engine.

    Attributes:
        registered: The job.
        mark: The last fire time decided on, in UTC.
        due: The fire time that is decided on next, in UTC; None while it is not known, or if there is none.
        lag: By how much it starts later than its fire times.
        formers: The schedules that it had, oldest first, as long as fire times of them are to be decided on.
        question: The number of the question that is being asked of its plugin; 0 if none is.
        failures: How often in a row its next function has misbehaved.
        is_absent: Whether its plugin is not there, so that none of its fire times can be run.
    """

    __slots__ = ("due", "failures", "formers", "lag", "mark", "question", "registered")

    is_absent = False

    def __init__(self, registered: RegisteredJob, mark: datetime) -> None:
        self.registered = registered
        self.mark = mark
        self.due: datetime | None = None
        self.lag = _NO_LAG
        self.formers: tuple[Former, ...] = ()
        self.question = 0
        self.failures = 0

    @property
    def job(self) -> Job:
        """The job as its author declared it."""
        return self.registered.job

    def starts_at(self, fire_time: datetime) -> datetime:
        """Return when it starts that is due at *fire_time*: the same object, unless it lags behind."""
        return fire_time if self.lag is _NO_LAG else fire_time + self.lag

    def __lt__(self, other: JobState) -> bool:
        """Leave the order of equal heap entries open."""
        return False


class AbsentJob(JobState):
    """A job whose plugin is not there."""

    __slots__ = ()

    is_absent = True


def lag(job_key: str, schedule: BuiltInSchedule, jitter: timedelta, after: datetime, zone: tzinfo) -> timedelta:
    """Return by how much a job starts later than its fire times.

    Args:
        job_key: The job.
        schedule: Its schedule.
        jitter: The longest delay that it allows.
        after: An instant in UTC; fire times after it tell how close together they are.
        zone: The zone that it is asked in.
    """
    gaps: list[timedelta] = []
    previous = first_after(schedule, after, zone)
    while previous is not None and len(gaps) < _FIRE_TIMES_LOOKED_AT:
        following = first_after(schedule, previous, zone)
        if following is None:
            break
        gaps.append(following - previous)
        previous = following
    return lag_of(job_key, jitter, min(gaps, default=None))


def broken(error: Exception) -> BrokenNextError:
    """Return what *error*, raised by a schedule or a next function, says about it."""
    if isinstance(error, BrokenNextError):
        return error
    return BrokenNextError(f"the next function raised {summarize_error(error)}")
