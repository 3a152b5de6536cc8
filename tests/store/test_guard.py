"""A host keeps its store though a job in its process reads the store's files, which drops the locks of POSIX."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.errors import AnotherHostError
from rapua_scheduler.process_state import open_descriptors
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import START, some_job, to_run
from tests.store.child import Child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has locks of opened files")


def read_all(path: Path) -> None:
    """Read every file of a store, as a job does that copies the folder."""
    for end in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + end).read_bytes()


def write_elsewhere(path: Path, job_key: str) -> None:
    with Child("hold", path, job_key) as other:
        other.hear("ready")
        other.go_on()
        other.hear("closed")


def test_a_host_whose_files_are_read_by_a_job_stays_the_host_and_loses_no_run(path: Path) -> None:
    with closing(SqliteStore.open(path, create=True)) as host:
        host.become_host()
        host.declare([some_job("air")], START)
        assert host.decide([to_run(1, "air")]) == [True]

        read_all(path)

        with closing(SqliteStore.open_read_only(path)) as reader:
            told = reader.host()
            assert told is not None
            assert told.is_active
        with Child("mark_lost", path) as child:
            assert child.hear("lost")["runs"] == []


def test_nobody_takes_the_log_of_changes_away_from_a_host_whose_files_are_read_by_a_job(path: Path) -> None:
    with closing(SqliteStore.open(path, create=True)) as host:
        host.become_host()
        host.declare([some_job("air")], START)
        log = path.with_name(f"{path.name}-wal")
        there = log.stat().st_ino
        read_all(path)

        write_elsewhere(path, "mop")

        assert log.stat().st_ino == there
        assert host.decide([to_run(1, "air")]) == [True]
        read_all(path)
        with Child("mark_lost", path) as child:  # it sees what has been decided, and refuses a store that lacks it
            child.hear("lost")
    with closing(SqliteStore.open_read_only(path)) as reader:
        assert len(reader.runs(job_key="air")) == 1


def test_a_host_that_closes_folds_the_log_of_changes_in(path: Path) -> None:
    host = SqliteStore.open(path, create=True)
    host.become_host()
    before = open_descriptors()

    host.close()

    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]
    assert open_descriptors() < before


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_a_job_has_forked_off_does_not_keep_a_dead_host_alive(path: Path) -> None:
    with Child("be_host_and_fork", path) as dying, closing(SqliteStore.open(path, create=True)) as store:
        dying.hear("ready")
        with pytest.raises(AnotherHostError):
            store.become_host()
        dying.kill()
        dying.end()

        store.become_host()
