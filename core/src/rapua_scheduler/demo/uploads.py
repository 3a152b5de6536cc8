"""The files of the demonstration's site, and what refers to them."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import struct
import zlib
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo

from attrs import frozen

from rapua_scheduler.demo.accounts import identifier
from rapua_scheduler.site import format_time

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_INSTANCE = "demo-game"
_TEAMS = ("KIWI", "TUI", "WEKA")


@frozen
class _Upload:
    path: PurePosixPath
    at: datetime

    @property
    def relative_url(self) -> str:
        return f"/static/uploads/{self.path}"


class SiteFiles:
    """Writes uploads as Rapua would have, and rows that refer to them."""

    def __init__(self, db: sqlite3.Connection, root: Path, url: str, zone: ZoneInfo, rng: random.Random) -> None:
        """Write below *root*, and into *db*.

        Args:
            db: The site's database.
            root: The uploads folder.
            url: The site's address.
            zone: The zone of the server, whose dates name the folders.
            rng: Where names and colours come from.
        """
        self._db = db
        self._root = root
        self._url = url
        self._zone = zone
        self._rng = rng

    def fill(self, now: datetime) -> None:
        """Write a game's blocks, its players' photos, and what nobody needs any more, all before *now*."""
        self._add_game(now)
        for age in (40, 33, 20):
            photo = self._upload(now - age * _DAY)
            self._add_block(
                "image", {"content": self._url + photo.relative_url, "caption": "Find this place", "link": ""}
            )
            self._resize(photo, "small", "medium")
        for age in (26, 5):
            self._add_block("image", {"content": self._upload(now - age * _DAY, ".PNG").relative_url, "link": ""})
        self._add_texts(now)
        self._add_player_photos(now)
        self._add_gallery(now)
        self._add_orphans(now)
        for age in (37, 29):  # days whose files went long ago
            self._folder(now - age * _DAY).mkdir(parents=True, exist_ok=True)
        self._age_folders(now)

    def _add_game(self, now: datetime) -> None:
        long_ago = format_time(now - 60 * _DAY)
        self._db.execute(
            "INSERT INTO instances (created_at, updated_at, id, name, is_template) VALUES (?, ?, ?, ?, 0)",
            (long_ago, long_ago, _INSTANCE, "A day in town"),
        )
        self._db.executemany(
            "INSERT INTO teams (created_at, updated_at, code, name, instance_id, has_started, points, id)"
            " VALUES (?, ?, ?, ?, ?, 1, 30, ?)",
            [(long_ago, long_ago, code, code.title(), _INSTANCE, identifier(self._rng)) for code in _TEAMS],
        )
        for number in range(1, 13):
            self._add_block("markdown", {"content": f"# Stop {number}\n\nAsk for the *blue* door & look up."})
            self._add_block("quiz_block", {"question": f"Question {number}?", "options": ["1 < 2", "2 < 1"]})

    def _add_texts(self, now: datetime) -> None:
        photo, drawing, poster, badge = (self._upload(now - age * _DAY) for age in (38, 38, 12, 3))
        self._add_block("markdown", {"content": f'The map: ![A map]({photo.relative_url} "Click it")\n'})
        self._add_block(
            "alert", {"content": f"<img src='{self._url}{drawing.relative_url}?size=small'>", "variant": "info"}
        )
        self._add_block("button", {"content": "The poster", "link": self._url + poster.relative_url})
        self._resize(drawing, "small")
        at = format_time(now - 3 * _DAY)
        self._db.execute(
            "INSERT INTO notifications (created_at, updated_at, id, content, type, team_code, dismissed)"
            " VALUES (?, ?, ?, ?, 'success', 'TUI', 0)",
            (at, at, identifier(self._rng), f"You have won this: {self._url}{badge.relative_url}"),
        )

    def _add_player_photos(self, now: datetime) -> None:
        block = self._add_block("photo", {"prompt": "All of you, please"})
        for team, ages in zip(_TEAMS, ((9, 9), (6,), (2, 1)), strict=True):
            photos = [self._upload(now - age * _DAY) for age in ages]
            at = format_time(photos[-1].at + timedelta(seconds=40))
            self._db.execute(
                "INSERT INTO team_block_states (created_at, updated_at, team_code, block_id, is_complete,"
                " points_awarded, player_data) VALUES (?, ?, ?, ?, 1, 10, ?)",
                (at, at, team, block, _go_json({"images": [self._url + photo.relative_url for photo in photos]})),
            )

    def _add_gallery(self, now: datetime) -> None:
        for team, age in (("KIWI", 15), ("KIWI", 4), ("TUI", 4)):
            photo = self._upload(now - age * _DAY)
            self._add_row(photo, team=team)
            self._resize(photo, "medium")
        self._add_row(self._upload(now - 18 * _DAY), block=self._add_block("image", {"content": "", "link": ""}))

    def _add_orphans(self, now: datetime) -> None:
        for age in (40, 31, 20, 11, 2):
            self._upload(now - age * _DAY)
        self._add_row(self._upload(now - 24 * _DAY), block=identifier(self._rng))  # its block was deleted
        for age in (40, 16):
            self._resize(self._upload(now - age * _DAY), "small", "medium", "large")
        for young in (2 * _HOUR, timedelta(minutes=20)):  # perhaps in a form that somebody is about to save
            self._upload(now - young)

    def _upload(self, at: datetime, suffix: str = ".png") -> _Upload:
        folder = self._folder(at)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{identifier(self._rng)}{suffix}"
        self._write(path, at)
        return _Upload(PurePosixPath(path.relative_to(self._root)), at)

    def _resize(self, upload: _Upload, *sizes: str) -> None:
        for size in sizes:
            path = self._root / ".cache" / size / upload.path
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, upload.at + timedelta(minutes=1))

    def _write(self, path: Path, at: datetime) -> None:
        path.write_bytes(_png(self._rng))
        os.utime(path, (at.timestamp(), at.timestamp()))

    def _folder(self, at: datetime) -> Path:
        return self._root / f"{at.astimezone(self._zone):%Y/%m/%d}"

    def _age_folders(self, now: datetime) -> None:
        """Set each folder's time to that of the newest file in it; to long ago if there is none."""
        for folder, _, names in os.walk(self._root, topdown=False):
            newest = max(
                (os.stat(os.path.join(folder, name)).st_mtime for name in names),  # noqa: PTH116, PTH118
                default=(now - 25 * _DAY).timestamp(),
            )
            os.utime(folder, (newest, newest))

    def _add_row(self, upload: _Upload, *, team: str | None = None, block: str | None = None) -> None:
        self._db.execute(
            "INSERT INTO uploads (id, original_url, timestamp, instance_id, team_code, block_id, storage, type)"
            " VALUES (?, ?, ?, ?, ?, ?, 'local', 'image')",
            (identifier(self._rng), self._url + upload.relative_url, format_time(upload.at), _INSTANCE, team, block),
        )

    def _add_block(self, kind: str, content: dict[str, object]) -> str:
        block = identifier(self._rng)
        self._db.execute(
            "INSERT INTO blocks (id, owner_id, type, data, ordering, points, validation_required)"
            " VALUES (?, 'demo-location', ?, ?, 0, 10, 0)",
            (block, kind, _go_json(content)),
        )
        return block


def _go_json(content: object) -> str:
    """Return *content* as Rapua writes JSON."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _png(rng: random.Random) -> bytes:
    """Return a PNG picture of 8 by 8 pixels of one colour."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = b"\x00" + rng.randbytes(3) * 8
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 8)) + chunk(b"IEND", b"")
