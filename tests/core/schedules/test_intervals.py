"""The grid of an interval, and schedules that fire once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.schedules import every, once

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AUCKLAND = ZoneInfo("Pacific/Auckland")
HOUR = timedelta(hours=1)

intervals = st.timedeltas(timedelta(milliseconds=1), timedelta(days=400))
instants = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(intervals, instants, instants)
def test_every_fire_time_lies_a_whole_number_of_intervals_from_the_anchor(
    interval: timedelta, anchor: datetime, after: datetime
) -> None:
    schedule = every(interval, anchor=anchor)

    following, newest = schedule(after), schedule.latest(after)

    assert following is not None
    assert newest is not None
    assert newest <= after < following == newest + interval
    assert (following - anchor) % interval == timedelta(0)


@given(intervals, instants, st.integers(0, 10**6), st.fractions(0, 1))
def test_intervals_are_counted_without_drift(interval: timedelta, start: datetime, number: int, share: float) -> None:
    schedule = every(interval, anchor=start)
    end = (
        min(start + number * interval, datetime(2400, 1, 1, tzinfo=UTC))
        if number * interval < 9000 * 30 * HOUR
        else start
    )
    whole = (end - start) // interval

    assert schedule.count(start, start + whole * interval) == whole
    assert schedule.count(start, start + whole * interval + interval * float(share) * 0.999) == whole
    assert schedule.count(start - timedelta(microseconds=1), start) == 1


def test_by_default_the_grid_goes_through_the_start_of_1970() -> None:
    assert every(hours=6)(datetime(2026, 5, 5, 7, tzinfo=UTC)) == datetime(2026, 5, 5, 12, tzinfo=UTC)
    assert every(hours=6)(datetime(2026, 5, 5, 12, tzinfo=UTC)) == datetime(2026, 5, 5, 18, tzinfo=UTC)
    assert every(hours=6)(datetime(1935, 5, 5, 12, tzinfo=UTC)) == datetime(1935, 5, 5, 18, tzinfo=UTC)


def test_what_is_given_is_added_up() -> None:
    assert every(hours=1, minutes=30) == every(minutes=90) == every(timedelta(minutes=90)) == every(HOUR, minutes=30)


def test_an_anchor_in_any_zone_gives_the_same_grid() -> None:
    anchor = datetime(2026, 1, 1, 9, 5, tzinfo=AUCKLAND)

    assert every(hours=24, anchor=anchor) == every(hours=24, anchor=anchor.astimezone(UTC))
    in_winter = every(hours=24, anchor=anchor)(datetime(2026, 7, 1, tzinfo=UTC))
    assert in_winter == datetime(2026, 7, 1, 20, 5, tzinfo=UTC)


def test_a_millisecond_is_the_shortest_interval() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)

    assert every(milliseconds=1)(start) == start + timedelta(milliseconds=1)
    for too_short in (timedelta(0), timedelta(microseconds=999), timedelta(hours=-1)):
        with pytest.raises(InvalidScheduleError, match="at least a millisecond"):
            every(too_short)
    with pytest.raises(InvalidScheduleError, match="at least a millisecond"):
        every()


@pytest.mark.parametrize("hours", [float("nan"), float("inf"), 10**20, "6"])
def test_what_is_not_a_duration_is_refused(hours: float) -> None:
    with pytest.raises(InvalidScheduleError, match="is not a duration"):
        every(hours=hours)


def test_a_bare_number_is_refused() -> None:
    with pytest.raises(InvalidScheduleError, match="timedelta, or keywords"):
        every(6)  # type: ignore[arg-type]


def test_an_anchor_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidScheduleError, match="anchor must be an aware datetime"):
        every(hours=1, anchor=datetime(2026, 1, 1))


def test_once_fires_at_its_instant_and_never_again() -> None:
    instant = datetime(2026, 11, 1, 17, tzinfo=AUCKLAND)
    schedule = once(instant)
    second = timedelta(seconds=1)

    assert schedule(instant - second) == instant
    assert schedule(instant) is None
    assert schedule.latest(instant - second) is None
    assert schedule.latest(instant) == instant
    assert schedule.count(instant - second, instant) == 1
    assert schedule.count(instant, instant + second) == 0
    assert schedule.fire_key(instant) == "2026-11-01T04:00:00Z"


def test_once_reads_an_instant_from_text() -> None:
    assert once("2026-11-01T17:00+13:00") == once("2026-11-01T04:00:00Z") == once(datetime(2026, 11, 1, 4, tzinfo=UTC))


@pytest.mark.parametrize("at", ["2026-11-01T17:00", "tomorrow", "2016-12-31T23:59:60Z", datetime(2026, 11, 1), None, 5])
def test_once_refuses_what_is_not_an_instant(at: str) -> None:
    with pytest.raises(InvalidScheduleError, match="once"):
        once(at)
