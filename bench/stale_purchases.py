"""How long cleaning up stale purchases takes, and how long others have to wait for it meanwhile.

    python bench/stale_purchases.py [--quick]

A million purchases, half of them stale, are cleaned up by one DELETE and by the plugin, while another
process writes to the same database every few milliseconds. It tries as Rapua does, without waiting for
a lock ("refused": the share of its first tries that failed), and then again each millisecond until it
gets the lock ("longest wait"). "Longest transaction" is from getting the lock to the end of the commit,
which may include a checkpoint of the database's log; that locks nobody out. `--quick`: 100,000
purchases, the median of five runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from attrs import frozen

from rapua_scheduler import Site, format_time
from rapua_scheduler.clock import SystemClock
from rapua_scheduler.demo.database import create_database
from rapua_scheduler.testing import run_job
from rapua_stale_purchases import StalePurchasesSettings, register_jobs

STALE = "status IN ('pending', 'failed') AND created_at < ? AND coalesce(stripe_payment_id, '') = ''"
PURCHASE = "INSERT INTO credit_purchases VALUES (?, ?, ?, ?, 10, 500, ?, ?, NULL, NULL, ?)"
ADJUSTMENT = "INSERT INTO credit_adjustments VALUES (?, ?, ?, 10, 'Purchase', ?)"


@frozen
class Measured:
    seconds: float
    longest_transaction: float
    longest_wait: float
    refused: float


def fill(path: Path, purchases: int, now: datetime) -> None:
    """Purchases as they come in over a year, every other one stale, each completed one with its adjustment."""
    rng = random.Random(1)

    def identifier() -> str:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    create_database(path)
    users = [identifier() for _ in range(max(1, purchases // 20))]
    step = timedelta(days=365) / purchases
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO users (id, email) VALUES (?, ?)", ((user, f"{user}@example.org") for user in users))
        for number in range(purchases):
            at = format_time(now - timedelta(days=373) + number * step)
            stale = rng.random() < 0.5
            status = rng.choice(("pending", "pending", "failed")) if stale else "completed"
            purchase, user = identifier(), rng.choice(users)
            payment = None if stale else f"pi_{identifier()}"
            session = f"cs_live_{rng.getrandbits(232):058x}"
            db.execute(PURCHASE, (purchase, at, at, user, payment, session, status))
            if not stale:
                db.execute(ADJUSTMENT, (identifier(), at, user, purchase))
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def write_all_the_time(path: Path, pipe: Connection) -> None:
    """Another process's writes, every 5 ms; reports tries, refusals at the first try, longest wait."""
    db = sqlite3.connect(path, isolation_level=None, timeout=0)
    writes = refused = 0
    longest = 0.0
    pipe.send("ready")
    while not pipe.poll():
        began = time.perf_counter()
        tries = 0
        while True:
            tries += 1
            try:
                db.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError:
                time.sleep(0.001)
        longest = max(longest, time.perf_counter() - began)
        db.execute("UPDATE users SET display_name = 'x' WHERE rowid = ?", (1 + writes % 1000,))
        db.execute("COMMIT")
        writes += 1
        refused += tries > 1
        time.sleep(0.005)
    pipe.send((writes, refused, longest))


@contextmanager
def writer(path: Path) -> Iterator[Callable[[], tuple[int, int, float]]]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=write_all_the_time, args=(path, theirs))
    process.start()
    theirs.close()  # so that a writer that dies ends the wait for it
    try:
        assert ours.recv() == "ready"

        def stop() -> tuple[int, int, float]:
            ours.send("stop")
            result: tuple[int, int, float] = ours.recv()
            return result

        yield stop
    finally:
        process.join(10)
        process.kill()


class MeasuredSite(Site):
    """A site that notes how long each of its transactions took, from the lock to the end of the commit."""

    longest = 0.0

    def transact(self, work: Any, **options: Any) -> Any:
        began = 0.0

        def timed(db: sqlite3.Connection) -> Any:
            nonlocal began
            began = time.perf_counter()
            return work(db)

        result = super().transact(timed, **options)
        MeasuredSite.longest = max(MeasuredSite.longest, time.perf_counter() - began)
        return result


def one_delete(path: Path, now: datetime) -> tuple[int, float]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as db:
        db.execute("BEGIN IMMEDIATE")
        began = time.perf_counter()
        deleted = db.execute(
            f"DELETE FROM credit_purchases WHERE {STALE} AND NOT EXISTS"
            " (SELECT 1 FROM credit_adjustments WHERE credit_purchase_id = credit_purchases.id)",
            (format_time(now - timedelta(days=7)),),
        ).rowcount
        db.execute("COMMIT")
        return deleted, time.perf_counter() - began


def the_plugin(path: Path, now: datetime) -> tuple[int, float]:
    MeasuredSite.longest = 0.0
    site = MeasuredSite(database=path, busy_timeout=timedelta(seconds=60))
    [job] = register_jobs(StalePurchasesSettings(trash_dir=path.parent / "trash"), site)
    return run_job(job, fire_time=now, clock=SystemClock())["deleted"], MeasuredSite.longest


def measure(way: Callable[[Path, datetime], tuple[int, float]], filled: Path, now: datetime) -> Measured:
    with tempfile.TemporaryDirectory(dir=filled.parent) as folder:
        path = Path(shutil.copy(filled, folder))
        with closing(sqlite3.connect(path)) as db:
            due = db.execute(f"SELECT count(*) FROM credit_purchases WHERE {STALE}", (format_time(now),)).fetchone()[0]
        with writer(path) as stop:
            began = time.perf_counter()
            deleted, transaction = way(path, now)
            seconds = time.perf_counter() - began
            writes, refused, wait = stop()
        assert deleted == due, (deleted, due)
    return Measured(seconds, transaction, wait, refused / max(1, writes))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="100,000 purchases, the median of five runs")
    parser.add_argument("--folder", type=Path, help="where the databases are made; by default the temporary folder")
    options = parser.parse_args()
    purchases, runs = (100_000, 5) if options.quick else (1_000_000, 1)
    now = SystemClock().now()
    print(f"`python bench/stale_purchases.py {' '.join(sys.argv[1:])}`".replace(" `", "`"))
    print(f"\n{purchases:,} purchases, half of them stale; median of {runs} (SQLite {sqlite3.sqlite_version})\n")
    print("| way | time | longest transaction | another writer's longest wait | its writes refused |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        filled = Path(folder) / "filled.db"
        fill(filled, purchases, now)
        for title, way in (("one DELETE", one_delete), ("rapua_stale_purchases", the_plugin)):
            results = [measure(way, filled, now) for _ in range(runs)]
            print(
                f"| {title} | {median(result.seconds for result in results):.1f} s"
                f" | {median(result.longest_transaction for result in results) * 1000:,.0f} ms"
                f" | {median(result.longest_wait for result in results) * 1000:,.0f} ms"
                f" | {median(result.refused for result in results):.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
