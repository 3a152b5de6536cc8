"""Twenty thousand runs, after which nothing has grown; a million on demand: `python -m tests.soak --runs 1000000`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.soak.measures import MIB, Measure, judge

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
STEADY = [Measure(number * 1000, 40 * MIB, 15, 16, 4 * MIB, 4 * MIB) for number in range(20)]


@pytest.mark.slow
def test_nothing_grows_in_twenty_thousand_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.soak", "--runs", "20000", "--prune-every", "2", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_no_fault_in_what_does_not_grow() -> None:
    assert list(judge(STEADY, 10_000, 64 * MIB)) == []


@pytest.mark.parametrize(
    ("grown", "says"),
    [
        ({"memory": 51 * MIB}, "memory grew by 11.0 MiB"),
        ({"descriptors": 19}, "descriptors went from 15 to 19"),
        ({"threads": 20}, "threads went from 16 to 20"),
        ({"file": 61 * MIB}, "the store's file came to 65.0 MiB"),
    ],
)
def test_what_grows_is_found(grown: dict[str, Any], says: str) -> None:
    assert list(judge([*STEADY, evolve(STEADY[-1], **grown)], 10_000, 64 * MIB)) == [says]


def test_a_few_measures_prove_nothing() -> None:
    assert list(judge(STEADY[:11], 10_000, 64 * MIB)) == ["there are too few measures"]
