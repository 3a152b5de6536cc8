"""Which purchases are deleted: exactly those the specification names, and no other."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapua_scheduler import SiteError, format_time
from rapua_scheduler.testing import AutoClock
from rapua_stale_purchases.purchases import Purchase, Verdict
from tests.plugins.stale_purchases.sites import (
    CUTOFF,
    FIRE,
    fill_with_every_kind,
    in_shape,
    insert,
    named_in,
    new_site,
    purchase,
    purchases_in,
    run_on,
    stale_by_oracle,
    thrown_away,
    trash_files,
)

MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_gone_is_what_the_oracle_says(tmp_path: Path, seed: int) -> None:
    site = new_site(tmp_path)
    fill_with_every_kind(site, 2500, seed)
    before = purchases_in(site)
    stale = stale_by_oracle(before, named_in(site), CUTOFF)

    result = run_on(site)

    assert purchases_in(site) == {identifier: row for identifier, row in before.items() if identifier not in stale}
    assert result["deleted"] == result["stale"] == len(stale) > 500
    assert sorted(row["id"] for row in thrown_away(trash_files(site))) == sorted(stale)


@pytest.mark.parametrize("seed", range(2))
def test_every_unfinished_purchase_is_counted_once(tmp_path: Path, seed: int) -> None:
    site = new_site(tmp_path)
    fill_with_every_kind(site, 1500, seed)
    unfinished = [row for row in purchases_in(site).values() if row["status"] in {"pending", "failed"}]

    result = run_on(site)

    kept = ("kept_young", "kept_payment_id", "kept_adjustment", "kept_unreadable")
    assert all(result[key] > 0 for key in kept)
    assert result["examined"] == len(unfinished) == result["stale"] + sum(result[key] for key in kept)
    assert result["kept_unreadable"] == sum(
        not isinstance(row["created_at"], str) or len(row["created_at"]) < 19 or "T" in row["created_at"]
        for row in unfinished
    )


def test_a_second_run_finds_nothing_more(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    fill_with_every_kind(site, 500, seed=9)
    run_on(site)
    before = purchases_in(site)

    result = run_on(site)

    assert (result["stale"], result["deleted"]) == (0, 0)
    assert purchases_in(site) == before


@pytest.mark.parametrize("shape", range(3))
@given(cutoff=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), distance=st.integers(-3_000_000, 3_000_000))
def test_only_what_is_strictly_older_is_stale(cutoff: datetime, distance: int, shape: int) -> None:
    cutoff = cutoff.replace(tzinfo=UTC)
    created_at = cutoff + distance * MICROSECOND
    if shape < 2:
        created_at = created_at.replace(microsecond=0)
    row = purchase(created_at=in_shape(created_at, shape))

    verdict = Purchase(row, is_named=False).judge(cutoff)

    assert verdict == (Verdict.STALE if created_at < cutoff else Verdict.YOUNG)


@pytest.mark.parametrize(
    ("distance", "deleted"),
    [(-MICROSECOND, 1), (timedelta(0), 0), (MICROSECOND, 0)],
    ids=["older", "as old", "younger"],
)
def test_a_purchase_of_exactly_seven_days_stays(tmp_path: Path, distance: timedelta, deleted: int) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase(created_at=format_time(CUTOFF + distance))])

    assert run_on(site)["deleted"] == deleted


_TIMES = st.one_of(
    st.datetimes(datetime(2026, 2, 1), datetime(2026, 3, 20)).flatmap(
        lambda at: st.integers(0, 2).map(lambda shape: in_shape(at, shape))
    ),
    st.integers(-3, 3).map(lambda n: in_shape(CUTOFF + n * MICROSECOND, 2)),
    st.integers(-2, 2).map(lambda n: in_shape(CUTOFF + timedelta(seconds=n), 1)),
    st.text(max_size=30),
    st.integers(-(2**60), 2**60),
    st.binary(max_size=4),
)
_STATUSES = st.one_of(
    st.sampled_from(["pending", "failed"]),
    st.sampled_from(
        ["Pending", "FAILED", "pending ", "\tfailed", "pend", "completed", "cancelled", "pending\x00", b"failed"]
    ),
    st.text(max_size=8),
)
_IDS = st.one_of(st.none(), st.just(""), st.sampled_from([" ", "\n", "pi_1", "0", b""]), st.text(max_size=5))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(_TIMES, _STATUSES, _IDS, st.booleans()), max_size=20), st.data())
def test_any_mixture_is_deleted_as_the_oracle_says(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[Any, Any, Any, bool]], data: st.DataObject
) -> None:
    site = new_site(tmp_path_factory.mktemp("site"))
    identifiers: list[Any] = data.draw(
        st.lists(
            st.one_of(st.uuids().map(str), st.text(max_size=4), st.binary(max_size=4)),
            min_size=len(drawn),
            max_size=len(drawn),
            unique_by=lambda identifier: identifier,
        )
    )
    rows = [
        purchase(id=identifier, created_at=at, status=status, stripe_payment_id=payment)
        for identifier, (at, status, payment, _) in zip(identifiers, drawn, strict=True)
    ]
    named = [row["id"] for row, (*_, is_named) in zip(rows, drawn, strict=True) if is_named]
    insert(site, rows, named=named)
    before = purchases_in(site)
    stale = stale_by_oracle(before, set(named), CUTOFF)

    run_on(site)

    assert purchases_in(site) == {identifier: row for identifier, row in before.items() if identifier not in stale}


@pytest.mark.parametrize("payment_id", ["pi_3Nabc", "0", " ", "\t", b"", b"pi"])
def test_a_purchase_with_anything_in_its_payment_id_stays(tmp_path: Path, payment_id: object) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase(stripe_payment_id=payment_id)])

    result = run_on(site)

    assert (result["deleted"], result["kept_payment_id"], len(purchases_in(site))) == (0, 1, 1)


def test_the_status_is_compared_exactly_whatever_the_column_does(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    assert site.database is not None
    with closing(sqlite3.connect(site.database)) as db:
        [(schema,)] = db.execute("SELECT sql FROM sqlite_master WHERE name = 'credit_purchases'").fetchall()
        db.execute("DROP TABLE credit_purchases")
        db.execute(schema.replace("'pending'", "'pending' COLLATE NOCASE"))
    insert(site, [purchase(status=status) for status in ("pending", "Pending", "FAILED", "failed")])

    result = run_on(site)

    assert sorted(row["status"] for row in purchases_in(site).values()) == ["FAILED", "Pending"]
    assert (result["examined"], result["deleted"]) == (2, 2)


def test_seven_days_are_of_24_hours_when_the_clocks_change(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    auckland = ZoneInfo("Pacific/Auckland")
    fire_time = datetime(2026, 9, 28, tzinfo=auckland)  # the day after the clocks went forward
    instant = fire_time.astimezone(UTC) - timedelta(hours=7 * 24)
    insert(site, [purchase(id="older", created_at=format_time(instant - MICROSECOND))])
    insert(site, [purchase(id="as-old", created_at=format_time(instant))])

    run_on(site, fire_time=fire_time)

    assert set(purchases_in(site)) == {"as-old"}


def test_a_late_run_goes_by_its_fire_time(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase(created_at=format_time(CUTOFF + timedelta(days=1)))])

    result = run_on(site, clock=AutoClock(FIRE + timedelta(days=3)))

    assert (result["kept_young"], result["deleted"]) == (1, 0)


def test_a_fire_time_in_the_future_makes_nothing_older(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase(created_at=format_time(CUTOFF + timedelta(days=1)))])

    result = run_on(site, fire_time=FIRE + timedelta(days=30), clock=AutoClock(FIRE))

    assert (result["kept_young"], result["deleted"]) == (1, 0)


def test_text_that_cannot_be_written_down_as_it_is_stays(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase(id="broken"), purchase(id="fine")])
    assert site.database is not None
    with closing(sqlite3.connect(site.database)) as db, db:
        db.execute("UPDATE credit_purchases SET receipt_url = CAST(x'68ff' AS TEXT) WHERE id = 'broken'")

    result = run_on(site)

    assert set(purchases_in(site)) == {"broken"}
    assert (result["kept_unreadable"], result["deleted"]) == (1, 1)


def test_a_dry_run_counts_the_same_and_touches_nothing(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    fill_with_every_kind(site, 500, seed=3)
    before = purchases_in(site)

    rehearsed = run_on(site, dry_run=True)

    assert purchases_in(site) == before
    assert not (tmp_path / "state").exists()
    real = run_on(site)
    assert rehearsed == real | {"deleted": 0}
    assert real["deleted"] > 0


@pytest.mark.parametrize(("count", "dry_run"), [(0, False), (3, False), (0, True), (3, True)])
def test_the_count_is_logged_even_if_it_is_zero(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int, dry_run: bool
) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase() for _ in range(count)])
    caplog.set_level(logging.INFO, "rapua_scheduler")

    run_on(site, dry_run=dry_run)

    [line] = [record.msg for record in caplog.records if record.name == "rapua_scheduler.job"]
    assert isinstance(line, dict)
    assert line["event"] == ("Stale purchases found" if dry_run else "Stale purchases deleted")
    assert (line["stale"], line["deleted"]) == (count, 0 if dry_run else count)
    assert line["cutoff"] == "2026-02-22T12:30:15.250000+00:00"


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("credit_purchases", "status"),
        ("credit_purchases", "stripe_payment_id"),
        ("credit_purchases", "created_at"),
        ("credit_adjustments", "credit_purchase_id"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, table: str, column: str) -> None:
    site = new_site(tmp_path)
    assert site.database is not None
    with closing(sqlite3.connect(site.database)) as db:
        db.execute("DROP INDEX IF EXISTS idx_credit_purchases_status")
        db.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO another")

    with pytest.raises(SiteError, match=column):
        run_on(site)
