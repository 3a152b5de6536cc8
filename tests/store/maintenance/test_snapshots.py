"""A snapshot is a store at one moment, read a part at a time."""

from __future__ import annotations

import shutil
import tracemalloc
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from rapua_scheduler.errors import StoreError
from rapua_scheduler.store.maintenance.snapshots import Snapshot
from rapua_scheduler.store.schema import VERSION
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import HOUR, START, some_gap, some_job, to_run


def test_a_snapshot_has_every_run_and_gap_oldest_first(filled: Path) -> None:
    with closing(SqliteStore.open_read_only(filled)) as store, closing(Snapshot.open(filled)) as snapshot:
        assert list(snapshot.each_run()) == list(reversed(store.runs()))
        assert list(snapshot.each_gap()) == list(reversed(store.gaps()))
        assert snapshot.jobs() == store.jobs()
        assert (snapshot.store_id, snapshot.schema) == (store.store_id, VERSION)


def test_a_snapshot_since_a_time_has_what_began_then_or_later(filled: Path) -> None:
    since = START + 5 * HOUR

    with closing(Snapshot.open(filled)) as snapshot:
        assert [run.run_id for run in snapshot.each_run(since)] == [
            "sweep-schedule-5",
            "mop-schedule-5",
            "sweep-schedule-6",
        ]
        assert [gap.last for gap in snapshot.each_gap(since)] == [since]
        assert [run.run_id for run in snapshot.each_run(since + timedelta(seconds=2))] == ["sweep-schedule-6"]


def test_what_is_written_meanwhile_is_not_seen(filled: Path) -> None:
    with closing(SqliteStore.open(filled, create=False)) as store, closing(Snapshot.open(filled)) as snapshot:
        runs = snapshot.each_run()
        first = next(runs)
        store.decide([to_run(7, "sweep", some_gap(7))])

        assert len([first, *runs]) == 11
        assert len(list(snapshot.each_gap())) == 5
        assert len(store.runs()) == 12


def test_a_long_history_is_not_held_in_memory(path: Path) -> None:
    with closing(SqliteStore.open(path, create=True)) as store:
        store.declare([some_job(f"job-{number}") for number in range(1000)], START)
        for hour in range(1, 11):
            store.decide([to_run(hour, f"job-{number}") for number in range(1000)])
    with closing(Snapshot.open(path)) as snapshot:
        for _ in snapshot.each_run():
            pass
        tracemalloc.start()

        count = sum(1 for _ in snapshot.each_run())

        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 10_000
    assert peak < 2_000_000


def test_a_store_that_has_lost_changes_is_not_read(filled: Path) -> None:
    copy = Path(shutil.copy(filled, filled.with_name("copy.db")))
    with closing(SqliteStore.open(filled, create=False)) as store:
        store.decide([to_run(7)])
    copy.replace(filled)

    with pytest.raises(StoreError, match="misses its latest 1 changes"):
        Snapshot.open(filled)
