"""Two hundred hosts killed, thirty of them in `pytest` alone; and naive schedulers, which must not live through it.

As many as one likes: `python -m tests.kills --kills 10000`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]


def kill(folder: Path, *arguments: str) -> str:
    """Run a campaign in a process of its own, which may fork as it has but one thread; return what it says."""
    command = [sys.executable, "-m", "tests.kills", "--folder", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("of", "kills"),
    [
        ("counter", 20),
        ("top-up", 10),
        pytest.param("counter", 110, marks=pytest.mark.slow),
        pytest.param("top-up", 60, marks=pytest.mark.slow),
    ],
)
def test_killed_hosts_do_nothing_twice_and_leave_nothing_without_an_answer(tmp_path: Path, of: str, kills: int) -> None:
    said = kill(tmp_path, "--kills", str(kills), "--of", of)

    assert "\nfaults: 0\n" in said, said
    assert int(said.partition("\nkills: ")[2].split()[0]) >= kills


@pytest.mark.parametrize(
    ("control", "fault"),
    [
        ("in-memory", "nothing of 2"),
        pytest.param("claims-afterwards", "began, and was never claimed", marks=pytest.mark.slow),
    ],
)
def test_the_oracle_finds_fault_with_a_naive_scheduler(tmp_path: Path, control: str, fault: str) -> None:
    said = kill(tmp_path, "--kills", "60", "--seed", "1", "--control", control)

    assert fault in said
