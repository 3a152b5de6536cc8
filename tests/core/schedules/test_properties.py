"""What holds for every schedule, in every zone, at any time."""

from __future__ import annotations

import timeit
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rapua_scheduler.schedules import BuiltInSchedule, cron, every, monthly, next_daily, once, weekly

from .oracle import DAY, Rule, Stretch, assert_fires, instant, seconds_of, stretches
from .rules import rules

ZONE_NAMES = sorted(available_timezones())
FEW_DAYS = 4 * DAY
EVERY_MINUTE = f"{','.join(map(str, range(60)))} {','.join(map(str, range(24)))} * * *"
"""Fixed times, each of which fires once."""

zones = st.sampled_from(ZONE_NAMES).map(ZoneInfo)
years = st.one_of(st.integers(1970, 2037), st.integers(1840, 2100))
slow_draws = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
many = settings(slow_draws, max_examples=10 * slow_draws.max_examples)


@cache
def changes_of_clock(zone: ZoneInfo, year: int) -> list[int]:
    first = seconds_of(datetime(year, 1, 1, tzinfo=UTC))
    return [part.end for part in stretches(zone, first, first + 366 * DAY)[:-1]]


@st.composite
def windows(draw: st.DrawFn) -> tuple[ZoneInfo, list[Stretch]]:
    """Draw a zone and some days, around a change of its clock if it has one in that year."""
    zone, year = draw(zones), draw(years)
    changes = changes_of_clock(zone, year)
    first = seconds_of(datetime(year, 1, 1, tzinfo=UTC))
    middle = draw(st.sampled_from(changes)) if changes else first + draw(st.integers(0, 365 * DAY))
    return zone, stretches(zone, middle - FEW_DAYS, middle + FEW_DAYS)


@many
@given(windows(), rules(), st.lists(st.integers(-2 * DAY, 2 * DAY), max_size=5))
def test_every_nominal_time_that_exists_fires_once(
    window: tuple[ZoneInfo, list[Stretch]], rule: Rule, moments: list[int]
) -> None:
    zone, cut = window
    middle = (cut[0].start + cut[-1].end) // 2

    assert_fires(rule, zone, cut, [middle + moment for moment in moments])


@settings(slow_draws, max_examples=2 * slow_draws.max_examples)
@given(windows(), st.data())
def test_a_zone_of_its_own_is_used_wherever_a_schedule_is_asked(
    window: tuple[ZoneInfo, list[Stretch]], data: st.DataObject
) -> None:
    zone, cut = window
    rule = data.draw(rules(tz=zone))

    assert_fires(rule, zone, cut, asked_in=data.draw(zones))


intervals = st.one_of(
    st.timedeltas(timedelta(milliseconds=1), timedelta(days=800)),
    st.sampled_from([timedelta(milliseconds=1), timedelta(hours=6), timedelta(days=1)]),
)
anchors = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))
schedules: st.SearchStrategy[BuiltInSchedule] = st.one_of(
    rules().map(lambda rule: rule.schedule),
    st.builds(lambda interval, anchor: every(interval, anchor=anchor), intervals, anchors),
    anchors.map(once),
    st.sampled_from(
        [next_daily, weekly("mon", "thu"), monthly(31), cron(EVERY_MINUTE), cron("0 0 29 2 *"), cron("* * 29 2 *")]
    ),
)
instants = st.datetimes(datetime(1, 1, 4), datetime(9999, 12, 27), timezones=st.just(UTC))


@many
@given(schedules, zones, instants, st.fractions(0, 1), st.integers(0, 3))
def test_nothing_fires_between_an_instant_and_the_next_fire_time(
    schedule: BuiltInSchedule, zone: ZoneInfo, after: datetime, share: float, microseconds: int
) -> None:
    following = schedule(after.astimezone(zone))
    end = datetime(9999, 12, 27, tzinfo=UTC) if following is None else following.astimezone(UTC)
    assert after < end or following is None

    if after < end:
        between = min(after + (end - after) * float(share), end - timedelta(microseconds=1 + microseconds))
        between = max(after, between)
        assert schedule(between.astimezone(zone)) == following
        assert schedule.count(after.astimezone(zone), between.astimezone(zone)) == 0
        assert schedule.latest(between.astimezone(zone)) == schedule.latest(after.astimezone(zone))


@many
@given(schedules, zones, instants)
def test_stepping_forwards_and_looking_back_agree(schedule: BuiltInSchedule, zone: ZoneInfo, after: datetime) -> None:
    start = after.astimezone(zone)
    stepped: list[datetime] = []
    following = schedule(start)
    while following is not None and len(stepped) < 8:
        stepped.append(following)
        following = schedule(following)

    in_utc = [fire_time.astimezone(UTC) for fire_time in stepped]
    assert in_utc == sorted(set(in_utc))
    keys = [schedule.fire_key(fire_time) for fire_time in stepped]
    assert len(set(keys)) == len(keys)
    for position, fire_time in enumerate(stepped):
        assert schedule.latest(fire_time) == fire_time
        assert schedule.count(start, fire_time) == position + 1
        if position:
            just_before = in_utc[position] - timedelta(microseconds=1)
            assert schedule.latest(just_before.astimezone(zone)) == stepped[position - 1]


moments_around = st.tuples(
    st.one_of(st.integers(-2 * DAY, 2 * DAY), st.integers(-7200, 7200)), st.sampled_from([0, 0, 1, 999_999])
)
"""Seconds from the middle of a window, and microseconds after that."""


@settings(slow_draws, max_examples=1000)
@given(windows(), rules(), moments_around, moments_around)
def test_a_count_is_what_an_enumeration_has(
    window: tuple[ZoneInfo, list[Stretch]], rule: Rule, begin: tuple[int, int], end: tuple[int, int]
) -> None:
    zone, cut = window
    middle = instant((cut[0].start + cut[-1].end) // 2)
    after, until = (middle + timedelta(seconds=seconds, microseconds=rest) for seconds, rest in sorted([begin, end]))

    expected = [fire_time for fire_time in rule.fire_times(cut) if after < instant(fire_time) <= until]
    assert rule.schedule.count(after.astimezone(zone), until.astimezone(zone)) == len(expected)


dense = st.sampled_from([cron("* * * * *"), cron("*/7 8-17 * * mon-fri"), cron(EVERY_MINUTE), cron("0-30 * L * *")])
of_three_centuries = st.datetimes(datetime(1850, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))


@settings(slow_draws, max_examples=100)
@given(dense | schedules, zones, st.lists(of_three_centuries, min_size=2, max_size=4))
def test_the_counts_of_parts_add_up_to_that_of_the_whole(
    schedule: BuiltInSchedule, zone: ZoneInfo, moments: list[datetime]
) -> None:
    cuts = [moment.astimezone(zone) for moment in sorted(moments)]

    parts = [schedule.count(earlier, later) for earlier, later in pairwise(cuts)]

    assert schedule.count(cuts[0], cuts[-1]) == sum(parts)


@settings(slow_draws, max_examples=100)
@given(dense, zones, of_three_centuries, st.integers(1, 3000))
def test_a_count_is_how_often_a_dense_schedule_can_be_stepped(
    schedule: BuiltInSchedule, zone: ZoneInfo, after: datetime, number: int
) -> None:
    start = last = after.astimezone(zone)
    for _ in range(number):
        following = schedule(last)
        assert following is not None
        last = following

    assert schedule.count(start, last) == number


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "Africa/Casablanca"])
@pytest.mark.parametrize("schedule", [cron("* * * * *"), cron(EVERY_MINUTE), next_daily], ids=str)
def test_a_century_is_counted_at_once(schedule: BuiltInSchedule, zone: str) -> None:
    start, end = (datetime(year, 1, 1, tzinfo=ZoneInfo(zone)) for year in (1970, 2070))

    seconds = min(timeit.repeat(lambda: schedule.count(start, end), number=1, repeat=5))

    assert schedule.count(start, end) > 36_500
    assert seconds < 0.25  # measured: 0.03 s


@slow_draws
@given(windows(), rules())
def test_the_key_does_not_depend_on_how_the_fire_time_was_reached(
    window: tuple[ZoneInfo, list[Stretch]], rule: Rule
) -> None:
    zone, cut = window

    for fire_time, key in list(rule.fire_times(cut).items())[:20]:
        reached = {
            rule.schedule.fire_key(moment)
            for moment in (
                rule.schedule((datetime.fromtimestamp(fire_time - 1, UTC)).astimezone(zone)),
                rule.schedule.latest((datetime.fromtimestamp(fire_time, UTC)).astimezone(zone)),
                datetime.fromtimestamp(fire_time, UTC).astimezone(zone),
            )
            if moment is not None
        }
        assert reached == {key}
