"""Runs whose process is killed with SIGKILL, at every statement and at any moment; then run again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from rapua_scheduler import Job, Site, next_first_of_month
from rapua_scheduler.clock import ShiftedClock
from rapua_scheduler.testing import run_job
from tests.plugins.credit_topup.naive import naive_top_up
from tests.plugins.credit_topup.oracle import faults
from tests.plugins.credit_topup.running import counting_site, ended, fork, job_of, killer, site_of, top_up
from tests.plugins.credit_topup.sites import MadeSite, Snapshot, add_user, execute, make_site, snapshot

MakeJob = Callable[[Site], Job]


def naive_job(site: Site) -> Job:
    return Job("Naive", partial(naive_top_up, site=site), next_first_of_month)


def restore(made: MadeSite, original: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{made.path}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(original, made.path)


def spend(made: MadeSite, before: Snapshot) -> dict[str, int]:
    """Let everybody who was credited since *before* spend two credits; return who spent what."""
    rows = snapshot(made.path).adjustments
    spent = {str(row[1]): 2 for row_id, row in rows.items() if row_id not in before.adjustments}
    for user_id in spent:
        execute(made.path, "UPDATE users SET free_credits = free_credits - 2 WHERE id = ?", user_id)
    return spent


def faults_over_all_kills(made: MadeSite, make_job: MakeJob) -> tuple[int, list[str]]:
    """Kill a run before each of its writing statements, run again, and collect all that is wrong after it."""
    original = made.path.with_suffix(".original")
    shutil.copyfile(made.path, original)
    before = snapshot(made.path)
    found: list[str] = []
    kills = 0
    while True:
        restore(made, original)
        job = make_job(counting_site(made, killer(kills + 1)))
        status = ended(fork(lambda job=job: run_job(job, fire_time=made.fire_time)))  # type: ignore[misc]
        if status == 0:
            return kills, found
        assert status == -signal.SIGKILL
        kills += 1
        found += faults(made, before, snapshot(made.path), complete=False)
        spent = spend(made, before)
        run_job(make_job(site_of(made)), fire_time=made.fire_time)
        found += faults(made, before, snapshot(made.path), spent=spent)


def test_a_run_killed_before_any_of_its_statements_is_completed_by_the_next(tmp_path: Path) -> None:
    made = make_site(tmp_path / "site.db", 3, users=24)

    kills, found = faults_over_all_kills(made, partial(job_of, batch_size=4))

    assert found == []
    assert kills > 40


def test_the_oracle_finds_fault_with_a_naive_job(tmp_path: Path) -> None:
    made = make_site(tmp_path / "site.db", 3, users=1)
    for number in range(4):
        add_user(made.path, f"user-{number}", 3, 10)

    kills, found = faults_over_all_kills(made, naive_job)

    assert kills > 8
    assert any("has 10 credits, not 3" in fault for fault in found)
    assert any("was not credited" in fault for fault in found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_run_killed_at_random_moments_again_and_again_credits_everybody_once(tmp_path: Path, seed: int) -> None:
    made = make_site(tmp_path / "site.db", seed, users=3000)
    before = snapshot(made.path)
    rng = random.Random(seed)
    clock = ShiftedClock.starting_at(made.fire_time)
    spent: dict[str, int] = {}
    kills = 0
    while True:
        child = fork(lambda: top_up(made, batch_size=40, clock=clock))
        time.sleep(rng.uniform(0.01, 0.25))
        os.kill(child, signal.SIGKILL)
        if ended(child) == 0:
            break
        kills += 1
        assert faults(made, before, snapshot(made.path), complete=False, spent=spent) == []
        if not spent:
            spent = spend(made, before)
        if kills == 40:
            top_up(made, batch_size=40, clock=clock)

    assert faults(made, before, snapshot(made.path), spent=spent) == []
    assert kills > 2
