"""One measurement in a process of its own: `python -m bench.peers.measure WORKLOAD CONTENDER N`."""

from __future__ import annotations

import array
import gc
import json
import resource
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC
from pathlib import Path
from typing import Any

from bench.peers.contenders import CONTENDERS, OursDurable

QUIET = 20.0


class Hits:
    """When each job started, and how often."""

    def __init__(self, jobs: int) -> None:
        self.at = array.array("d", bytes(8 * jobs))
        self.count = bytearray(jobs)

    def __call__(self, number: int) -> None:
        self.at[number] = time.time()
        self.count[number] += 1

    def wait(self) -> None:
        end = time.time() + QUIET
        while self.count.count(0) and time.time() < end:
            time.sleep(0.01)


def burst(contender: str, jobs: int) -> dict[str, float]:
    """All of *jobs* due at one instant: how late each starts."""
    hits = Hits(jobs)
    scheduler = CONTENDERS[contender](hits)
    due = time.time() + 1.0 + jobs * 150e-6
    for number in range(jobs):
        scheduler.add(number, due)
    gc.collect()
    before = time.process_time()
    scheduler.start()
    if time.time() > due - 0.05 and not contender.startswith("limit"):
        raise SystemExit("registration took too long; the figures would be meaningless")
    hits.wait()
    cpu = time.process_time() - before
    late = sorted(at - due for at in hits.at)
    scheduler.stop()
    if any(count != 1 for count in hits.count):
        raise SystemExit(f"{hits.count.count(0)} jobs did not start")
    return {
        "first_ms": late[0] * 1e3,
        "median_ms": statistics.median(late) * 1e3,
        "last_ms": late[-1] * 1e3,
        "cpu_us_per_job": cpu / jobs * 1e6,
    }


def lateness(contender: str, fires: int) -> dict[str, float]:
    """One job, fired *fires* times, each 50 ms: how late it starts once the code is warm."""
    from rapua_scheduler import Scheduler, every

    late: list[float] = []
    done = threading.Event()

    def run(ctx: Any) -> None:
        late.append(time.time() - ctx.fire_time.timestamp())
        if len(late) > fires:
            done.set()

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = Path(folder) / "store.db" if contender == "ours, durable" else None
        with Scheduler(store, timezone=UTC) as scheduler:
            scheduler.add_job("late", run, every(milliseconds=50))
            done.wait(QUIET)
    late.sort()
    return {"median_ms": statistics.median(late) * 1e3, "p99_ms": late[int(len(late) * 0.99)] * 1e3}


def registered(contender: str, jobs: int) -> dict[str, float]:
    """*jobs* due in twelve hours: memory of each, and CPU while nothing happens."""
    hits = Hits(0)
    scheduler = CONTENDERS[contender](hits)
    gc.collect()
    before = _resident()
    due = time.time() + 43_200
    began = time.perf_counter()
    for number in range(jobs):
        scheduler.add(number, due)
    scheduler.start()
    took = time.perf_counter() - began
    gc.collect()
    grown = _resident() - before
    time.sleep(1)
    cpu = time.process_time()
    time.sleep(5)
    cpu = time.process_time() - cpu
    result = {
        "bytes_per_job": grown / jobs,
        "us_per_registration": took / jobs * 1e6,
        "idle_cpu_ms_per_s": cpu / 5 * 1e3,
    }
    scheduler.stop()
    return result


def recorded(contender: str, jobs: int) -> dict[str, float]:
    """*jobs* due at one instant, start and outcome recorded: recorded runs per second."""
    if contender == "limit: sqlite3":
        return {"runs_per_s": _sqlite(jobs)}
    hits = Hits(jobs)
    scheduler = OursDurable(hits)
    due = time.time() + 1.0 + jobs * 150e-6
    for number in range(jobs):
        scheduler.add(number, due)
    scheduler.start()
    hits.wait()
    while scheduler.recorded() < jobs:
        time.sleep(0.002)
    took = time.time() - due
    scheduler.stop()
    return {"runs_per_s": jobs / took}


def _sqlite(jobs: int) -> float:
    """The limit: two transactions, of all starts and of all outcomes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        db = sqlite3.connect(Path(folder) / "limit.db", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, job TEXT, due INTEGER, status TEXT, ended INTEGER)")
        began = time.perf_counter()
        db.execute("BEGIN")
        for number in range(jobs):
            db.execute("INSERT INTO runs VALUES (?, ?, ?, 'running', NULL)", (f"run {number}", f"job {number}", 1))
        db.execute("COMMIT")
        db.execute("BEGIN")
        for number in range(jobs):
            db.execute("UPDATE runs SET status = 'succeeded', ended = ? WHERE id = ?", (2, f"run {number}"))
        db.execute("COMMIT")
        took = time.perf_counter() - began
        db.close()
    return jobs / took


def _resident() -> int:
    with Path("/proc/self/statm").open() as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    workload, contender, jobs = sys.argv[1:]
    measures = {"burst": burst, "lateness": lateness, "registered": registered, "recorded": recorded}
    print(json.dumps(measures[workload](contender, int(jobs))))
