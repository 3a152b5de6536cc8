"""Hosts killed at random moments: judged by what their jobs did, not by what the store says they did."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from rapua_scheduler.run import RunStatus
from rapua_scheduler.store.sqlite import SqliteStore

PERIOD = timedelta(milliseconds=20)
HOST = """
import os, signal, sys, threading
from datetime import UTC, timedelta
from rapua_scheduler import Scheduler, every
from rapua_scheduler.clock import SystemClock
from rapua_scheduler.store.sqlite import SqliteStore

folder = sys.argv[1]
log = os.open(f"{folder}/effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
store = SqliteStore.open(f"{folder}/store.db", create=True)
store.become_host()
store.mark_lost(SystemClock().now())
scheduler = Scheduler(store, timezone=UTC)
for name in ("a", "b", "c"):
    scheduler.add_job(name, lambda ctx: os.write(log, (ctx.run_key + "\\n").encode()) and None, every(milliseconds=20))
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
scheduler.start()
print("started", flush=True)
stop.wait()
scheduler.stop()
store.close()
"""


def run_host(folder: Path, seconds: float, ending: signal.Signals) -> int:
    process = subprocess.Popen([sys.executable, "-c", HOST, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    threading.Event().wait(seconds)
    process.send_signal(ending)
    process.communicate(timeout=30)
    return process.returncode


def judge(folder: Path) -> None:
    """Compare the effects with the record: nothing twice, and no fire time without an answer."""
    effects = Counter((folder / "effects").read_text().split())
    store = SqliteStore.open_read_only(folder / "store.db")
    try:
        runs, gaps, jobs = store.runs(), store.gaps(), store.jobs()
    finally:
        store.close()

    assert set(effects.values()) == {1}
    recorded = {run.run_key: run for run in runs}
    assert set(effects) <= set(recorded)
    without_effect = {run.run_key for run in runs} - set(effects)
    assert {recorded[key].status for key in without_effect} <= {RunStatus.LOST, RunStatus.INTERRUPTED}
    for job in jobs:
        answered = sorted(
            [(run.fire_time, run.fire_time, 1) for run in runs if run.job_key == job.key]
            + [(gap.first, gap.last, gap.count or 0) for gap in gaps if gap.job_key == job.key]
        )
        for (_, end, _), (start, _, _) in pairwise(answered):
            assert start - end == PERIOD
        for start, end, count in answered:
            assert count == (end - start) // PERIOD + 1
        assert answered[-1][1] == job.mark


@pytest.mark.parametrize("seed", [1, 2])
def test_a_host_killed_at_random_runs_nothing_twice_and_leaves_no_fire_time_without_an_answer(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)

    for _ in range(6):
        run_host(tmp_path, chance.uniform(0, 0.3), signal.SIGKILL)
    assert run_host(tmp_path, 0.3, signal.SIGTERM) == 0

    judge(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_kills(tmp_path: Path) -> None:
    chance = random.Random(datetime.now(UTC).timestamp())

    for _ in range(100):
        run_host(tmp_path, chance.uniform(0, 0.3), signal.SIGKILL)
    assert run_host(tmp_path, 0.3, signal.SIGTERM) == 0

    judge(tmp_path)
