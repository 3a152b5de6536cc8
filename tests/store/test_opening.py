"""A store is opened as it is, or refused with a reason: never replaced, never emptied."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import LogLine, Outcome, RunStatus, Trigger
from rapua_scheduler.store import connections, schema
from rapua_scheduler.store.locks import lock_path
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import START, finish, some_gap, some_job, some_run, to_run, waiting
from tests.store.test_agreement import everything

Open = Callable[[Path], SqliteStore]

NOBODY = 65534
CANCELLED = Outcome(RunStatus.CANCELLED, START)


def opened_for_writing(path: Path) -> SqliteStore:
    return SqliteStore.open(path, create=False)


def opened_to_create(path: Path) -> SqliteStore:
    return SqliteStore.open(path, create=True)


WAYS: list[Open] = [opened_for_writing, opened_to_create, SqliteStore.open_read_only]
every_way = pytest.mark.parametrize("way", WAYS, ids=["write", "create", "read"])


def filled(path: Path, runs: int = 20) -> None:
    """Leave a store with runs behind, closed."""
    with closing(SqliteStore.open(path, create=True)) as store:
        store.declare([some_job()], START)
        store.decide([to_run(hour, "sweep", some_gap(hour, detail=str(hour))) for hour in range(1, runs + 1)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def refused(way: Open, path: Path) -> StoreError:
    """Open the store, expecting that to fail and to change nothing."""
    before = contents(path.parent)
    with pytest.raises(StoreError) as caught:
        way(path).close()
    after = contents(path.parent)
    for name, content in before.items():
        assert after[name] == content
    assert set(after) - set(before) <= {f"{path.name}-shm", f"{path.name}-wal"}
    assert caught.value.path == path
    assert path.is_absolute()
    assert str(path) in str(caught.value)
    return caught.value


# -- missing


@pytest.mark.parametrize("way", [opened_for_writing, SqliteStore.open_read_only], ids=["write", "read"])
def test_a_missing_store_is_refused_and_the_commands_that_create_it_named(path: Path, way: Open) -> None:
    assert "`rapua-scheduler run`, `demo` and `exec` create it" in refused(way, path).problem
    assert list(path.parent.iterdir()) == []


@every_way
def test_a_store_that_is_missing_beside_its_lock_file_is_not_replaced(path: Path, way: Open) -> None:
    filled(path)
    path.unlink()

    problem = refused(way, path).problem

    assert "restore the file from a backup, or delete the lock file" in problem
    assert str(lock_path(path)) in problem
    assert not path.exists()


@every_way
def test_a_store_that_was_emptied_is_not_filled_anew(path: Path, way: Open) -> None:
    filled(path)
    path.write_bytes(b"")

    assert "is empty, but its lock file" in refused(way, path).problem


def test_a_store_is_created_once_its_lock_file_is_deleted(path: Path) -> None:
    filled(path)
    path.unlink()
    lock_path(path).unlink()

    with closing(SqliteStore.open(path, create=True)) as store:
        assert store.runs() == []


def test_a_store_whose_changes_outlive_it_is_not_replaced(path: Path) -> None:
    path.with_name("store.db-wal").write_bytes(b"the latest changes")

    assert "its latest changes do" in refused(opened_to_create, path).problem


def test_a_file_that_is_still_empty_becomes_a_store(path: Path) -> None:
    path.touch()

    with closing(SqliteStore.open(path, create=True)) as store:
        assert store.jobs() == []


def test_a_store_that_another_process_creates_meanwhile_is_no_stranger(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")  # as far as the other has come
    connect = sqlite3.connect

    def create_at_the_last_look(statement: str) -> None:
        if statement == "PRAGMA user_version":
            monkeypatch.setattr(sqlite3, "connect", connect)
            watched.pop().set_trace_callback(None)
            SqliteStore.open(path, create=True).close()

    def connect_and_watch(*arguments: Any, **options: Any) -> sqlite3.Connection:
        watched.append(connect(*arguments, **options))
        watched[0].set_trace_callback(create_at_the_last_look)
        return watched[0]

    watched: list[sqlite3.Connection] = []
    monkeypatch.setattr(sqlite3, "connect", connect_and_watch)

    with closing(SqliteStore.open(path, create=True)) as store:
        assert store.jobs() == []

    with closing(connect(path)) as db:
        assert db.execute("SELECT count(*) FROM owners").fetchone() == (2,)


def test_a_store_in_a_missing_directory_is_refused(path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist; create it"):
        SqliteStore.open(path.parent / "missing" / "store.db", create=True)


@every_way
def test_a_directory_is_no_store(path: Path, way: Open) -> None:
    path.mkdir()

    with pytest.raises(StoreError, match="is not a file"):
        way(path)


# -- damaged, or not ours


@every_way
def test_a_corrupt_header_is_refused(path: Path, way: Open) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.write(b"not a database, or is it?")

    assert "restore the file from a backup" in refused(way, path).problem


@every_way
@pytest.mark.parametrize("is_small", [True, False], ids=["small", "large"])
def test_a_corrupt_page_is_refused(path: Path, way: Open, is_small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()
        (page_size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xa5" * page_size)
    monkeypatch.setattr(connections, "SMALL", 2**30 if is_small else 0)

    problem = refused(way, path).problem

    assert "is damaged" in problem
    assert "restore it from a backup" in problem


@every_way
def test_a_small_store_is_checked_page_by_page(path: Path, way: Open) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs_by_start'").fetchone()
        (page_size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xa5" * page_size)

    assert "is damaged" in refused(way, path).problem


@every_way
def test_a_truncated_store_is_refused(path: Path, way: Open) -> None:
    filled(path, runs=200)
    os.truncate(path, path.stat().st_size // 2)

    refused(way, path)


@every_way
def test_a_database_of_another_program_is_refused(path: Path, way: Open) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE users (id)")

    assert "of another program" in refused(way, path).problem


@every_way
def test_a_newer_schema_is_refused_with_both_versions(path: Path, way: Open) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 7}")

    problem = refused(way, path).problem

    assert f"has schema {schema.VERSION + 7}, and this program knows {schema.VERSION} at most" in problem


def test_an_older_schema_is_not_read_but_by_who_may_bring_it_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    monkeypatch.setattr(connections, "VERSION", schema.VERSION + 1)

    assert "`rapua-scheduler run` brings it up to date" in refused(SqliteStore.open_read_only, path).problem


def test_another_store_in_its_place_is_refused(path: Path) -> None:
    filled(path)
    other = path.with_name("other.db")
    filled(other)
    other.replace(path)

    problem = refused(opened_to_create, path).problem

    assert str(lock_path(path)) in problem
    assert "put the right file back" in problem


def test_a_store_without_its_lock_file_gets_a_new_one(path: Path) -> None:
    filled(path)
    text = lock_path(path).read_text()
    lock_path(path).unlink()

    SqliteStore.open(path, create=False).close()

    assert lock_path(path).read_text() == text


@pytest.mark.parametrize("kept", [0, 10])
def test_a_lock_file_cut_off_by_a_crash_is_completed(path: Path, kept: int) -> None:
    filled(path)
    text = lock_path(path).read_text()
    os.truncate(lock_path(path), kept)

    SqliteStore.open(path, create=False).close()

    assert lock_path(path).read_text() == text


# -- not writable

AS_NOBODY = """
import os, sys
from pathlib import Path
os.setresgid({nobody}, {nobody}, {nobody}) if os.getuid() == 0 else None
os.setresuid({nobody}, {nobody}, {nobody}) if os.getuid() == 0 else None
from rapua_scheduler.errors import StoreError
from rapua_scheduler.store import connections
from rapua_scheduler.store.sqlite import SqliteStore
try:
    store = {expression}
except StoreError as error:
    print("refused:", error.problem)
else:
    print("opened:", len(store.runs()))
"""


LOOK = "connections.check_writable({path}) or SqliteStore.open_read_only({path})"
EXPRESSIONS = [
    "SqliteStore.open({path}, create=False)",
    "SqliteStore.open({path}, create=True)",
    "SqliteStore.open_read_only({path})",
]


def as_nobody(expression: str, path: Path) -> str:
    """Open the store as a user who may write nothing here, and return what came of it."""
    code = AS_NOBODY.format(nobody=NOBODY, expression=expression.format(path=f"Path({str(path)!r})"))
    # imported before the user changes, so that whoever that is need not be able to read this program
    child = subprocess.run(
        [sys.executable, "-c", "import rapua_scheduler.store.sqlite, urllib.parse\n" + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


@pytest.fixture
def public_path() -> Iterator[Path]:
    """Where a store may be created in a directory that everybody can reach; pytest's own are its user's only."""
    top = Path(tempfile.mkdtemp(prefix="rapua-scheduler-"))
    top.chmod(0o755)
    folder = top / "state"
    folder.mkdir()
    yield folder / "store.db"
    for each in (folder, *folder.glob("*/")):
        each.chmod(0o755)
    shutil.rmtree(top)


@pytest.fixture
def shut_path(public_path: Path) -> Path:
    """A store in a directory that nobody may write to."""
    filled(public_path)
    lock_path(public_path).chmod(0o444)
    public_path.chmod(0o444)
    public_path.parent.chmod(0o555)
    return public_path


def test_a_store_that_cannot_be_written_is_refused(shut_path: Path) -> None:
    before = contents(shut_path.parent)

    said = as_nobody("SqliteStore.open({path}, create=True)", shut_path)

    assert said.startswith("refused: cannot be written")
    assert str(shut_path.parent) in said
    assert contents(shut_path.parent) == before


def test_a_store_cannot_be_created_where_nobody_may_write(public_path: Path) -> None:
    public_path.parent.chmod(0o555)

    said = as_nobody("SqliteStore.open({path}, create=True)", public_path)

    assert said.startswith("refused: cannot be opened")
    assert not public_path.exists()


def test_looking_tells_what_a_host_could_not_write(shut_path: Path) -> None:
    before = contents(shut_path.parent)

    folder_is_shut = as_nobody(LOOK, shut_path)
    shut_path.parent.chmod(0o777)
    file_is_shut = as_nobody(LOOK, shut_path)
    shut_path.chmod(0o666)
    lock_is_shut = as_nobody(LOOK, shut_path)
    lock_path(shut_path).chmod(0o666)
    assert contents(shut_path.parent) == before
    all_is_open = as_nobody(LOOK, shut_path)

    assert folder_is_shut.startswith(f"refused: its directory {shut_path.parent} cannot be written by this user")
    assert file_is_shut.startswith(f"refused: {shut_path} cannot be written by this user")
    assert lock_is_shut.startswith(f"refused: {lock_path(shut_path)} cannot be written by this user")
    assert all_is_open == "opened: 20\n"


def test_looking_tells_where_no_store_could_be_created(public_path: Path) -> None:
    public_path.parent.chmod(0o555)

    assert as_nobody(LOOK, public_path).startswith(f"refused: its directory {public_path.parent} cannot be written")


def test_a_store_that_cannot_be_written_can_be_read(shut_path: Path) -> None:
    before = contents(shut_path.parent)

    said = as_nobody("SqliteStore.open_read_only({path})", shut_path)

    assert said == "opened: 20\n"
    assert contents(shut_path.parent) == before


def test_a_store_in_use_can_be_read_by_who_cannot_write_it(public_path: Path) -> None:
    with closing(SqliteStore.open(public_path, create=True)) as store:
        store.declare([some_job()], START)
        store.decide([to_run(1)])

        said = as_nobody("SqliteStore.open_read_only({path})", public_path)

    assert said == "opened: 1\n"


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (["store.db", "store.db-wal", "store.db-shm", "store.db.lock"], "opened: 1\n"),
        (["store.db", "store.db-wal", "store.db.lock"], "refused: its latest changes"),
    ],
    ids=["all", "no index"],
)
def test_what_a_killed_host_left_on_a_read_only_disk_is_read_whole_or_not_at_all(
    public_path: Path, left: list[str], said: str
) -> None:
    folder = public_path.with_name("copy")
    folder.mkdir()
    with closing(SqliteStore.open(public_path, create=True)) as store:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        for name in left:
            shutil.copy(public_path.with_name(name), folder)
    folder.chmod(0o555)

    assert as_nobody("SqliteStore.open_read_only({path})", folder / "store.db").startswith(said)


@every_way
def test_a_store_behind_a_shut_door_is_refused(public_path: Path, way: Open) -> None:
    filled(public_path)
    public_path.parent.chmod(0o000)

    said = as_nobody(EXPRESSIONS[WAYS.index(way)], public_path)

    assert said.startswith("refused: cannot be opened")


# -- reading only


def test_reading_sees_what_a_host_writes_meanwhile(sqlite_store: SqliteStore, path: Path) -> None:
    sqlite_store.declare([some_job()], START)
    with closing(SqliteStore.open_read_only(path)) as reader:
        assert reader.runs() == []

        sqlite_store.decide([to_run(1)])

        assert reader.runs() == sqlite_store.runs()
        assert reader.jobs() == sqlite_store.jobs()


def test_a_reader_is_no_owner_and_takes_no_lock(path: Path) -> None:
    filled(path)
    lock_path(path).unlink()

    with closing(SqliteStore.open_read_only(path)) as reader:
        assert len(reader.runs()) == 20
        assert not lock_path(path).exists()

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM owners").fetchone() == (1,)


WRITING: list[Callable[[SqliteStore], object]] = [
    lambda store: store.become_host(),
    lambda store: store.declare([some_job()], START),
    lambda store: store.set_next({}),
    lambda store: store.decide([]),
    lambda store: store.claim(some_run(1, trigger=Trigger.MANUAL)),
    lambda store: store.enqueue([waiting(1, trigger=Trigger.MANUAL)]),
    lambda store: store.take_queued(),
    lambda store: store.begin([]),
    lambda store: store.drop("it", CANCELLED),
    lambda store: store.finish("it", 1, CANCELLED, lambda error, is_recorded: None),
    lambda store: store.report("it", 1, done=1, total=2, log=()),
    lambda store: store.mark_lost(START),
    lambda store: store.rerun("it"),
    lambda store: store.reopen("sweep", "it"),
    lambda store: store.leave(["it"]),
    lambda store: store.pause("sweep", START, "", ""),
    lambda store: store.resume("sweep", START),
    lambda store: store.hold(START, ""),
    lambda store: store.release(START),
    lambda store: store.set_absent({}, START),
    lambda store: store.request_cancel("it", ""),
    lambda store: store.note_alive(START),
    lambda store: store.prune(START, 1),
]


def test_a_reader_reads_everything(path: Path) -> None:
    filled(path)
    with closing(SqliteStore.open(path, create=False)) as store:
        store.become_host()
        store.note_alive(START)
        store.pause("sweep", START, "rats", "ann")
        store.decide([to_run(30), to_run(31)])
        finish(store, "sweep-schedule-30", status=RunStatus.INTERRUPTED, log=[LogLine(START, 1, "info", "swept")])
        store.rerun("sweep-schedule-30")
        finish(store, "sweep-schedule-31", status=RunStatus.INTERRUPTED)
        before = everything(store)
        host = store.host()
        assert host is not None

        with closing(SqliteStore.open_read_only(path)) as reader:
            assert everything(reader) == before
            assert reader.host() == host

    with closing(SqliteStore.open_read_only(path)) as reader:
        assert everything(reader) == before
        assert reader.host() == evolve(host, is_active=False)


@pytest.mark.parametrize("write", WRITING, ids=range(len(WRITING)))
def test_a_reader_writes_nothing(path: Path, write: Callable[[SqliteStore], object]) -> None:
    filled(path)

    with (
        closing(SqliteStore.open_read_only(path)) as reader,
        pytest.raises(StoreError, match="was opened for reading only"),
    ):
        write(reader)


# -- links


@pytest.mark.parametrize("way", [opened_for_writing, opened_to_create], ids=["write", "create"])
def test_a_file_that_has_a_second_name_is_refused(path: Path, way: Open) -> None:
    filled(path)
    other = path.with_name("other.db")
    other.hardlink_to(path)
    before = path.read_bytes()

    for name in (path, other):
        with pytest.raises(StoreError, match=r"has 2 names \(hard links\)"):
            way(name)

    assert path.read_bytes() == before
    other.unlink()
    way(path).close()


def test_the_second_name_that_a_killed_restore_has_left_is_no_hindrance(path: Path) -> None:
    filled(path)
    path.with_name(f"{path.name}.before-restore-20261101T000000Z").hardlink_to(path)

    opened_for_writing(path).close()


def test_a_link_and_the_file_it_leads_to_are_one_store(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)

    with closing(SqliteStore.open(link, create=True)) as store:
        assert store.path == path

    assert sorted(each.name for each in path.parent.iterdir()) == ["link.db", "store.db", "store.db.lock"]
