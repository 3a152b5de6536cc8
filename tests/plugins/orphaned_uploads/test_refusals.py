"""When the job refuses, it says why, and has taken nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from rapua_orphaned_uploads.errors import CleanUpAtWorkError, TooManyOrphansError
from rapua_orphaned_uploads.trash import open_trash
from rapua_scheduler import SiteError
from tests.plugins.orphaned_uploads.sites import OLD, URL, MadeSite, make_site, new_path

ORPHAN = "2026/11/02/3f2a91c0-5b1d-4e6f-8a7b-0c9d8e7f6a5b.jpg"


@pytest.fixture
def made(tmp_path: Path) -> MadeSite:
    made = make_site(tmp_path)
    made.add_file(ORPHAN)
    made.add_upload(ORPHAN)
    return made


def remove_database(made: MadeSite) -> MadeSite:
    (made.folder / "scanscout.db").unlink()
    return made


def corrupt_database(made: MadeSite) -> MadeSite:
    made.execute("PRAGMA journal_mode = DELETE")
    (made.folder / "scanscout.db").write_bytes(b"This is no database. " * 500)
    return made


def corrupt_a_page(made: MadeSite) -> MadeSite:
    for _ in range(400):
        made.add_block({"content": "x" * 400})
    made.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = made.folder / "scanscout.db"
    content = bytearray(path.read_bytes())
    for page in range(20, len(content) // 4096):
        content[page * 4096 : page * 4096 + 4096] = os.urandom(4096)
    path.write_bytes(content)
    return made


def run(statement: str) -> Callable[[MadeSite], MadeSite]:
    def change(made: MadeSite) -> MadeSite:
        made.execute(statement)
        return made

    return change


def uploads_link_to_root(made: MadeSite) -> MadeSite:
    (made.folder / "link").symlink_to("/")
    return made.with_site(uploads_dir=made.folder / "link")


REFUSALS: dict[str, tuple[Callable[[MadeSite], MadeSite], str]] = {
    "no database configured": (lambda made: made.with_site(database=None), "no database is configured"),
    "no database": (remove_database, "there is no such file"),
    "not a database": (corrupt_database, "file is not a database"),
    "a broken page": (corrupt_a_page, "malformed|disk image"),
    "no blocks table": (run("DROP TABLE blocks"), "table 'blocks' is missing"),
    "no blocks": (run("DELETE FROM blocks"), "the site has no blocks"),
    "no uploads table": (run("DROP TABLE uploads"), "table 'uploads' is missing"),
    "no states table": (run("DROP TABLE team_block_states"), "table 'team_block_states' is missing"),
    "no notices table": (run("DROP TABLE notifications"), "table 'notifications' is missing"),
    "a column is missing": (run("ALTER TABLE uploads DROP COLUMN team_code"), "lacks team_code"),
    "no uploads folder configured": (lambda made: made.with_site(uploads_dir=None), "no uploads folder is configured"),
    "no uploads folder": (lambda made: made.with_site(uploads_dir=made.folder / "nope"), "No such file"),
    "uploads is a file": (lambda made: made.with_site(uploads_dir=made.folder / "scanscout.db"), "not a folder"),
    "uploads is the root": (lambda made: made.with_site(uploads_dir=Path("/")), "root of the file system"),
    "uploads leads to the root": (uploads_link_to_root, "root of the file system"),
    "uploads holds the database": (lambda made: made.with_site(uploads_dir=made.folder), "holds the database"),
    "nowhere to put it": (lambda made: made.with_site(state_dir=None), "nowhere to set files aside.*trash_dir"),
    "the trash is served": (lambda made: made.with_site(state_dir=made.uploads), "must lie apart"),
    "the trash is served beside": (lambda made: made.with_site(state_dir=made.uploads.parent), "must lie apart"),
}


@pytest.mark.parametrize("how", REFUSALS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_the_job_refuses(made: MadeSite, how: str, dry_run: bool) -> None:
    change, problem = REFUSALS[how]
    changed = change(made)

    with pytest.raises(SiteError, match=problem):
        changed.run(dry_run=dry_run)

    assert made.files() == {ORPHAN}


def test_a_trash_around_the_uploads_is_refused(made: MadeSite) -> None:
    with pytest.raises(SiteError, match="must lie apart"):
        made.run(settings={"trash_dir": made.folder})

    assert made.files() == {ORPHAN}


def test_a_trash_that_a_link_leads_into_the_uploads_is_refused(made: MadeSite) -> None:
    (made.folder / "innocent").symlink_to(made.uploads)

    with pytest.raises(SiteError, match="must lie apart"):
        made.run(settings={"trash_dir": made.folder / "innocent" / "trash"})

    assert made.files() == {ORPHAN}


def test_a_locked_database_is_waited_for_and_then_refused(made: MadeSite) -> None:
    made.execute("PRAGMA journal_mode = DELETE")
    impatient = made.with_site(busy_timeout=made.site.busy_timeout / 100)
    other = sqlite3.connect(made.folder / "scanscout.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(SiteError, match="locked"):
            impatient.run()
    finally:
        other.close()

    assert made.files() == {ORPHAN}


@pytest.mark.parametrize(
    ("orphans", "used", "refused"),
    [(101, 100, True), (101, 101, False), (100, 0, False), (100, 5, False), (101, 0, True)],
)
def test_more_than_half_of_the_files_and_a_hundred_are_too_many(
    tmp_path: Path, orphans: int, used: int, refused: bool
) -> None:
    made = make_site(tmp_path)
    for _ in range(orphans):
        made.add_file(new_path())
    for _ in range(used):
        path = new_path()
        made.add_file(path)
        made.add_block({"content": f"{URL}/static/uploads/{path}"})

    if refused:
        with pytest.raises(TooManyOrphansError, match=rf"{orphans} of {orphans + used} files.*allow_more_than_half"):
            made.run()
        with pytest.raises(TooManyOrphansError):
            made.run(dry_run=True)
        assert len(made.files()) == orphans + used
        assert made.trashed() == set()

    settings = {"allow_more_than_half": refused}
    assert made.run(settings=settings, run_id="second")["taken"] == orphans
    assert len(made.files()) == used


def test_young_files_count_among_all_files(tmp_path: Path) -> None:
    made = make_site(tmp_path)
    for number in range(250):
        made.add_file(new_path(), age=OLD if number < 110 else timedelta(0))

    assert made.run()["taken"] == 110


def test_two_processes_do_not_clean_up_at_once(made: MadeSite) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        with open_trash(made.trash):
            os.write(writer, b"x")
            signal.pause()
    os.close(writer)
    try:
        os.read(reader, 1)
        with pytest.raises(CleanUpAtWorkError, match="another clean-up is at work"):
            made.run()
        assert made.files() == {ORPHAN}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)

    assert made.run()["taken"] == 1
