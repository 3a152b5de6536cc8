"""Expected fire times, found by walking UTC and looking only at offsets; nothing is shared with the schedules.

Instants, and readings of the wall clock, are whole seconds since the start of 1970.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import NamedTuple

from attrs import frozen

from rapua_scheduler.schedules import BuiltInSchedule

DAY = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def instant(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def seconds_of(moment: datetime) -> int:
    whole, rest = divmod(moment.astimezone(UTC) - _EPOCH, timedelta(seconds=1))
    assert not rest
    return whole


def date_of(wall: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + wall // DAY)


def wall_of(day: date) -> int:
    return (day.toordinal() - _EPOCH_ORDINAL) * DAY


def wall_text(wall: int) -> str:
    moment = (_EPOCH + timedelta(seconds=wall)).replace(tzinfo=None)
    return moment.isoformat(timespec="seconds" if moment.second else "minutes")


def instant_text(seconds: int) -> str:
    return instant(seconds).replace(tzinfo=None).isoformat() + "Z"


class Stretch(NamedTuple):
    """Instants `[start, end)` between two changes of a zone's offset."""

    start: int
    end: int
    offset: int


def offset_at(zone: tzinfo, seconds: int) -> int:
    offset = datetime.fromtimestamp(seconds, zone).utcoffset()
    assert offset is not None
    return offset.days * DAY + offset.seconds


def stretches(zone: tzinfo, first: int, last: int, step: int = DAY) -> list[Stretch]:
    """Cut `[first, last)` where the offset changes, looking at it every *step* seconds."""
    found: list[Stretch] = []
    start, offset = first, offset_at(zone, first)
    for low in range(first, last, step):
        high = min(low + step, last)
        other = offset_at(zone, high)
        if other != offset:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(zone, middle) == offset else (low, middle)
            found.append(Stretch(start, high, offset))
            start, offset = high, other
    return [*found, Stretch(start, last, offset)]


def first_showing(cut: Sequence[Stretch], wall: int) -> int | None:
    """Return when the clock first shows *wall*, or jumps over it; None if its date does not exist."""
    shown = [wall - part.offset for part in cut if part.start <= wall - part.offset < part.end]
    if shown:
        return min(shown)
    midnight = wall // DAY * DAY
    if not any(part.start + part.offset < midnight + DAY and midnight < part.end + part.offset for part in cut):
        return None
    return next(
        after.start
        for before, after in pairwise(cut)
        if before.end + before.offset <= wall < after.start + after.offset
    )


@frozen
class Rule:
    """A schedule, and what it is said to do.

    Attributes:
        schedule: The schedule under test.
        on: Whether it fires on a date.
        times: At which seconds of the day.
        in_real_time: Whether it fires whenever the clock shows such a time, not once for each.
    """

    schedule: BuiltInSchedule
    on: Callable[[date], bool]
    times: tuple[int, ...]
    in_real_time: bool = False

    def fire_times(self, cut: Sequence[Stretch]) -> dict[int, str]:
        """Return every fire time in *cut*, but for two days at its ends, with its key; oldest first."""
        first, last = cut[0].start + 2 * DAY, cut[-1].end - 2 * DAY
        pairs = self._in_real_time(cut) if self.in_real_time else self._once_each(cut)
        expected: dict[int, str] = {}
        for fire_time, key in sorted(pairs):
            if first < fire_time <= last:
                expected.setdefault(fire_time, key)
        return expected

    def _once_each(self, cut: Sequence[Stretch]) -> Iterator[tuple[int, str]]:
        start, end = cut[0].start + cut[0].offset, cut[-1].end + cut[-1].offset
        for midnight in range(start // DAY * DAY, end, DAY):
            if self.on(date_of(midnight)):
                for second in self.times:
                    if not start <= midnight + second < end:
                        continue
                    fire_time = first_showing(cut, midnight + second)
                    if fire_time is not None:
                        yield fire_time, wall_text(midnight + second)

    def _in_real_time(self, cut: Sequence[Stretch]) -> Iterator[tuple[int, str]]:
        for part in cut:
            start, end = part.start + part.offset, part.end + part.offset
            for midnight in range(start // DAY * DAY, end, DAY):
                if self.on(date_of(midnight)):
                    for second in self.times:
                        if start <= midnight + second < end:
                            fire_time = midnight + second - part.offset
                            yield fire_time, instant_text(fire_time)


def assert_fires(
    rule: Rule, zone: tzinfo, cut: Sequence[Stretch], moments: Sequence[int] = (), asked_in: tzinfo | None = None
) -> None:
    """Assert that every answer of the schedule agrees with what is expected in *cut*.

    Args:
        rule: The schedule and its expected times.
        zone: Where it fires.
        cut: Its stretches, at least five days in all.
        moments: Instants to ask about besides the expected fire times and the seconds around them.
        asked_in: The zone of the datetimes that are passed; *zone* unless given.
    """
    schedule, expected = rule.schedule, rule.fire_times(cut)
    first, last = cut[0].start + 2 * DAY, cut[-1].end - 2 * DAY
    fire_times = list(expected)

    def ask(seconds: int) -> datetime:
        return instant(seconds).astimezone(asked_in or zone)

    stepped: list[datetime] = []
    following = schedule(ask(first))
    while following is not None and seconds_of(following) <= last:
        stepped.append(following)
        following = schedule(following)
    assert [seconds_of(fire_time) for fire_time in stepped] == fire_times
    assert [schedule.fire_key(fire_time) for fire_time in stepped] == list(expected.values())
    assert len(set(expected.values())) == len(expected)
    assert all(fire_time.tzinfo is zone for fire_time in stepped)

    around = {moment for fire_time in fire_times for moment in (fire_time - 1, fire_time)}
    edges = {moment for part in cut for moment in (part.start - 1, part.start)} | {*moments, last}
    for moment in (moment for moment in around | edges if first <= moment <= last):
        position = bisect_right(fire_times, moment)
        following, newest = schedule(ask(moment)), schedule.latest(ask(moment))
        if position < len(fire_times):
            assert following is not None
            assert seconds_of(following) == fire_times[position]
        else:
            assert following is None or seconds_of(following) > last
        if position:
            assert newest is not None
            assert seconds_of(newest) == fire_times[position - 1]
        else:
            assert newest is None or seconds_of(newest) <= first
        if moment in edges:
            assert schedule.count(ask(first), ask(moment)) == position
            assert schedule.count(ask(moment), ask(last)) == len(fire_times) - position
            shortly_after = (instant(moment) + timedelta(microseconds=1)).astimezone(asked_in or zone)
            assert schedule(shortly_after) == following
            assert schedule.latest(shortly_after) == newest
    assert schedule.count(ask(last), ask(first)) == 0


def at(text: str) -> int:
    """Return the second of the day that *text*, such as "02:30", stands for."""
    moment = time.fromisoformat(text)
    return moment.hour * 3600 + moment.minute * 60 + moment.second
