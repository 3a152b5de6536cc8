"""Schedules written as cron expressions."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from attrs import field, frozen
from cronsim import CronSim, CronSimError

from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.schedules.base import EARLIEST, LATEST
from rapua_scheduler.schedules.wall_clock import RESOLUTION, WallClockSchedule, ZonedSchedule
from rapua_scheduler.schedules.zones import find_zone, first_offset_change, last_offset_change, spans_of_one_offset

_NICKNAMES = {
    "@annually": "0 0 1 1 *",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
    "@midnight": "0 0 * * *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@yearly": "0 0 1 1 *",
}
_FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31"),
    ("month", "1 to 12, or jan to dec"),
    ("day of week", "0 to 7, where 0 and 7 are Sunday, or sun to sat"),
)
_FIXED = re.compile(r"[\d,]+")
_ANY_TIME = datetime(2000, 1, 1)  # noqa: DTZ001  what an expression means does not depend on it

# The rarest of dates, a leap day on one day of the week, is 40 years away at most (2072 to 2112).
_LONGEST_PAUSE = 41 * 366
_LAST_DATE = date.max.toordinal()


@frozen(eq=False)
class CronFields:
    """The wall times that an expression matches, all of them at whole minutes.

    Attributes:
        minutes: The matching minutes of an hour, ascending.
        hours: The matching hours of a day, ascending.
        dates: Tells the matching months and dates.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    dates: CronSim
    _days: dict[tuple[int, int, int], tuple[int, ...]] = field(factory=dict, init=False, repr=False)

    def after(self, wall: datetime) -> datetime | None:
        """Return the first match strictly later than *wall*; None at the calendar's end."""
        today = wall.toordinal()
        day = self._date_from(today)
        if day is None:
            return None
        if day.toordinal() == today:
            if wall.hour in self.hours and wall.minute < self.minutes[-1]:
                minute = self.minutes[bisect_right(self.minutes, wall.minute)]
                return datetime(day.year, day.month, day.day, wall.hour, minute, tzinfo=wall.tzinfo)
            if wall.hour < self.hours[-1]:
                hour = self.hours[bisect_right(self.hours, wall.hour)]
                return datetime(day.year, day.month, day.day, hour, self.minutes[0], tzinfo=wall.tzinfo)
            day = self._date_from(today + 1)
            if day is None:
                return None
        return datetime(day.year, day.month, day.day, self.hours[0], self.minutes[0], tzinfo=wall.tzinfo)

    def until(self, wall: datetime) -> datetime | None:
        """Return the newest match at or before *wall*; None at the calendar's start."""
        today = wall.toordinal()
        day = self._date_back_from(today)
        if day is None:
            return None
        if day.toordinal() == today:
            if wall.hour in self.hours and wall.minute >= self.minutes[0]:
                minute = self.minutes[bisect_right(self.minutes, wall.minute) - 1]
                return datetime(day.year, day.month, day.day, wall.hour, minute, tzinfo=wall.tzinfo)
            if wall.hour > self.hours[0]:
                hour = self.hours[bisect_right(self.hours, wall.hour - 1) - 1]
                return datetime(day.year, day.month, day.day, hour, self.minutes[-1], tzinfo=wall.tzinfo)
            day = self._date_back_from(today - 1)
            if day is None:
                return None
        return datetime(day.year, day.month, day.day, self.hours[-1], self.minutes[-1], tzinfo=wall.tzinfo)

    def count(self, first: datetime, last: datetime) -> int:
        """Return how many matches lie in `[first, last)`, which are wall times without their zone."""
        whole_days = self._count_dates(first, last) * len(self.hours) * len(self.minutes)
        return whole_days + self._count_earlier_that_day(last) - self._count_earlier_that_day(first)

    def _count_dates(self, first: datetime, last: datetime) -> int:
        """Return how many matching dates there are from that of *first* to the one before that of *last*."""
        number = bisect_left(self._days_of(last.year, last.month), last.day)
        number -= bisect_left(self._days_of(first.year, first.month), first.day)
        for month in range(first.year * 12 + first.month - 1, last.year * 12 + last.month - 1):
            number += len(self._days_of(month // 12, month % 12 + 1))
        return number

    def _count_earlier_that_day(self, wall: datetime) -> int:
        if wall.day not in self._days_of(wall.year, wall.month):
            return 0
        number = bisect_left(self.hours, wall.hour) * len(self.minutes)
        if wall.hour in self.hours:
            is_within = wall.second or wall.microsecond
            number += (bisect_right if is_within else bisect_left)(self.minutes, wall.minute)
        return number

    def _days_of(self, year: int, month: int) -> tuple[int, ...]:
        """Return the matching days of a month, ascending: all that counts is its length and its first weekday."""
        if month not in self.dates.months:
            return ()
        first_weekday, length = monthrange(year, month)
        found = self._days.get((month, first_weekday, length))
        if found is None:
            days = range(1, length + 1)
            found = tuple(day for day in days if self.dates.match_day(date(year, month, day)))
            self._days[month, first_weekday, length] = found
        return found

    def _date_from(self, ordinal: int) -> date | None:
        last = min(ordinal + _LONGEST_PAUSE, _LAST_DATE)
        while ordinal <= last:
            day = date.fromordinal(ordinal)
            if day.month not in self.dates.months:
                ordinal += monthrange(day.year, day.month)[1] - day.day + 1
            elif self.dates.match_day(day):
                return day
            else:
                ordinal += 1
        return None

    def _date_back_from(self, ordinal: int) -> date | None:
        last = max(ordinal - _LONGEST_PAUSE, 1)
        while ordinal >= last:
            day = date.fromordinal(ordinal)
            if day.month not in self.dates.months:
                ordinal -= day.day
            elif self.dates.match_day(day):
                return day
            else:
                ordinal -= 1
        return None


@frozen(eq=False)
class _Cron(ZonedSchedule):
    """What both kinds of expression share.

    Attributes:
        expression: Five fields in lower case, one space apart.
        fields: What they match.
    """

    expression: str
    fields: CronFields = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Text that is the same exactly as long as the schedule is: `cron 0 0 1 * *`."""
        return self._in_zone(f"cron {self.expression}", "|{}")

    def __str__(self) -> str:
        return self._in_zone(f'cron "{self.expression}"', " ({})")


@frozen(eq=False)
class FixedTimeCron(_Cron, WallClockSchedule):
    """Fire at the times of day that an expression lists, on the dates that it matches."""

    def _nominal_after(self, wall: datetime) -> datetime | None:
        return self.fields.after(wall)

    def _nominal_until(self, wall: datetime) -> datetime | None:
        return self.fields.until(wall)

    def _count_nominals(self, first: datetime, last: datetime) -> int:
        return self.fields.count(first, last)


@frozen(eq=False)
class PatternCron(_Cron):
    """Fire whenever the wall clock matches an expression.

    This goes by real time: in the hour that comes twice, both times; in a gap, not at all.
    """

    def _first_after(self, start: datetime, zone: tzinfo) -> datetime | None:
        wall = exclusive = start.astimezone(zone)
        while (match := self.fields.after(exclusive)) is not None:
            pause = match - wall  # on the wall clock, and in real time as well unless the offset changes
            if pause > LATEST - start:
                break
            change = first_offset_change(zone, start, start + pause)
            if change is None:
                return start + pause
            start, wall = change, change.astimezone(zone)
            exclusive = wall - RESOLUTION
        return None

    def _newest_until(self, end: datetime, zone: tzinfo) -> datetime | None:
        wall = end.astimezone(zone)
        while (match := self.fields.until(wall)) is not None:
            pause = wall - match
            if pause > end - EARLIEST:
                break
            change = last_offset_change(zone, end - pause, end)
            if change is None:
                return end - pause
            end = change - RESOLUTION
            wall = end.astimezone(zone)
        return None

    def _count_between(self, start: datetime, end: datetime, zone: tzinfo) -> int:
        parts = spans_of_one_offset(zone, start + RESOLUTION, end + RESOLUTION)
        return sum(
            self.fields.count(since.replace(tzinfo=None) + offset, until.replace(tzinfo=None) + offset)
            for since, until, offset in parts
        )


def cron(expression: str, tz: str | ZoneInfo | None = None) -> FixedTimeCron | PatternCron:
    """Return a schedule that fires when the wall clock matches a cron expression.

    The five fields are minute, hour, day of month, month and day of week. If both day fields are
    restricted, a date that matches one of them is enough; a field that starts with `*` does not
    count as restricted. Nicknames are `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`,
    `@yearly` and `@annually`. Source: crontab(5) of Debian; `L`, `LW` and `#` as in cronsim.

    Expressions whose minute and hour are numbers, or lists of numbers, fire at fixed times and
    follow the rule of `daily`. Those with `*`, a range or a step in minute or hour follow real time:
    they fire at both passes of an hour that comes twice, and not within a gap. (Debian's cron takes
    a range for fixed times.)

    Args:
        expression: Such as "*/5 9-17 * * mon-fri"; case does not matter.
        tz: The zone; by default the site's.

    Raises:
        InvalidScheduleError: The expression has no meaning, or matches no date that ever comes.
    """
    if not isinstance(expression, str):
        raise InvalidScheduleError(repr(expression), "a cron expression is text")
    zone = find_zone(tz, expression)
    written = " ".join(expression.lower().split())
    written = _NICKNAMES.get(written, written)
    if written.startswith("@"):
        nicknames = ", ".join(sorted(_NICKNAMES))
        raise InvalidScheduleError(expression, f"is not a time; the nicknames are {nicknames}")
    parts = written.split()
    if len(parts) != len(_FIELDS):
        names = ", ".join(name for name, _ in _FIELDS)
        problem = f"has {len(parts)} fields; a cron expression has five: {names} (for seconds, see every)"
        raise InvalidScheduleError(expression, problem)
    for part, (name, allowed), alone in zip(parts, _FIELDS, _each_alone(parts), strict=True):
        if _parsed(alone) is None:
            problem = f"{name} {part!r} is wrong; it takes {allowed}, and ranges that go upwards"
            raise InvalidScheduleError(expression, problem)
    minute, hour, *days = parts
    times, dates = _parsed(f"{minute} {hour} * * *"), _parsed(f"0 0 {' '.join(days)}")
    if times is not None and dates is not None:
        fields = CronFields(tuple(sorted(times.minutes)), tuple(sorted(times.hours)), dates)
        if fields.after(_ANY_TIME) is not None:
            kind = FixedTimeCron if _FIXED.fullmatch(minute) and _FIXED.fullmatch(hour) else PatternCron
            return kind(written, fields, tz=zone)
    raise InvalidScheduleError(expression, "never fires: no date matches its days and months together")


def _each_alone(parts: list[str]) -> Iterator[str]:
    """Yield for each of *parts* an expression in which nothing but that field is restricted."""
    for position, part in enumerate(parts):
        yield " ".join(part if other == position else "*" for other in range(len(parts)))


@lru_cache(maxsize=256)  # many jobs share few expressions, and the parsed form is large
def _parsed(expression: str) -> CronSim | None:
    try:
        return CronSim(expression, _ANY_TIME)
    except (CronSimError, ValueError):  # ValueError: a number of thousands of digits
        return None
