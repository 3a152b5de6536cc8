"""Schedules as values: in words, as fingerprints, compared, and refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from attrs.exceptions import FrozenInstanceError

from rapua_scheduler import schedules
from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.schedules import (
    BuiltInSchedule,
    Schedule,
    cron,
    daily,
    every,
    instant_key,
    monthly,
    next_daily,
    next_first_of_month,
    once,
    parse_schedule,
    weekly,
)

AUCKLAND = ZoneInfo("Pacific/Auckland")

IN_WORDS: list[tuple[BuiltInSchedule, str, str]] = [
    (next_daily, "every day at 00:00", "daily@00:00"),
    (next_first_of_month, "on the 1st of every month at 00:00", "monthly 1@00:00"),
    (daily("3:00"), "every day at 03:00", "daily@03:00"),
    (daily(time(3, 0, 30)), "every day at 03:00:30", "daily@03:00:30"),
    (daily("03:00", tz=AUCKLAND), "every day at 03:00 (Pacific/Auckland)", "daily@03:00|Pacific/Auckland"),
    (weekly("mon"), "every Monday at 00:00", "weekly mon@00:00"),
    (weekly("THU", "Monday", "mon", at="03:00"), "every Monday and Thursday at 03:00", "weekly mon,thu@03:00"),
    (weekly("sun", "sat", "fri"), "every Friday, Saturday and Sunday at 00:00", "weekly fri,sat,sun@00:00"),
    (monthly(22, "12:30"), "on the 22nd of every month at 12:30", "monthly 22@12:30"),
    (monthly(13), "on the 13th of every month at 00:00", "monthly 13@00:00"),
    (monthly(31), "on the 31st, or the last day, of every month at 00:00", "monthly 31@00:00"),
    (every(hours=6), "every 6 hours", "every 21600s from 1970-01-01T00:00:00Z"),
    (every(minutes=60), "every hour", "every 3600s from 1970-01-01T00:00:00Z"),
    (every(minutes=90), "every 90 minutes", "every 5400s from 1970-01-01T00:00:00Z"),
    (every(days=14), "every 2 weeks", "every 1209600s from 1970-01-01T00:00:00Z"),
    (every(seconds=1.5), "every 1500 milliseconds", "every 1.5s from 1970-01-01T00:00:00Z"),
    (every(timedelta(microseconds=1001)), "every 1001 microseconds", "every 0.001001s from 1970-01-01T00:00:00Z"),
    (
        every(days=1, anchor=datetime(2026, 1, 1, 9, tzinfo=UTC)),
        "every day from 2026-01-01T09:00:00Z",
        "every 86400s from 2026-01-01T09:00:00Z",
    ),
    (once("2026-11-01T17:00+13:00"), "once at 2026-11-01T04:00:00Z", "once 2026-11-01T04:00:00Z"),
    (
        weekly("sat", tz="Asia/Tokyo"),
        "every Saturday at 00:00 (Asia/Tokyo)",
        "weekly sat@00:00|Asia/Tokyo",
    ),
    (
        monthly(28, tz="Asia/Tokyo"),
        "on the 28th of every month at 00:00 (Asia/Tokyo)",
        "monthly 28@00:00|Asia/Tokyo",
    ),
    (monthly(29), "on the 29th, or the last day, of every month at 00:00", "monthly 29@00:00"),
    (cron("*/5 9-17 * * mon-fri"), 'cron "*/5 9-17 * * mon-fri"', "cron */5 9-17 * * mon-fri"),
    (cron("@daily", tz="Asia/Tokyo"), 'cron "0 0 * * *" (Asia/Tokyo)', "cron 0 0 * * *|Asia/Tokyo"),
]


@pytest.mark.parametrize(("schedule", "words", "fingerprint"), IN_WORDS, ids=[words for _, words, _ in IN_WORDS])
def test_a_schedule_is_told_in_words_and_has_a_fingerprint(
    schedule: BuiltInSchedule, words: str, fingerprint: str
) -> None:
    assert str(schedule) == words
    assert schedule.fingerprint == fingerprint


def test_every_day_of_a_month_is_told_as_people_say_it() -> None:
    told = [str(monthly(day)).split()[2].removesuffix(",") for day in range(1, 32)]

    assert told == [
        *("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th"),
        *("11th", "12th", "13th", "14th", "15th", "16th", "17th", "18th", "19th", "20th"),
        *("21st", "22nd", "23rd", "24th", "25th", "26th", "27th", "28th", "29th", "30th", "31st"),
    ]


def test_schedules_are_equal_exactly_if_their_rule_and_zone_are() -> None:
    assert daily("03:00") == daily(time(3))
    assert hash(daily("03:00")) == hash(daily(time(3)))
    assert next_daily == daily()
    assert next_first_of_month == monthly()
    assert len({schedule for schedule, _, _ in IN_WORDS}) == len(IN_WORDS)
    assert len({hash(schedule) for schedule, _, _ in IN_WORDS}) == len(IN_WORDS)
    assert daily("03:00") != daily("03:00", tz="Pacific/Auckland")
    assert daily("03:00") != "daily@03:00"


def test_a_schedule_cannot_be_changed() -> None:
    for schedule in (next_daily, every(hours=1), cron("@daily"), once("2026-11-01T04:00Z")):
        with pytest.raises(FrozenInstanceError):
            setattr(schedule, "at", time(5))  # noqa: B010  a checker would not let it pass


def test_a_built_in_schedule_is_what_the_host_asks_for() -> None:
    asked: list[Schedule] = [schedule for schedule, _, _ in IN_WORDS]

    assert all(isinstance(schedule, BuiltInSchedule) for schedule in asked)


def test_repr_shows_the_value() -> None:
    assert repr(next_daily) == "next_daily"
    assert repr(next_first_of_month) == "next_first_of_month"
    assert repr(daily("03:00")) == "Daily(tz=None, at=datetime.time(3, 0))"
    assert "0x" not in repr(cron("0 3 * * *"))


def test_all_public_names_exist_and_are_sorted() -> None:
    assert sorted(schedules.__all__, key=lambda name: (name[0].islower(), name)) == schedules.__all__
    assert all(hasattr(schedules, name) for name in schedules.__all__)


def test_an_instant_is_keyed_in_utc_to_the_microsecond() -> None:
    assert instant_key(datetime(2026, 11, 1, 17, tzinfo=AUCKLAND)) == "2026-11-01T04:00:00Z"
    assert instant_key(datetime(2026, 11, 1, 4, 0, 0, 250, tzinfo=UTC)) == "2026-11-01T04:00:00.000250Z"
    assert (
        every(milliseconds=1).fire_key(datetime(2026, 11, 1, 4, 0, 0, 1000, tzinfo=UTC))
        == "2026-11-01T04:00:00.001000Z"
    )


@pytest.mark.parametrize("schedule", [schedule for schedule, _, _ in IN_WORDS], ids=str)
def test_a_datetime_without_a_zone_is_refused(schedule: BuiltInSchedule) -> None:
    naive, aware = datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)

    with pytest.raises(InvalidScheduleError, match="pass an aware datetime"):
        schedule(naive)
    with pytest.raises(InvalidScheduleError, match="pass an aware datetime"):
        schedule.latest(naive)
    with pytest.raises(InvalidScheduleError, match="pass an aware datetime"):
        schedule.count(aware, naive)
    with pytest.raises(InvalidScheduleError, match="pass an aware datetime"):
        schedule.fire_key(naive)


@pytest.mark.parametrize(
    "tz", ["Pacific/Aukland", "", "Pacific", "../etc/passwd", "/etc/localtime", "a\0b", "NZ ST", 12, UTC]
)
def test_a_zone_that_is_not_known_is_refused(tz: str) -> None:
    for refuse in (
        lambda: daily(tz=tz),
        lambda: weekly("mon", tz=tz),
        lambda: monthly(tz=tz),
        lambda: cron("@daily", tz=tz),
    ):
        with pytest.raises(InvalidScheduleError, match="zone"):
            refuse()


@pytest.mark.parametrize(
    "at",
    [
        "24:00",
        "12:60",
        "12:30:60",
        "1230",
        "12",
        "noon",
        "",
        "12:30 ",
        "-1:00",
        "12:30:15.5",
        time(12, tzinfo=UTC),
        time(0, 0, 0, 5),
        12,
    ],
)
def test_a_time_of_day_that_does_not_exist_is_refused(at: str) -> None:
    for refuse in (lambda: daily(at), lambda: weekly("mon", at=at), lambda: monthly(1, at)):
        with pytest.raises(InvalidScheduleError, match="time of day"):
            refuse()


@pytest.mark.parametrize("day", [0, 32, -1, 1.0, True, "1", None])
def test_a_day_that_no_month_has_is_refused(day: int) -> None:
    with pytest.raises(InvalidScheduleError, match="whole number from 1 to 31"):
        monthly(day)


@pytest.mark.parametrize("day", ["mo", "funday", "mon,thu", "", 1, None])
def test_a_day_that_no_week_has_is_refused(day: str) -> None:
    with pytest.raises(InvalidScheduleError, match="is not a day"):
        weekly("mon", day)


def test_a_week_without_days_is_refused() -> None:
    with pytest.raises(InvalidScheduleError, match="name the days"):
        weekly()


ZONE = 'tz must be the name of a time zone, such as "Pacific/Auckland", not'
TIME = 'at must be a time of day such as "23:59", in whole seconds and without a zone, not'
INSTANT = 'must be an aware datetime, or text with an offset such as "2026-11-01T17:00+13:00"'
FIVE = "a cron expression has five: minute, hour, day of month, month, day of week (for seconds, see every)"
NICKNAMES = "@annually, @daily, @hourly, @midnight, @monthly, @weekly, @yearly"
HOUR = "datetime.timedelta(seconds=3600)"


@pytest.mark.parametrize(
    ("refuse", "expression", "problem"),
    [
        (lambda: daily("24:00"), "daily(at='24:00')", f"{TIME} '24:00'"),
        (lambda: weekly("mon", "thu", at="12"), "weekly('mon', 'thu', at='12')", f"{TIME} '12'"),
        (lambda: monthly(1, "12"), "monthly(day=1, at='12')", f"{TIME} '12'"),
        (lambda: weekly(), "weekly()", 'name the days, such as weekly("mon", "thu")'),
        (
            lambda: weekly("mon", "funday", at="12:00"),
            "weekly('mon', 'funday', at='12:00')",
            "'funday' is not a day; write mon, tue, wed, thu, fri, sat or sun",
        ),
        (
            lambda: monthly(32, "12:00"),
            "monthly(day=32, at='12:00')",
            "day must be a whole number from 1 to 31, not 32; 31 is the last day of every month",
        ),
        (
            lambda: daily(tz="Mars/Olympus"),
            "daily(at='00:00')",
            "no time zone is called 'Mars/Olympus'; write it like \"Pacific/Auckland\"",
        ),
        (lambda: weekly("mon", tz=12), "weekly('mon', at='00:00')", f"{ZONE} 12"),  # type: ignore[arg-type]
        (lambda: monthly(tz=UTC), "monthly(day=1, at='00:00')", f"{ZONE} datetime.timezone.utc"),  # type: ignore[arg-type]
        (lambda: cron("@daily", tz=12), "@daily", f"{ZONE} 12"),  # type: ignore[arg-type]
        (lambda: cron(5), "5", "a cron expression is text"),  # type: ignore[arg-type]
        (lambda: cron("@Reboot"), "@Reboot", f"is not a time; the nicknames are {NICKNAMES}"),
        (lambda: cron("0 0 * *"), "0 0 * *", f"has 4 fields; {FIVE}"),
        (
            lambda: cron("0 0 * 13 *"),
            "0 0 * 13 *",
            "month '13' is wrong; it takes 1 to 12, or jan to dec, and ranges that go upwards",
        ),
        (lambda: cron("0 0 30 2 *"), "0 0 30 2 *", "never fires: no date matches its days and months together"),
        (
            lambda: every(timedelta(hours=1), hours=-2, days=-0.5),
            f"every({HOUR}, days=-0.5, hours=-2)",
            "the interval must be at least a millisecond",
        ),
        (lambda: every(), "every()", "the interval must be at least a millisecond"),
        (lambda: every(6), "every(6)", "takes a timedelta, or keywords such as hours=6"),  # type: ignore[arg-type]
        (
            lambda: every(hours=float("nan")),
            "every(hours=nan)",
            "is not a duration: cannot convert float NaN to integer",
        ),
        (
            lambda: every(timedelta(hours=1), anchor=datetime(2026, 1, 1)),
            f"every({HOUR})",
            "anchor must be an aware datetime, not datetime.datetime(2026, 1, 1, 0, 0)",
        ),
        (lambda: once("now"), "once('now')", "is not an instant: Invalid isoformat string: 'now'"),
        (lambda: once("2026-11-01"), "once('2026-11-01')", INSTANT),
        (lambda: once(5), "once(5)", INSTANT),  # type: ignore[arg-type]
        (lambda: parse_schedule(5), "5", 'write it as text, such as "0 3 * * *" or "every 6h"'),  # type: ignore[arg-type]
        (lambda: parse_schedule("every h"), "every h", 'write "every" and a duration, such as "every 1h30m"'),
        (lambda: parse_schedule(" every 99999999999w"), " every 99999999999w", "is longer than the calendar"),
        (
            lambda: daily()(datetime(2026, 1, 1)),
            "every day at 00:00",
            "asked about datetime.datetime(2026, 1, 1, 0, 0); pass an aware datetime",
        ),
    ],
)
def test_a_refusal_shows_what_was_written_and_says_what_to_write(
    refuse: Callable[[], object], expression: str, problem: str
) -> None:
    with pytest.raises(InvalidScheduleError) as caught:
        refuse()

    assert (caught.value.expression, caught.value.problem) == (expression, problem)


def test_a_fixed_offset_is_a_zone_as_well() -> None:
    offset = timezone(timedelta(hours=5, minutes=45))

    assert daily("03:00")(datetime(2026, 1, 1, tzinfo=offset)) == datetime(2026, 1, 1, 3, tzinfo=offset)
    assert cron("*/10 3 * * *")(datetime(2026, 1, 1, tzinfo=offset)) == datetime(2026, 1, 1, 3, tzinfo=offset)
