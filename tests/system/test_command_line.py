"""The command line as a person, or a program, uses it: real processes on a real site."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rapua_scheduler.demo.site import make_site

PATIENCE = 30.0
GOLDEN = Path(__file__).parent.parent / "store" / "golden"
AUCKLAND = ZoneInfo("Pacific/Auckland")
KEYS = ["credit-topup", "orphaned-uploads", "stale-purchases"]


class CommandLine:
    """Runs `rapua-scheduler` on one site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "rapua-scheduler.toml"
        self.state = folder / "rapua-scheduler.db"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "rapua_scheduler", "--config", str(self.config), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "scanscout.db")) as db:
            return db.execute(sql).fetchall()


@pytest.fixture(scope="module")
def a_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "rapua"
    make_site(folder, datetime.now(UTC), AUCKLAND)
    return folder


@pytest.fixture
def command_line(a_site: Path, tmp_path: Path) -> CommandLine:
    shutil.copytree(a_site, tmp_path / "rapua", copy_function=shutil.copy2)
    return CommandLine(tmp_path / "rapua")


def wait_for(line: str, process: subprocess.Popen[str]) -> None:
    """Read the process's log until *line* is in it."""
    assert process.stderr is not None
    for read in process.stderr:
        if line in read:
            return
    pytest.fail(f"the process ended without {line!r}")


@pytest.fixture
def start(command_line: CommandLine) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start hosts, and end those that a failing test leaves behind."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        processes.append(command_line.start(*arguments))
        return processes[-1]

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_jobs_lists_the_three_jobs_under_stable_names(command_line: CommandLine) -> None:
    jobs = command_line.json("jobs")

    assert [job["key"] for job in jobs] == KEYS
    stable = {"key", "name", "plugin", "distribution", "version", "schedule", "next_fire_time", "paused", "last_run"}
    for job in jobs:
        assert stable <= set(job)
        assert datetime.fromisoformat(job["next_fire_time"]).astimezone(AUCKLAND).strftime("%H:%M") == "00:00"
    assert not command_line.state.exists()


def test_plugins_lists_the_three_plugins_under_stable_names(command_line: CommandLine) -> None:
    plugins = command_line.json("plugins")

    assert [(plugin["name"], plugin["state"], plugin["error"]) for plugin in plugins] == [
        ("credit_topup", "loaded", None),
        ("orphaned_uploads", "loaded", None),
        ("stale_purchases", "loaded", None),
    ]
    assert {"name", "distribution", "version", "state", "jobs", "error"} <= set(plugins[0])


def test_upcoming_merges_the_jobs_in_order_and_stops_where_told(command_line: CommandLine) -> None:
    window = ("--from", "2026-10-30", "--until", "2026-11-02")

    all_jobs = command_line.json("upcoming", *window)
    one_job = command_line.json("upcoming", "credit-topup", *window)

    times = [entry["fire_time"] for entry in all_jobs]
    assert times == sorted(times)
    assert len(all_jobs) == 7
    assert [entry["fire_time"] for entry in one_job] == ["2026-11-01T00:00:00+13:00"]


def test_a_manual_run_is_recorded_and_consumes_no_fire_time(command_line: CommandLine) -> None:
    before = command_line.json("jobs")

    result = command_line.run("exec", "stale-purchases")

    assert result.returncode == 0, result.stderr
    (run,) = command_line.json("history")
    assert (run["job"], run["trigger"], run["status"]) == ("stale-purchases", "manual", "succeeded")
    shown = command_line.json("show", run["run_id"])
    assert {name: shown[name] for name in run} == run
    assert (shown["attempts"], shown["log"][-1]["level"]) == ([], "info")
    assert [job["next_fire_time"] for job in command_line.json("jobs")] == [job["next_fire_time"] for job in before]


def test_a_folder_without_a_store_is_named_and_so_is_a_store_that_is_made_there(command_line: CommandLine) -> None:
    for listing in (("history",), ("jobs",), ("why", "credit-topup")):
        assert f"there is no store yet at {command_line.state}" in command_line.run(*listing).stderr, listing
    first, second = command_line.run("exec", "orphaned-uploads"), command_line.run("exec", "orphaned-uploads")

    assert "Store created" in first.stderr
    assert str(command_line.state) in first.stderr
    assert "Store created" not in second.stderr
    assert command_line.run("history").stderr == ""


def test_a_dry_run_changes_nothing_and_leaves_no_record(command_line: CommandLine) -> None:
    def world() -> list[tuple[str, bytes]]:
        names = ("scanscout.db-wal", "scanscout.db-shm")
        files = sorted(path for path in command_line.folder.rglob("*") if path.is_file() and path.name not in names)
        return [(str(path), path.read_bytes()) for path in files]

    before = world()

    results = [command_line.run("exec", key, "--dry-run") for key in KEYS]

    assert [result.returncode for result in results] == [0, 0, 0], [result.stderr for result in results]
    assert world() == before
    assert command_line.json("history") == []


def test_the_top_up_serves_the_fire_time_it_is_given(command_line: CommandLine) -> None:
    first = datetime.now(AUCKLAND).replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    ran = command_line.run("exec", "credit-topup", "--fire-time", first.date().isoformat())
    again = command_line.run("exec", "credit-topup", "--fire-time", first.date().isoformat())

    assert (ran.returncode, again.returncode) == (0, 0), ran.stderr + again.stderr
    credited = command_line.query(
        f"SELECT user_id, count(*) FROM credit_adjustments WHERE id LIKE '{first:%Y-%m}%' GROUP BY user_id"
    )
    assert credited
    assert {count for _, count in credited} == {1}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("exec", "credit-top-up"), 2, "did you mean 'credit-topup'?"),
        (("history", "nobody"), 2, "nobody"),
        (("upcoming", "nobody"), 2, "nobody"),
        (("upcoming", "--from", "2027-01-01", "--until", "2026-01-01"), 2, "--from 2027-01-01 is not before"),
        (("show", "nothing"), 1, "nothing has run yet"),
        (("exec", "credit-topup", "--fire-time", "soon"), 2, "2026-11-01"),
        (("jbos",), 2, "jobs"),
        (("upcoming", "--count", "0"), 2, "count"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(
    command_line: CommandLine, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = command_line.run(*arguments)

    assert result.returncode == code
    assert says in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_every_mistake_of_the_configuration_is_told_at_once(command_line: CommandLine) -> None:
    command_line.config.write_text(
        '[rapua_scheduler]\ntimezone = "Mars/Base"\nstaet = "x.db"\nshutdown_grace = 5\n'
        "[rapua_scheduler.site]\nurl = 7\n"
    )

    result = command_line.run("run")

    assert result.returncode == 78
    for part in ("Mars/Base", "staet", "did you mean", "shutdown_grace", "url", str(command_line.config)):
        assert part in result.stderr
    assert not command_line.state.exists()


def test_a_file_that_is_no_store_is_refused_and_kept(command_line: CommandLine) -> None:
    command_line.state.write_bytes(b"precious notes, not a database" * 100)

    for arguments in (("run",), ("exec", "stale-purchases"), ("history",), ("jobs",)):
        result = command_line.run(*arguments)
        assert result.returncode == 78, arguments
        assert str(command_line.state) in result.stderr
    assert command_line.state.read_bytes() == b"precious notes, not a database" * 100


def test_a_store_that_is_gone_is_no_first_start(command_line: CommandLine) -> None:
    assert command_line.run("exec", "stale-purchases").returncode == 0
    for path in command_line.folder.glob("rapua-scheduler.db*"):
        if path.suffix != ".lock":
            path.unlink()

    for arguments in (("run",), ("exec", "stale-purchases"), ("history",), ("jobs",), ("check",)):
        result = command_line.run(*arguments)
        assert result.returncode == 78, arguments
        assert str(command_line.state) in result.stdout + result.stderr


def test_a_host_stops_in_order_when_told(
    command_line: CommandLine, start: Callable[..., subprocess.Popen[str]]
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        host = start("run", "--log-format", "json")
        wait_for("Next run scheduled", host)

        host.send_signal(number)
        _, err = host.communicate(timeout=PATIENCE)

        assert host.returncode == 0
        events = [json.loads(line)["event"] for line in err.splitlines()]
        assert events[-1] == "Scheduler stopped"
        assert events.count("Job stopped") == 3


def test_a_second_host_is_told_who_is_active_and_ends(
    command_line: CommandLine, start: Callable[..., subprocess.Popen[str]]
) -> None:
    host = start("run")
    wait_for("Next run scheduled", host)

    second = command_line.run("run")

    assert second.returncode == 75
    assert str(host.pid) in second.stderr
    host.kill()
    host.communicate()
    third = start("run")
    wait_for("Next run scheduled", third)


def test_a_host_that_was_told_to_stop_while_it_starts_stops(
    command_line: CommandLine, start: Callable[..., subprocess.Popen[str]]
) -> None:
    waiter = threading.Event()
    for milliseconds in range(0, 600, 60):
        host = start("run")
        waiter.wait(milliseconds / 1000)
        host.send_signal(signal.SIGTERM)
        _, err = host.communicate(timeout=PATIENCE)
        assert host.returncode in {0, -signal.SIGTERM}, err
        assert "Traceback" not in err


def test_listings_work_beside_a_running_host(
    command_line: CommandLine, start: Callable[..., subprocess.Popen[str]]
) -> None:
    host = start("run")
    wait_for("Next run scheduled", host)

    assert [job["key"] for job in command_line.json("jobs")] == KEYS
    assert command_line.run("exec", "stale-purchases").returncode == 0
    assert len(command_line.json("history")) == 1
    host.send_signal(signal.SIGTERM)
    host.communicate(timeout=PATIENCE)
    assert host.returncode == 0


def test_safe_mode_imports_no_plugin_and_still_lists(command_line: CommandLine) -> None:
    plugins = command_line.json("--safe-mode", "plugins")

    assert {plugin["state"] for plugin in plugins} == {"safe_mode"}
    assert command_line.json("--safe-mode", "jobs") == []


def test_a_job_whose_plugin_is_denied_stays_listed_with_its_history(command_line: CommandLine) -> None:
    assert command_line.run("exec", "stale-purchases").returncode == 0
    with command_line.config.open("a") as config:
        config.write("")
    text = command_line.config.read_text().replace(
        "[rapua_scheduler]\n", '[rapua_scheduler]\ndeny_plugins = ["stale_purchases"]\n', 1
    )
    command_line.config.write_text(text)

    assert [run["job"] for run in command_line.json("history", "stale-purchases")] == ["stale-purchases"]


def test_check_finds_a_good_site_good_and_a_missing_database_missing(command_line: CommandLine) -> None:
    good = command_line.run("check")
    assert good.returncode == 0, good.stdout
    (command_line.folder / "scanscout.db").unlink()

    bad = command_line.run("check", "--strict")

    assert bad.returncode == 1
    assert "scanscout.db" in bad.stdout


def test_check_finds_a_folder_missing_that_the_store_is_to_be_created_in(command_line: CommandLine) -> None:
    text = command_line.config.read_text()
    command_line.config.write_text(text.replace(command_line.state.name, "/nonexistent/x.db"))

    checked = command_line.run("check")

    assert checked.returncode == 78, checked.stdout
    assert "ERROR   store: /nonexistent/x.db: its directory /nonexistent does not exist" in checked.stdout
    assert checked.stderr == ""


def test_check_shows_all_else_beside_a_store_that_is_damaged(command_line: CommandLine) -> None:
    command_line.state.write_text("no database at all, whatever its name says " * 100)

    checked = command_line.run("check", "--json")

    assert checked.returncode == 78, checked.stdout
    severities = {finding["subject"]: finding["severity"] for finding in json.loads(checked.stdout)}
    assert severities["store"] == "error"
    assert severities["plugin credit_topup"] == "ok"


def test_check_finds_nothing_wrong_with_a_store_of_an_earlier_version(command_line: CommandLine) -> None:
    shutil.copy(GOLDEN / "schema-1.db", command_line.state)

    findings = {finding["subject"]: finding for finding in command_line.json("check")}

    assert findings["store"]["severity"] == "ok"
    assert findings["store"]["text"].endswith("`rapua-scheduler run` brings it up to date")
    assert findings["plugin credit_topup"]["severity"] == "ok"


def test_a_closed_pipe_is_no_traceback(command_line: CommandLine) -> None:
    process = command_line.start("upcoming", "--count", "5000")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    with process.stderr:
        assert "Traceback" not in process.stderr.read()
    process.wait(PATIENCE)
