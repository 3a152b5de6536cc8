"""Stores that released versions left behind open with their histories unchanged."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import RunStatus
from rapua_scheduler.store.locks import HOST, LockFile
from rapua_scheduler.store.schema import VERSION
from rapua_scheduler.store.sqlite import SqliteStore
from tests.store.golden.make import START, history

GOLDEN = Path(__file__).parent / "golden"
RELEASED = sorted(int(re.sub(r"\D", "", path.stem)) for path in GOLDEN.glob("schema-*.db"))
every_schema = pytest.mark.parametrize("schema", RELEASED)


def told_then(schema: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((GOLDEN / f"schema-{schema}.json").read_text())
    return told


def copy_of(schema: int, path: Path) -> Path:
    shutil.copyfile(GOLDEN / f"schema-{schema}.db", path)
    return path


def without_what_came_later(now: object, then: object) -> object:
    """Return *now* without the fields that *then* did not know, wherever both are objects."""
    if isinstance(now, dict) and isinstance(then, dict):
        return {name: without_what_came_later(value, then[name]) for name, value in now.items() if name in then}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return [without_what_came_later(*pair) for pair in zip(now, then, strict=True)]
    return now


def test_there_is_a_golden_file_of_every_schema() -> None:
    assert list(range(1, VERSION + 1)) == RELEASED


@every_schema
def test_an_older_store_has_the_history_that_it_had(schema: int, path: Path) -> None:
    then = told_then(schema)

    with closing(SqliteStore.open(copy_of(schema, path), create=False)) as store:
        now = history(store)

    assert len(then["runs"]) > 100
    assert without_what_came_later(now, then) == then
    for objects in ("jobs", "runs of", "last runs", "last success"):
        assert now[objects].keys() == then[objects].keys()


@every_schema
def test_an_older_store_goes_on_where_it_was_left(schema: int, path: Path) -> None:
    unfinished = [run["run_id"] for run in reversed(told_then(schema)["runs"]) if run["status"] == "running"]

    with closing(SqliteStore.open(copy_of(schema, path), create=False)) as store:
        lost = store.mark_lost(START)

        assert [run.run_id for run in lost] == unfinished
        assert unfinished
        assert [run.run_id for run in store.runs(statuses=[RunStatus.RUNNING])] == []


@every_schema
def test_an_older_store_is_read_by_who_may_not_change_it_only_in_its_own_schema(schema: int, path: Path) -> None:
    before = copy_of(schema, path).read_bytes()

    if schema == VERSION:
        with closing(SqliteStore.open_read_only(path)) as store:
            assert history(store) == told_then(schema)
    else:
        with pytest.raises(StoreError, match=f"has schema {schema}, and this program reads {VERSION}"):
            SqliteStore.open_read_only(path)

    assert path.read_bytes() == before


@pytest.mark.parametrize("schema", [schema for schema in RELEASED if schema < VERSION])
def test_an_older_store_is_not_changed_under_a_host_that_knows_no_other(schema: int, path: Path) -> None:
    copy_of(schema, path)
    locks = LockFile.share(path, None)
    assert locks.lock(HOST)

    with pytest.raises(StoreError, match=f"has schema {schema}, and the host that is active on it"):
        SqliteStore.open(path, create=False)

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema,)
    locks.unlock(HOST)
    locks.leave()
    SqliteStore.open(path, create=False).close()
