"""Runs belong to openings of the store: those of the dead are lost, and only one of the living is the host."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from rapua_scheduler.errors import AnotherHostError, StoreError
from rapua_scheduler.run import LogLine, PastAttempt, Run, RunStatus, Start, Trigger
from rapua_scheduler.store import owners
from rapua_scheduler.store.locks import HOST, LockFile, lock_path
from rapua_scheduler.store.port import HostRecord
from rapua_scheduler.store.sqlite import SqliteStore, _become_owner
from rapua_scheduler.testing.store_conformance import (
    HOUR,
    START,
    finish,
    some_job,
    some_run,
    start,
    to_queue,
    to_run,
    waiting,
)
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


def test_what_is_begun_by_who_was_taken_for_dead_is_lost_once_it_is(created: Path) -> None:
    mistaken = SqliteStore.open(created, create=False)
    mistaken.declare([some_job()], START)
    with closing(sqlite3.connect(created)) as db, db:
        db.execute("DELETE FROM owners")
    mistaken.decide([to_run(1)])
    mistaken.close()

    with closing(SqliteStore.open(created, create=False)) as store:
        assert lost_in(store) == [some_run(1).run_id]


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


# -- queued runs


def ids_of(runs: Sequence[Run]) -> list[str]:
    return [run.run_id for run in runs]


def test_queued_runs_of_a_killed_host_are_taken_by_the_next_and_only_the_running_one_is_lost(created: Path) -> None:
    queued = ["air-schedule-1", "air-schedule-2"]
    with Child("hold_queued", created, "air") as dying, closing(SqliteStore.open(created, create=False)) as store:
        dying.hear("ready")
        assert store.take_queued() == []
        assert list(store.begin([Start(queued[0], 1, LATER)])) == [False]

        dying.kill()
        dying.end()

        assert lost_in(store) == ["air-schedule-3"]
        assert ids_of(store.take_queued()) == queued
        assert store.take_queued() == []
        assert list(store.begin([Start(run_id, 1, LATER) for run_id in queued])) == [True, True]
        assert finish(store, queued[0])


def test_queued_runs_of_an_opening_that_was_closed_are_taken_by_another(created: Path) -> None:
    with closing(SqliteStore.open(created, create=False)) as store:
        store.declare([some_job()], START)
        store.decide([to_queue(1)])
        store.enqueue([waiting(5, trigger=Trigger.MANUAL)])
    with closing(SqliteStore.open(created, create=False)) as store:
        lost_in(store)  # forgets the owner

        assert ids_of(store.take_queued()) == ["sweep-schedule-1", "sweep-manual-5"]


def test_queued_runs_of_a_living_opening_stay_its_own(created: Path) -> None:
    with (
        closing(SqliteStore.open(created, create=False)) as mine,
        closing(SqliteStore.open(created, create=False)) as other,
    ):
        mine.declare([some_job()], START)
        mine.decide([to_queue(1)])

        assert other.take_queued() == []
        assert mine.take_queued() == []

        assert start(mine, some_run(1).run_id)


def test_what_a_dead_opening_was_running_is_not_taken(created: Path) -> None:
    dead = SqliteStore.open(created, create=False)
    dead.declare([some_job()], START)
    dead.decide([to_run(1), to_queue(2)])
    dead.close()

    with closing(SqliteStore.open(created, create=False)) as store:
        assert store.take_queued() == [waiting(2)]


def test_what_several_processes_try_to_take_and_begin_is_begun_by_one(created: Path) -> None:
    run_ids = [waiting(hour, trigger=Trigger.MANUAL).run_id for hour in range(1, 40)]
    with closing(SqliteStore.open(created, create=False)) as store:
        store.enqueue([waiting(hour, trigger=Trigger.MANUAL) for hour in range(1, 40)])
    children = [Child("begin_at_once", created, ",".join(run_ids)) for _ in range(3)]
    try:
        for child in children:
            child.hear("ready")
        for child in children:
            child.go_on()
        said = [child.hear("begun") for child in children]
    finally:
        for child in children:
            child.__exit__(None, None, None)

    assert sorted(run_id for each in said for run_id in each["taken"]) == sorted(run_ids)
    assert [sum(each) for each in zip(*(each["begun"] for each in said), strict=True)] == [1] * len(run_ids)


# -- whose attempt it is


def test_only_the_opening_that_executes_a_run_ends_it_or_reports_of_it(created: Path) -> None:
    with (
        closing(SqliteStore.open(created, create=False)) as mine,
        closing(SqliteStore.open(created, create=False)) as other,
    ):
        mine.declare([some_job()], START)
        mine.decide([to_run(1), to_queue(2)])
        line = LogLine(START, 1, "info", "swept")

        other.report("sweep-schedule-1", 1, done=1, total=2, log=[line])
        assert not finish(other, "sweep-schedule-1", log=[line])
        assert not finish(other, "sweep-schedule-1", status=RunStatus.FAILED, again=True)
        assert list(other.begin([Start("sweep-schedule-2", 1, START)])) == [False]

        assert mine.runs() == [waiting(2), some_run(1)]
        assert (mine.attempts("sweep-schedule-1"), mine.log_lines("sweep-schedule-1")) == ([], [])
        assert finish(mine, "sweep-schedule-1")


def test_a_lost_run_is_run_again_by_another_opening_with_everything_that_was_kept_of_it(created: Path) -> None:
    line = LogLine(START, 1, "info", "swept")
    with closing(SqliteStore.open(created, create=False)) as store:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        store.claim(some_run(2, trigger=Trigger.MANUAL))
        store.claim(some_run(3, trigger=Trigger.BACKFILL))
        store.report("sweep-schedule-1", 1, done=3, total=9, log=[line])
    with closing(SqliteStore.open(created, create=False)) as store:
        assert lost_in(store) == ["sweep-schedule-1", "sweep-manual-2", "sweep-backfill-3"]
        assert ids_of(store.unanswered()) == ["sweep-schedule-1", "sweep-backfill-3"]

        again = store.rerun("sweep-schedule-1")

        assert again is not None
        assert (again.status, again.trigger, again.losses, again.done) == (RunStatus.QUEUED, Trigger.RERUN, 1, 3)
        assert store.attempts("sweep-schedule-1") == [
            PastAttempt(1, RunStatus.LOST, some_run(1).started_at, LATER),
        ]
        assert store.log_lines("sweep-schedule-1") == [line]
        assert list(store.begin([Start("sweep-schedule-1", 2, LATER)])) == [True]
    with closing(SqliteStore.open(created, create=False)) as store:
        assert [run.losses for run in store.mark_lost(LATER)] == [2]


def test_a_run_that_was_to_be_cancelled_when_its_host_died_is_cancelled(created: Path) -> None:
    with closing(SqliteStore.open(created, create=False)) as store:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        store.request_cancel("sweep-schedule-1", "ann")
    with closing(SqliteStore.open(created, create=False)) as store:
        (lost,) = store.mark_lost(LATER)

        assert (lost.status, lost.finished_at, lost.losses) == (RunStatus.CANCELLED, LATER, 1)
        assert lost.error == "cancelled by ann; its host died"
        assert store.run("sweep-schedule-1") == lost
        assert store.unanswered() == []


def test_each_opening_is_told_to_cancel_its_own_runs(created: Path) -> None:
    with (
        closing(SqliteStore.open(created, create=False)) as mine,
        closing(SqliteStore.open(created, create=False)) as other,
        closing(SqliteStore.open_read_only(created)) as reader,
    ):
        mine.declare([some_job()], START)
        mine.decide([to_run(1)])
        other.decide([to_run(2)])

        mine.request_cancel("sweep-schedule-1", "ann")
        mine.request_cancel("sweep-schedule-2", "bob")

        assert mine.cancel_requests() == {"sweep-schedule-1": "ann"}
        assert other.cancel_requests() == {"sweep-schedule-2": "bob"}
        assert reader.cancel_requests() == {}


# -- the operator's word


def test_what_is_said_in_another_process_is_heard(created: Path) -> None:
    with (
        closing(SqliteStore.open(created, create=False)) as store,
        closing(SqliteStore.open_read_only(created)) as reader,
    ):
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        word = store.word()

        with Child("speak", created, "sweep", "sweep-schedule-1") as operator:
            assert operator.hear("said")["cancelled"]
            assert operator.end() == 0

        assert store.word() == reader.word() == word + 3
        assert ids_of(store.take_queued()) == ["sweep-manual-9"]
        assert store.cancel_requests() == {"sweep-schedule-1": "ann"}
        assert [(window.reason, window.by) for window in reader.windows()] == [("rats", "ann")]


# -- the host


def test_a_host_is_active_until_it_has_ended_and_known_after(created: Path) -> None:
    with Child("be_host", created) as child, closing(SqliteStore.open_read_only(created)) as reader:
        child.hear("ready")
        host = reader.host()
        assert host is not None
        assert (host.pid, host.is_active, host.alive_at) == (child.pid, True, None)

        child.kill()
        child.end()

        assert reader.host() == evolve(host, is_active=False)
        with closing(SqliteStore.open(created, create=False)) as store:
            lost_in(store)
            assert store.host() == evolve(host, is_active=False)


def test_a_former_host_is_not_active_while_the_next_one_starts(created: Path) -> None:
    with closing(SqliteStore.open(created, create=False)) as store:
        store.become_host()
    with closing(SqliteStore.open(created, create=False)) as store:
        locks = LockFile.share(created, _id_of(created))
        assert locks.lock(HOST)

        assert not _host_of(store).is_active

        locks.unlock(HOST)
        locks.leave()


def test_a_sign_of_life_is_that_of_the_host_that_gave_it(created: Path) -> None:
    with closing(SqliteStore.open(created, create=False)) as store:
        store.become_host()
        store.note_alive(LATER)
    with closing(SqliteStore.open(created, create=False)) as store:
        assert store.host() == evolve(_host_of(store), alive_at=LATER, is_active=False)

        store.become_host()

        assert _host_of(store).alive_at is None
        assert store.alive() == LATER


def test_a_store_that_never_had_a_host_has_none(created: Path) -> None:
    with closing(SqliteStore.open_read_only(created)) as reader:
        assert reader.host() is None


def test_a_host_whose_lock_file_is_gone_is_taken_for_dead(created: Path) -> None:
    with Child("be_host", created) as child, closing(SqliteStore.open_read_only(created)) as reader:
        child.hear("ready")
        lock_path(created).unlink()

        assert not _host_of(reader).is_active


def test_a_lock_file_that_cannot_be_read_is_an_error(created: Path) -> None:
    with Child("be_host", created) as child, closing(SqliteStore.open_read_only(created)) as reader:
        child.hear("ready")
        lock_path(created).unlink()
        lock_path(created).symlink_to(lock_path(created))

        with pytest.raises(StoreError, match="lock file cannot be read"):
            reader.host()


def test_looking_for_the_host_keeps_nobody_from_becoming_it(created: Path) -> None:
    locks = LockFile.share(created, _id_of(created))
    with Child("look_without_end", created) as child:
        child.hear("looking")
        for _ in range(3000):
            assert locks.lock(HOST)
            locks.unlock(HOST)
    locks.leave()


def _host_of(store: SqliteStore) -> HostRecord:
    host = store.host()
    assert host is not None
    return host


def test_a_second_host_is_refused_and_told_the_process_of_the_first(created: Path) -> None:
    with Child("be_host", created) as host, closing(SqliteStore.open(created, create=False)) as store:
        host.hear("ready")

        with pytest.raises(AnotherHostError, match=rf"store {created}: .*\(process {host.pid} on ") as caught:
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
            with pytest.raises(AnotherHostError, match=rf"store {created}: .*\(process {os.getpid()} on "):
                second.become_host()

        second.become_host()


def test_a_host_that_has_not_said_yet_who_it_is_is_called_so(created: Path) -> None:
    with closing(SqliteStore.open(created, create=False)) as store:
        locks = LockFile.share(created, _id_of(created))
        assert locks.lock(HOST)

        with pytest.raises(AnotherHostError, match=r"\(a process that has just started\)"):
            store.become_host()

        locks.unlock(HOST)
        locks.leave()


def test_an_opening_that_cannot_be_recorded_leaves_no_lock(created: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locks = LockFile.share(created, _id_of(created))
    with closing(sqlite3.connect(created, isolation_level=None)) as db:
        owner = owners.next_owner(db)
        with monkeypatch.context() as broken:
            broken.setattr(fcntl, "fcntl", _refuse)
            with pytest.raises(StoreError, match="has no locks"):
                _become_owner(created, db, locks, START)
        db.execute("DROP TABLE owners")

        with pytest.raises(StoreError, match="no such table: owners"):
            _become_owner(created, db, locks, START)

    assert not locks.is_locked(owner)
    locks.leave()


def _refuse(*_: object) -> bytes:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("way", ["opened", "shared"])
def test_a_file_system_without_locks_is_an_error(created: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SqliteStore.open(created, create=False)) as store:
        store.become_host()
    if way == "shared":
        locks = LockFile.share(created, _id_of(created))

    with closing(SqliteStore.open_read_only(created)) as reader:
        monkeypatch.setattr(fcntl, "fcntl", _refuse)

        with pytest.raises(StoreError, match="has no locks"):
            reader.host()

    if way == "shared":
        locks.leave()


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
