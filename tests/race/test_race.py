"""Eight processes that want the same fire times, or to be the host; and two ways of claiming that do not live up to it.

The full race: `python -m tests.race --fire-times 100000`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]


def race(folder: Path, *arguments: str) -> tuple[int, str]:
    """Race in processes that are forked off one with but one thread; return its status and what it says."""
    command = [sys.executable, "-m", "tests.race", "--folder", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.parametrize("fire_times", [500, pytest.param(5_000, marks=pytest.mark.slow)])
def test_each_fire_time_is_claimed_by_one_of_eight_processes(tmp_path: Path, fire_times: int) -> None:
    status, said = race(tmp_path, "--fire-times", str(fire_times))

    assert status == 0, said
    assert f"claims: {fire_times}\nduplicates: 0\n" in said
    winners = said.partition("by process: ")[2].splitlines()[0].split()
    assert len(set(winners) - {"0"}) > 1, "one process took all: that was no race"


@pytest.mark.parametrize("claimant", ["look-then-insert", "without-guards"])
def test_the_race_shows_when_claims_are_not_guarded(tmp_path: Path, claimant: str) -> None:
    status, said = race(tmp_path, "--fire-times", "400", "--claimant", claimant)

    assert status == 1
    assert "duplicates: 0\n" not in said


def test_there_is_one_host_at_a_time_though_hosts_die(tmp_path: Path) -> None:
    status, said = race(tmp_path, "--hosts", "10")

    assert status == 0, said
    assert "refused=0" not in said
    assert "deaths=0" not in said


def test_the_race_shows_when_the_hosts_lock_is_looked_at_and_not_taken(tmp_path: Path) -> None:
    status, said = race(tmp_path, "--hosts", "10", "--control")

    assert status == 1, said
