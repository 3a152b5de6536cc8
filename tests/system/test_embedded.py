"""The commands beside an application that embeds the scheduler: no plugin brings its jobs, and it is active."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rapua_scheduler import JobContext, Scheduler, every
from tests.system.hosts import PATIENCE, wait_until


class Application:
    """A scheduler in this process, and the commands on its store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "rapua-scheduler.toml").write_text('[rapua_scheduler]\nstate = "jobs.db"\nallow_plugins = []\n')
        self.scheduler = Scheduler(folder / "jobs.db", timezone="UTC")
        self.scheduler.add_job("Hello", lambda ctx: None, every(hours=1))
        self.scheduler.add_job("Boom", _fail, every(milliseconds=200))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rapua_scheduler", *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def jobs(self) -> dict[str, Any]:
        return {job["key"]: job for job in json.loads(self.command("jobs", "--json").stdout)}


def _fail(ctx: JobContext) -> None:
    raise ValueError("boom")


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    made = Application(tmp_path)
    yield made
    made.scheduler.stop()


def test_the_jobs_of_an_active_application_are_listed_and_triggered(application: Application) -> None:
    application.scheduler.start()
    wait_until(lambda: application.jobs()["boom"]["last_run"] is not None, "a run")

    hello = application.jobs()["hello"]
    triggered = application.command("trigger", "hello", "--wait")
    status = application.command("status")

    assert (hello["state"], hello["orphaned"], hello["problem"]) == ("scheduled", False, None)
    assert hello["next_fire_time"] is not None
    assert triggered.returncode == 0, triggered.stderr
    assert "problem: job boom: its last run" in status.stdout
    assert status.returncode == 1
    assert "not installed" not in application.command("why", "hello").stdout


def test_the_jobs_of_an_application_that_has_ended_are_orphaned(application: Application) -> None:
    application.scheduler.start()
    application.scheduler.stop()

    hello = application.jobs()["hello"]
    triggered = application.command("trigger", "hello")

    assert (hello["state"], hello["problem"]) == ("orphaned", "the application that brings it is not active")
    assert triggered.returncode == 1
    assert "an application brings it, and no plugin" in triggered.stderr
