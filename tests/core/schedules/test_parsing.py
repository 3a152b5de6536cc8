"""Schedules as an operator writes them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.schedules import BuiltInSchedule, cron, every, parse_schedule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 1 * *", cron("0 0 1 * *")),
        (" @daily\n", cron("@daily")),
        ("every 6h", every(hours=6)),
        ("every 90s", every(seconds=90)),
        ("every 1h30m", every(minutes=90)),
        ("Every 1h 30m", every(minutes=90)),
        ("every 5m", every(minutes=5)),
        ("every 250ms", every(milliseconds=250)),
        ("every 1m1ms", every(timedelta(minutes=1, milliseconds=1))),
        ("every 1w2d3h4m5s6ms", every(weeks=1, days=2, hours=3, minutes=4, seconds=5, milliseconds=6)),
    ],
)
def test_text_becomes_the_schedule_it_says(text: str, expected: BuiltInSchedule) -> None:
    assert parse_schedule(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "every",
        "every ",
        "every h",
        "every 6",
        "every 6 parsecs",
        "every6h",
        "every 30m1h",
        "every -6h",
        "every 1.5h",
        "every ٣h",
    ],
)
def test_a_duration_that_cannot_be_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidScheduleError, match="every 1h30m"):
        parse_schedule(text)


@pytest.mark.parametrize(
    "text", ["every 0s", "every 99999999999w", "every " + "9" * 5000 + "s", "", "hourly", "@reboot", None]
)
def test_text_that_says_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(InvalidScheduleError):
        parse_schedule(text)
