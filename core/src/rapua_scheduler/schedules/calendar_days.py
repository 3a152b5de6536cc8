"""Schedules that fire at one time of day: daily, weekly, monthly."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import MAXYEAR, MINYEAR, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from attrs import frozen

from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.schedules.wall_clock import WallClockSchedule
from rapua_scheduler.schedules.zones import find_zone

_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEKDAY_NUMBERS = {weekday.lower(): number for number, weekday in enumerate(_WEEKDAYS)}
_WEEKDAY_NUMBERS |= {weekday[:3]: number for weekday, number in _WEEKDAY_NUMBERS.items()}


@frozen(eq=False)
class Daily(WallClockSchedule):
    """Fire once on every date.

    Attributes:
        at: The time of day.
    """

    at: time

    def _nominal_after(self, wall: datetime) -> datetime | None:
        nominal = datetime.combine(wall, self.at, wall.tzinfo)
        return nominal if nominal > wall else _moved(nominal, 1)

    def _nominal_until(self, wall: datetime) -> datetime | None:
        nominal = datetime.combine(wall, self.at, wall.tzinfo)
        return nominal if nominal <= wall else _moved(nominal, -1)

    def _count_nominals(self, first: datetime, last: datetime) -> int:
        return _days_before(last, self.at) - _days_before(first, self.at)

    @property
    def fingerprint(self) -> str:
        """Text that is the same exactly as long as the schedule is: `daily@03:00`."""
        return self._in_zone(f"daily@{_written(self.at)}", "|{}")

    def __str__(self) -> str:
        return self._in_zone(f"every day at {_written(self.at)}", " ({})")


@frozen(eq=False)
class Weekly(WallClockSchedule):
    """Fire on some days of every week.

    Attributes:
        days: The days, 0 for Monday to 6 for Sunday, in that order, each once.
        at: The time of day.
    """

    days: tuple[int, ...]
    at: time

    def _nominal_after(self, wall: datetime) -> datetime | None:
        nominal, today = datetime.combine(wall, self.at, wall.tzinfo), wall.weekday()
        if today in self.days and nominal > wall:
            return nominal
        return _moved(nominal, min((day - today - 1) % 7 for day in self.days) + 1)

    def _nominal_until(self, wall: datetime) -> datetime | None:
        nominal, today = datetime.combine(wall, self.at, wall.tzinfo), wall.weekday()
        if today in self.days and nominal <= wall:
            return nominal
        return _moved(nominal, -min((today - day - 1) % 7 for day in self.days) - 1)

    def _count_nominals(self, first: datetime, last: datetime) -> int:
        low, high = _days_before(first, self.at), _days_before(last, self.at)  # the first of all days is a Monday
        return sum((high - day + 6) // 7 - (low - day + 6) // 7 for day in self.days)

    @property
    def fingerprint(self) -> str:
        """Text that is the same exactly as long as the schedule is: `weekly mon,thu@03:00`."""
        days = ",".join(_WEEKDAYS[day][:3].lower() for day in self.days)
        return self._in_zone(f"weekly {days}@{_written(self.at)}", "|{}")

    def __str__(self) -> str:
        *others, last = (_WEEKDAYS[day] for day in self.days)
        days = f"{', '.join(others)} and {last}" if others else last
        return self._in_zone(f"every {days} at {_written(self.at)}", " ({})")


@frozen(eq=False)
class Monthly(WallClockSchedule):
    """Fire once in every month.

    Attributes:
        day: The day of the month, 1 to 31; the last one of a month that is shorter.
        at: The time of day.
    """

    day: int
    at: time

    def _nominal_after(self, wall: datetime) -> datetime | None:
        nominal = self._nominal_in(wall.year, wall.month, wall.tzinfo)
        if nominal is None or nominal > wall:
            return nominal
        years, month = divmod(wall.month, 12)
        return self._nominal_in(wall.year + years, month + 1, wall.tzinfo)

    def _nominal_until(self, wall: datetime) -> datetime | None:
        nominal = self._nominal_in(wall.year, wall.month, wall.tzinfo)
        if nominal is None or nominal <= wall:
            return nominal
        years, month = divmod(wall.month - 2, 12)
        return self._nominal_in(wall.year + years, month + 1, wall.tzinfo)

    def _count_nominals(self, first: datetime, last: datetime) -> int:
        return self._months_before(last) - self._months_before(first)

    def _months_before(self, wall: datetime) -> int:
        """Return how many nominal times there are before *wall*, from the start of the calendar."""
        nominal = self._nominal_in(wall.year, wall.month, wall.tzinfo)
        return wall.year * 12 + wall.month + (nominal is not None and nominal < wall)

    def _nominal_in(self, year: int, month: int, zone: tzinfo | None) -> datetime | None:
        if not MINYEAR <= year <= MAXYEAR:
            return None
        day = self.day if self.day <= 28 else min(self.day, monthrange(year, month)[1])
        return datetime(year, month, day, self.at.hour, self.at.minute, self.at.second, tzinfo=zone)

    @property
    def fingerprint(self) -> str:
        """Text that is the same exactly as long as the schedule is: `monthly 1@00:00`."""
        return self._in_zone(f"monthly {self.day}@{_written(self.at)}", "|{}")

    def __str__(self) -> str:
        day = _ordinal(self.day) if self.day <= 28 else f"{_ordinal(self.day)}, or the last day,"
        return self._in_zone(f"on the {day} of every month at {_written(self.at)}", " ({})")


def daily(at: str | time = "00:00", tz: str | ZoneInfo | None = None) -> Daily:
    """Return a schedule that fires once on every date that exists.

    Args:
        at: The time of day, "HH:MM" or "HH:MM:SS". Where the clock jumps over it, the schedule fires
            as the jump ends; where the clock shows it twice, at the first. Source: cron(8) of Debian.
        tz: The zone; by default the site's.

    Raises:
        InvalidScheduleError: The time or the zone does not exist.
    """
    expression = f"daily(at={at!r})"
    return Daily(_time_of_day(at, expression), tz=find_zone(tz, expression))


def weekly(*days: str, at: str | time = "00:00", tz: str | ZoneInfo | None = None) -> Weekly:
    """Return a schedule that fires on *days* of every week.

    Args:
        days: English names, at least one: "mon" or "Monday".
        at: The time of day; see `daily`.
        tz: The zone; by default the site's.

    Raises:
        InvalidScheduleError: A day, the time or the zone does not exist, or there is no day.
    """
    expression = f"weekly({', '.join(map(repr, days))}, at={at!r})" if days else "weekly()"
    if not days:
        raise InvalidScheduleError(expression, 'name the days, such as weekly("mon", "thu")')
    numbers = set()
    for day in days:
        number = _WEEKDAY_NUMBERS.get(str(day).lower())
        if number is None:
            problem = f"{day!r} is not a day; write mon, tue, wed, thu, fri, sat or sun"
            raise InvalidScheduleError(expression, problem)
        numbers.add(number)
    return Weekly(tuple(sorted(numbers)), _time_of_day(at, expression), tz=find_zone(tz, expression))


def monthly(day: int = 1, at: str | time = "00:00", tz: str | ZoneInfo | None = None) -> Monthly:
    """Return a schedule that fires once in every month.

    Args:
        day: The day of the month, 1 to 31; in a shorter month, the last one.
        at: The time of day; see `daily`.
        tz: The zone; by default the site's.

    Raises:
        InvalidScheduleError: The day, the time or the zone does not exist.
    """
    expression = f"monthly(day={day!r}, at={at!r})"
    if day not in range(1, 32) or type(day) is not int:
        problem = f"day must be a whole number from 1 to 31, not {day!r}; 31 is the last day of every month"
        raise InvalidScheduleError(expression, problem)
    return Monthly(day, _time_of_day(at, expression), tz=find_zone(tz, expression))


def _time_of_day(at: str | time, expression: str) -> time:
    if isinstance(at, str) and (match := _TIME_OF_DAY.fullmatch(at)):
        hour, minute, second = (int(number or 0) for number in match.groups())
        if hour < 24 and minute < 60 and second < 60:
            return time(hour, minute, second)
    if isinstance(at, time) and at.tzinfo is None and not at.microsecond:
        return at.replace(fold=0)
    problem = f'at must be a time of day such as "23:59", in whole seconds and without a zone, not {at!r}'
    raise InvalidScheduleError(expression, problem)


def _moved(nominal: datetime, days: int) -> datetime | None:
    try:
        return nominal + timedelta(days)
    except OverflowError:
        return None


def _days_before(wall: datetime, at: time) -> int:
    """Return on how many days of the calendar *at* comes before *wall*."""
    return wall.toordinal() - 1 + (at < wall.time())


def _written(at: time) -> str:
    return at.isoformat("seconds" if at.second else "minutes")


def _ordinal(number: int) -> str:
    ending = "th" if 11 <= number <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
