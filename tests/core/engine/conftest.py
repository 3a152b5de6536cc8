"""Sites for the tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.sqlite import SqliteStore
from tests.core.engine.sites import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """On a real file: what is claimed outlives a host."""
    path = tmp_path / "state.db"
    site = Site(SqliteStore.open(path, create=True), path)
    yield site
    site.store.close()


@pytest.fixture
def in_memory() -> Site:
    return Site(MemoryStore())
