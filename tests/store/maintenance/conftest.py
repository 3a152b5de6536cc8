"""Stores that the tests of their maintenance work on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.run import RunStatus
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing import ManualClock
from rapua_scheduler.testing.store_conformance import HOUR, START, finish, some_gap, some_job, to_run
from tests.disks import mounted


@pytest.fixture
def filled(path: Path) -> Path:
    """A store of two jobs, closed at hour 6 by a host that was alive then; the last run of `sweep` failed."""
    with closing(SqliteStore.open(path, create=True, clock=ManualClock(START))) as store:
        store.become_host()
        store.declare([some_job(), some_job("mop")], START)
        for hour in range(1, 6):
            store.decide([to_run(hour), to_run(hour, "mop", some_gap(hour, job_key="mop"))])
            finish(store, f"sweep-schedule-{hour}", at=START + hour * HOUR)
            finish(store, f"mop-schedule-{hour}", at=START + hour * HOUR)
        store.decide([to_run(6)])
        finish(store, "sweep-schedule-6", status=RunStatus.FAILED, at=START + 6 * HOUR, error="ValueError: no")
        store.note_alive(START + 6 * HOUR)
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, 512 * 1024):
        yield folder
