"""What the store on disk makes of values that no database takes as they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import Trigger
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import finish, run_of, some_run


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("result", "stored"),
    [
        ({"path": Path("/tmp")}, {"path": "PosixPath('/tmp')"}),
        ({"what": Unspeakable()}, {"result": "<could not be stored: RuntimeError>"}),
        ({"many": "x" * (2**20 - 11)}, {"many": "x" * (2**20 - 11)}),
        ({"many": "x" * 2**20}, {"result": "<too long to be stored: 1048587 characters>"}),
    ],
    ids=["not plain", "not even that", "as long as may be", "too long"],
)
def test_a_run_ends_whatever_its_result_is(sqlite_store: SqliteStore, result: Any, stored: object) -> None:
    sqlite_store.claim(some_run(1, trigger=Trigger.MANUAL, run_id="it"))

    assert finish(sqlite_store, "it", result=result)

    assert run_of(sqlite_store, "it").result == stored


def test_what_can_no_longer_be_read_is_an_error(sqlite_store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE gaps")

    with pytest.raises(StoreError, match="failed: no such table: gaps"):
        sqlite_store.gaps()
