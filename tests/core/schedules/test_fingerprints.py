"""A fingerprint is enough to have the schedule back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler import cron, daily, every, monthly, next_daily, next_first_of_month, once, weekly
from rapua_scheduler.schedules import BuiltInSchedule, from_fingerprint

SCHEDULES: list[BuiltInSchedule] = [
    next_daily,
    next_first_of_month,
    daily("03:00:07"),
    daily("03:00", tz="Pacific/Auckland"),
    weekly("mon", "thu", at="23:59"),
    weekly("sun", tz="Europe/Berlin"),
    monthly(31, at="00:30", tz="UTC"),
    cron("*/5 9-17 * * mon-fri"),
    cron("@daily", tz="America/Havana"),
    every(hours=6),
    every(milliseconds=1),
    every(timedelta(microseconds=1_000_001), anchor=datetime(2026, 1, 1, 3, 4, 5, 6, tzinfo=UTC)),
    once("2026-11-01T17:00:00.5+13:00"),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_built_in_schedule_comes_back(schedule: BuiltInSchedule) -> None:
    found = from_fingerprint(schedule.fingerprint)

    assert found == schedule
    assert str(found) == str(schedule)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "next my_plugin.next_fire_time",
        "daily@25:00",
        "daily@3:00",
        "daily@03:00|Mars/Olympus",
        "monthly 0@00:00",
        "weekly @00:00",
        "cron 0 0 31 2 *",
        "every 0s from 1970-01-01T00:00:00Z",
        "every 5s from yesterday",
        "once upon a time",
    ],
)
def test_what_is_no_fingerprint_of_a_built_in_schedule_gives_none(text: str) -> None:
    assert from_fingerprint(text) is None


@given(st.text(max_size=40))
def test_no_text_makes_it_raise(text: str) -> None:
    assert from_fingerprint(text) is None or from_fingerprint(text).fingerprint == text  # type: ignore[union-attr]
