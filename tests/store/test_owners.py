"""Runs belong to openings of the store: those of the dead are lost, and only one of the living is the host."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.errors import AnotherHostError, StoreError
from rapua_scheduler.run import RunStatus
from rapua_scheduler.store.locks import HOST, LockFile, lock_path
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import HOUR, START, finish, some_job, to_run
from tests.store.child import Child

LATER = START + 9 * HOUR


@pytest.fixture
def created(path: Path) -> Path:
    """A store that is there, and closed."""
    SqliteStore.open(path, create=True).close()
    return path


def lost_in(store: SqliteStore) -> list[str]:
    return [run.run_id for run in store.mark_lost(LATER)]


def claimed_by(key: str) -> list[str]:
    return [f"{key}-schedule-1", f"{key}-schedule-2", f"{key}-manual-3"]


# -- lost runs


def test_the_runs_of_a_killed_process_are_lost_and_those_of_a_living_one_are_not(created: Path) -> None:
    with Child("hold", created, "air") as dying, Child("hold", created, "mop") as living:
        dying.hear("ready")
        living.hear("ready")
        with closing(SqliteStore.open(created, create=False)) as store:
            assert lost_in(store) == []

            dying.kill()
            dying.end()
            lost = store.mark_lost(LATER)

            assert [run.run_id for run in lost] == claimed_by("air")
            assert {(run.status, run.finished_at) for run in lost} == {(RunStatus.LOST, LATER)}
            assert list(reversed(store.runs(job_key="air"))) == lost
            assert {run.status for run in store.runs(job_key="mop")} == {RunStatus.RUNNING}
            assert lost_in(store) == []
            living.go_on()
            living.hear("closed")
            assert lost_in(store) == claimed_by("mop")


def test_a_lost_run_ends_no_more(created: Path) -> None:
    with Child("hold", created, "air") as dying:
        dying.hear("ready")
        dying.kill()
        dying.end()
    with closing(SqliteStore.open(created, create=False)) as store:
        lost_in(store)

        assert not finish(store, "air-schedule-1")

        assert {run.status for run in store.runs()} == {RunStatus.LOST}


def test_finished_runs_of_the_dead_stay_finished(created: Path) -> None:
    with closing(SqliteStore.open(created, create=False)) as store:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        finish(store, "sweep-schedule-1")
    with closing(SqliteStore.open(created, create=False)) as store:
        assert lost_in(store) == []

        assert [run.status for run in store.runs()] == [RunStatus.SUCCEEDED]


def test_the_runs_of_a_closed_opening_in_the_same_process_are_lost(created: Path) -> None:
    with closing(SqliteStore.open(created, create=False)) as other:
        with closing(SqliteStore.open(created, create=False)) as store:
            store.declare([some_job()], START)
            store.decide([to_run(1)])
            assert lost_in(other) == []

        assert lost_in(other) == ["sweep-schedule-1"]


def test_closing_one_opening_leaves_the_locks_of_another_in_the_same_process(created: Path) -> None:
    # a process that closes any descriptor of a file loses its locks on it
    with closing(SqliteStore.open(created, create=False)) as store:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        store.become_host()
        SqliteStore.open(created, create=False).close()
        SqliteStore.open_read_only(created).close()

        with Child("mark_lost", created) as child, Child("be_host", created) as rival:
            assert child.hear("lost")["runs"] == []
            assert rival.end() != 0


def test_the_dead_are_forgotten(created: Path) -> None:
    for _ in range(5):
        SqliteStore.open(created, create=False).close()
    with closing(SqliteStore.open(created, create=False)) as store:
        lost_in(store)
        with closing(sqlite3.connect(created)) as db:
            assert db.execute("SELECT count(*) FROM owners").fetchone() == (1,)


def test_the_number_of_a_forgotten_owner_is_not_given_again(created: Path) -> None:
    with closing(SqliteStore.open(created, create=False)) as store:
        lost_in(store)
    with closing(sqlite3.connect(created, isolation_level=None)) as db:
        (before,) = db.execute("SELECT id FROM owners").fetchone()
        db.execute("DELETE FROM owners")

    SqliteStore.open(created, create=False).close()

    with closing(sqlite3.connect(created)) as db:
        assert db.execute("SELECT id FROM owners").fetchone() == (before + 1,)


def test_an_owner_shares_its_number_with_none_of_the_store_as_it_was_before_a_restore(created: Path) -> None:
    backup = created.read_bytes()
    with Child("hold", created, "air") as living:
        living.hear("ready")
        for each in created.parent.glob("store.db-*"):
            each.unlink()
        created.unlink()
        created.write_bytes(backup)
        lock_path(created).write_text(f"rapua-scheduler store {_id_of(created)}\n")  # and none of its changes missed

        with closing(SqliteStore.open(created, create=False)) as store:
            store.declare([some_job()], START)
            store.decide([to_run(1)])
            living.kill()
            living.end()
            with Child("mark_lost", created) as child:
                assert child.hear("lost")["runs"] == []


# -- the host


def test_a_second_host_is_refused_and_told_the_process_of_the_first(created: Path) -> None:
    with Child("be_host", created) as host, closing(SqliteStore.open(created, create=False)) as store:
        host.hear("ready")

        with pytest.raises(AnotherHostError, match=f"process {host.pid} on ") as caught:
            store.become_host()

        assert caught.value.path == created


def test_a_killed_host_makes_room_at_once(created: Path) -> None:
    with Child("be_host", created) as host, closing(SqliteStore.open(created, create=False)) as store:
        host.hear("ready")
        host.kill()
        host.end()

        store.become_host()


def test_a_second_opening_in_the_same_process_is_refused_as_host_until_the_first_is_closed(created: Path) -> None:
    with closing(SqliteStore.open(created, create=False)) as second:
        with closing(SqliteStore.open(created, create=False)) as first:
            first.become_host()
            with pytest.raises(AnotherHostError, match=f"process {os.getpid()} on "):
                second.become_host()

        second.become_host()


def test_the_host_may_be_read_and_written_beside(created: Path) -> None:
    with Child("be_host", created) as host:
        host.hear("ready")
        with closing(SqliteStore.open(created, create=False)) as store:
            store.declare([some_job()], START)

            assert store.decide([to_run(1)]) == [True]


# -- the lock file


def test_a_lock_file_that_was_deleted_while_in_use_is_noticed(sqlite_store: SqliteStore, path: Path) -> None:
    lock_path(path).unlink()

    with pytest.raises(StoreError, match="was deleted while in use"):
        SqliteStore.open(path, create=False)


def test_a_lock_file_has_the_owner_and_mode_of_its_store(created: Path) -> None:
    store, lock = created.stat(), lock_path(created).stat()

    assert (lock.st_uid, lock.st_gid, lock.st_mode & 0o777) == (store.st_uid, store.st_gid, store.st_mode & 0o777)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_holds_nothing_of_its_parent(created: Path) -> None:
    locks = LockFile.share(created, _id_of(created))
    assert locks.lock(HOST)
    read, write = os.pipe()

    def look() -> bytes:
        mine = LockFile.share(created, _id_of(created))
        return b"free" if mine.lock(HOST) else b"taken"

    pid = _fork(look, write)

    assert os.read(read, 10) == b"taken"
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    locks.unlock(HOST)
    locks.leave()


def _fork(act: Callable[[], bytes], write: int) -> int:
    pid = os.fork()
    if pid == 0:
        answer = b"failed"
        try:
            answer = act()
        finally:
            os.write(write, answer)
            os._exit(0)
    return pid


def _id_of(path: Path) -> str:
    return lock_path(path).read_text().splitlines()[0].split()[-1]
