"""The oracle is held against something simpler still: a walk over every minute."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from .oracle import DAY, date_of, first_showing, instant, seconds_of, stretches


@pytest.mark.parametrize(
    ("zone_name", "day"),
    [
        ("Pacific/Auckland", "2024-04-07"),
        ("Pacific/Auckland", "2024-09-29"),
        ("America/Havana", "2012-04-01"),
        ("America/Santiago", "2019-04-07"),
        ("Australia/Lord_Howe", "2019-10-06"),
        ("Pacific/Apia", "2011-12-30"),
        ("Asia/Pyongyang", "2018-05-05"),
    ],
)
def test_the_oracle_agrees_with_a_walk_over_every_minute(zone_name: str, day: str) -> None:
    zone = ZoneInfo(zone_name)
    middle = seconds_of(instant(0).fromisoformat(f"{day}T12:00Z"))
    minutes = range(middle - 4 * DAY, middle + 4 * DAY, 60)
    shown: dict[int, int] = {}
    for minute in minutes:
        local = instant(minute).astimezone(zone)
        wall = seconds_of(local.replace(tzinfo=instant(0).tzinfo))
        shown.setdefault(wall, minute)
    passed = sorted(shown)
    dates = {date_of(wall) for wall in shown}

    cut = stretches(zone, middle - 4 * DAY, middle + 4 * DAY)
    for wall in range(middle - 2 * DAY, middle + 2 * DAY, 60):
        expected = shown.get(wall)
        if expected is None and date_of(wall) in dates:
            expected = shown[next(later for later in passed if later > wall)]
        assert first_showing(cut, wall) == expected
