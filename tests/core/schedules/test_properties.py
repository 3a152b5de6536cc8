"""What holds for every schedule, in every zone, at any time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rapua_scheduler.schedules import BuiltInSchedule, cron, every, monthly, next_daily, once, weekly

from .oracle import DAY, Rule, Stretch, assert_fires, seconds_of, stretches
from .rules import rules

ZONE_NAMES = sorted(available_timezones())
FEW_DAYS = 4 * DAY

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
    st.sampled_from([next_daily, weekly("mon", "thu"), monthly(31), cron("0 0 29 2 *"), cron("* * 29 2 *")]),
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
