"""A store whose latest changes are gone is noticed, by the number of its commits in the lock file."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.errors import StoreError
from rapua_scheduler.store.commits import read_commits
from rapua_scheduler.store.locks import LockFile, lock_path, noted_beside
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import START, some_job, to_run
from tests.store.child import Child

WAYS: list[Callable[[Path], SqliteStore]] = [
    lambda path: SqliteStore.open(path, create=False),
    lambda path: SqliteStore.open(path, create=True),
    SqliteStore.open_read_only,
]
every_way = pytest.mark.parametrize("way", WAYS, ids=["write", "create", "read"])


@pytest.fixture
def filled(path: Path) -> Path:
    """A store with a claim, closed; so far, of two commits."""
    with closing(SqliteStore.open(path, create=True)) as store:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
    return path


def committed(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return read_commits(db)


def claim_more(path: Path, *hours: int) -> None:
    with closing(SqliteStore.open(path, create=False)) as store:
        for hour in hours:
            assert store.decide([to_run(hour)]) == [True]


def refused(way: Callable[[Path], SqliteStore], path: Path) -> str:
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        way(path).close()
    assert path.read_bytes() == before
    return caught.value.problem


def note_by_hand(path: Path, commits: int) -> None:
    """Write the lock file as a process would have that ended after so many commits."""
    first_line = lock_path(path).read_text().splitlines()[0]
    lock_path(path).write_text(f"{first_line}\ncommits {commits:020}\n")


def test_every_commit_is_counted_in_both_places(filled: Path) -> None:
    assert (committed(filled), noted_beside(filled)) == (2, 2)

    with closing(SqliteStore.open(filled, create=False)) as store:
        assert store.decide([to_run(2)]) == [True]
        store.become_host()

        assert noted_beside(filled) == 4

    assert (committed(filled), noted_beside(filled)) == (4, 4)


def test_commits_of_several_openings_are_counted_together(filled: Path) -> None:
    with (
        closing(SqliteStore.open(filled, create=False)) as one,
        closing(SqliteStore.open(filled, create=False)) as two,
    ):
        for hour in range(2, 8, 2):
            one.decide([to_run(hour)])
            two.decide([to_run(hour + 1)])

        assert noted_beside(filled) == 8

    assert committed(filled) == 8


def test_what_was_refused_or_failed_is_not_taken_for_a_lost_change(filled: Path) -> None:
    with closing(SqliteStore.open(filled, create=False)) as store:
        assert store.decide([to_run(1)]) == [False]
        with pytest.raises(LookupError):
            store.decide([to_run(1, "unknown")])

    SqliteStore.open(filled, create=False).close()


@every_way
def test_a_store_whose_wal_was_deleted_after_a_kill_is_refused(
    filled: Path, way: Callable[[Path], SqliteStore]
) -> None:
    with Child("hold", filled, "air") as host:
        host.hear("ready")
        host.kill()
        host.end()
    assert filled.with_name("store.db-wal").stat().st_size > 0
    for name in ("store.db-wal", "store.db-shm"):
        filled.with_name(name).unlink()

    problem = refused(way, filled)

    assert "misses its latest 3 changes" in problem
    assert "-wal file was deleted" in problem
    assert "`rapua-scheduler store restore --as-is`" in problem


@every_way
def test_a_store_with_its_wal_is_opened_after_a_kill(filled: Path, way: Callable[[Path], SqliteStore]) -> None:
    with Child("hold", filled, "air") as host:
        host.hear("ready")
        host.kill()
        host.end()

    with closing(way(filled)) as store:
        assert len(store.runs()) == 4


@every_way
def test_an_older_copy_put_back_by_hand_is_refused(filled: Path, way: Callable[[Path], SqliteStore]) -> None:
    copy = shutil.copy(filled, filled.with_name("copy.db"))
    claim_more(filled, 2, 3)
    shutil.copy(copy, filled)

    assert "misses its latest 2 changes" in refused(way, filled)


def test_an_older_copy_is_opened_where_nothing_was_noted(filled: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(filled, filled.with_name("copy.db")))
    claim_more(filled, 2, 3)

    with closing(SqliteStore.open(copy, create=False)) as store:
        assert len(store.runs()) == 1


def test_a_store_ahead_of_its_lock_file_is_opened_and_noted(filled: Path) -> None:
    note_by_hand(filled, 1)

    SqliteStore.open_read_only(filled).close()
    assert noted_beside(filled) == 1
    SqliteStore.open(filled, create=False).close()

    assert noted_beside(filled) == 2


def test_a_store_of_a_time_when_commits_were_not_counted_is_opened(filled: Path) -> None:
    with closing(sqlite3.connect(filled, isolation_level=None)) as db:
        db.execute("DELETE FROM meta WHERE name = 'commits'")
        assert read_commits(db) == 0
    lock_path(filled).write_text(lock_path(filled).read_text().splitlines()[0] + "\n")

    claim_more(filled, 2)

    assert (committed(filled), noted_beside(filled)) == (1, 1)


def test_what_is_noted_never_becomes_less(filled: Path) -> None:
    store_id = lock_path(filled).read_text().split()[2]
    with closing(SqliteStore.open(filled, create=False)) as store:
        locks = LockFile.share(filled, store_id)
        locks.note(1)

        assert locks.noted() == 2
        store.decide([to_run(2)])
        assert locks.noted() == 3
        locks.leave()


def test_nothing_is_noted_through_a_lock_file_that_was_let_go(filled: Path) -> None:
    locks = LockFile.share(filled, lock_path(filled).read_text().split()[2])
    locks.leave()
    with filled.with_name("other").open("w+") as other:  # which may have got the descriptor's number
        locks.note(99)

        assert other.read() == ""

    assert noted_beside(filled) == 2


def test_a_lock_file_that_was_emptied_while_in_use_is_written_anew(filled: Path) -> None:
    text = lock_path(filled).read_text()
    with closing(SqliteStore.open(filled, create=False)) as store:
        os.truncate(lock_path(filled), 0)

        store.decide([to_run(2)])

    assert lock_path(filled).read_text() == text[:-2] + "3\n"
