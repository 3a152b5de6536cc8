"""`restore` puts a backup in place, keeps what was there, and answers for the time in between."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from rapua_scheduler.errors import AnotherHostError, StoreError
from rapua_scheduler.run import Gap, GapReason, RunStatus, Trigger
from rapua_scheduler.store.locks import HOST, LockFile, lock_path, noted_beside
from rapua_scheduler.store.maintenance import Restored, back_up, inspect_store, restore
from rapua_scheduler.store.maintenance.copying import copy_database, put_in_place
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing import ManualClock
from rapua_scheduler.testing.store_conformance import HOUR, START, finish, job_of, some_job, some_run, to_run
from tests.store.child import Child
from tests.store.golden.make import history
from tests.store.test_golden import GOLDEN, RELEASED
from tests.store.test_writer import wait_until

BACKED_UP = START + 6.25 * HOUR
NOW = START + 30 * HOUR
OF_READERS = {"store.db-wal", "store.db-shm"}


def restored(path: Path, source: Path, *, catch_up: bool = False) -> Restored:
    return restore(path, source, ManualClock(NOW), catch_up=catch_up)


def history_of(path: Path) -> object:
    with closing(SqliteStore.open_read_only(path)) as store:
        return history(store)


def names_beside(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


@pytest.fixture
def backup(filled: Path) -> Path:
    """A backup of hour 6, of a store that went on for another two."""
    made = back_up(filled, filled.with_name("monday.db"), BACKED_UP)
    with closing(SqliteStore.open(filled, create=False)) as store:
        store.decide([to_run(7), to_run(7, "mop")])
        store.decide([to_run(8), to_run(8, "mop")])
    return made.path


# -- the file


def test_what_was_there_is_kept_beside(filled: Path, backup: Path) -> None:
    before = history_of(filled)

    done = restored(filled, backup)

    assert done.kept is not None
    assert done.kept.name == "store.db.before-restore-20261102T180000Z"
    assert history_of(done.kept) == before
    assert names_beside(filled) == {"store.db", "store.db.lock", "monday.db", done.kept.name}


def test_what_was_there_is_kept_with_the_changes_in_its_wal(filled: Path, backup: Path) -> None:
    with Child("hold", filled, "air") as host:
        host.hear("ready")
        host.kill()
        host.end()
    assert filled.with_name("store.db-wal").stat().st_size > 0

    done = restored(filled, backup)

    assert done.kept is not None
    with closing(SqliteStore.open_read_only(done.kept)) as kept:
        assert len(kept.runs(job_key="air")) == 3
    assert names_beside(filled) == {"store.db", "store.db.lock", "monday.db", done.kept.name}


def test_what_was_there_is_kept_twice_if_restored_twice_in_a_second(filled: Path, backup: Path) -> None:
    one, two = restored(filled, backup), restored(filled, backup)

    assert one.kept is not None
    assert two.kept is not None
    assert two.kept.name == f"{one.kept.name}-2"


def test_a_damaged_store_is_kept_with_all_that_lies_beside_it(filled: Path, backup: Path) -> None:
    filled.write_bytes(b"damaged" + filled.read_bytes()[7:])
    filled.with_name("store.db-wal").write_bytes(b"the latest changes")

    done = restored(filled, backup)

    assert done.kept is not None
    assert done.kept.read_bytes().startswith(b"damaged")
    assert done.kept.with_name(f"{done.kept.name}-wal").read_bytes() == b"the latest changes"
    assert inspect_store(filled).is_sound


def test_a_missing_store_is_restored(filled: Path, backup: Path) -> None:
    filled.unlink()

    done = restored(filled, backup)

    assert done.kept is None
    assert inspect_store(filled).is_sound


def test_a_wal_without_its_store_is_put_aside_too(filled: Path, backup: Path) -> None:
    filled.unlink()
    filled.with_name("store.db-wal").write_bytes(b"the latest changes")

    restored(filled, backup)

    assert "store.db.before-restore-20261102T180000Z-wal" in names_beside(filled)
    assert inspect_store(filled).is_sound


def test_a_store_is_restored_where_there_never_was_one(backup: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new machine"
    folder.mkdir()
    path = folder / "store.db"

    done = restored(path, backup)

    assert (done.kept, done.was_another) == (None, False)
    assert names_beside(path) == {"store.db", "store.db.lock"}
    with closing(SqliteStore.open(path, create=False)) as store:
        assert len(store.runs()) == 11


def test_the_restored_store_is_open_to_whom_the_one_before_was(filled: Path, backup: Path) -> None:
    filled.chmod(0o600)

    restored(filled, backup)

    assert filled.stat().st_mode & 0o777 == 0o600


def test_the_backup_is_left_as_it_was(filled: Path, backup: Path) -> None:
    before = backup.read_bytes()

    restored(filled, backup)

    assert backup.read_bytes() == before


def test_the_restored_store_goes_on(filled: Path, backup: Path) -> None:
    restored(filled, backup)

    with closing(SqliteStore.open(filled, create=False)) as store:
        store.become_host()
        assert store.decide([to_run(31)]) == [True]
    assert inspect_store(filled).is_sound


def test_a_file_of_the_time_before_the_restore_is_refused_after_it(filled: Path, backup: Path) -> None:
    with closing(SqliteStore.open(filled, create=False)) as store:
        for hour in range(9, 29):
            store.decide([to_run(hour)])
    done = restored(filled, backup)
    assert done.kept is not None

    shutil.copy(done.kept, filled)

    with pytest.raises(StoreError, match="misses its latest"):
        SqliteStore.open(filled, create=False)


def test_another_store_may_take_the_place_and_is_told(filled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(SqliteStore.open(other, create=True)) as store:
        store.declare([some_job("air")], START)

    done = restored(filled, other)

    assert done.was_another
    with closing(SqliteStore.open(filled, create=False)) as store:
        assert [job.key for job in store.jobs()] == ["air"]


@pytest.mark.parametrize("version", RELEASED)
def test_a_backup_of_an_older_schema_is_restored(filled: Path, version: int) -> None:
    done = restored(filled, GOLDEN / f"schema-{version}.db")

    assert done.condition.schema == version
    found = inspect_store(filled)
    assert found.is_sound
    assert found.runs == done.condition.runs


# -- killed or failing in between


@pytest.mark.parametrize("survived", range(7))
def test_a_restore_that_fails_in_between_leaves_one_of_the_two_stores_or_a_refusal(
    filled: Path, backup: Path, survived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = history_of(filled)
    left = survived
    done: list[str] = []

    def failing(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(5, f"failed at {name}")
            done.append(name)
            return real(*arguments, **options)

        return step

    for owner, name in ((Path, "replace"), (os, "link"), (os, "fsync"), (LockFile, "hand_over")):
        monkeypatch.setattr(owner, name, failing(name, getattr(owner, name)))

    with suppress(StoreError, OSError):
        restored(filled, backup)
    monkeypatch.undo()

    after = history_of(filled)
    assert (after == before) == ("replace" not in done)
    SqliteStore.open(filled, create=False).close()
    assert not [name for name in names_beside(filled) if name.startswith(".")]


def test_a_file_system_without_links_will_do(filled: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = history_of(filled)

    def link(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)

    done = restored(filled, backup)

    assert done.kept is not None
    assert history_of(done.kept) == before
    assert inspect_store(filled).is_sound


# -- who else is there


def test_a_restore_beside_an_active_host_is_refused(filled: Path, backup: Path) -> None:
    with Child("be_host", filled) as host:
        host.hear("ready")
        before = history_of(filled)

        with pytest.raises(AnotherHostError, match=f"process {host.pid} on "):
            restored(filled, backup)

        assert history_of(filled) == before


@pytest.mark.parametrize("opened", ["write", "read"])
def test_a_restore_of_a_store_that_somebody_has_open_is_refused(filled: Path, backup: Path, opened: str) -> None:
    way = SqliteStore.open_read_only if opened == "read" else lambda path: SqliteStore.open(path, create=False)
    with closing(way(filled)) as store:
        store.runs(limit=1)
        before = history_of(filled)

        with pytest.raises(StoreError, match="is open in another process"):
            restored(filled, backup)

        assert history_of(filled) == before
        assert len(store.runs()) == 15
    assert names_beside(filled) - OF_READERS == {"store.db", "store.db.lock", "monday.db"}


def test_no_host_can_start_while_a_restore_is_at_work(
    filled: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def look_first(source: sqlite3.Connection, target: Path) -> None:
        with Child("be_host", filled) as rival:
            seen.append(rival.end())
        copy_database(source, target)

    monkeypatch.setattr(f"{restore.__module__}.copy_database", look_first)

    restored(filled, backup)

    assert seen
    assert seen != [0]


def test_who_opens_the_store_while_it_is_replaced_writes_to_neither(
    filled: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        late: list[Child] = []

        def let_in(copy: Path, target: Path, *, like: Path, overwrite: bool) -> None:
            late.append(stack.enter_context(Child("mark_lost", filled)))
            wait_until(lambda: is_open_in(late[0].pid, filled))
            put_in_place(copy, target, like=like, overwrite=overwrite)

        monkeypatch.setattr(f"{restore.__module__}.put_in_place", let_in)
        done = restored(filled, backup)

        assert late[0].end() != 0

    assert done.kept is not None
    for path in (filled, done.kept):
        assert inspect_store(path).is_sound
    assert names_beside(filled) == {"store.db", "store.db.lock", "monday.db", done.kept.name}


def is_open_in(pid: int, path: Path) -> bool:
    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell which files a process has open")
    with suppress(FileNotFoundError):  # one that was closed while we looked
        return any(each.readlink() == path for each in Path(f"/proc/{pid}/fd").iterdir())
    return False


def test_a_database_of_another_program_is_not_moved_away(filled: Path, backup: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.db"
    with closing(sqlite3.connect(site)) as db:
        db.execute("CREATE TABLE users (id)")

    with pytest.raises(StoreError, match="of another program"):
        restored(site, backup)

    assert not lock_path(site).exists()


@pytest.mark.parametrize("kind", ["missing", "text", "foreign", "damaged", "newer", "empty"])
def test_what_is_no_sound_store_is_not_restored(filled: Path, backup: Path, kind: str) -> None:
    if kind == "missing":
        backup.unlink()
    elif kind == "text":
        backup.write_text("not a store\n" * 1000)
    elif kind == "foreign":
        backup.unlink()
        with closing(sqlite3.connect(backup)) as db:
            db.execute("CREATE TABLE users (id)")
    elif kind == "damaged":
        with closing(sqlite3.connect(backup, isolation_level=None)) as db:
            db.execute("UPDATE runs SET previous = NULL")
    elif kind == "newer":
        with closing(sqlite3.connect(backup, isolation_level=None)) as db:
            db.execute("PRAGMA user_version = 99")
    else:
        backup.write_bytes(b"")
    before = history_of(filled)

    with pytest.raises(StoreError) as caught:
        restored(filled, backup)

    assert caught.value.path == backup
    assert history_of(filled) == before
    assert names_beside(filled) - OF_READERS - {"monday.db"} == {"store.db", "store.db.lock"}


def test_a_refused_restore_leaves_no_lock_file_behind(backup: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with closing(sqlite3.connect(backup, isolation_level=None)) as db:
        db.execute("DELETE FROM meta WHERE name = 'store_id'")  # sound as far as anybody looked

    with pytest.raises(StoreError):
        restored(path, backup)

    assert names_beside(path) & {"new.db", "new.db.lock"} == set()


def test_a_restore_into_a_missing_folder_is_refused(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist; create it"):
        restored(tmp_path / "missing" / "store.db", backup)


def test_a_restore_in_the_place_of_a_folder_is_refused(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(StoreError, match="is not a file"):
        restored(tmp_path / "folder", backup)


@pytest.mark.parametrize("is_damaged", [True, False])
def test_a_host_that_the_store_does_not_name_is_an_active_host_all_the_same(
    path: Path, tmp_path: Path, is_damaged: bool
) -> None:
    SqliteStore.open(path, create=True).close()
    backup = back_up(path, tmp_path / "monday.db", BACKED_UP).path
    if is_damaged:
        path.write_bytes(b"damaged")
    before = path.read_bytes()
    locks = LockFile.share(path, None)
    assert locks.lock(HOST)

    with pytest.raises(AnotherHostError, match="a process that cannot be named"):
        restored(path, backup)

    assert path.read_bytes() == before
    locks.unlock(HOST)
    locks.leave()


# -- the time in between


def missed(store: SqliteStore, key: str) -> Gap:
    (gap,) = store.gaps(job_key=key, limit=1)
    return gap


def test_what_ran_since_the_backup_is_recorded_as_not_known(filled: Path, backup: Path) -> None:
    done = restored(filled, backup)

    assert done.as_of == BACKED_UP
    assert list(done.jobs) == ["mop", "sweep"]
    with closing(SqliteStore.open_read_only(filled)) as store:
        assert missed(store, "sweep") == Gap(
            "sweep",
            START + 7 * HOUR,
            NOW,
            None,
            GapReason.MISSED,
            f"store restored from a backup of {BACKED_UP.isoformat(timespec='seconds')}; what ran since is not known",
        )
        assert {job.mark for job in store.jobs()} == {NOW}
        assert {job.next_fire_time for job in store.jobs()} == {None}
        assert store.alive() == NOW


def test_a_job_that_was_not_due_since_the_backup_misses_nothing(filled: Path) -> None:
    with closing(SqliteStore.open(filled, create=False)) as store:
        store.set_next({"mop": NOW + HOUR})
    backup = back_up(filled, filled.with_name("monday.db"), BACKED_UP).path

    done = restored(filled, backup)

    assert done.jobs == ["sweep"]
    with closing(SqliteStore.open_read_only(filled)) as store:
        assert missed(store, "mop").reason is GapReason.SKIPPED
        assert (job_of(store, "mop").mark, job_of(store, "mop").next_fire_time) == (NOW, NOW + HOUR)


def test_nothing_that_may_have_run_since_the_backup_can_be_claimed(filled: Path, backup: Path) -> None:
    restored(filled, backup)

    with closing(SqliteStore.open(filled, create=False)) as store:
        assert store.decide([to_run(7), to_run(30, "mop")]) == [False, False]


def test_with_catch_up_the_time_since_the_backup_is_left_to_the_host(filled: Path, backup: Path) -> None:
    before = history_of(backup)

    done = restored(filled, backup, catch_up=True)

    assert (done.jobs, done.dropped) == ((), ())
    assert history_of(filled) == before
    with closing(SqliteStore.open(filled, create=False)) as store:
        assert store.alive() == NOW
        assert store.decide([to_run(7), to_run(30, "mop")]) == [True, True]


@pytest.fixture
def unfinished(filled: Path) -> Path:
    """A backup with a run in each state that is not an end."""
    with closing(SqliteStore.open(filled, create=False)) as store:
        store.become_host()
        store.decide([to_run(7), to_run(7, "mop")])  # running
        finish(store, "mop-schedule-7", status=RunStatus.INTERRUPTED)
        store.enqueue([evolve(some_run(3, trigger=Trigger.MANUAL), status=RunStatus.QUEUED, started_at=None)])
        return back_up(filled, filled.with_name("monday.db"), BACKED_UP).path


def test_what_the_backup_had_not_finished_is_not_run_again(filled: Path, unfinished: Path) -> None:
    done = restored(filled, unfinished)

    assert set(done.dropped) == {"sweep-schedule-7", "mop-schedule-7", "sweep-manual-3"}
    with closing(SqliteStore.open(filled, create=False)) as store:
        assert store.unanswered() == []
        assert store.take_queued() == []
        assert store.mark_lost(NOW) == []
        lost, queued = store.run("sweep-schedule-7"), store.run("sweep-manual-3")
        assert lost is not None
        assert queued is not None
        assert lost.status is RunStatus.LOST
        assert (queued.status, queued.finished_at) == (RunStatus.CANCELLED, NOW)
        assert "restored from a backup" in str(queued.error)


def test_with_catch_up_what_the_backup_had_not_finished_is_left_to_the_host(filled: Path, unfinished: Path) -> None:
    restored(filled, unfinished, catch_up=True)

    with closing(SqliteStore.open(filled, create=False)) as store:
        assert [run.run_id for run in store.mark_lost(NOW)] == ["sweep-schedule-7"]
        assert {run.run_id for run in store.unanswered()} == {"sweep-schedule-7", "mop-schedule-7"}
        assert [run.run_id for run in store.take_queued()] == ["sweep-manual-3"]


def test_a_copy_made_by_hand_is_of_the_last_time_that_it_knows(filled: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(filled, tmp_path / "copy.db"))

    assert restored(filled, copy).as_of == START + 6 * HOUR + timedelta(seconds=1)  # when the last run was started


def test_a_clock_behind_the_backup_moves_no_mark(filled: Path, backup: Path) -> None:
    done = restore(filled, backup, ManualClock(START))

    assert done.jobs == []
    with closing(SqliteStore.open_read_only(filled)) as store:
        assert job_of(store).mark == START + 6 * HOUR


# -- the file that is there


def test_a_store_whose_wal_was_lost_goes_on_as_it_is(filled: Path) -> None:
    with Child("hold", filled, "air") as host:
        host.hear("ready")
        host.kill()
        host.end()
    for end in ("wal", "shm"):
        filled.with_name(f"store.db-{end}").unlink()
    with pytest.raises(StoreError, match="misses its latest"):
        SqliteStore.open(filled, create=False)

    done = restored(filled, filled)

    assert done.kept is not None
    assert list(done.jobs) == ["mop", "sweep"]
    with closing(SqliteStore.open(filled, create=False)) as store:
        assert len(store.runs()) == 11
        assert missed(store, "sweep").last == NOW
    assert inspect_store(filled).is_sound


def test_a_file_put_there_by_hand_goes_on_as_it_is(filled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(SqliteStore.open(other, create=True)) as store:
        store.declare([some_job("air")], START)
    other.replace(filled)
    with pytest.raises(StoreError, match="is not the store that its lock file"):
        SqliteStore.open(filled, create=False)

    assert restored(filled, filled).was_another

    with closing(SqliteStore.open(filled, create=False)) as store:
        assert [job.key for job in store.jobs()] == ["air"]


def test_a_restored_store_is_noted_as_later_than_all_before(filled: Path, backup: Path) -> None:
    before = noted_beside(filled)

    restored(filled, backup)

    with closing(sqlite3.connect(filled)) as db:
        (commits,) = db.execute("SELECT value FROM meta WHERE name = 'commits'").fetchone()
        assert db.execute("SELECT count(*) FROM meta WHERE name = 'backed_up_at'").fetchone() == (0,)
    assert noted_beside(filled) == int(commits) > before
