"""How long it takes to decide which uploads nothing refers to, and how much memory.

    PYTHONPATH=core/src:plugins/orphaned_uploads/src python bench/orphaned_uploads.py [--quick] [--folder DIR]

100,000 files, 30 % of them orphans, and 20,000 blocks, besides player photos, galleries and notices. Each way
runs five times in a fresh process, in turns, so that other load meets all of them; times are medians, the ratio
is the median of the five ratios to the bare walk (`os.scandir` and an `lstat` of every file) of the same turn.
"Decided" ends when the job logs "Uploads examined"; the dry run goes on to what would be taken, the rows of
`uploads` and the empty folders; the real run takes the files and deletes the rows. `--quick`: a tenth of it all.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

from rapua_orphaned_uploads import OrphanedUploadsSettings, register_jobs
from rapua_scheduler import Site
from rapua_scheduler.clock import SystemClock
from rapua_scheduler.demo.database import create_database
from rapua_scheduler.testing import run_job

URL = "https://rapua.example"
DAYS = 730
PROSE = "Kia ora koutou, nau mai haere mai. Walk to the big tōtara & find the plaque <b>behind</b> it.\n\n"
RUNS = 5


# -- the site ---------------------------------------------------------------------------------------


def identifier(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def make_files(uploads: Path, count: int, rng: random.Random) -> list[str]:
    """Make *count* empty files, a few days to two years old; return their paths, shuffled."""
    today = date(2026, 11, 1)
    paths = []
    for day in range(DAYS):
        folder = f"{today - timedelta(days=day):%Y/%m/%d}"
        (uploads / folder).mkdir(parents=True)
        for _ in range(count * (day + 1) // DAYS - count * day // DAYS):
            path = f"{folder}/{identifier(rng)}{rng.choice(['.jpg', '.JPG', '.png', '.webp', ''])}"
            (uploads / path).touch()
            written = datetime(2026, 11, 1, tzinfo=UTC).timestamp() - day * 86400
            os.utime(uploads / path, (written, written))
            paths.append(path)
    rng.shuffle(paths)
    return paths


def go_json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def make_site(folder: Path, files: int, blocks: int) -> None:
    """Make a site as it is after two years; 30 % of its files are orphans, each with a row in `uploads`."""
    rng = random.Random(1)
    create_database(folder / "site.db")
    urls = [f"{URL}/static/uploads/{path}" for path in make_files(folder / "static" / "uploads", files, rng)]
    orphans, used = urls[: files * 3 // 10], iter(urls[files * 3 // 10 :])
    share = (files * 7 // 10) // blocks
    with closing(sqlite3.connect(folder / "site.db")) as db, db:

        def add_upload(url: str, team: str | None = None, block: str | None = None) -> None:
            db.execute(
                "INSERT INTO uploads (id, original_url, timestamp, team_code, block_id, storage)"
                " VALUES (?, ?, '2026-01-01 10:00:00+00:00', ?, ?, 'local')",
                (identifier(rng), url, team, block),
            )

        for number in range(blocks):
            block = identifier(rng)
            kind = ("image", "markdown", "quiz", "photo")[number % 4]
            own = [url for _, url in zip(range(share + (number % 2)), used, strict=False)]
            data: dict[str, object] = {"prompt": PROSE}
            if kind == "image" and own:
                data = {"content": own[0], "caption": "Māori garden", "link": ""}
            elif kind == "markdown":
                images = "".join(f'![a tree]({url} "t")\n<img src="{url}?size=small">\n\n' for url in own)
                data = {"content": PROSE * 3 + images + "[more](https://en.wikipedia.org/wiki/Tree)"}
            elif kind == "quiz":
                data = {"question": PROSE, "options": [{"id": identifier(rng), "text": PROSE[:40]} for _ in range(4)]}
            elif kind == "photo":
                db.execute(
                    "INSERT INTO team_block_states (team_code, block_id, player_data) VALUES (?, ?, ?)",
                    (f"T{number}", block, go_json({"images": own})),
                )
            for url in own:
                add_upload(url, f"T{number}" if kind in {"photo", "quiz"} else None, block)
            db.execute(
                "INSERT INTO blocks (id, owner_id, type, data) VALUES (?, 'o', ?, ?)", (block, kind, go_json(data))
            )
        for url in used:
            add_upload(url, "GALLERY")
        for url in orphans:
            add_upload(url)
        for _ in range(blocks // 10):
            db.execute("INSERT INTO notifications (id, content) VALUES (?, 'Hurry up!')", (identifier(rng),))
    with closing(sqlite3.connect(folder / "site.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


# -- the ways, each in a process of its own ----------------------------------------------------------


def walk(root: str, *, lstat: bool) -> Iterator[os.DirEntry[str]]:
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from walk(entry.path, lstat=lstat)
                continue
            if lstat:
                entry.stat(follow_symlinks=False)
            yield entry


def memory() -> float:
    """Return the most that this process has had in memory so far, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")  # `getrusage` counts what was before exec
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class Decided(logging.Handler):
    """Notes when, and with how much memory, the job had decided."""

    seconds = at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if "Uploads examined" in str(record.msg):
            self.seconds, self.at = time.perf_counter(), memory()


def run(way: str, folder: Path) -> dict[str, float]:
    """Go one *way* over the site in *folder*; return times in seconds and memory in MB."""
    uploads, before = folder / "static" / "uploads", memory()
    began = time.perf_counter()
    if way in {"scandir", "lstat"}:
        files = sum(1 for _ in walk(str(uploads), lstat=way == "lstat"))
        return {"seconds": time.perf_counter() - began, "memory": memory(), "before": before, "files": files}
    if way == "like":
        return {"seconds": like(folder, uploads), "memory": memory(), "before": before}
    decided = Decided()
    logger = logging.getLogger("rapua_scheduler.job")
    logger.addHandler(decided)
    logger.setLevel(logging.INFO)
    site = Site(url=URL, uploads_dir=uploads, database=folder / "site.db", state_dir=folder / "state")
    [job] = register_jobs(OrphanedUploadsSettings(), site)
    now = datetime(2026, 11, 23, tzinfo=UTC)
    began = time.perf_counter()
    result = run_job(job, fire_time=now, dry_run=way == "dry run")
    return {
        "decided": decided.seconds - began,
        "decided memory": decided.at,
        "seconds": time.perf_counter() - began,
        "memory": memory(),
        "before": before,
        "files": result["files"],
        "taken": result["taken"],
        "rows": result["rows_deleted"],
    }


def like(folder: Path, uploads: Path) -> float:
    """Return how long one LIKE for every file would take, from twenty of them."""
    entries = list(walk(str(uploads), lstat=False))
    with closing(sqlite3.connect(folder / "site.db")) as db:
        began = time.perf_counter()
        for entry in random.Random(2).sample(entries, 20):
            db.execute("SELECT count(*) FROM blocks WHERE data LIKE ?", (f"%{entry.name}%",)).fetchone()
        return (time.perf_counter() - began) / 20 * len(entries)


def measure(way: str, folder: Path) -> dict[str, float]:
    printed = subprocess.run(
        [sys.executable, __file__, "--way", way, "--folder", str(folder)], check=True, stdout=subprocess.PIPE, text=True
    )
    measured: dict[str, float] = json.loads(printed.stdout)
    if way == "real run":  # put everything back for the next turn
        [taken] = (path for path in (folder / "state/trash/orphaned-uploads").iterdir() if path.is_dir())
        for path in taken.rglob("*"):
            if path.is_file():
                path.rename(folder / "static/uploads" / path.relative_to(taken))
        shutil.rmtree(folder / "state")
        for suffix in ("-wal", "-shm"):
            (folder / f"site.db{suffix}").unlink(missing_ok=True)
        shutil.copy(folder / "copy.db", folder / "site.db")
    return measured


# -- the table --------------------------------------------------------------------------------------


def report(folder: Path, *, files: int, blocks: int) -> None:
    make_site(folder, files, blocks)
    shutil.copy(folder / "site.db", folder / "copy.db")
    ways = ["scandir", "lstat", "dry run", "real run"]
    measured: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for way in ("lstat", "dry run"):  # so that every turn finds the tree in the system's memory
        measure(way, folder)
    for _ in range(RUNS):
        for way in ways:
            measured[way].append(measure(way, folder))
    assert {turn["files"] for turns in measured.values() for turn in turns} == {files}
    taken = {turn["taken"] for turn in measured["dry run"] + measured["real run"]}
    assert taken == {files * 3 // 10}, taken

    def row(name: str, way: str, time_: str, peak: str) -> None:
        turns = measured[way]
        ratio = median(turn[time_] / bare["seconds"] for turn, bare in zip(turns, measured["lstat"], strict=True))
        of: Callable[[str], float] = lambda key: median(turn[key] for turn in turns)  # noqa: E731
        print(f"| {name} | {of(time_):.2f} s | {ratio:.2f} | {of(peak):.0f} MB | {of(peak) - of('before'):.0f} MB |")

    print("| way | time | of the bare walk | peak memory | of it the job's |")
    print("|---|---|---|---|---|")
    row("`os.scandir` alone", "scandir", "seconds", "memory")
    row("bare walk: `os.scandir` and `lstat`", "lstat", "seconds", "memory")
    row("**decided**", "dry run", "decided", "decided memory")
    row("dry run", "dry run", "seconds", "memory")
    row(f"real run, {files * 3 // 10:,} files and rows", "real run", "seconds", "memory")
    print(f"| one `LIKE` a file (from 20) | {measure('like', folder)['seconds'] / 60:.0f} min | | | |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="10,000 files and 2,000 blocks")
    parser.add_argument("--folder", type=Path, help="where the site is made; by default the temporary folder")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(run(options.way, options.folder)))
        return
    files, blocks = (10_000, 2_000) if options.quick else (100_000, 20_000)
    print(f"{files:,} files, {blocks:,} blocks (SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]})\n")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        began = SystemClock().monotonic()
        report(Path(folder), files=files, blocks=blocks)
    print(f"\n{SystemClock().monotonic() - began:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
