"""The demonstration's site: small, lively, the same each time, and never in somebody's folder."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import zlib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rapua_scheduler.config import load_config
from rapua_scheduler.demo.site import changes, make_site, snapshot
from rapua_scheduler.errors import FolderNotEmptyError
from rapua_scheduler.site import parse_time

AUCKLAND = ZoneInfo("Pacific/Auckland")
NOW = datetime(2026, 10, 31, 23, 59, 50, tzinfo=AUCKLAND)
TIMES = {
    "users": "created_at",
    "credit_adjustments": "created_at",
    "credit_purchases": "created_at",
    "uploads": "timestamp",
    "team_block_states": "updated_at",
    "notifications": "created_at",
    "teams": "created_at",
    "instances": "created_at",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_site(tmp_path / "site", NOW, AUCKLAND)
    return tmp_path / "site"


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "scanscout.db")) as db:
        return db.execute(query).fetchall()


def uploads_in(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "static" / "uploads").rglob("*") if path.is_file())


def everything_in(folder: Path) -> dict[str, object]:
    with closing(sqlite3.connect(folder / "scanscout.db")) as db:
        content: dict[str, object] = {"database": list(db.iterdump())}
    for path in folder.rglob("*"):
        if path.suffix != ".db" and not path.name.endswith(("-wal", "-shm")):
            times = path.stat().st_mtime if "uploads" in path.parts else None
            content[str(path.relative_to(folder))] = (path.read_bytes() if path.is_file() else None, times)
    return content


def test_the_configuration_says_where_everything_is(tmp_path: Path) -> None:
    path = make_site(tmp_path, NOW, AUCKLAND)

    config = load_config(path, None, {}, Path("/"))

    assert config.timezone == AUCKLAND
    assert config.state == tmp_path / "rapua-scheduler.db"
    assert config.site.database == tmp_path / "scanscout.db"
    assert config.site.uploads_dir == tmp_path / "static" / "uploads"
    assert config.site.url == "https://demo.example"


def test_the_folder_is_one_that_site_takes_too(folder: Path) -> None:
    config = load_config(None, folder, {"TZ": "Pacific/Auckland"}, Path("/"), system_file=Path("/none"))

    assert config.site.database == folder / "scanscout.db"
    assert config.site.url == "https://demo.example"


@pytest.mark.parametrize("name", [".env", "scanscout.db", "photos"])
def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    with pytest.raises(FolderNotEmptyError, match="is not empty") as caught:
        make_site(tmp_path, NOW, AUCKLAND)

    assert caught.value.path == tmp_path
    assert [path.name for path in tmp_path.rglob("*")] == [name]


def test_the_same_arguments_make_the_same_site(folder: Path, tmp_path: Path) -> None:
    make_site(tmp_path / "again", NOW, AUCKLAND)

    assert everything_in(folder) == everything_in(tmp_path / "again")


@pytest.mark.parametrize(
    "now",
    [
        NOW,
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        datetime(2026, 4, 5, 2, 30, tzinfo=AUCKLAND, fold=1),
        datetime(2031, 1, 1, tzinfo=ZoneInfo("America/Sao_Paulo")),
    ],
    ids=str,
)
def test_nothing_on_the_site_is_younger_than_the_time_it_is_made_for(tmp_path: Path, now: datetime) -> None:
    make_site(tmp_path, now, AUCKLAND)

    for table, column in TIMES.items():
        times = [parse_time(value) for (value,) in rows(tmp_path, f"SELECT {column} FROM {table}")]
        known = [time for time in times if time is not None]
        assert len(times) - len(known) == (1 if table == "credit_purchases" else 0)
        assert known
        assert max(known) <= now
    mtimes = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in (tmp_path / "static/uploads").rglob("*")]
    assert now - timedelta(days=60) < min(mtimes)
    assert max(mtimes) <= now


def test_a_file_lies_in_the_folder_of_its_local_date(folder: Path) -> None:
    originals = [path for path in uploads_in(folder) if ".cache" not in path.parts]

    dates = ["/".join(path.parts[-4:-1]) for path in originals]

    assert dates == [f"{datetime.fromtimestamp(path.stat().st_mtime, AUCKLAND):%Y/%m/%d}" for path in originals]


def test_every_file_is_a_picture(folder: Path) -> None:
    for path in uploads_in(folder):
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        at, kinds = 8, []
        while at < len(content):
            (length,) = struct.unpack_from(">I", content, at)
            body = content[at + 4 : at + 8 + length]
            assert struct.unpack_from(">I", content, at + 8 + length) == (zlib.crc32(body),)
            kinds.append(body[:4])
            if body[:4] == b"IDAT":
                assert len(zlib.decompress(body[4:])) == 8 * (1 + 8 * 3)
            at += 12 + length
        assert kinds == [b"IHDR", b"IDAT", b"IEND"]


def test_the_site_has_something_of_everything(folder: Path) -> None:
    users = rows(folder, "SELECT free_credits, monthly_credit_limit FROM users")
    assert len(users) == 12
    limited = [(free, limit) for free, limit in users if isinstance(free, int) and isinstance(limit, int)]
    assert len(limited) == 11
    assert {limit for free, limit in limited if free < limit} >= {10, 25, 50}
    assert any(free == limit for free, limit in limited)
    assert any(free > limit for free, limit in limited)
    assert any(free < 0 for free, _ in limited)

    statuses = {status for (status,) in rows(folder, "SELECT DISTINCT status FROM credit_purchases")}
    assert statuses == {"pending", "failed", "completed", "cancelled"}
    assert rows(folder, "SELECT count(*) FROM blocks")[0][0] >= 30  # type: ignore[operator]
    assert 30 < len(uploads_in(folder)) < 100
    empty = [path for path in (folder / "static/uploads").rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert len(empty) == 2


def test_every_reference_is_to_a_file_and_some_files_have_none(folder: Path) -> None:
    texts = [
        text
        for query in (
            "SELECT data FROM blocks",
            "SELECT player_data FROM team_block_states",
            "SELECT content FROM notifications",
            "SELECT original_url FROM uploads",
        )
        for (text,) in rows(folder, query)
    ]
    referenced = {path for text in texts for path in re.findall(r"static/uploads/[\w/.-]+", str(text))}
    originals = {path.relative_to(folder).as_posix() for path in uploads_in(folder) if ".cache" not in path.parts}

    assert referenced < originals
    assert len(originals - referenced) == 9


def test_json_is_written_as_rapua_writes_it(folder: Path) -> None:
    texts = [str(text) for (text,) in rows(folder, "SELECT data FROM blocks")]

    assert not re.search("[<>&]", "".join(texts))
    assert any("<img src='https://demo.example" in json.loads(text)["content"] for text in texts if "img" in text)


def test_a_snapshot_that_is_compared_with_itself_shows_no_change(folder: Path) -> None:
    assert changes(snapshot(folder), snapshot(folder)) == []


def test_changes_are_told_in_words(folder: Path) -> None:
    before = snapshot(folder)
    [gone, moved, *_] = [path for path in uploads_in(folder) if ".cache" not in path.parts]
    target = folder / "trash" / "orphaned-uploads" / "run-1" / moved.relative_to(folder / "static" / "uploads")
    target.parent.mkdir(parents=True)
    moved.rename(target)
    gone.unlink()
    (folder / "static" / "uploads" / "new.png").touch()
    with closing(sqlite3.connect(folder / "scanscout.db")) as db, db:
        db.execute("UPDATE users SET free_credits = 10 WHERE email = 'ada@example.org'")
        db.execute("UPDATE users SET free_credits = NULL WHERE email = 'cleo@example.org'")
        db.execute("DELETE FROM users WHERE email = 'mia@example.org'")
        ids = [
            identifier
            for (identifier,) in db.execute("SELECT id FROM credit_purchases ORDER BY stripe_session_id").fetchall()
        ]
        db.executemany("DELETE FROM credit_purchases WHERE id = ?", [(ids[0],), (ids[14],), (ids[5],)])
        db.execute("UPDATE credit_purchases SET status = 'completed' WHERE id = ?", (ids[1],))

    lines = changes(before, snapshot(folder))

    assert lines == [
        "ada@example.org   3 → 10 credits",
        "cleo@example.org  10 → None credits",
        f"purchase {ids[14][:8]}, pending, of an unreadable time: deleted",
        f"purchase {ids[1][:8]}, pending, 30 days old: completed",
        f"purchase {ids[0][:8]}, pending, 9 days old: deleted",
        f"purchase {ids[5][:8]}, pending, less than a day old: deleted",
        f"{gone.relative_to(folder)}: deleted",
        f"{moved.relative_to(folder)}: moved to trash",
        "static/uploads/new.png: added",
    ]


def test_a_folder_that_is_no_demonstration_has_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_TYPE=sqlite3\n")

    with pytest.raises(ValueError, match="not of a demonstration"):
        snapshot(tmp_path)
