"""The census of zones finds what is wrong, and finds nothing wrong in some zones that are odd."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rapua_scheduler.schedules import daily
from tests.core.schedules.oracle import stretches, wall_of
from tests.zones.census import count, differences, distinct_zones, fire_times

DAY = timedelta(days=1)


@pytest.mark.parametrize("time", ["00:00", "02:30"])
@pytest.mark.parametrize("name", ["Pacific/Apia", "America/Havana", "Australia/Lord_Howe", "Africa/Monrovia"])
def test_the_schedules_fire_once_on_every_date_of_an_odd_zone(name: str, time: str) -> None:
    tally = count(name, time)

    assert tally.problems == ()
    assert tally.months == 68 * 12
    assert tally.dates == 68 * 365 + 17 - (name == "Pacific/Apia")


def a_day_later(after: datetime) -> datetime:
    return (after + timedelta(seconds=1)).replace(hour=0, minute=0, second=0) + DAY


def a_day_of_hours_later(after: datetime) -> datetime:
    return datetime.fromtimestamp(after.timestamp() + 86_400, after.tzinfo)


@pytest.mark.parametrize("naive", [a_day_later, a_day_of_hours_later])
def test_the_census_finds_what_is_wrong(naive: Callable[[datetime], datetime]) -> None:
    zone = ZoneInfo("America/Havana")
    first, last = (wall_of(datetime(year, 1, 1)) for year in (2010, 2014))
    cut = stretches(zone, first, last)

    wrong = list(differences(naive, daily().fire_key, zone, fire_times(cut, 0), "00:00"))
    right = list(differences(daily(), daily().fire_key, zone, fire_times(cut, 0), "00:00"))

    assert wrong
    assert not right


@pytest.mark.slow
def test_names_that_always_have_the_same_offsets_are_one_zone() -> None:
    zones = distinct_zones()

    assert {"Pacific/Auckland", "NZ"} <= set(next(names for names in zones.values() if "NZ" in names))
    assert len(zones) > 300
    assert sum(map(len, zones.values())) > 590
