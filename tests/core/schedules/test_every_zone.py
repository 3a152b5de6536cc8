"""Every zone there is, at the gaps and folds of its wall clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest

from .oracle import DAY, Stretch, assert_fires, seconds_of, stretches
from .rules import rules_around

ZONE_NAMES = sorted(available_timezones())
SHARES = 3


def days_around_changes(zone: ZoneInfo, first_year: int, last_year: int) -> Iterator[list[Stretch]]:
    first, end = (seconds_of(datetime(year, 1, 1, tzinfo=UTC)) for year in (first_year, last_year + 1))
    for part in stretches(zone, first, end, step=2 * DAY)[:-1]:
        yield stretches(zone, part.end - 3 * DAY, part.end + 3 * DAY)


@cache
def distinct_changes() -> list[tuple[ZoneInfo, list[Stretch]]]:
    """Return the days around every change of any clock from 1970 to 2037.

    Where several zones have the same offsets on the same days, the first of them stands for all.
    """
    found: dict[tuple[Stretch, ...], ZoneInfo] = {}
    for zone in map(ZoneInfo, ZONE_NAMES):
        for cut in days_around_changes(zone, 1970, 2037):
            found.setdefault(tuple(cut), zone)
    return [(zone, list(cut)) for cut, zone in found.items()]


def test_every_zone_fires_right_at_its_gaps_and_folds_of_some_years() -> None:
    for position, name in enumerate(ZONE_NAMES):
        zone, year = ZoneInfo(name), 1970 + position % 66
        for cut in days_around_changes(zone, year, year + 2):
            for rule in rules_around(cut):
                assert_fires(rule, zone, cut)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_every_zone_fires_right_at_every_gap_and_fold_from_1970_to_2037(share: int) -> None:
    for zone, cut in distinct_changes()[share::SHARES]:
        for rule in rules_around(cut):
            assert_fires(rule, zone, cut)
