"""What the engine keeps in mind of each job."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from attrs import frozen

from rapua_scheduler.fire_times import first_after
from rapua_scheduler.planner import lag_of
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.schedules import BuiltInSchedule

_FIRE_TIMES_LOOKED_AT = 32


class JobState:
    """One job of the engine.

    Attributes:
        registered: The job.
        mark: The last fire time decided on, in UTC.
        due: The fire time that is decided on next, in UTC; None while it is not known, or if there is none.
        question: The number of the question that is being asked of its plugin; 0 if none is.
        failures: How often in a row its next function has misbehaved.
    """

    __slots__ = ("due", "failures", "mark", "question", "registered")

    def __init__(self, registered: RegisteredJob, mark: datetime) -> None:
        self.registered = registered
        self.mark = mark
        self.due: datetime | None = None
        self.question = 0
        self.failures = 0

    def __lt__(self, other: JobState) -> bool:
        """Leave the order of equal heap entries open."""
        return False


@frozen
class Former:
    """The schedule that a job had until it changed.

    Attributes:
        schedule: It, if it was a built-in one.
        pending: The fire time of it that was known to come next, in UTC.
        until: When it changed, in UTC; the schedule of today has no fire times before.
    """

    schedule: BuiltInSchedule | None
    pending: datetime
    until: datetime


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
