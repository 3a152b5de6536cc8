"""Both stores do what every store must."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import Store
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import StoreConformance


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = MemoryStore(keep_runs=1000)
        yield store
        store.close()


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    def store(self, sqlite_store: SqliteStore) -> Store:
        return sqlite_store
