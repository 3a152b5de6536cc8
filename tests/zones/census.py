"""Count the dates and months of a zone, and have the schedules fire on each of them once.

What is expected comes from walking UTC and looking at offsets only; see `tests.core.schedules.oracle`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from attrs import frozen

from rapua_scheduler.schedules import daily, monthly
from tests.core.schedules.oracle import (
    DAY,
    Stretch,
    at,
    date_of,
    first_showing,
    instant,
    instant_text,
    stretches,
    wall_of,
)

FIRST_YEAR, LAST_YEAR = 1970, 2037
_FIRST, _END = wall_of(date(FIRST_YEAR, 1, 1)), wall_of(date(LAST_YEAR + 1, 1, 1))
_MOST_PROBLEMS = 5
Next = Callable[[datetime], datetime | None]


@frozen
class Tally:
    """What was found in one zone.

    Attributes:
        zone: Its name.
        dates: How many dates it has from 1970 to 2037.
        months: How many months.
        problems: What was wrong, one line each; the first few.
    """

    zone: str
    dates: int
    months: int
    problems: tuple[str, ...]


def distinct_zones() -> Mapping[str, Sequence[str]]:
    """Return every zone of the database under the first of the names that have the same offsets all the time."""
    found: dict[tuple[Stretch, ...], list[str]] = {}
    for name in sorted(available_timezones()):
        found.setdefault(tuple(_cut(ZoneInfo(name))), []).append(name)
    return {names[0]: names for names in found.values()}


def count(name: str, time: str = "00:00") -> Tally:
    """Check all dates and months of a zone.

    Args:
        name: The zone.
        time: The time of day at which the schedules fire.
    """
    zone = ZoneInfo(name)
    expected = list(fire_times(_cut(zone), at(time)))
    firsts = [pair for pair in expected if date_of(pair[0]).day == 1]
    every_day, every_month = daily(time), monthly(1, time)
    problems = [
        *differences(every_day, every_day.fire_key, zone, expected, time),
        *differences(every_month, every_month.fire_key, zone, firsts, time),
    ]
    return Tally(name, len(expected), len(firsts), tuple(problems))


def _cut(zone: ZoneInfo) -> list[Stretch]:
    return stretches(zone, _FIRST - 3 * DAY, _END + 3 * DAY, step=2 * DAY)


def fire_times(cut: Sequence[Stretch], second: int) -> Iterator[tuple[int, int]]:
    """Yield the midnight of each date on the wall clock, and when the clock first shows *second* of that date."""
    shown: dict[int, int] = {}
    for part in cut:
        start, end = part.start + part.offset, part.end + part.offset
        for wall in range(-((second - start) // DAY) * DAY + second, end, DAY):
            shown.setdefault(wall, wall - part.offset)
    for before, after in pairwise(cut):
        low, high = before.end + before.offset, after.start + after.offset
        for wall in range(-((second - low) // DAY) * DAY + second, high, DAY):
            found = first_showing(cut, wall)
            if wall not in shown and found is not None:
                shown[wall] = found
    for wall in sorted(shown):
        if _FIRST <= wall < _END:
            yield wall - second, shown[wall]


def differences(
    next_function: Next,
    fire_key: Callable[[datetime], str],
    zone: ZoneInfo,
    expected: Iterable[tuple[int, int]],
    time: str,
) -> Iterator[str]:
    """Step through the fire times of a zone, and yield what is not as expected; the first few."""
    found: datetime | None = None
    left = _MOST_PROBLEMS
    for midnight, fire_time in expected:
        found = next_function(found or instant(fire_time - 1).astimezone(zone))
        key = f"{_text(midnight)}T{time}"
        if found is None or round(found.timestamp()) != fire_time or fire_key(found) != key:
            yield f"{zone.key}: {key} at {instant_text(fire_time)} came as {found}"
            left -= 1
            if not left:
                return
            found = instant(fire_time).astimezone(zone)


@cache
def _text(midnight: int) -> str:
    return date_of(midnight).isoformat()
