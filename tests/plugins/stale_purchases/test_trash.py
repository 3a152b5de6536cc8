"""The trash: what is deleted can be put back, and nothing is deleted that cannot."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from rapua_scheduler import Site, SiteError
from rapua_scheduler.testing import AutoClock, run_job
from tests.plugins.stale_purchases.sites import (
    FIRE,
    fill_with_every_kind,
    insert,
    new_site,
    purchase,
    purchases_in,
    run_on,
    same,
    stale_job,
    thrown_away,
    trash_files,
)

README = Path(__file__).parents[3] / "plugins" / "stale_purchases" / "README.md"


class WatchedSite(Site):
    """A site that calls *before* ahead of each transaction."""

    before: Callable[[], None]

    def transact(self, work: Any, **options: Any) -> Any:
        type(self).before()
        return super().transact(work, **options)


def test_whole_rows_are_in_the_trash_with_every_type_kept(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    fill_with_every_kind(site, 800, seed=5)
    before = purchases_in(site)

    run_on(site)

    after = purchases_in(site)
    gone = [row for identifier, row in before.items() if identifier not in after]
    thrown = {row["id"]: row for row in thrown_away(trash_files(site))}
    assert len(gone) == len(thrown) > 100
    assert all(same(thrown[row["id"]], row) for row in gone)


@pytest.mark.parametrize("count", [1, 250])
def test_rows_are_on_the_disk_before_they_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    plain = new_site(tmp_path)
    insert(plain, [purchase() for _ in range(count)])
    site = WatchedSite(database=plain.database, state_dir=plain.state_dir)
    synced: set[bytes] = set()
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            synced.update(Path(f"/proc/self/fd/{descriptor}").read_bytes().splitlines())

    deleted_unsynced: list[bytes] = []
    batches = []

    def check() -> None:
        written = [line for file in trash_files(site) for line in file.read_bytes().splitlines()]
        deleted_unsynced.extend(line for line in written if line not in synced)
        batches.append(sum(line.startswith(b'{"row"') for line in written))

    WatchedSite.before = staticmethod(check)
    monkeypatch.setattr(os, "fsync", fsync)

    result = run_on(site)

    assert result["deleted"] == count
    assert deleted_unsynced == []
    assert batches[0] == min(count, 100)
    assert batches[-1] == count


@pytest.mark.parametrize("failing", ["fsync", "open"])
def test_nothing_is_deleted_when_the_trash_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase() for _ in range(5)])

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, broken)
    with pytest.raises(OSError, match="No space left"):
        run_on(site)
    monkeypatch.undo()

    assert len(purchases_in(site)) == 5


def test_a_site_without_a_place_for_the_trash_is_refused(tmp_path: Path) -> None:
    site = evolve(new_site(tmp_path), state_dir=None)
    insert(site, [purchase()])

    with pytest.raises(SiteError, match="set trash_dir"):
        run_on(site)

    assert len(purchases_in(site)) == 1


@pytest.mark.parametrize(
    ("uploads", "trash"),
    [("static/uploads", "static/uploads/trash"), ("static/uploads", "x/../static/trash"), ("files", "files")],
)
def test_a_trash_that_the_site_shows_to_everybody_is_refused(tmp_path: Path, uploads: str, trash: str) -> None:
    site = new_site(tmp_path, uploads_dir=tmp_path / uploads)
    insert(site, [purchase()])
    job = stale_job(site, trash_dir=tmp_path / trash)

    with pytest.raises(SiteError, match="to everybody"):
        run_job(job, fire_time=FIRE)

    assert len(purchases_in(site)) == 1


def test_the_folder_that_is_set_is_used(tmp_path: Path) -> None:
    site = evolve(new_site(tmp_path), state_dir=None)
    insert(site, [purchase()])

    run_job(stale_job(site, trash_dir=tmp_path / "a" / "b"), fire_time=FIRE, run_id="run-1")

    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["run-1.jsonl"]


def test_the_trash_is_for_its_owner_only(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase()])

    run_on(site)

    [file] = trash_files(site)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_no_file_is_made_when_nothing_is_stale(tmp_path: Path) -> None:
    site = new_site(tmp_path)

    run_on(site)

    assert not (tmp_path / "state").exists()


def test_a_second_attempt_leaves_the_file_of_the_first_alone(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase(id="first")])
    run_on(site, run_id="run/1")
    insert(site, [purchase(id="second")])

    run_on(site, run_id="run/1", attempt=2)

    assert {file.name: [row["id"] for row in thrown_away([file])] for file in trash_files(site)} == {
        "run_1.jsonl": ["first"],
        "run_1.2.jsonl": ["second"],
    }


def test_the_first_line_says_what_the_file_is(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase()])

    run_on(site)

    [file] = trash_files(site)
    header = json.loads(file.read_text().splitlines()[0])
    assert timedelta(0) <= datetime.fromisoformat(header.pop("written_at")) - FIRE < timedelta(seconds=1)
    assert header == {
        "trash": "stale-purchases",
        "job": "stale-purchases",
        "run_id": "test-run",
        "fire_time": FIRE.isoformat(),
    }


def test_only_trash_of_our_own_that_is_old_enough_is_removed(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase()])
    run_on(site, run_id="old")
    [ours] = trash_files(site)
    folder = ours.parent
    written_at = json.loads(ours.read_text().splitlines()[0])["written_at"]
    others = {
        "notes.jsonl": "my notes\n",
        "list.jsonl": "[]\n",
        "empty.jsonl": "",
        "deep.jsonl": "[" * 5000,
        "other.jsonl": json.dumps({"trash": "orphaned-uploads", "written_at": written_at}) + "\n",
        "naive.jsonl": json.dumps({"trash": "stale-purchases", "written_at": "2020-01-01T00:00:00"}) + "\n",
        "never.jsonl": json.dumps({"trash": "stale-purchases", "written_at": "once"}) + "\n",
        "copy.txt": ours.read_text(),
    }
    for name, text in others.items():
        (folder / name).write_text(text)
    (folder / "folder.jsonl").mkdir()
    (tmp_path / "kept.jsonl").write_text(ours.read_text())
    (folder / "link.jsonl").symlink_to(tmp_path / "kept.jsonl")
    everything = set(trash_files(site))
    just = FIRE + timedelta(days=90)

    assert run_on(site, clock=AutoClock(just), fire_time=just)["trash_removed"] == 0
    assert run_on(site, clock=AutoClock(just + timedelta(minutes=1)), dry_run=True)["trash_removed"] == 0
    assert set(trash_files(site)) == everything
    assert run_on(site, clock=AutoClock(just + timedelta(minutes=1)), fire_time=just)["trash_removed"] == 1

    assert set(trash_files(site)) == everything - {ours}
    assert (tmp_path / "kept.jsonl").exists()


def test_old_trash_that_cannot_be_removed_does_not_keep_the_job_from_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase()])
    run_on(site)
    insert(site, [purchase()])
    later = FIRE + timedelta(days=91)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    result = run_on(site, fire_time=later)
    monkeypatch.undo()

    assert (result["deleted"], result["trash_removed"], len(trash_files(site))) == (1, 0, 2)
    [warning] = [record.msg for record in caplog.records]
    assert isinstance(warning, dict)
    assert warning["event"] == "Old trash not removed"


def restore(site: Site, folder: Path, *wanted: str) -> str:
    """Run the script that the README gives."""
    [script] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (folder / "restore.py").write_text(script)
    said = ""
    for file in trash_files(site):
        command = [sys.executable, str(folder / "restore.py"), str(file), str(site.database), *wanted]
        said += subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    return said


def test_what_the_readme_gives_restores_every_row_as_it_was(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    fill_with_every_kind(site, 400, seed=6)
    before = purchases_in(site)
    result = run_on(site)

    said = restore(site, tmp_path)

    after = purchases_in(site)
    assert said == f"{result['deleted']} purchases restored\n"
    assert after.keys() == before.keys()
    assert all(same(after[identifier], row) for identifier, row in before.items())


def test_what_the_readme_gives_restores_only_what_was_asked_for(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    insert(site, [purchase(id="one"), purchase(id="two")])
    run_on(site)

    said = restore(site, tmp_path, "two")

    assert (said, set(purchases_in(site))) == ("1 purchases restored\n", {"two"})


def test_what_the_readme_gives_passes_over_kept_rows_and_torn_lines(tmp_path: Path) -> None:
    plain = new_site(tmp_path)
    insert(plain, [purchase(id="gone"), purchase(id="kept")])
    site = WatchedSite(database=plain.database, state_dir=plain.state_dir)

    def touch() -> None:
        with plain.write() as db:
            db.execute("UPDATE credit_purchases SET receipt_url = 'x' WHERE id = 'kept'")

    WatchedSite.before = staticmethod(touch)
    run_on(site)
    [file] = trash_files(site)
    with file.open("a") as torn:
        torn.write('{"row":{"id":"torn"')
    assert plain.database is not None
    db = sqlite3.connect(plain.database)
    with db:
        db.execute("DELETE FROM credit_purchases")
    db.close()

    restore(site, tmp_path)

    assert set(purchases_in(site)) == {"gone"}
