"""Schedules that fire on a fixed grid of elapsed time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from attrs import field, frozen

from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.schedules.base import BuiltInSchedule, instant_key, is_aware

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST = timedelta(milliseconds=1)
_UNITS = (
    ("week", timedelta(weeks=1)),
    ("day", timedelta(days=1)),
    ("hour", timedelta(hours=1)),
    ("minute", timedelta(minutes=1)),
    ("second", timedelta(seconds=1)),
    ("millisecond", timedelta(milliseconds=1)),
    ("microsecond", timedelta(microseconds=1)),
)


@frozen(eq=False)
class Every(BuiltInSchedule):
    """Fire on a fixed grid: *anchor*, and every *interval* before and after it.

    The grid does not depend on when the host started or how long a run took, so that a restart
    neither shifts nor repeats a fire time. What the wall clock does has no effect on it.

    Attributes:
        interval: Distance between two fire times; at least a millisecond.
        anchor: Any one point of the grid, in UTC.
    """

    interval: timedelta
    anchor: datetime = field(default=_EPOCH, kw_only=True)

    def _first_after(self, start: datetime, zone: tzinfo) -> datetime | None:
        try:
            return self.anchor + ((start - self.anchor) // self.interval + 1) * self.interval
        except OverflowError:
            return None

    def _newest_until(self, end: datetime, zone: tzinfo) -> datetime | None:
        try:
            return self.anchor + (end - self.anchor) // self.interval * self.interval
        except OverflowError:
            return None

    def _count_between(self, start: datetime, end: datetime, zone: tzinfo) -> int:
        return (end - self.anchor) // self.interval - (start - self.anchor) // self.interval

    @property
    def fingerprint(self) -> str:
        """Text that is the same exactly as long as the schedule is: `every 60s from 1970-01-01T00:00:00Z`."""
        seconds, rest = divmod(self.interval, timedelta(seconds=1))
        fraction = f".{rest.microseconds:06}".rstrip("0") if rest else ""
        return f"every {seconds}{fraction}s from {instant_key(self.anchor)}"

    def __str__(self) -> str:
        unit, length = next(pair for pair in _UNITS if not self.interval % pair[1])
        number = self.interval // length
        text = f"every {unit}" if number == 1 else f"every {number} {unit}s"
        return text if self.anchor == _EPOCH else f"{text} from {instant_key(self.anchor)}"


def every(
    interval: timedelta = timedelta(0),
    /,
    *,
    weeks: float = 0,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    milliseconds: float = 0,
    anchor: datetime = _EPOCH,
) -> Every:
    """Return a schedule that fires at *anchor* and every so often before and after it.

    What is given is added up: `every(hours=1, minutes=30)`. A day is 24 hours, whatever the wall
    clock does; for a time of day, see `daily`.

    Args:
        interval: A duration.
        weeks: 7 days each.
        days: 24 hours each.
        hours: 60 minutes each.
        minutes: 60 seconds each.
        seconds: Elapsed ones.
        milliseconds: Thousandths of a second.
        anchor: An aware instant to fire at, the same at every start of the host; by default the
            start of 1970 in UTC, so that `every(hours=6)` fires at 00, 06, 12 and 18 h UTC.

    Raises:
        InvalidScheduleError: The sum is under a millisecond, or not a duration; or *anchor* is not
            an aware datetime.
    """
    given = {
        "weeks": weeks,
        "days": days,
        "hours": hours,
        "minutes": minutes,
        "seconds": seconds,
        "milliseconds": milliseconds,
    }
    words = [repr(interval)] if interval else []
    words += [f"{unit}={number!r}" for unit, number in given.items() if number]
    expression = f"every({', '.join(words)})"
    if not isinstance(interval, timedelta):
        raise InvalidScheduleError(expression, "takes a timedelta, or keywords such as hours=6")
    try:
        total = interval + timedelta(**given)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidScheduleError(expression, f"is not a duration: {error}") from None
    if total < _SHORTEST:
        raise InvalidScheduleError(expression, "the interval must be at least a millisecond")
    if not is_aware(anchor):
        raise InvalidScheduleError(expression, f"anchor must be an aware datetime, not {anchor!r}")
    return Every(total, anchor=anchor.astimezone(UTC))
