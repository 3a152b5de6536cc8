"""`demo`: the real host at work on a site of its own making, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.environments import Environment

PATIENCE = 60.0


def demonstrated(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rapua_scheduler", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.slow
def test_the_demonstration_runs_all_three_jobs_and_says_what_its_clock_does(tmp_path: Path) -> None:
    shown = demonstrated("demo", str(tmp_path / "site"))

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.count(": succeeded  ") == 3
    assert "exec orphaned-uploads --dry-run" in shown.stdout
    assert "There the jobs are `waiting for clock`" in shown.stdout


@pytest.mark.slow
def test_without_plugins_the_demonstration_names_none_of_their_jobs(
    fresh: Callable[..., Environment], tmp_path: Path
) -> None:
    environment = fresh("rapua-scheduler")

    shown = environment.run("-m", "rapua_scheduler", "demo", tmp_path / "site", cwd=tmp_path, check=False)

    assert shown.returncode == 1, shown.stdout + shown.stderr
    assert "no job is installed" in shown.stdout
    assert "orphaned-uploads" not in shown.stdout
    assert "next due" not in shown.stdout


def test_a_demonstration_without_plugins_is_refused(tmp_path: Path) -> None:
    refused = demonstrated("--safe-mode", "demo", str(tmp_path / "site"))

    assert refused.returncode == 2, refused.stdout
    assert "--safe-mode" in refused.stderr
    assert not (tmp_path / "site").exists()
