"""What how-to/undo.md tells an operator to do really brings everything back."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import rapua_orphaned_uploads
import rapua_stale_purchases
from rapua_scheduler import Job, Site, format_time
from rapua_scheduler.demo.database import create_database
from rapua_scheduler.testing import run_job
from tests.core.docs.pages import DOCS, code_blocks

NOW = datetime(2026, 12, 1, tzinfo=UTC)
BLOCKS = list(code_blocks(DOCS / "how-to" / "undo.md"))
OLD = NOW - timedelta(days=30)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "state").mkdir()
    site = Site(
        url="https://rapua.example",
        uploads_dir=tmp_path / "uploads",
        database=tmp_path / "site.db",
        state_dir=tmp_path / "state",
    )
    assert site.database is not None
    create_database(site.database)
    for path in ("2026/11/01/a.jpg", "2026/11/01/b b.jpg", ".cache/small/2026/11/01/a.jpg", "2026/11/02/used.jpg"):
        make_upload(site, path)
    with site.write() as db:
        db.execute(
            "INSERT INTO blocks (id, owner_id, data) VALUES ('1', '1', ?)",
            ('{"c":"/static/uploads/2026/11/02/used.jpg"}',),
        )
        for number, status in enumerate(("pending", "failed", "completed")):
            db.execute(
                "INSERT INTO credit_purchases"
                " (id, created_at, user_id, credits, amount_paid, stripe_session_id, receipt_url, status)"
                " VALUES (?, ?, 'u', 10, 500, ?, ?, ?)",
                (f"p{number}", format_time(OLD), f"s{number}", "it's “ünïcode”", status),
            )
    return site


def make_upload(site: Site, path: str) -> None:
    assert site.uploads_dir is not None
    file = site.uploads_dir / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(path)
    os.utime(file, (OLD.timestamp(), OLD.timestamp()))
    if not path.startswith("."):
        with site.write() as db:
            db.execute(
                "INSERT INTO uploads (id, original_url, timestamp, storage) VALUES (?, ?, ?, 'local')",
                (path, f"https://rapua.example/static/uploads/{path.replace(' ', '%20')}", format_time(OLD)),
            )


def rows(site: Site, table: str) -> list[tuple[object, ...]]:
    with site.read() as db:
        return sorted(tuple(row) for row in db.execute(f"SELECT * FROM {table}"))


def files(site: Site) -> Mapping[str, str]:
    assert site.uploads_dir is not None
    return {
        str(path.relative_to(site.uploads_dir)): path.read_text()
        for path in sorted(site.uploads_dir.rglob("*"))
        if path.is_file()
    }


def job_of(plugin: str, site: Site) -> Job:
    if plugin == "orphaned-uploads":
        jobs = rapua_orphaned_uploads.register_jobs(rapua_orphaned_uploads.OrphanedUploadsSettings(), site)
    else:
        jobs = rapua_stale_purchases.register_jobs(rapua_stale_purchases.StalePurchasesSettings(), site)
    return jobs[0]


def follow(command: str, site: Site) -> None:
    """Run the one command of the page that begins with *command*, on *site*."""
    (line,) = [
        line.removeprefix("$ ")
        for block in BLOCKS
        for line in block.code.splitlines()
        if line.startswith(f"$ {command} ") and "/srv/rapua" in line
    ]
    words = [
        word.replace("RUN", "test-run")
        .replace("/srv/rapua/static/uploads", str(site.uploads_dir))
        .replace("/srv/rapua/scanscout.db", str(site.database))
        for word in shlex.split(line)
    ]
    words[0] = words[0].replace("python3", sys.executable)
    (script,) = [block.code for block in BLOCKS if block.title == "restore_rows.py"]
    assert site.state_dir is not None
    (site.state_dir / "restore_rows.py").write_text(script)
    subprocess.run(words, cwd=site.state_dir, check=True, timeout=30)


def test_one_copy_and_the_rows_bring_uploads_back(site: Site) -> None:
    before = files(site), rows(site, "uploads")
    result = run_job(job_of("orphaned-uploads", site), fire_time=NOW)
    assert result["taken"] == 2
    assert len(files(site)) == 1
    assert len(rows(site, "uploads")) == 1

    follow("cp", site)
    follow("python3 restore_rows.py trash/orphaned-uploads/RUN.jsonl", site)

    assert (files(site), rows(site, "uploads")) == before


def test_what_was_brought_back_stays_for_a_day(site: Site) -> None:
    job = job_of("orphaned-uploads", site)
    run_job(job, fire_time=NOW)
    follow("cp", site)

    result = run_job(job, fire_time=datetime.now(UTC), run_id="next-run")

    assert result["taken"] == 0


def test_the_rows_bring_purchases_back(site: Site) -> None:
    before = rows(site, "credit_purchases")
    result = run_job(job_of("stale-purchases", site), fire_time=NOW)
    assert result["deleted"] == 2
    assert len(rows(site, "credit_purchases")) == 1

    follow("python3 restore_rows.py trash/stale-purchases/RUN.jsonl", site)

    assert rows(site, "credit_purchases") == before


def test_rows_that_are_there_again_are_left_as_they_are(site: Site) -> None:
    run_job(job_of("stale-purchases", site), fire_time=NOW)
    follow("python3 restore_rows.py trash/stale-purchases/RUN.jsonl", site)
    with site.write() as db:
        db.execute("UPDATE credit_purchases SET status = 'completed' WHERE id = 'p0'")

    follow("python3 restore_rows.py trash/stale-purchases/RUN.jsonl", site)

    with site.read() as db:
        assert db.execute("SELECT status FROM credit_purchases WHERE id = 'p0'").fetchone()[0] == "completed"


def test_a_torn_line_is_passed_over(site: Site) -> None:
    run_job(job_of("stale-purchases", site), fire_time=NOW)
    assert site.state_dir is not None
    (journal,) = (site.state_dir / "trash" / "stale-purchases").glob("*.jsonl")
    journal.write_bytes(journal.read_bytes()[:-10])

    follow("python3 restore_rows.py trash/stale-purchases/RUN.jsonl", site)

    assert [row[0] for row in rows(site, "credit_purchases")] in (["p0", "p2"], ["p1", "p2"])
