"""A Rapua site in a folder: files, rows, and a way to run the job on them."""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from attrs import evolve, frozen

from rapua_orphaned_uploads import OrphanedUploadsSettings, register_jobs
from rapua_scheduler import Job, Site
from rapua_scheduler.demo.database import create_database
from rapua_scheduler.testing import run_job

NOW = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Pacific/Auckland"))
URL = "https://rapua.example"
OLD = timedelta(days=3)


@frozen
class MadeSite:
    """A site in a folder of its own."""

    folder: Path
    site: Site

    @property
    def uploads(self) -> Path:
        assert self.site.uploads_dir is not None
        return self.site.uploads_dir

    @property
    def trash(self) -> Path:
        return self.folder / "state" / "trash" / "orphaned-uploads"

    def add_file(self, path: str, *, age: timedelta = OLD, content: str | None = None) -> Path:
        """Make a file in the uploads folder that was last written *age* ago."""
        file = self.uploads / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path if content is None else content, encoding="utf-8", errors="surrogateescape")
        set_age(file, age)
        return file

    def add_upload(self, path: str, **columns: object) -> str:
        """Make a row of `uploads` for a path, or for a URL if it is one; return its id."""
        url = path if "//" in path or path.startswith("/") else f"{URL}/static/uploads/{path}"
        return self.insert("uploads", original_url=url, **{"storage": "local", **columns})

    def add_block(self, data: object, type_: str = "markdown") -> str:
        """Make a block; *data* becomes JSON as Rapua writes it, unless it is text or bytes already."""
        stored = data if isinstance(data, (str, bytes)) else go_json(data)
        return self.insert("blocks", owner_id="owner", type=type_, data=stored)

    def insert(self, table: str, **columns: object) -> str:
        """Insert a row; return its id."""
        if table != "team_block_states":
            columns.setdefault("id", str(uuid.uuid4()))
        names, marks = ", ".join(columns), ", ".join("?" for _ in columns)
        with closing(self.connect()) as db:
            db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))
        return str(columns.get("id"))

    def execute(self, statement: str, *values: object) -> list[Any]:
        with closing(self.connect()) as db:
            return db.execute(statement, values).fetchall()

    def connect(self) -> sqlite3.Connection:
        assert self.site.database is not None
        db = sqlite3.connect(self.site.database, isolation_level=None, timeout=10)
        db.execute("PRAGMA synchronous = OFF")
        return db

    def job(self, **settings: Any) -> Job:
        [job] = register_jobs(OrphanedUploadsSettings(**settings), self.site)
        return job

    def run(
        self, *, settings: Mapping[str, Any] | None = None, fire_time: datetime = NOW, **how: Any
    ) -> dict[str, int]:
        result: dict[str, int] = run_job(self.job(**settings or {}), fire_time=fire_time, **how)
        return result

    def files(self) -> set[str]:
        """Return the paths of all files in the uploads folder."""
        return paths_in(self.uploads)

    def trashed(self) -> set[str]:
        """Return the paths of all files in the trash, as they were below the uploads folder."""
        return {path.partition("/")[2] for path in paths_in(self.trash) if "/" in path}

    def upload_ids(self) -> set[str]:
        return {row[0] for row in self.execute("SELECT id FROM uploads")}

    def with_site(self, **changes: Any) -> MadeSite:
        return evolve(self, site=evolve(self.site, **changes))


def make_site(folder: Path, *, url: str | None = URL, with_block: bool = True) -> MadeSite:
    """Make a site without files; one block, so that it is not refused, unless told otherwise."""
    uploads = folder / "static" / "uploads"
    uploads.mkdir(parents=True)
    (folder / "state").mkdir()
    create_database(folder / "scanscout.db")
    site = Site(
        url=url,
        uploads_dir=uploads,
        timezone=ZoneInfo("Pacific/Auckland"),
        database=folder / "scanscout.db",
        state_dir=folder / "state",
    )
    made = MadeSite(folder, site)
    if with_block:
        made.add_block({"content": "Kia ora"})
    return made


def set_age(file: Path, age: timedelta) -> None:
    written = round((NOW.astimezone(UTC) - age - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000
    os.utime(file, ns=(written, written), follow_symlinks=False)


def paths_in(folder: Path) -> set[str]:
    return {str(Path(parent, name).relative_to(folder)) for parent, _, names in os.walk(folder) for name in names}


def go_json(value: object) -> str:
    """Return *value* as Go's encoder writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def new_name(extension: str = ".jpg") -> str:
    return f"{uuid.uuid4()}{extension}"


def new_path(extension: str = ".jpg", folder: str = "2026/11/02") -> str:
    return f"{folder}/{new_name(extension)}"
