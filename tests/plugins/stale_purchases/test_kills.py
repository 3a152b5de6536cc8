"""Killed at any moment: what is gone is in the trash, and the next run does the rest."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.plugins.stale_purchases.sites import (
    CUTOFF,
    fill_with_every_kind,
    insert,
    named_in,
    new_site,
    purchase,
    purchases_in,
    run_on,
    same,
    stale_by_oracle,
    thrown_away,
    trash_files,
)

ROOT = Path(__file__).parents[3]


def killed_after(folder: Path, seconds: float) -> int:
    """Start the job in a process, kill it *seconds* after it has begun, and return its exit code."""
    command = [sys.executable, "-m", "tests.plugins.stale_purchases.child", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        threading.Event().wait(seconds)
        child.send_signal(signal.SIGKILL)
        return child.wait()


def test_kill_9_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random()
    site = new_site(tmp_path)
    fill_with_every_kind(site, 3000, seed=8)
    insert(site, [purchase() for _ in range(5000)])
    before = purchases_in(site)
    stale = stale_by_oracle(before, named_in(site), CUTOFF)
    cut_short = 0

    for _ in range(6):
        count = len(purchases_in(site))
        was_killed = killed_after(tmp_path, rng.uniform(0, 0.1)) == -signal.SIGKILL
        left = purchases_in(site)
        thrown = {row["id"]: row for row in thrown_away(trash_files(site))}
        assert all(before[identifier] == row for identifier, row in left.items())
        assert before.keys() - left.keys() <= stale
        assert all(same(thrown[identifier], before[identifier]) for identifier in before.keys() - left.keys())
        cut_short += was_killed and len(left) < count

    run_on(site, run_id="the-last")
    left = purchases_in(site)
    thrown = {row["id"]: row for row in thrown_away(trash_files(site))}
    assert left.keys() == before.keys() - stale
    assert thrown.keys() >= stale
    assert all(same(thrown[identifier], before[identifier]) for identifier in stale)
    assert cut_short > 0
