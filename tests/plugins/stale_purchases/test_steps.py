"""How the job goes about it: short transactions, flat memory, locks, cancellation."""

from __future__ import annotations

import logging
import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler import JobCancelled, Site, SiteError
from rapua_scheduler.context import Cancellation
from rapua_scheduler.testing import AutoClock
from rapua_stale_purchases.cleanup import BatchSize
from tests.plugins.stale_purchases.sites import (
    FIRE,
    insert,
    new_site,
    purchase,
    purchases_in,
    run_on,
    thrown_away,
    trash_files,
)


class CountingSite(Site):
    """A site that calls *before* with the number of the transaction, from 1, ahead of it."""

    count = 0
    before: Callable[[int], None]

    @classmethod
    def like(cls, site: Site, before: Callable[[int], None]) -> CountingSite:
        cls.count, cls.before = 0, staticmethod(before)
        return cls(database=site.database, state_dir=site.state_dir, busy_timeout=timedelta(milliseconds=1))

    def transact(self, work: Any, **options: Any) -> Any:
        type(self).count += 1
        type(self).before(self.count)
        return super().transact(work, **options)


class NotingClock(AutoClock):
    """A clock that notes how long it was waited on."""

    def __init__(self) -> None:
        super().__init__(FIRE)
        self.waits: list[float] = []

    def wait(self, wakeup: Any, seconds: float) -> bool:
        self.waits.append(seconds)
        return super().wait(wakeup, seconds)


def test_purchases_are_deleted_in_batches_with_pauses(tmp_path: Path) -> None:
    plain = new_site(tmp_path)
    insert(plain, [purchase() for _ in range(1500)])
    left: list[int] = []
    site = CountingSite.like(plain, lambda _: left.append(len(purchases_in(plain))))
    clock = NotingClock()

    run_on(site, clock=clock)

    sizes = [before - after for before, after in zip(left, [*left[1:], 0], strict=True)]
    assert sizes[0] == 100
    assert max(sizes) <= 1000
    assert sum(sizes) == 1500
    assert clock.waits == [0.01] * len(sizes)


@given(st.floats(1e-7, 1e-2), st.integers(1, 60))
def test_the_size_of_a_batch_keeps_the_lock_short(seconds_per_row: float, batches: int) -> None:
    size = BatchSize()

    for _ in range(batches):
        before = size.rows
        size.learn(before, before * seconds_per_row)
        assert 20 <= size.rows <= min(1000, 2 * before)

    assert size.rows == 20 or size.rows * seconds_per_row <= 0.015
    assert size.rows in {1000, 100 * 2**batches} or size.rows * seconds_per_row > 0.014 - seconds_per_row


def test_a_batch_after_a_slow_one_is_smaller() -> None:
    size = BatchSize()
    size.learn(100, 0.001)
    before = size.rows

    size.learn(before, 0.2)

    assert size.rows < before / 2


def test_a_batch_that_took_no_time_is_no_error() -> None:
    size = BatchSize()

    size.learn(100, 0.0)

    assert size.rows == 200


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    young = FIRE.strftime("%Y-%m-%d %H:%M:%S")
    insert(site, [purchase(receipt_url="x" * 3000, created_at=young) for _ in range(6000)])
    insert(site, [purchase() for _ in range(1500)])
    tracemalloc.start()

    result = run_on(site)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (result["kept_young"], result["deleted"]) == (6000, 1500)
    assert peak < 8_000_000  # the rows are more than 20 MB


def test_no_lock_is_held_while_purchases_are_read_and_written_to_the_trash(tmp_path: Path) -> None:
    plain = new_site(tmp_path)
    insert(plain, [purchase() for _ in range(250)])

    folded_in: list[int] = []

    def write(_: int) -> None:
        assert plain.database is not None
        with closing(sqlite3.connect(plain.database, isolation_level=None, timeout=0)) as db:  # as Rapua: no waiting
            db.execute("UPDATE credit_adjustments SET credits = 1")
            [(busy, *_)] = db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            folded_in.append(busy)

    assert run_on(CountingSite.like(plain, write))["deleted"] == 250
    assert folded_in == [0] * CountingSite.count


def test_a_batch_that_meets_a_lock_is_left_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = new_site(tmp_path)
    rows = [purchase(id=f"{number:03}") for number in range(1000)]
    insert(plain, rows)
    assert plain.database is not None
    caplog.set_level(logging.INFO, "rapua_scheduler")
    with closing(sqlite3.connect(plain.database, isolation_level=None)) as other:

        def lock_the_second(count: int) -> None:
            if count == 2:
                other.execute("BEGIN IMMEDIATE")
            elif other.in_transaction:
                other.execute("ROLLBACK")

        with pytest.raises(SiteError, match=r"stayed locked in 1 transactions: (\d+) .* were deleted, (\d+) were not"):
            run_on(CountingSite.like(plain, lock_the_second))

    left = purchases_in(plain)
    assert "000" not in left
    assert "999" not in left
    assert sorted(left) == [f"{number:03}" for number in range(100, 100 + len(left))]
    assert {row["id"] for row in thrown_away(trash_files(plain))} == {row["id"] for row in rows} - left.keys()
    error = caplog.records[-1].msg
    assert isinstance(error, dict)
    assert error["event"] == "Stale purchases left over"
    assert (error["deleted"], error["kept_locked"], error["failed_batches"]) == (1000 - len(left), len(left), 1)
    assert run_on(plain)["deleted"] == len(left) > 0


def test_a_run_gives_up_when_nothing_but_locks_is_met(tmp_path: Path) -> None:
    plain = new_site(tmp_path)
    insert(plain, [purchase() for _ in range(1500)])
    assert plain.database is not None
    site = CountingSite.like(plain, lambda _: None)
    with closing(sqlite3.connect(plain.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(SiteError, match=r"stayed locked in 10 transactions: 0 .* were deleted, 1000 were not"):
            run_on(site)

    assert len(purchases_in(plain)) == 1500
    assert thrown_away(trash_files(plain)) == []


def test_another_error_of_the_database_is_not_taken_for_a_lock(tmp_path: Path) -> None:
    plain = new_site(tmp_path)
    insert(plain, [purchase() for _ in range(300)])

    def drop(_: int) -> None:
        with plain.write() as db:
            db.execute("DROP TABLE credit_adjustments")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        run_on(CountingSite.like(plain, drop))

    assert len(purchases_in(plain)) == 300


@pytest.mark.parametrize("cancel_at", [1, 2, 3])
def test_a_cancelled_run_ends_between_two_transactions(tmp_path: Path, cancel_at: int) -> None:
    plain = new_site(tmp_path)
    rows = [purchase() for _ in range(1000)]
    insert(plain, rows)
    cancellation = Cancellation()
    site = CountingSite.like(plain, lambda count: cancellation.cancel("stop") if count == cancel_at else None)

    with pytest.raises(JobCancelled):
        run_on(site, cancellation=cancellation)

    left = purchases_in(plain)
    assert CountingSite.count == cancel_at
    assert 0 < len(left) < 1000
    assert {row["id"] for row in thrown_away(trash_files(plain))} == {row["id"] for row in rows} - left.keys()


def test_what_was_not_deleted_is_marked_when_a_run_is_cancelled_before_a_lock(tmp_path: Path) -> None:
    plain = new_site(tmp_path)
    insert(plain, [purchase() for _ in range(300)])
    assert plain.database is not None
    cancellation = Cancellation()
    site = CountingSite.like(plain, lambda _: cancellation.cancel("stop"))
    with closing(sqlite3.connect(plain.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(JobCancelled):
            run_on(site, cancellation=cancellation)

    assert len(trash_files(plain)) == 1
    assert thrown_away(trash_files(plain)) == []


def test_a_run_that_is_cancelled_beforehand_deletes_nothing(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase()])
    cancellation = Cancellation()
    cancellation.cancel("stop")

    with pytest.raises(JobCancelled):
        run_on(site, cancellation=cancellation)

    assert len(purchases_in(site)) == 1


def test_a_dry_run_can_be_cancelled(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase()])
    cancellation = Cancellation()
    cancellation.cancel("stop")

    with pytest.raises(JobCancelled):
        run_on(site, cancellation=cancellation, dry_run=True)
