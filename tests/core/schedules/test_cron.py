"""What a cron expression means, and which ones are refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from rapua_scheduler.errors import InvalidScheduleError, RapuaSchedulerError
from rapua_scheduler.schedules import BuiltInSchedule, cron, next_daily, next_first_of_month

from .rules import MONTHS, WEEKDAYS

AUCKLAND = ZoneInfo("Pacific/Auckland")


def dates(schedule: BuiltInSchedule, year: int, month: int, number: int) -> list[tuple[int, int]]:
    """Return month and day of the first fire times from the start of a month on."""
    found: list[tuple[int, int]] = []
    fire_time = schedule(datetime(year, month, 1, tzinfo=UTC) - timedelta(seconds=1))
    while fire_time is not None and len(found) < number:
        found.append((fire_time.month, fire_time.day))
        fire_time = schedule(fire_time)
    return found


def field(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """Draw one field of an expression."""
    numbers = st.integers(low, high).map(str)
    ranges = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda ends: f"{min(ends)}-{max(ends)}")
    steps = st.tuples(st.one_of(st.just("*"), ranges), st.integers(1, high)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    single = st.one_of(numbers, ranges, steps, *([st.sampled_from(names)] if names else []))
    return st.one_of(st.just("*"), st.lists(single, min_size=1, max_size=3).map(",".join))


expressions = st.tuples(
    field(0, 59),
    field(0, 23),
    st.one_of(field(1, 28), st.sampled_from(["L", "LW", "29", "30-31"])),
    field(1, 12, MONTHS),
    field(0, 7, WEEKDAYS),
).map(" ".join)


@settings(deadline=None, max_examples=10 * settings().max_examples)
@given(expressions, st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1)))
def test_an_expression_matches_the_wall_times_that_cronsim_enumerates(expression: str, start: datetime) -> None:
    try:
        schedule = cron(expression)
    except InvalidScheduleError:
        with pytest.raises((CronSimError, StopIteration)):
            next(CronSim(expression, start))
        return
    later = list(islice(CronSim(expression, start), 5))
    earlier = list(islice(CronSim(expression, start, reverse=True), 5))

    forwards, backwards = [], []
    moment = start.replace(tzinfo=UTC)
    for _ in later:
        following = schedule(moment)
        assert following is not None
        moment = following
        forwards.append(moment.replace(tzinfo=None))
    moment = start.replace(tzinfo=UTC) - timedelta(microseconds=1)
    for _ in earlier:
        newest = schedule.latest(moment)
        assert newest is not None
        backwards.append(newest.replace(tzinfo=None))
        moment = newest - timedelta(microseconds=1)

    assert forwards == later
    assert backwards == earlier


def test_either_day_field_is_enough_when_both_are_restricted() -> None:
    assert dates(cron("0 0 13 * fri"), 2026, 3, 5) == [(3, 6), (3, 13), (3, 20), (3, 27), (4, 3)]
    assert dates(cron("0 0 14 * fri"), 2026, 3, 5) == [(3, 6), (3, 13), (3, 14), (3, 20), (3, 27)]


def test_both_day_fields_must_match_when_one_starts_with_a_star() -> None:
    assert dates(cron("0 0 */2 * fri"), 2026, 3, 3) == [(3, 13), (3, 27), (4, 3)]


def test_sunday_is_zero_and_seven() -> None:
    sundays = [(3, 1), (3, 8), (3, 15)]

    for name in ("0", "7", "sun", "SUN", "7-7"):
        assert dates(cron(f"0 0 * * {name}"), 2026, 3, 3) == sundays


def test_months_and_days_have_names() -> None:
    assert cron("0 0 1 jan,JUL *")(datetime(2026, 2, 1, tzinfo=UTC)) == datetime(2026, 7, 1, tzinfo=UTC)
    assert dates(cron("0 0 * * mon-fri"), 2026, 3, 6) == [(3, 2), (3, 3), (3, 4), (3, 5), (3, 6), (3, 9)]


@pytest.mark.parametrize(
    ("nickname", "expression"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@Daily", "0 0 * * *"),
    ],
)
def test_a_nickname_is_its_expression(nickname: str, expression: str) -> None:
    assert cron(nickname) == cron(expression)


def test_spaces_and_case_do_not_make_another_schedule() -> None:
    assert cron("  0\t3  * * MON-FRI ") == cron("0 3 * * mon-fri")
    assert str(cron("  0\t3  * * MON-FRI ")) == 'cron "0 3 * * mon-fri"'


@pytest.mark.parametrize("expression", ["30 2 * * *", "0,30 2,14 * * *", "30 2 */2 1-6 mon-fri"])
def test_numbers_and_lists_are_fixed_times_with_a_nominal_key(expression: str) -> None:
    fire_time = cron(expression)(datetime(2026, 1, 1, 12, tzinfo=AUCKLAND))

    assert fire_time is not None
    assert cron(expression).fire_key(fire_time) == f"{fire_time:%Y-%m-%dT%H:%M}"


@pytest.mark.parametrize(
    "expression",
    ["* * * * *", "*/5 2 * * *", "30 * * * *", "0 */2 * * *", "0 9-17 * * *", "0-5 2 * * *", "0,5-6 2 * * *"],
)
def test_stars_ranges_and_steps_are_patterns_with_an_instant_as_key(expression: str) -> None:
    fire_time = cron(expression)(datetime(2026, 1, 1, 12, tzinfo=AUCKLAND))

    assert fire_time is not None
    assert cron(expression).fire_key(fire_time) == f"{fire_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(("expression", "same"), [("0 0 * * *", next_daily), ("0 0 1 * *", next_first_of_month)])
def test_midnight_in_cron_is_the_original_midnight(
    expression: str, same: Callable[[datetime], datetime | None]
) -> None:
    for zone_name in ("America/Havana", "America/Santiago", "Africa/Cairo", "Asia/Beirut", "Pacific/Apia", "UTC"):
        ours = theirs = datetime(2010, 12, 31, 12, tzinfo=ZoneInfo(zone_name))
        for _ in range(800):
            following, expected = cron(expression)(ours), same(theirs)
            assert following is not None
            assert expected is not None
            assert following == expected
            ours, theirs = following, expected


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "0 fields"),
        ("0 0 * *", "4 fields"),
        ("0 0 0 * * *", "6 fields"),
        ("60 0 * * *", "minute '60' is wrong"),
        ("-1 0 * * *", "minute '-1' is wrong"),
        ("0 24 * * *", "hour '24' is wrong"),
        ("0 0 0 * *", "day of month '0' is wrong"),
        ("0 0 32 * *", "day of month '32' is wrong"),
        ("0 0 * 13 *", "month '13' is wrong"),
        ("0 0 * * 8", "day of week '8' is wrong"),
        ("0 0 * * fri-mon", "day of week 'fri-mon' is wrong"),
        ("*/0 0 * * *", "minute '*/0' is wrong"),
        ("a 0 * * *", "minute 'a' is wrong"),
        ("0 ? * * *", "hour '?' is wrong"),
        ("²0 0 * * *", "minute '²0' is wrong"),
        ("1" * 5000 + " 0 * * *", "minute '111"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 2,4,6,9,11 *", "never fires"),
        ("0 0 */31 * mon#5", "never fires"),
        ("* * 30-31 2 *", "never fires"),
        ("@reboot", "nicknames are @annually"),
        ("@fortnightly", "nicknames are @annually"),
    ],
)
def test_an_expression_that_means_nothing_is_refused_with_the_reason(expression: str, problem: str) -> None:
    with pytest.raises(InvalidScheduleError) as caught:
        cron(expression)

    assert problem in caught.value.problem
    assert caught.value.expression == expression
    assert isinstance(caught.value, RapuaSchedulerError)
    assert isinstance(caught.value, ValueError)


def test_something_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidScheduleError, match="is text"):
        cron(5)  # type: ignore[arg-type]
