"""`inspect_store` finds what is wrong with a store, and nothing wrong with one that is sound."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.errors import StoreError
from rapua_scheduler.store import schema
from rapua_scheduler.store.locks import lock_path
from rapua_scheduler.store.maintenance import inspect_store
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import HOUR, START, some_job, to_run
from tests.store.test_golden import GOLDEN, RELEASED


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def test_a_sound_store_has_no_flaw(filled: Path) -> None:
    found = inspect_store(filled)

    assert found.is_sound
    assert (found.damages, found.misplacement, found.remarks) == ((), "", ())
    assert (found.path, found.schema, found.jobs, found.runs, found.gaps) == (filled, schema.VERSION, 2, 11, 5)
    assert found.size == filled.stat().st_size


def test_a_store_in_use_is_looked_at_as_it_is(filled: Path) -> None:
    with closing(SqliteStore.open(filled, create=False)) as store:
        store.become_host()
        store.decide([to_run(7)])

        found = inspect_store(filled)

        assert found.is_sound
        assert found.runs == 12
        assert found.size > filled.stat().st_size
        assert store.decide([to_run(8)]) == [True]


def test_looking_changes_nothing(filled: Path) -> None:
    before = {each.name: each.read_bytes() for each in filled.parent.iterdir()}

    inspect_store(filled)

    after = {each.name: each.read_bytes() for each in filled.parent.iterdir()}
    assert {name: after.pop(name) for name in before} == before
    assert set(after) <= {"store.db-wal", "store.db-shm"}


FLAWS = {
    "a run without a job": (
        ["DELETE FROM jobs WHERE key = 'mop'"],
        "run mop-schedule-1 is of job mop, which is not there",
    ),
    "a gap without a job": (
        ["DELETE FROM jobs WHERE key = 'mop'"],
        "gap 1 is of job mop, which is not there",
    ),
    "a newest run that is gone": (
        ["DELETE FROM runs WHERE run_id = 'sweep-schedule-6'"],
        "the newest run of job sweep is not there",
    ),
    "a newest run that is another's": (
        ["UPDATE jobs SET last_run = 2 WHERE key = 'sweep'"],
        "the newest run of job sweep is not there",
    ),
    "a newest run that is not known": (
        ["UPDATE jobs SET last_run = 1 WHERE key = 'sweep'"],
        "job sweep does not know run sweep-schedule-6 for its newest",
    ),
    "a broken chain": (
        ["UPDATE runs SET previous = 2 WHERE run_id = 'sweep-schedule-4'"],
        "run sweep-schedule-4 of job sweep does not lead to the run before it",
    ),
    "a cut chain": (
        ["UPDATE runs SET previous = NULL WHERE run_id = 'sweep-schedule-4'"],
        "run sweep-schedule-4 of job sweep does not lead to the run before it",
    ),
    "a wrong count": (
        ["UPDATE jobs SET run_count = 3 WHERE key = 'sweep'"],
        "job sweep counts 3 runs, and has 6",
    ),
    "two claims": (
        [
            "DROP INDEX claims",
            "UPDATE runs SET fire_key = 'twice' WHERE run_id IN ('sweep-schedule-2', 'sweep-schedule-3')",
        ],
        "job sweep was claimed twice for twice",
    ),
    "an unknown status": (
        ["UPDATE runs SET status = 'odd' WHERE run_id = 'mop-schedule-2'"],
        "run mop-schedule-2 has status odd and trigger schedule, of which one is unknown",
    ),
    "an unknown trigger": (
        ["UPDATE runs SET trigger = 'odd' WHERE run_id = 'mop-schedule-2'"],
        "run mop-schedule-2 has status succeeded and trigger odd, of which one is unknown",
    ),
    "a gap turned round": (["UPDATE gaps SET first = last + 1 WHERE id = 3"], "gap 3 of job mop contradicts itself"),
    "a gap of nothing": (["UPDATE gaps SET count = 0 WHERE id = 3"], "gap 3 of job mop contradicts itself"),
    "attempts of nothing": (
        ["INSERT INTO attempts (run, attempt, status) VALUES (99, 1, 'failed')"],
        "attempts are left of run 99",
    ),
    "lines of nothing": (
        ["INSERT INTO log_lines VALUES (99, 1, 0, 1, 'info', 'hello')"],
        "log lines are left of run 99",
    ),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found(filled: Path, flaw: str) -> None:
    statements, text = FLAWS[flaw]
    change(filled, *statements)

    found = inspect_store(filled)

    assert not found.is_sound
    assert text in found.damages


def test_many_flaws_of_a_kind_are_cut(filled: Path) -> None:
    change(filled, "UPDATE runs SET status = 'odd'")

    found = inspect_store(filled).damages

    assert len(found) == 6
    assert found[-1] == "… and more of this kind"


def test_a_mark_that_was_lowered_is_a_remark(filled: Path) -> None:
    with closing(SqliteStore.open(filled, create=False)) as store:
        store.release(START + 4 * HOUR)

    found = inspect_store(filled)

    assert found.is_sound
    assert found.remarks == (
        "job mop: its mark is behind 1 of its claims, as after `release`; each still holds",
        "job sweep: its mark is behind 2 of its claims, as after `release`; each still holds",
    )


@pytest.mark.parametrize("place", ["runs", "claims"])
def test_a_damaged_page_is_found(filled: Path, place: str) -> None:
    with closing(sqlite3.connect(filled)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (place,)).fetchone()
        (page_size,) = db.execute("PRAGMA page_size").fetchone()
    with filled.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xa5" * page_size)

    assert not inspect_store(filled).is_sound


def test_an_index_that_lacks_a_row_is_found(filled: Path) -> None:
    with closing(sqlite3.connect(filled)) as db:
        index = db.execute("SELECT * FROM sqlite_master WHERE name = 'claims'").fetchone()
    change(filled, "PRAGMA writable_schema = ON", "DELETE FROM sqlite_master WHERE name = 'claims'")
    change(filled, "UPDATE runs SET fire_key = 'hidden' WHERE id = 3")
    with closing(sqlite3.connect(filled)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)
        db.commit()

    assert any("claims" in text for text in inspect_store(filled).damages)


def test_a_store_that_lacks_a_table_is_told(filled: Path) -> None:
    change(filled, "DROP TABLE gaps")

    with pytest.raises(StoreError, match="no such table: gaps"):
        inspect_store(filled)


def test_a_store_behind_its_lock_file_is_found(filled: Path) -> None:
    copy = Path(shutil.copy(filled, filled.with_name("copy.db")))
    with closing(SqliteStore.open(filled, create=False)) as store:
        store.decide([to_run(7)])
    copy.replace(filled)

    found = inspect_store(filled)

    assert not found.is_sound
    assert "misses its latest 1 changes" in found.misplacement
    assert found.runs == 11


def test_another_store_in_its_place_is_found(filled: Path) -> None:
    other = filled.with_name("other.db")
    with closing(SqliteStore.open(other, create=True)) as store:
        store.declare([some_job()], START)
    other.replace(filled)

    assert inspect_store(filled).misplacement == "is not the store that its lock file belongs to"


def test_a_missing_store_is_told_as_everywhere(filled: Path) -> None:
    filled.unlink()

    with pytest.raises(StoreError, match="restore the file from a backup"):
        inspect_store(filled)


def test_a_file_that_is_no_database_is_told_as_everywhere(filled: Path) -> None:
    filled.write_bytes(b"not a database, or is it?" * 1000)

    with pytest.raises(StoreError, match="is not a database"):
        inspect_store(filled)


def test_a_store_that_was_cut_off_is_not_sound(filled: Path) -> None:
    os.truncate(filled, filled.stat().st_size // 2)

    with pytest.raises(StoreError, match="is damaged"):
        inspect_store(filled)


@pytest.mark.parametrize("version", [version for version in RELEASED if version < schema.VERSION])
def test_a_store_of_an_older_schema_is_looked_at(path: Path, version: int) -> None:
    shutil.copy(GOLDEN / f"schema-{version}.db", path)

    found = inspect_store(path)

    assert found.is_sound
    assert found.runs > 100
    assert any("brings it up to date" in text for text in found.remarks)


@pytest.mark.parametrize("version", RELEASED)
def test_a_golden_store_that_was_brought_up_to_date_has_no_flaw(path: Path, version: int) -> None:
    shutil.copy(GOLDEN / f"schema-{version}.db", path)
    SqliteStore.open(path, create=False).close()

    assert inspect_store(path).is_sound


def test_a_lock_file_that_is_missing_is_no_flaw(filled: Path) -> None:
    lock_path(filled).unlink()

    assert inspect_store(filled).is_sound
