"""What the tests of the stores share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("rapua_scheduler.testing.store_conformance")

from rapua_scheduler.store.sqlite import SqliteStore  # noqa: E402  only after the registration


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be created."""
    return tmp_path / "store.db"


@pytest.fixture
def sqlite_store(path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    store = SqliteStore.open(path, create=True)
    yield store
    store.close()
