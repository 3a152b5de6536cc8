"""Gaps, folds and missing dates that once happened, and what is due on them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from rapua_scheduler.schedules import (
    BuiltInSchedule,
    cron,
    daily,
    every,
    monthly,
    next_daily,
    next_first_of_month,
    once,
    weekly,
)
from rapua_scheduler.schedules.base import LATEST

AUCKLAND = ZoneInfo("Pacific/Auckland")


def fire_times(schedule: BuiltInSchedule, zone: str, after: str, until: str) -> list[tuple[str, str]]:
    """Step *schedule* over wall times `(after, until]` of *zone*: instants in UTC, and keys."""
    here = ZoneInfo(zone)
    end = datetime.fromisoformat(until).replace(tzinfo=here).astimezone(UTC)
    found = []
    fire_time = schedule(datetime.fromisoformat(after).replace(tzinfo=here))
    while fire_time is not None and fire_time.astimezone(UTC) <= end:
        found.append((f"{fire_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", schedule.fire_key(fire_time)))
        fire_time = schedule(fire_time)
    return found


@pytest.mark.parametrize(
    ("zone", "schedule", "nominal", "expected"),
    [
        # The wall clock jumps over the nominal time: the instant at which it lands.
        ("Pacific/Auckland", daily("02:30"), "2024-09-29T02:30", "2024-09-28T14:00:00Z"),
        ("Pacific/Auckland", daily("02:00"), "2024-09-29T02:00", "2024-09-28T14:00:00Z"),
        ("Pacific/Auckland", daily("02:59:59"), "2024-09-29T02:59:59", "2024-09-28T14:00:00Z"),
        ("Pacific/Auckland", daily("03:00"), "2024-09-29T03:00", "2024-09-28T14:00:00Z"),
        ("Pacific/Auckland", monthly(1, "02:30"), "2006-10-01T02:30", "2006-09-30T14:00:00Z"),
        ("Pacific/Auckland", weekly("sun", at="02:30"), "2024-09-29T02:30", "2024-09-28T14:00:00Z"),
        ("Pacific/Auckland", cron("30 2 * * *"), "2024-09-29T02:30", "2024-09-28T14:00:00Z"),
        ("America/Havana", next_daily, "2012-04-01T00:00", "2012-04-01T05:00:00Z"),
        ("America/Havana", next_first_of_month, "2012-04-01T00:00", "2012-04-01T05:00:00Z"),
        ("America/Santiago", next_daily, "2019-09-08T00:00", "2019-09-08T04:00:00Z"),
        ("America/Sao_Paulo", next_daily, "2018-11-04T00:00", "2018-11-04T03:00:00Z"),
        ("Africa/Cairo", next_daily, "2023-04-28T00:00", "2023-04-27T22:00:00Z"),
        ("Asia/Beirut", next_daily, "2022-03-27T00:00", "2022-03-26T22:00:00Z"),
        ("Asia/Pyongyang", daily("23:45"), "2018-05-04T23:45", "2018-05-04T15:00:00Z"),
        ("Asia/Pyongyang", next_daily, "2018-05-05T00:00", "2018-05-04T15:00:00Z"),
        ("Australia/Lord_Howe", daily("02:15"), "2019-10-06T02:15", "2019-10-05T15:30:00Z"),
        ("Africa/Casablanca", daily("02:30"), "2019-06-09T02:30", "2019-06-09T02:00:00Z"),
        ("Africa/Monrovia", daily("00:30"), "1972-01-07T00:30", "1972-01-07T00:44:30Z"),
        # The wall clock shows the nominal time twice: the first.
        ("Pacific/Auckland", daily("02:30"), "2024-04-07T02:30", "2024-04-06T13:30:00Z"),
        ("Pacific/Auckland", cron("30 2 * * *"), "2024-04-07T02:30", "2024-04-06T13:30:00Z"),
        ("America/Havana", next_daily, "2012-11-04T00:00", "2012-11-04T04:00:00Z"),
        ("America/Havana", next_first_of_month, "2015-11-01T00:00", "2015-11-01T04:00:00Z"),
        ("America/Santiago", daily("23:30"), "2019-04-06T23:30", "2019-04-07T02:30:00Z"),
        ("America/Santiago", next_daily, "2019-04-07T00:00", "2019-04-07T04:00:00Z"),
        ("Africa/Cairo", daily("23:30"), "2023-10-26T23:30", "2023-10-26T20:30:00Z"),
        ("Africa/Cairo", next_daily, "2023-10-27T00:00", "2023-10-26T22:00:00Z"),
        ("Asia/Beirut", daily("23:30"), "2022-10-29T23:30", "2022-10-29T20:30:00Z"),
        ("Asia/Pyongyang", daily("23:45"), "2015-08-14T23:45", "2015-08-14T14:45:00Z"),
        ("Asia/Pyongyang", next_daily, "2015-08-15T00:00", "2015-08-14T15:30:00Z"),
        ("Australia/Lord_Howe", daily("01:45"), "2019-04-07T01:45", "2019-04-06T14:45:00Z"),
        ("Africa/Casablanca", daily("02:30"), "2019-05-05T02:30", "2019-05-05T01:30:00Z"),
    ],
)
def test_a_nominal_time_fires_once_at_the_instant_it_is_first_shown_or_passed(
    zone: str, schedule: BuiltInSchedule, nominal: str, expected: str
) -> None:
    two_days_before = (datetime.fromisoformat(nominal) - timedelta(days=2)).isoformat()
    two_days_later = (datetime.fromisoformat(nominal) + timedelta(days=2)).isoformat()

    found = fire_times(schedule, zone, two_days_before, two_days_later)

    assert [fire_time for fire_time, key in found if key == nominal] == [expected]
    assert [key for fire_time, key in found if fire_time == expected] == [nominal]


def test_a_date_that_does_not_exist_does_not_fire() -> None:
    assert fire_times(daily("12:00"), "Pacific/Apia", "2011-12-29T00:00", "2012-01-01T00:00") == [
        ("2011-12-29T22:00:00Z", "2011-12-29T12:00"),
        ("2011-12-30T22:00:00Z", "2011-12-31T12:00"),
    ]
    assert fire_times(next_daily, "Pacific/Apia", "2011-12-28T12:00", "2011-12-31T12:00") == [
        ("2011-12-29T10:00:00Z", "2011-12-29T00:00"),
        ("2011-12-30T10:00:00Z", "2011-12-31T00:00"),
    ]
    assert [key for _, key in fire_times(daily("12:00"), "Pacific/Kwajalein", "1993-08-20", "1993-08-23")] == [
        "1993-08-20T12:00",
        "1993-08-22T12:00",
    ]
    assert fire_times(cron("0 12 30 12 *"), "Pacific/Apia", "2011-01-01", "2013-01-01") == [
        ("2012-12-29T22:00:00Z", "2012-12-30T12:00"),
    ]


@pytest.mark.parametrize(
    "schedule", [daily("12:00"), cron("0 12 29,30 12 *"), weekly("thu", "fri", at="12:00")], ids=str
)
def test_looking_back_over_a_date_that_does_not_exist_finds_the_one_before(schedule: BuiltInSchedule) -> None:
    next_morning = datetime(2011, 12, 31, 5, tzinfo=ZoneInfo("Pacific/Apia"))

    newest = schedule.latest(next_morning)

    assert newest is not None
    assert schedule.fire_key(newest) == "2011-12-29T12:00"


def test_looking_back_from_the_second_pass_of_an_hour_finds_the_last_of_the_first() -> None:
    second_pass = datetime(2024, 4, 7, 2, 15, tzinfo=AUCKLAND, fold=1)

    assert cron("0,30,45 2 * * *").latest(second_pass) == datetime(2024, 4, 7, 2, 45, tzinfo=AUCKLAND)
    assert cron("0,30,45 2 * * *")(second_pass) == datetime(2024, 4, 8, 2, 0, tzinfo=AUCKLAND)


def test_two_fixed_times_in_one_gap_fire_once_as_the_first_of_them() -> None:
    found = fire_times(cron("0,30 2,3 * * *"), "Pacific/Auckland", "2024-09-29T00:00", "2024-09-29T12:00")

    assert found == [("2024-09-28T14:00:00Z", "2024-09-29T02:00"), ("2024-09-28T14:30:00Z", "2024-09-29T03:30")]


def test_a_gap_across_midnight_keeps_the_key_of_the_day_before() -> None:
    found = fire_times(cron("0,45 0,23 * * *"), "Asia/Pyongyang", "2018-05-04T12:00", "2018-05-05T12:00")

    assert found == [
        ("2018-05-04T14:30:00Z", "2018-05-04T23:00"),
        ("2018-05-04T15:00:00Z", "2018-05-04T23:45"),
        ("2018-05-04T15:45:00Z", "2018-05-05T00:45"),
    ]


def test_a_pattern_fires_at_both_passes_of_an_hour_that_comes_twice() -> None:
    found = fire_times(cron("*/30 2 * * *"), "Pacific/Auckland", "2024-04-07T00:00", "2024-04-07T12:00")

    assert found == [
        ("2024-04-06T13:00:00Z", "2024-04-06T13:00:00Z"),
        ("2024-04-06T13:30:00Z", "2024-04-06T13:30:00Z"),
        ("2024-04-06T14:00:00Z", "2024-04-06T14:00:00Z"),
        ("2024-04-06T14:30:00Z", "2024-04-06T14:30:00Z"),
    ]


def test_a_pattern_does_not_fire_within_a_gap() -> None:
    found = fire_times(cron("*/30 1-3 * * *"), "Pacific/Auckland", "2024-09-29T01:15", "2024-09-29T12:00")

    assert [fire_time for fire_time, _ in found] == [
        "2024-09-28T13:30:00Z",
        "2024-09-28T14:00:00Z",
        "2024-09-28T14:30:00Z",
    ]


def test_a_pattern_fires_from_the_first_matching_minute_after_a_gap_of_half_an_hour() -> None:
    found = fire_times(cron("*/15 2-3 * * *"), "Australia/Lord_Howe", "2019-10-06T00:00", "2019-10-06T03:15")

    assert [fire_time for fire_time, _ in found] == [
        "2019-10-05T15:30:00Z",
        "2019-10-05T15:45:00Z",
        "2019-10-05T16:00:00Z",
        "2019-10-05T16:15:00Z",
    ]


def test_a_pattern_does_not_lose_the_start_of_the_hour_after_a_gap_of_half_an_hour() -> None:
    found = fire_times(cron("*/15 3 * * *"), "Australia/Lord_Howe", "2019-10-06T00:00", "2019-10-06T03:15")

    assert [fire_time for fire_time, _ in found] == ["2019-10-05T16:00:00Z", "2019-10-05T16:15:00Z"]


def test_a_pattern_sees_two_changes_of_the_clock_that_cancel_out_within_a_week() -> None:
    found = fire_times(cron("*/30 23 14 10 *"), "America/Recife", "2000-10-01T00:00", "2000-11-01T00:00")

    assert [fire_time for fire_time, _ in found] == [
        "2000-10-15T01:00:00Z",
        "2000-10-15T01:30:00Z",
        "2000-10-15T02:00:00Z",
        "2000-10-15T02:30:00Z",
    ]


def test_an_interval_pays_no_heed_to_the_wall_clock() -> None:
    found = fire_times(every(hours=1), "Pacific/Auckland", "2024-04-07T01:30", "2024-04-07T03:30")

    assert [fire_time for fire_time, _ in found] == [
        "2024-04-06T13:00:00Z",
        "2024-04-06T14:00:00Z",
        "2024-04-06T15:00:00Z",
    ]


def test_the_second_pass_of_an_hour_is_later_than_the_first() -> None:
    second_pass = datetime(2024, 4, 7, 2, 15, tzinfo=AUCKLAND, fold=1)

    assert daily("02:30")(second_pass) == datetime(2024, 4, 8, 2, 30, tzinfo=AUCKLAND)
    assert daily("02:30").latest(second_pass) == datetime(2024, 4, 7, 2, 30, tzinfo=AUCKLAND)
    following = cron("*/30 * * * *")(second_pass)
    assert following is not None
    assert following.astimezone(UTC) == datetime(2024, 4, 6, 14, 30, tzinfo=UTC)
    assert following.fold == 1


def test_a_time_of_day_is_the_first_of_two_whatever_its_fold() -> None:
    schedule = daily(time(2, 30, fold=1))

    assert schedule == daily("02:30")
    fire_time = schedule(datetime(2024, 4, 7, tzinfo=AUCKLAND))
    assert fire_time is not None
    assert fire_time.astimezone(UTC) == datetime(2024, 4, 6, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize("schedule", [daily("12:00"), cron("0,30 2 1 * *"), weekly("mon")], ids=str)
def test_an_instant_that_is_no_fire_time_has_the_wall_time_as_its_key(schedule: BuiltInSchedule) -> None:
    end_of_gap = datetime(2024, 9, 28, 14, tzinfo=UTC)

    assert schedule.fire_key(end_of_gap.astimezone(AUCKLAND)) == "2024-09-29T03:00"
    assert schedule.fire_key((end_of_gap - timedelta(hours=1)).astimezone(AUCKLAND)) == "2024-09-29T01:00"


def test_a_wall_time_that_never_was_counts_as_the_instant_it_stands_for() -> None:
    imaginary = datetime(2024, 9, 29, 2, 30, tzinfo=AUCKLAND)
    real = imaginary.astimezone(UTC).astimezone(AUCKLAND)
    assert (real.hour, real.minute) == (3, 30)

    for schedule in (daily("03:15"), daily("03:45"), cron("*/10 * * * *"), every(minutes=10)):
        assert schedule(imaginary) == schedule(real)
        assert schedule.latest(imaginary) == schedule.latest(real)


def test_the_key_of_a_nominal_time_outlives_a_change_of_the_zones_rules() -> None:
    after = datetime(2026, 6, 29, tzinfo=UTC)
    old_zone, new_zone = timezone(timedelta(hours=12)), timezone(timedelta(hours=13))

    old = next_first_of_month(after.astimezone(old_zone))
    new = next_first_of_month(after.astimezone(new_zone))

    assert old is not None
    assert new is not None
    assert old - new == timedelta(hours=1)
    assert next_first_of_month.fire_key(old) == next_first_of_month.fire_key(new) == "2026-07-01T00:00"


def test_a_schedule_with_a_zone_of_its_own_answers_in_it_wherever_it_is_asked() -> None:
    schedule = daily("03:00", tz="Pacific/Auckland")

    fire_time = schedule(datetime(2026, 6, 30, 12, tzinfo=ZoneInfo("America/Havana")))

    assert fire_time == datetime(2026, 7, 2, 3, tzinfo=AUCKLAND)
    assert fire_time.tzinfo is AUCKLAND
    assert schedule.fire_key(fire_time.astimezone(UTC)) == "2026-07-02T03:00"


def test_a_schedule_without_a_zone_answers_in_the_zone_it_is_asked_in() -> None:
    assert daily("03:00")(datetime(2026, 6, 30, tzinfo=AUCKLAND)) == datetime(2026, 6, 30, 3, tzinfo=AUCKLAND)
    assert daily("03:00")(datetime(2026, 6, 30, tzinfo=UTC)) == datetime(2026, 6, 30, 3, tzinfo=UTC)
    fire_time = every(hours=1)(datetime(2026, 6, 30, tzinfo=AUCKLAND))
    assert fire_time is not None
    assert fire_time.tzinfo is AUCKLAND


@pytest.mark.parametrize("day", [29, 30, 31])
@pytest.mark.parametrize(("year", "last"), [(1896, 29), (1900, 28), (2000, 29), (2023, 28), (2024, 29), (2100, 28)])
def test_a_day_that_february_lacks_fires_on_its_last_one(day: int, year: int, last: int) -> None:
    schedule = monthly(day, "06:00")

    fire_time = schedule(datetime(year, 2, 1, tzinfo=UTC))

    assert fire_time == datetime(year, 2, min(day, last), 6, tzinfo=UTC)
    assert schedule(fire_time) == datetime(year, 3, day, 6, tzinfo=UTC)
    assert schedule.latest(datetime(year, 3, 1, tzinfo=UTC)) == fire_time


def test_a_cron_expression_for_a_leap_day_waits_for_one() -> None:
    schedule = cron("0 0 29 2 *")

    assert schedule(datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)
    assert schedule.latest(datetime(2104, 2, 28, tzinfo=UTC)) == datetime(2096, 2, 29, tzinfo=UTC)
    assert cron("0 0 */29 2 */7")(datetime(2072, 3, 1, tzinfo=UTC)) is not None


BUILT_INS: list[BuiltInSchedule] = [
    next_daily,
    next_first_of_month,
    daily("23:59"),
    weekly("mon", at="12:00"),
    monthly(31, "23:59"),
    every(hours=7),
    every(days=400_000),
    cron("59 23 31 12 *"),
    cron("0 0 29 2 *"),
    cron("*/7 * * * *"),
]
ZONES_AT_THE_EDGES = [UTC, AUCKLAND, ZoneInfo("America/Los_Angeles"), timezone(timedelta(hours=-23, minutes=-59))]


@pytest.mark.parametrize("schedule", BUILT_INS, ids=str)
@pytest.mark.parametrize("zone", ZONES_AT_THE_EDGES, ids=str)
def test_there_is_no_fire_time_beyond_the_calendar(schedule: BuiltInSchedule, zone: ZoneInfo) -> None:
    near_the_end = datetime(9999, 12, 28, tzinfo=zone)

    for minutes in (*range(0, 3 * 1440, 97), 4 * 1440 - 1):
        after = near_the_end + timedelta(minutes=minutes)
        fire_time = schedule(after)
        if fire_time is not None:
            assert after.astimezone(UTC) < fire_time.astimezone(UTC)
        newest = schedule.latest(after)
        assert newest is None or newest.astimezone(UTC).year >= 9000 or schedule == every(days=400_000)
        assert newest is None or newest.astimezone(UTC) <= LATEST
    assert schedule(datetime.max.replace(tzinfo=zone)) is None


@pytest.mark.parametrize("schedule", BUILT_INS, ids=str)
@pytest.mark.parametrize("zone", ZONES_AT_THE_EDGES, ids=str)
def test_the_start_of_the_calendar_can_be_asked_about(schedule: BuiltInSchedule, zone: ZoneInfo) -> None:
    start = datetime.min.replace(tzinfo=zone)

    fire_time = schedule(start)

    assert fire_time is not None
    assert schedule.latest(start) is None
    assert schedule.latest(fire_time) == fire_time
    assert schedule.count(start, fire_time) == 1
    just_before = (fire_time.astimezone(UTC) - timedelta(microseconds=1)).astimezone(zone)
    assert schedule.latest(just_before) is None


def test_the_last_months_of_the_calendar_have_their_fire_times() -> None:
    assert monthly(1)(datetime(9999, 5, 5, tzinfo=UTC)) == datetime(9999, 6, 1, tzinfo=UTC)
    assert monthly(1).latest(datetime(9999, 12, 5, tzinfo=UTC)) == datetime(9999, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize("schedule", [once(LATEST), every(days=1000, anchor=LATEST)], ids=str)
def test_the_last_instant_of_the_calendar_may_be_a_fire_time(schedule: BuiltInSchedule) -> None:
    just_before = LATEST - timedelta(microseconds=1)

    assert schedule(just_before) == schedule.latest(LATEST) == LATEST
    assert schedule.count(just_before, LATEST) == 1
    assert schedule(LATEST) is None
