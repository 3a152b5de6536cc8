"""Every zone there is, at the gaps and folds of its wall clock."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest

from .oracle import DAY, Stretch, assert_fires, seconds_of, stretches
from .rules import rules_around

ZONE_NAMES = sorted(available_timezones())
SHARES = 4


def stretches_of_years(zone: ZoneInfo, first_year: int, last_year: int) -> list[Stretch]:
    first, end = (seconds_of(datetime(year, 1, 1, tzinfo=UTC)) for year in (first_year, last_year + 1))
    return stretches(zone, first, end, step=2 * DAY)


@cache
def distinct_zones() -> list[tuple[ZoneInfo, list[Stretch]]]:
    """Return one zone of all those whose clocks agree from 1970 to 2037, and its stretches."""
    found: dict[tuple[Stretch, ...], ZoneInfo] = {}
    for name in ZONE_NAMES:
        zone = ZoneInfo(name)
        found.setdefault(tuple(stretches_of_years(zone, 1970, 2037)), zone)
    return [(zone, list(cut)) for cut, zone in found.items()]


def assert_fires_right_at_each_change(zone: ZoneInfo, cut: list[Stretch]) -> None:
    for part in cut[:-1]:
        few_days = stretches(zone, part.end - 3 * DAY, part.end + 3 * DAY)
        for rule in rules_around(few_days):
            assert_fires(rule, zone, few_days)


def test_every_zone_fires_right_at_its_gaps_and_folds_of_some_years() -> None:
    for position, name in enumerate(ZONE_NAMES):
        zone, year = ZoneInfo(name), 1970 + position % 66
        assert_fires_right_at_each_change(zone, stretches_of_years(zone, year, year + 2))


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_every_zone_fires_right_at_every_gap_and_fold_from_1970_to_2037(share: int) -> None:
    for zone, cut in distinct_zones()[share::SHARES]:
        assert_fires_right_at_each_change(zone, cut)
