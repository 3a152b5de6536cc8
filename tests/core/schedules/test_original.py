"""The original's functions, called without an argument: the current time, in the system's zone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rapua_scheduler.schedules import daily, every, instant_key, next_daily, next_first_of_month, once
from rapua_scheduler.schedules.original import SYSTEM_ZONE


@pytest.fixture(params=["UTC", "Pacific/Auckland", "America/Havana", "Australia/Lord_Howe"])
def system_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    """Set the zone of this process."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield ZoneInfo(request.param)
    time.tzset()


@pytest.mark.usefixtures("system_zone")
def test_without_an_argument_the_next_midnight_of_the_system_is_meant() -> None:
    before = datetime.now(UTC)
    fire_time = next_daily()
    after = datetime.now(UTC)

    assert fire_time is not None
    assert fire_time.tzinfo is SYSTEM_ZONE
    assert fire_time.astimezone(UTC) in {
        expected.astimezone(UTC)
        for expected in (next_daily(before.astimezone(SYSTEM_ZONE)), next_daily(after.astimezone(SYSTEM_ZONE)))
        if expected is not None
    }


@pytest.mark.usefixtures("system_zone")
def test_without_an_argument_the_next_first_of_a_month_of_the_system_is_meant() -> None:
    before = datetime.now(UTC)
    fire_time = next_first_of_month()
    after = datetime.now(UTC)

    assert fire_time is not None
    assert fire_time.astimezone(UTC) in {
        expected.astimezone(UTC)
        for expected in (
            next_first_of_month(before.astimezone(SYSTEM_ZONE)),
            next_first_of_month(after.astimezone(SYSTEM_ZONE)),
        )
        if expected is not None
    }


def test_the_systems_zone_has_all_the_rules_of_the_zone_it_is_set_to(system_zone: ZoneInfo) -> None:
    for hours in range(3 * 8766):
        instant = datetime(2023, 1, 1, 0, 15, tzinfo=UTC) + timedelta(hours=hours)
        ours, theirs = instant.astimezone(SYSTEM_ZONE), instant.astimezone(system_zone)
        assert ours.replace(tzinfo=None) == theirs.replace(tzinfo=None)
        assert (ours.fold, ours.utcoffset(), ours.tzname()) == (theirs.fold, theirs.utcoffset(), theirs.tzname())
        assert ours.astimezone(UTC) == instant


@pytest.mark.usefixtures("system_zone")
def test_with_an_argument_the_systems_zone_does_not_matter() -> None:
    instant = datetime(2026, 11, 1, 4, tzinfo=UTC)
    in_tokyo = instant.astimezone(ZoneInfo("Asia/Tokyo"))

    assert instant_key(in_tokyo) == every(hours=1).fire_key(in_tokyo) == "2026-11-01T04:00:00Z"
    assert once(in_tokyo).at.tzinfo is every(hours=1, anchor=in_tokyo).anchor.tzinfo is UTC
    assert daily("13:00").fire_key(in_tokyo) == daily("13:00", tz="Asia/Tokyo").fire_key(instant) == "2026-11-01T13:00"
    assert daily("13:00")(in_tokyo) == daily("13:00", tz="Asia/Tokyo")(instant) == instant + timedelta(days=1)


def test_with_an_argument_the_machines_clock_does_not_matter() -> None:
    long_ago = datetime(1926, 5, 5, 12, tzinfo=UTC)

    assert next_daily(long_ago) == datetime(1926, 5, 6, tzinfo=UTC)
    assert next_first_of_month(long_ago) == datetime(1926, 6, 1, tzinfo=UTC)


def test_the_systems_zone_tells_nothing_without_a_time() -> None:
    assert SYSTEM_ZONE.utcoffset(None) is None
    assert SYSTEM_ZONE.tzname(None) is None
    assert SYSTEM_ZONE.dst(None) is None
    assert repr(SYSTEM_ZONE) == "SystemZone()"
