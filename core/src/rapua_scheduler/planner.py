"""Decide what becomes of a job's fire times; pure, so that it can be replayed and simulated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from attrs import frozen

from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.run import Decision, Gap, GapReason, Run, RunStatus, Trigger
from rapua_scheduler.schedules import BuiltInSchedule, instant_key
from rapua_scheduler.schedules.base import LATEST

ON_TIME = timedelta(seconds=60)
"""A fire time that is at most this late is run as scheduled."""

MOST_CALLS = 10_000
"""How many calls of a next function one look at a job may take; source: the time rules of the design."""

_TICK = timedelta(microseconds=1)


@frozen
class Stretch:
    """The fire times of a job that have come since its mark; at least one.

    Attributes:
        first: The oldest of them, in UTC.
        newest: The newest, in UTC; None if there were too many to find it.
        last_before: The newest but one, in UTC; None if there is only one.
        earlier: How many come before the newest; None if there were too many to count.
        next: The first fire time after now, in UTC; None if there is none, or none is known.
        until: Where the stretch ends, in UTC, if the newest fire time was not found.
    """

    first: datetime
    newest: datetime | None
    last_before: datetime | None
    earlier: int | None
    next: datetime | None
    until: datetime | None = None


def first_after(next_function: Callable[..., object], after: datetime, zone: tzinfo) -> datetime | None:
    """Return the first fire time later than *after*, checked, in UTC; None if there is none.

    Args:
        next_function: Takes the last fire time.
        after: An instant in UTC.
        zone: The zone that the function is asked in.

    Raises:
        BrokenNextError: The function's answer is not a later instant; says what to return.
    """
    return _checked(next_function(after.astimezone(zone)), after)


def first_pending(next_function: Callable[..., object], now: datetime) -> datetime | None:
    """Return what a next function without an argument gives, checked, in UTC.

    Raises:
        BrokenNextError: The function's answer is not an instant later than *now*.
    """
    return _checked(next_function(), now)


def _checked(answer: object, after: datetime) -> datetime | None:
    if answer is None:
        return None
    if not isinstance(answer, datetime):
        raise BrokenNextError(
            f"the next function returned {type(answer).__name__}; return an aware datetime, or None for never again"
        )
    if answer.utcoffset() is None:
        raise BrokenNextError(
            f"the next function returned {answer.isoformat()} without a zone; build it from its argument, "
            "which carries the site's zone"
        )
    try:
        instant = _plain(answer).astimezone(UTC)
    except OverflowError:
        return None
    if instant > LATEST:  # where no zone can express every instant any more
        return None
    if instant <= after:
        raise BrokenNextError(
            f"the next function returned {answer.isoformat()}, which is not later than {after.isoformat()}"
        )
    return instant


def _plain(answer: datetime) -> datetime:
    """Return a datetime that compares and converts as one does; a subclass may have ways of its own."""
    if type(answer) is datetime:
        return answer
    try:
        return datetime(
            answer.year,
            answer.month,
            answer.day,
            answer.hour,
            answer.minute,
            answer.second,
            answer.microsecond,
            tzinfo=answer.tzinfo,
            fold=answer.fold,
        )
    except (TypeError, ValueError) as error:
        raise BrokenNextError(
            f"the next function returned a {type(answer).__name__} that is no time ({error}); return an aware datetime"
        ) from None


def fire_key(next_function: Callable[..., object], fire_time: datetime, zone: tzinfo) -> str:
    """Return the identity of *fire_time* (in UTC): nominal local time, or the instant itself."""
    if isinstance(next_function, BuiltInSchedule):
        return next_function.fire_key(fire_time.astimezone(zone))
    return instant_key(fire_time)


def survey(
    next_function: Callable[..., object],
    due: datetime,
    now: datetime,
    zone: tzinfo,
    *,
    enough: Callable[[], bool] = lambda: False,
) -> Stretch:
    """Look at the fire times from *due* up to *now*, and at the one after.

    A built-in schedule jumps; any other is stepped through, at most 10,000 times.

    Args:
        next_function: Takes the last fire time.
        due: A fire time, at or before *now*, in UTC.
        now: The current time, in UTC.
        zone: The zone that the function is asked in.
        enough: Asked between two steps whether to give up counting.

    Raises:
        BrokenNextError: The function misbehaves.
    """
    following = first_after(next_function, due, zone)
    if following is None or following > now:
        return Stretch(due, due, None, 0, following)
    if isinstance(next_function, BuiltInSchedule):
        return _jumped(next_function, due, now, zone)
    previous, newest, calls = due, following, 1
    while calls < MOST_CALLS and not enough():
        following = first_after(next_function, newest, zone)
        if following is None or following > now:
            return Stretch(due, newest, previous, calls, following)
        previous, newest, calls = newest, following, calls + 1
    return Stretch(due, None, None, None, first_after(next_function, now, zone), until=now)


def _jumped(schedule: BuiltInSchedule, due: datetime, now: datetime, zone: tzinfo) -> Stretch:
    newest = _in_utc(schedule.latest(now.astimezone(zone)))
    if newest is None or newest <= due:  # cannot be: the caller has seen a later one
        return Stretch(due, due, None, 0, first_after(schedule, now, zone))
    before = _in_utc(schedule.latest((newest - _TICK).astimezone(zone)))
    earlier = schedule.count(due.astimezone(zone), newest.astimezone(zone))
    return Stretch(due, newest, before, earlier, first_after(schedule, newest, zone))


def _in_utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)


def decide(
    job_key: str,
    stretch: Stretch,
    now: datetime,
    *,
    identify: Callable[[datetime], str],
    run_id: str,
    running: str | None = None,
) -> Decision:
    """Return what becomes of every fire time of *stretch*.

    The newest one is run if it is at most 60 s late and the job is not running; every other is a
    gap with its reason.

    Args:
        job_key: The job.
        stretch: The fire times that have come.
        now: The current time, in UTC.
        identify: Gives the fire key of a fire time.
        run_id: The id of the run, if there is to be one.
        running: The run of this job that has not ended yet.
    """
    newest = stretch.newest
    if newest is None:
        end = stretch.until or now
        gap = Gap(job_key, stretch.first, end, None, GapReason.MISSED, "too many to count")
        return Decision(job_key, end, stretch.next, None, (gap,))
    gaps: list[Gap] = []
    if stretch.last_before is not None:
        gaps.append(Gap(job_key, stretch.first, stretch.last_before, stretch.earlier, GapReason.MISSED))
    run = None
    if now - newest > ON_TIME:
        gaps = [Gap(job_key, stretch.first, newest, _one_more(stretch.earlier), GapReason.MISSED)]
    elif running is not None:
        gaps.append(Gap(job_key, newest, newest, 1, GapReason.SKIPPED, f"run {running} had not ended"))
    else:
        run = Run(
            run_id, job_key, newest, identify(newest), Trigger.SCHEDULE, RunStatus.RUNNING, attempt=1, started_at=now
        )
    return Decision(job_key, newest, stretch.next, run, tuple(gaps))


def _one_more(count: int | None) -> int | None:
    return None if count is None else count + 1


def is_fire_time(next_function: Callable[..., object], instant: datetime, zone: tzinfo) -> bool:
    """Tell whether a built-in schedule fires at *instant* (aware); False for any other next function."""
    if not isinstance(next_function, BuiltInSchedule):
        return False
    newest = next_function.latest(instant.astimezone(zone))
    return newest is not None and newest.astimezone(UTC) == instant.astimezone(UTC)
