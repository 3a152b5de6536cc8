"""What the monthly top-up costs, alone and beside a process that writes all the time.

    python bench/credit_topup.py                  # 100,000 users, five runs of each way, a table
    python bench/credit_topup.py --large          # and 1,000,000 users once, for memory and time
    python bench/credit_topup.py --history 24     # every user with so many earlier top-ups

A second process writes every 5 to 20 ms with a long busy timeout, and reports the longest that one
of its writes took. *Longest* is the longest transaction with its commit and the checkpoint after it,
though nobody has to wait for the latter. Every run works on a fresh copy of the same site, in a process
of its own. The other ways are here to compare with: *raw limit* is one transaction without any check,
*set-based* is one that checks, *per level* is one for each limit and balance, with random ids.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from attrs import frozen

from rapua_credit_topup import CreditTopUpSettings, register_jobs
from rapua_scheduler import Site
from rapua_scheduler.demo.database import create_database
from rapua_scheduler.testing import run_job

ZONE = ZoneInfo("Pacific/Auckland")
FIRE_TIME = datetime(2026, 11, 1, tzinfo=ZONE)
REASON = "Monthly free credit top-up: topped up to "
OURS = "this plugin"


# --- the site -----------------------------------------------------------------------------------


def make_site(path: Path, users: int, history: int) -> None:
    """Make a site with *users* users, about 78% of them below their limit."""
    rng = random.Random(users)
    create_database(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    ids = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(users)]

    def user(user_id: str) -> tuple[str, str, int, int]:
        limit = rng.choices((10, 25, 50, 100), (80, 15, 4, 1))[0]
        balance = rng.randrange(limit) if rng.random() < 0.782 else limit + rng.choice((0, 0, 0, 5))
        return user_id, f"{user_id}@example.org", balance, limit

    db.executemany(
        "INSERT INTO users (id, email, free_credits, monthly_credit_limit) VALUES (?, ?, ?, ?)", map(user, ids)
    )
    for month in range(history):
        at = f"{2026 - 1 - month // 12}-{12 - month % 12:02}-01 00:00:03.123456+00:00"
        db.executemany(
            "INSERT INTO credit_adjustments (id, created_at, user_id, credits, reason) VALUES (?, ?, ?, 3, ?)",
            ((str(uuid.UUID(int=rng.getrandbits(128), version=4)), at, user_id, REASON + "10") for user_id in ids),
        )
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


# --- the ways -----------------------------------------------------------------------------------


class MeasuredSite(Site):
    """A site that remembers how long its write transactions were open, the commit included."""

    held: list[float] = []  # noqa: RUF012  one measurement per process

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        began = 0.0
        try:
            with super().write() as db:
                began = time.perf_counter()
                yield db
        finally:
            self.held.append(time.perf_counter() - began)


class _Clock:
    """The fire time's wall clock; waits are real."""

    def now(self) -> datetime:
        return FIRE_TIME

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, wakeup: object, seconds: float) -> bool:
        return wakeup.wait(seconds)  # type: ignore[attr-defined,no-any-return]


def plugin(path: Path) -> list[float]:
    site = MeasuredSite(database=path, timezone=ZONE)
    (job,) = register_jobs(CreditTopUpSettings(), site)
    run_job(job, fire_time=FIRE_TIME, clock=_Clock())  # type: ignore[arg-type]
    return site.held


@contextmanager
def _transaction(path: Path, held: list[float]) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    db.create_function("uuid", 0, lambda: str(uuid.uuid4()))
    db.execute("BEGIN IMMEDIATE")
    began = time.perf_counter()
    yield db
    db.execute("COMMIT")
    held.append(time.perf_counter() - began)
    db.close()


_DUE = "free_credits < monthly_credit_limit"
_ROW = (
    "INSERT INTO credit_adjustments (id, created_at, user_id, credits, reason) "
    f"SELECT {{id}}, '2026-10-31 11:00:00+00:00', id, monthly_credit_limit - free_credits, "
    f"'{REASON}' || monthly_credit_limit FROM users WHERE {_DUE}"
)


def raw_limit(path: Path) -> list[float]:
    held: list[float] = []
    with _transaction(path, held) as db:
        db.execute(_ROW.format(id="'2026-11-' || substr(id, 1, 28)") + " ORDER BY id")
        db.execute(f"UPDATE users SET free_credits = monthly_credit_limit WHERE {_DUE}")
    return held


def set_based(path: Path) -> list[float]:
    held: list[float] = []
    with _transaction(path, held) as db:
        db.execute(
            _ROW.format(id="'2026-11-' || substr(id, 1, 28)")
            + f" AND NOT EXISTS (SELECT 1 FROM credit_adjustments AS a WHERE a.user_id = users.id"
            f" AND a.reason LIKE '{REASON}%' AND a.created_at >= '2026-10-31 11:00:00') ORDER BY id"
        )
        db.execute(
            "UPDATE users SET free_credits = monthly_credit_limit WHERE EXISTS"
            " (SELECT 1 FROM credit_adjustments AS a WHERE a.id = '2026-11-' || substr(users.id, 1, 28))"
        )
    return held


def per_level(path: Path) -> list[float]:
    held: list[float] = []
    db = sqlite3.connect(path)
    levels = db.execute(
        f"SELECT DISTINCT monthly_credit_limit, free_credits FROM users WHERE {_DUE} ORDER BY 1, 2"
    ).fetchall()
    db.close()
    for limit, balance in levels:
        where = f" AND monthly_credit_limit = {limit} AND free_credits = {balance}"
        with _transaction(path, held) as db:
            db.execute(_ROW.format(id="uuid()") + where)
            db.execute(f"UPDATE users SET free_credits = monthly_credit_limit WHERE {_DUE}{where}")
    return held


WAYS: dict[str, Callable[[Path], list[float]]] = {
    OURS: plugin,
    "per level, random ids": per_level,
    "set-based, one transaction": set_based,
    "raw limit, one transaction": raw_limit,
}


# --- measuring ----------------------------------------------------------------------------------


def write_all_the_time(path: Path) -> None:
    """Write until standard input ends; print the number of writes and the worst of them, in seconds."""
    rng, worst, writes = random.Random(1), 0.0, 0
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    print("ready", flush=True)
    os.set_blocking(sys.stdin.fileno(), False)
    while sys.stdin.buffer.read() != b"":
        began = time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO notifications (id, content) VALUES (?, 'x')", (str(uuid.uuid4()),))
        db.execute("COMMIT")
        worst, writes = max(worst, time.perf_counter() - began), writes + 1
        time.sleep(rng.uniform(0.005, 0.020))
    print(json.dumps({"writes": writes, "worst": worst}))


def one_run(way: str, path: Path) -> None:
    began = time.perf_counter()
    held = WAYS[way](path)
    took = time.perf_counter() - began
    # Not getrusage(): its peak is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"took": took, "longest": max(held), "transactions": len(held), "peak_kib": peak}))


@frozen
class Measurement:
    took: float
    longest: float
    transactions: int
    peak_kib: int
    worst_wait: float
    writes: int


def measure(way: str, original: Path, *, beside_writer: bool = True) -> Measurement:
    with tempfile.TemporaryDirectory(dir=original.parent) as folder:
        path = Path(folder, "site.db")
        shutil.copyfile(original, path)
        os.sync()
        me = [sys.executable, __file__]
        writer = None
        if beside_writer:
            writer = subprocess.Popen([*me, "--writer", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert writer.stdout is not None
            writer.stdout.readline()
        ran = subprocess.run([*me, "--run", way, path], check=True, capture_output=True, text=True)
        told = json.loads(writer.communicate("")[0]) if writer else {"worst": 0.0, "writes": 0}
        return Measurement(**json.loads(ran.stdout), worst_wait=told["worst"], writes=told["writes"])


def table(original: Path, runs: int) -> None:
    print("| way | time | transactions | longest | a waiting writer's worst | peak memory |")
    print("|---|---|---|---|---|---|")
    for way in WAYS:
        measured = [measure(way, original) for _ in range(runs)]

        def median(name: str, measured: list[Measurement] = measured) -> float:
            return statistics.median(getattr(one, name) for one in measured)

        print(
            f"| {way} | {median('took'):.2f} s | {median('transactions'):.0f} | {median('longest') * 1000:.0f} ms "
            f"| {median('worst_wait') * 1000:.0f} ms | {median('peak_kib') / 1024:.0f} MiB |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--history", type=int, default=1, help="earlier top-ups of each user")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="also 1,000,000 users, once")
    parser.add_argument("--writer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.writer:
        write_all_the_time(asked.writer)
    elif asked.run:
        one_run(asked.run[0], Path(asked.run[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            original = Path(folder, "original.db")
            make_site(original, asked.users, asked.history)
            print(f"\n{asked.users:,} users, {asked.history} earlier top-ups each, medians of {asked.runs}:\n")
            table(original, asked.runs)
            if asked.large:
                large = Path(folder, "large.db")
                make_site(large, 1_000_000, asked.history)
                one = measure(OURS, large)
                print(
                    f"\n1,000,000 users, once: {one.took:.1f} s, longest transaction {one.longest * 1000:.0f} ms, "
                    f"a waiting writer's worst {one.worst_wait * 1000:.0f} ms, peak {one.peak_kib / 1024:.0f} MiB"
                )


if __name__ == "__main__":
    main()
