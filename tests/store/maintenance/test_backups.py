"""`back_up` makes a file that is the store at one moment, whole, or none."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import Decision
from rapua_scheduler.store.locks import lock_path
from rapua_scheduler.store.maintenance import Condition, back_up, inspect_store
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import HOUR, START, some_gap, some_run, to_run
from tests.store.golden.make import history
from tests.store.test_golden import GOLDEN, RELEASED

NOW = START + 8 * HOUR


@pytest.fixture
def target(filled: Path) -> Path:
    folder = filled.with_name("backups")
    folder.mkdir()
    return folder / "monday.db"


def history_of(path: Path) -> object:
    with closing(SqliteStore.open_read_only(path)) as store:
        return history(store)


def test_a_backup_has_the_history_of_the_store_in_one_file(filled: Path, target: Path) -> None:
    made = back_up(filled, target, NOW)

    assert made.path == target
    assert [each.name for each in target.parent.iterdir()] == ["monday.db"]
    assert (made.condition.runs, made.condition.size) == (11, target.stat().st_size)
    assert history_of(target) == history_of(filled)
    assert inspect_store(target).is_sound


def test_a_backup_of_a_store_at_work_has_what_is_still_in_its_wal(filled: Path, target: Path) -> None:
    with closing(SqliteStore.open(filled, create=False)) as store:
        store.become_host()
        store.decide([to_run(7)])

        back_up(filled, target, NOW)

        assert store.decide([to_run(8)]) == [True]
    assert [run.run_id for run in SqliteStore.open_read_only(target).runs(limit=1)] == ["sweep-schedule-7"]


def test_a_backup_is_of_one_moment_though_a_host_writes_all_the_time(filled: Path, target: Path) -> None:
    """Each decision records a run of one job and a gap of the other: there must be as many of both."""
    stop = threading.Event()
    with closing(SqliteStore.open(filled, create=False)) as store:

        def write() -> None:
            hour = 10
            while not stop.is_set():
                run = some_run(hour)
                gap = some_gap(hour, job_key="mop", detail=str(hour))
                store.decide(
                    [Decision("sweep", run.fire_time, None, (run,)), Decision("mop", gap.last, None, (), (gap,))]
                )
                hour += 1

        thread = threading.Thread(target=write)
        thread.start()
        counts = []
        for _ in range(20):
            back_up(filled, target, NOW, overwrite=True)
            with closing(sqlite3.connect(target)) as db:
                counts.append(db.execute("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM gaps)").fetchone())
        stop.set()
        thread.join()

    assert {runs - gaps for runs, gaps in counts} == {11 - 5}
    assert counts[-1] > counts[0]


def test_a_backup_replaces_a_file_only_if_told_to(filled: Path, target: Path) -> None:
    target.write_text("precious")

    with pytest.raises(FileExistsError):
        back_up(filled, target, NOW)
    assert target.read_text() == "precious"

    back_up(filled, target, NOW, overwrite=True)
    assert inspect_store(target).is_sound


@pytest.mark.parametrize("name", ["store.db", "store.db.lock", "store.db-wal", "store.db-shm", "store.db-journal"])
def test_a_store_is_no_backup_of_itself(filled: Path, name: str) -> None:
    before = filled.read_bytes(), lock_path(filled).read_bytes()

    with pytest.raises(StoreError, match="name another file"):
        back_up(filled, filled.with_name(name), NOW, overwrite=True)

    assert (filled.read_bytes(), lock_path(filled).read_bytes()) == before


def test_a_link_to_the_store_is_no_backup_of_it(filled: Path) -> None:
    hard = filled.with_name("hard.db")
    hard.hardlink_to(filled)
    soft = filled.with_name("soft.db")
    soft.symlink_to(filled)

    for link in (hard, soft):
        with pytest.raises(StoreError, match="name another file"):
            back_up(filled, link, NOW, overwrite=True)


def test_a_backup_into_a_missing_folder_is_refused(filled: Path, target: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        back_up(filled, target.parent / "missing" / "monday.db", NOW)


def test_a_backup_is_as_private_as_the_store(filled: Path, target: Path) -> None:
    filled.chmod(0o640)

    back_up(filled, target, NOW)

    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_damaged_store_is_not_backed_up(filled: Path, target: Path) -> None:
    back_up(filled, target, NOW)
    good = target.read_bytes()
    with closing(sqlite3.connect(filled, isolation_level=None)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs_by_start'").fetchone()
    with filled.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)

    with pytest.raises(StoreError, match="is damaged, and was not backed up"):
        back_up(filled, target, NOW, overwrite=True)

    assert target.read_bytes() == good
    assert [each.name for each in target.parent.iterdir()] == ["monday.db"]


def test_a_store_that_has_lost_changes_is_not_backed_up(filled: Path, target: Path) -> None:
    copy = Path(shutil.copy(filled, filled.with_name("copy.db")))
    with closing(SqliteStore.open(filled, create=False)) as store:
        store.decide([to_run(7)])
    copy.replace(filled)

    with pytest.raises(StoreError, match="misses its latest 1 changes"):
        back_up(filled, target, NOW)

    assert list(target.parent.iterdir()) == []


def test_a_full_disk_leaves_the_backup_that_was_there(filled: Path, small_disk: Path) -> None:
    target = small_disk / "monday.db"
    back_up(filled, target, NOW)
    good = target.read_bytes()
    (small_disk / "filling").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 2 * 4096))

    with pytest.raises(StoreError, match="is full"):
        back_up(filled, target, NOW, overwrite=True)

    assert target.read_bytes() == good
    assert sorted(each.name for each in small_disk.iterdir()) == ["filling", "monday.db"]


def without_links(*_: object) -> None:
    raise OSError(1, "Operation not permitted")


def test_a_file_system_without_links_will_do(filled: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", without_links)

    back_up(filled, target, NOW)

    assert inspect_store(target).is_sound


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_replaced(
    filled: Path, target: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inspect_and_lose(path: Path) -> Condition:
        target.write_text("precious")
        return inspect_store(path)

    monkeypatch.setattr(f"{back_up.__module__}.inspect_store", inspect_and_lose)
    if not has_links:
        monkeypatch.setattr(os, "link", without_links)

    with pytest.raises(FileExistsError):
        back_up(filled, target, NOW)

    assert target.read_text() == "precious"


def test_a_disk_that_fails_is_told(filled: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(StoreError, match="Input/output error"):
        back_up(filled, target, NOW)

    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("version", RELEASED)
def test_a_store_of_an_older_schema_is_backed_up_in_its_own(path: Path, tmp_path: Path, version: int) -> None:
    shutil.copy(GOLDEN / f"schema-{version}.db", path)

    made = back_up(path, tmp_path / "monday.db", NOW)

    assert made.condition.schema == version
    assert made.condition.runs > 100
