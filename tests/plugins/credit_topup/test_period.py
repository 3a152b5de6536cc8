"""The local calendar month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_credit_topup.period import Period

ZONES = ("Pacific/Auckland", "America/Sao_Paulo", "Europe/Lisbon", "Asia/Kathmandu", "UTC", "Pacific/Apia")
instants = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


@given(instants, st.sampled_from(ZONES))
def test_a_period_is_the_calendar_month_of_the_zone(instant: datetime, name: str) -> None:
    local = instant.astimezone(ZoneInfo(name))

    period = Period.containing(instant, ZoneInfo(name))

    assert period.name == f"{local.year}-{local.month:02}"
    assert instant in period


@given(instants, st.sampled_from(ZONES))
def test_periods_adjoin(instant: datetime, name: str) -> None:
    period = Period.containing(instant, ZoneInfo(name))

    following = Period.containing(period.ends_at, ZoneInfo(name))

    assert following.begins_at == period.ends_at
    assert Period.containing(period.ends_at - timedelta(microseconds=1), ZoneInfo(name)) == period


def test_the_month_of_an_instant_is_another_in_another_zone() -> None:
    instant = datetime(2026, 10, 31, 11, 0, tzinfo=UTC)

    assert Period.containing(instant, ZoneInfo("Pacific/Auckland")).name == "2026-11"
    assert Period.containing(instant, ZoneInfo("America/New_York")).name == "2026-10"


def test_a_month_that_begins_in_a_gap_begins_where_the_gap_ends() -> None:
    # The clocks of Amman were put forward from 00:00 to 01:00 on 2022-02-25 and on 2016-04-01.
    period = Period.containing(datetime(2016, 4, 10, tzinfo=UTC), ZoneInfo("Asia/Amman"))

    assert period.name == "2016-04"
    assert period.begins_at.astimezone(ZoneInfo("Asia/Amman")).hour == 1


def test_a_clock_put_back_across_midnight_does_not_end_the_new_month() -> None:
    # In St. John's, 00:01 on 2009-11-01 became 23:01 on 2009-10-31.
    zone = ZoneInfo("America/St_Johns")
    first_midnight = datetime(2009, 11, 1, 2, 30, tzinfo=UTC)
    put_back = first_midnight + timedelta(minutes=30)
    assert put_back.astimezone(zone).month == 10

    assert Period.containing(first_midnight, zone) == Period.containing(put_back, zone)
    assert Period.containing(put_back, zone).name == "2009-11"


def test_an_instant_at_the_end_of_the_calendar_has_no_period() -> None:
    with pytest.raises(ValueError, match="calendar"):
        Period.containing(datetime(9999, 12, 31, 23, tzinfo=UTC), ZoneInfo("UTC"))
