"""What an opening leaves behind."""

from __future__ import annotations

from pathlib import Path

from rapua_scheduler.store.sqlite import SqliteStore


def test_the_last_one_to_close_leaves_everything_in_the_one_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    SqliteStore.open(path, create=True).close()

    assert sorted(file.name for file in tmp_path.iterdir()) == ["store.db", "store.db.lock"]
