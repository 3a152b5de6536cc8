"""What an operator writes about jobs, as real hosts and commands on a real site heed it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.system.test_command_line import PATIENCE, CommandLine, a_site, command_line  # noqa: F401  fixtures

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

Listed = dict[str, dict[str, object]]


@pytest.fixture
def write(command_line: CommandLine) -> Callable[[str], None]:  # noqa: F811
    """Add lines to the site's configuration."""

    def add(lines: str) -> None:
        with command_line.config.open("a") as file:
            file.write(f"\n{lines}\n")

    return add


Write = Callable[[str], None]


def jobs(command_line: CommandLine) -> Listed:  # noqa: F811
    return {job["key"]: job for job in command_line.json("jobs")}


def run_host_once(command_line: CommandLine) -> str:  # noqa: F811
    """Start a host, stop it once its jobs are taken in, and return its log."""
    process = command_line.start("run")
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "Next run scheduled" in line:
                process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0, lines
    return "".join(lines)


def test_a_changed_schedule_is_what_every_command_and_the_host_go_by(
    command_line: CommandLine,  # noqa: F811
    write: Write,
) -> None:
    write('[rapua_scheduler.jobs.stale-purchases]\nschedule = "0 0 29 2 *"\ntimeout = "10m"')

    listed = jobs(command_line)
    upcoming = command_line.json("upcoming", "stale-purchases", "--count", "1")
    log = run_host_once(command_line)

    assert str(listed["stale-purchases"]["next_fire_time"])[4:10] == "-02-29"
    assert str(listed["orphaned-uploads"]["next_fire_time"])[4:10] != "-02-29"
    assert upcoming[0]["fire_time"] == listed["stale-purchases"]["next_fire_time"]
    assert str(listed["stale-purchases"]["next_fire_time"]) in log


def test_a_disabled_job_is_listed_with_the_file_and_neither_run_nor_forgotten(
    command_line: CommandLine,  # noqa: F811
    write: Write,
) -> None:
    run_host_once(command_line)
    write("[rapua_scheduler.jobs.stale-purchases]\nenabled = false")

    log = run_host_once(command_line)
    listed = jobs(command_line)
    check = command_line.run("check")

    reason = f"disabled in {command_line.config}"
    assert (listed["stale-purchases"]["problem"], listed["stale-purchases"]["next_fire_time"]) == (reason, None)
    assert listed["credit-topup"]["problem"] is None
    assert "Job disabled" in log
    assert not any("Starting job" in line and "stale-purchases" in line for line in log.splitlines())
    assert check.returncode == 0, check.stdout + check.stderr
    assert f"job stale-purchases: {reason}" in check.stdout
    assert command_line.run("exec", "stale-purchases").returncode != 0


def test_all_mistakes_are_told_at_once_and_nothing_runs(command_line: CommandLine, write: Write) -> None:  # noqa: F811
    write('[rapua_scheduler.jobs.stale-purchases]\ntimout = "10m"\noverlap = "queue"')

    result = command_line.run("run")

    assert result.returncode == 78
    where = f"{command_line.config}: [rapua_scheduler.jobs.stale-purchases]"
    assert f"{where} timout: unknown key; did you mean 'timeout'?" in result.stderr
    assert f"{where} overlap: must be one of" in result.stderr


def test_a_table_for_a_job_that_no_plugin_brings_keeps_nothing_from_running(
    command_line: CommandLine,  # noqa: F811
    write: Write,
) -> None:
    write("[rapua_scheduler.jobs.stale-purchase]\nretry = 3")

    log = run_host_once(command_line)
    check = command_line.run("check")
    strict = command_line.run("check", "--strict")

    text = "no plugin brings a job with this key; did you mean 'stale-purchases'?"
    assert text in log
    assert text in check.stdout
    assert (check.returncode, strict.returncode) == (0, 1)
