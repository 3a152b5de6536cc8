"""What the machine below may refuse when a store is opened, and what is said then."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rapua_scheduler.errors import StoreError
from rapua_scheduler.store import connections
from rapua_scheduler.store.commits import check_complete
from rapua_scheduler.store.locks import LockFile, lock_path
from rapua_scheduler.store.problems import store_error
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import START, some_job, to_run
from tests.disks import mounted


def filled(path: Path) -> None:
    with closing(SqliteStore.open(path, create=True)) as store:
        store.declare([some_job()], START)
        store.decide([to_run(1)])


def test_an_old_sqlite_is_named_with_the_one_that_is_needed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 3))

    with pytest.raises(StoreError, match=r"needs SQLite 3\.33\.0 or later"):
        SqliteStore.open(path, create=True)


def test_a_store_on_a_read_only_disk_is_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, 2 * 1024 * 1024):
        path = disk / "store.db"
        filled(path)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

        with closing(SqliteStore.open_read_only(path)) as store:
            assert len(store.runs()) == 1
        with pytest.raises(StoreError, match="cannot be"):
            SqliteStore.open(path, create=False)


def test_a_store_on_a_read_only_disk_with_changes_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, 2 * 1024 * 1024):
        path = disk / "store.db"
        filled(path)
        path.with_name("store.db-wal").write_bytes(b"the latest changes")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

        with pytest.raises(StoreError, match="can only be read by who may write"):
            SqliteStore.open_read_only(path)


def test_a_file_system_that_cannot_share_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutWal(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            return super().execute(sql.replace("journal_mode = WAL", "journal_mode = DELETE"), *arguments)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: connect(*given, **more, factory=WithoutWal))

    with pytest.raises(StoreError, match="cannot share memory between processes"):
        SqliteStore.open(path, create=True)


@pytest.mark.parametrize("is_let_go", [True, False])
def test_a_file_that_somebody_is_about_to_create_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_let_go: bool
) -> None:
    monkeypatch.setattr(connections, "BUSY_SECONDS", 5.0 if is_let_go else 0.05)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
        if is_let_go:
            timer.start()
            SqliteStore.open(path, create=True).close()
            timer.join()
        else:
            with pytest.raises(StoreError, match="another process has kept it locked"):
                SqliteStore.open(path, create=True)


def test_a_wal_that_cannot_be_begun_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if "journal_mode" in sql:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error
            return super().execute(sql, *arguments)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: connect(*given, **more, factory=Broken))

    with pytest.raises(StoreError, match="the file system failed"):
        SqliteStore.open(path, create=True)


def test_a_path_that_no_file_system_takes_is_refused(path: Path) -> None:
    with pytest.raises(StoreError):
        SqliteStore.open(path.with_name("x" * 300), create=True)


def test_a_file_that_may_not_be_opened_is_told() -> None:
    error = store_error(Path("/srv/store.db"), PermissionError(13, "Permission denied"))

    assert error.path == Path("/srv/store.db")
    assert "Permission denied); the directory /srv must exist" in error.problem


def test_damage_is_told_with_what_saves_the_rest() -> None:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    assert "`sqlite3 /srv/store.db .recover`" in store_error(Path("/srv/store.db"), error).problem


def test_a_database_that_was_moved_while_it_was_opened_is_told() -> None:
    error = sqlite3.OperationalError("attempt to write a readonly database")
    error.sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED

    assert "try again" in store_error(Path("/store.db"), error).problem


def test_a_store_whose_commits_cannot_be_read_is_told(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, pytest.raises(StoreError, match="no such table"):
        check_complete(path, db, 3)


# -- the lock file


def test_a_lock_file_that_cannot_be_opened_is_told(path: Path) -> None:
    filled(path)
    lock_path(path).unlink()
    lock_path(path).mkdir()

    with pytest.raises(StoreError, match=r"its lock file .* cannot be opened"):
        SqliteStore.open(path, create=False)


def test_a_lock_file_that_cannot_be_written_is_told_of_a_store_that_was_put_in_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    shared = LockFile.share(path, None)

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fail)
    shared.note(99)  # of no consequence
    with pytest.raises(StoreError, match="cannot be written"):
        shared.hand_over("0" * 32, 1)
    monkeypatch.undo()

    shared.leave()
    SqliteStore.open(path, create=False).close()


def test_a_store_that_vanishes_while_it_is_opened_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    connect = sqlite3.connect

    def delete_first(*arguments: Any, **options: Any) -> sqlite3.Connection:
        path.unlink(missing_ok=True)
        connection: sqlite3.Connection = connect(*arguments, **options)
        return connection

    monkeypatch.setattr(sqlite3, "connect", delete_first)

    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore.open(path, create=False)
