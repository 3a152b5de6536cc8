"""The operator's word: commands in one process, and the host that heeds them within a second in another."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rapua_scheduler.run import GapReason, RunStatus
from tests.system.hosts import Hosts, let_pass, wait_until

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

WITHIN = 1.0
"""Seconds in which a host heeds a word, beside what a command takes to start."""

JOBS = """
    from rapua_scheduler import Job, every, hookimpl, next_daily

    def count(ctx):
        return {"attempt": ctx.attempt}

    def wait(ctx):
        ctx.log.info("Waiting", token="hunter2", since=str(ctx.now().year))
        for number in ctx.track(range(10_000)):
            ctx.sleep(0.05)

    def fail(ctx):
        raise ValueError("no luck today, password=hunter2")

    @hookimpl
    def register_jobs():
        return [
            Job("Often", count, every(milliseconds=200)),
            Job("Waiting", wait, next_daily, overlap="queue_all"),
            Job("Failing", fail, next_daily),
            Job("Past", count, every(hours=1), supports_backfill=True),
        ]
"""
BROKEN = "raise SystemExit('a plugin that was imported')"


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path, plugin=JOBS)


def said(hosts: Hosts, *arguments: str, code: int = 0) -> str:
    """Run a command, and return what it printed, if it ended as it should."""
    result = hosts.command(*arguments)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout if code == 0 else result.stdout + result.stderr


def read(hosts: Hosts, *arguments: str, code: int = 0) -> Any:
    """Run a command with --json, and return what it says."""
    result = hosts.command(*arguments, "--json")
    assert result.returncode == code, result.stdout + result.stderr
    return json.loads(result.stdout)


def run_count(hosts: Hosts, job_key: str) -> int:
    with hosts.reading() as store:
        return len(store.runs(job_key=job_key))


def break_plugins(hosts: Hosts) -> None:
    hosts.config.with_name("packages").joinpath("counter.py").write_text(BROKEN)


def test_a_paused_job_rests_within_a_second_and_its_fire_times_are_recorded(hosts: Hosts) -> None:
    with hosts.active() as host:
        wait_until(lambda: run_count(hosts, "often") > 2, "runs")
        said(hosts, "pause", "often", "--reason", "the disk is full")
        let_pass(WITHIN)
        at_rest = run_count(hosts, "often")
        let_pass(1.0)
        assert run_count(hosts, "often") == at_rest
        listed = {job["key"]: job for job in read(hosts, "jobs")}["often"]
        said(hosts, "resume", "often")
        wait_until(lambda: run_count(hosts, "often") > at_rest, "runs again")
        assert host.stop() == 0

    assert (listed["state"], listed["paused"], listed["paused_reason"]) == ("paused", True, "the disk is full")
    with hosts.reading() as store:
        gaps = [gap for gap in store.gaps(job_key="often") if gap.reason is GapReason.PAUSED]
        (window,) = store.windows(job_key="often")
    assert sum(gap.count or 0 for gap in gaps) >= 4
    assert "the disk is full" in gaps[0].detail
    assert window.until is not None
    middle = gaps[0].first.isoformat()
    explained = read(hosts, "why", "often", "--at", middle)
    assert (explained["answer"], explained["gap"]["status"]) == ("gap", "paused")
    assert "the disk is full" in explained["lines"][0]


def test_a_pause_survives_a_restart(hosts: Hosts) -> None:
    with hosts.active() as host:
        wait_until(lambda: run_count(hosts, "often") > 0, "a run")
        said(hosts, "pause", "often", "--reason", "because")
        assert host.stop() == 0
    before = run_count(hosts, "often")

    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        let_pass(1.0)
        assert host.stop() == 0

    assert run_count(hosts, "often") == before


def test_what_changes_nothing_is_told_so(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        first = said(hosts, "pause", "often", "--reason", "because")
        again = said(hosts, "pause", "often", "--reason", "once more")
        resumed = said(hosts, "resume", "often")
        not_paused = said(hosts, "resume", "often")
        released = said(hosts, "release")

    assert "is paused" in first
    assert "nothing changed" in again
    assert "because" in again
    assert "runs again" in resumed
    assert "nothing changed" in not_paused
    assert "nothing changed" in released


def test_a_triggered_run_starts_within_a_second_though_its_job_is_paused(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        said(hosts, "pause", "past", "--reason", "because")

        run = read(hosts, "trigger", "past", "--wait")

        assert host.stop() == 0
    queued = datetime.strptime(run["run_id"][:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    assert datetime.fromisoformat(run["started_at"]) - queued <= timedelta(seconds=1 + WITHIN)
    assert (run["status"], run["trigger"], run["result"]) == ("succeeded", "manual", {"attempt": 1})
    assert "@" in run["asked_by"]


def test_waiting_for_a_run_that_fails_exits_1_and_shows_the_error_without_its_secret(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")

        shown = said(hosts, "trigger", "failing", "--wait", code=1)
        status = said(hosts, "status", code=1)

        assert host.stop() == 0
    assert "no luck today, password=***" in shown
    assert "job failing: its last run" in status
    assert "hunter2" not in shown + status + host.log
    assert b"hunter2" not in hosts.state.read_bytes()


def test_a_run_in_the_foreground_that_fails_tells_its_traceback_once(hosts: Hosts) -> None:
    done = hosts.command("exec", "failing")

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "Traceback" not in done.stdout
    assert done.stdout.splitlines()[-1] == "    ValueError: no luck today, password=***"


def test_a_run_is_triggered_for_a_fire_time(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")

        run = read(hosts, "trigger", "past", "--wait", "--fire-time", "2026-01-01T05:00+13:00")

    assert run["fire_time"] == "2025-12-31T16:00:00+00:00"
    assert run["fire_key"] == "2025-12-31T16:00:00Z"


def test_a_running_run_is_cancelled_within_a_second_and_its_log_and_progress_are_kept(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        run_id = said(hosts, "trigger", "waiting").strip()
        wait_until(lambda: bool(read(hosts, "show", run_id)["progress"]), "progress")

        began = time.monotonic()
        answer = read(hosts, "cancel", run_id[-6:])
        took = time.monotonic() - began

        assert host.stop() == 0
    assert (answer["changed"], answer["run"]["status"]) == (True, "cancelled")
    assert took < WITHIN + 1.5, "a command takes about half a second to start"
    shown = read(hosts, "show", run_id)
    assert shown["progress"]["total"] == 10_000
    assert [line["text"] for line in shown["log"]] == [f"Waiting token='***' since='{_year()}'"]
    assert "cancelled by" in shown["error"]
    text = said(hosts, "show", run_id)
    assert "Waiting token='***'" in text


def _year() -> str:
    return str(datetime.now(UTC).year)


def test_a_queued_run_is_cancelled_before_it_starts_and_one_that_has_ended_is_left(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        first = said(hosts, "trigger", "waiting").strip()
        wait_until(lambda: read(hosts, "show", first)["status"] == "running", "a running one")
        second = said(hosts, "trigger", "waiting").strip()

        answer = read(hosts, "cancel", second)
        assert read(hosts, "show", first)["status"] == "running"
        read(hosts, "cancel", first)
        again = read(hosts, "cancel", first)

        assert host.stop() == 0
    assert (answer["run"]["status"], answer["run"]["started_at"]) == ("cancelled", None)
    assert (again["changed"], again["answer"]) == (False, "ended_before")


def test_words_need_no_plugin_and_no_host(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        run_id = said(hosts, "trigger", "waiting").strip()
        wait_until(lambda: read(hosts, "show", run_id)["status"] == "running", "a running one")
        break_plugins(hosts)

        assert "imported" not in said(hosts, "pause", "often", "--reason", "because")
        assert read(hosts, "cancel", run_id)["run"]["status"] == "cancelled"
        said(hosts, "resume", "often")
        said(hosts, "release")
        assert host.stop() == 0
    said(hosts, "pause", "past", "--reason", "no host is up")
    assert "no host is active" in said(hosts, "why", "often")
    assert "SystemExit" in said(hosts, "why", "often")
    refused = said(hosts, "trigger", "often", code=1)
    assert "could not be loaded" in refused
    assert "SystemExit" in refused


def test_what_is_triggered_without_a_host_runs_when_one_starts(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        assert host.stop() == 0
    result = hosts.command("trigger", "past")
    assert result.returncode == 0
    assert "no host is active" in result.stderr
    run_id = result.stdout.strip()
    assert read(hosts, "show", run_id)["status"] == "queued"

    with hosts.active() as host:
        wait_until(lambda: read(hosts, "show", run_id)["status"] == "succeeded", "its end")
        assert host.stop() == 0


def test_a_queued_run_is_dropped_without_a_host(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        assert host.stop() == 0
    run_id = said(hosts, "trigger", "past").strip()

    answer = read(hosts, "cancel", run_id)

    assert (answer["answer"], answer["run"]["status"]) == ("dropped", "cancelled")


def test_a_word_is_kept_though_the_host_is_killed_right_after(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        run_id = said(hosts, "trigger", "past").strip()
        said(hosts, "pause", "often", "--reason", "because")
        host.send(signal.SIGKILL)
        host.end()

    with hosts.active() as host:
        wait_until(lambda: read(hosts, "show", run_id)["status"] == "succeeded", "its end")
        assert {job["key"]: job["paused"] for job in read(hosts, "jobs")}["often"] is True
        assert host.stop() == 0


def test_a_backfill_runs_each_fire_time_once(hosts: Hosts) -> None:
    stretch = ("--from", "2026-01-01", "--to", "2026-01-01T06:00")
    with hosts.active() as host:
        host.wait_for("Next run scheduled")

        planned = read(hosts, "backfill", "past", *stretch, "--dry-run")
        assert run_count(hosts, "past") == 0
        queued = read(hosts, "backfill", "past", *stretch)
        wait_until(lambda: _are_done(hosts, 6), "six runs")
        again = read(hosts, "backfill", "past", *stretch)
        refused = said(hosts, "backfill", "often", *stretch, code=1)
        ahead = said(hosts, "backfill", "past", "--from", "2100-01-01", "--to", "2100-01-02", code=2)

        assert host.stop() == 0
    assert [run["fire_time"] for run in planned["queued"]] == [run["fire_time"] for run in queued["queued"]]
    assert [run["fire_time"][11:13] for run in queued["queued"]] == ["00", "01", "02", "03", "04", "05"]
    assert (again["queued"], len(again["left_out"])) == ([], 6)
    assert "does not declare" in refused
    assert "--from 2100-01-01 lies ahead" in ahead
    assert run_count(hosts, "past") == 6


def _are_done(hosts: Hosts, number: int) -> bool:
    with hosts.reading() as store:
        runs = store.runs(job_key="past", statuses={RunStatus.SUCCEEDED})
    return len(runs) == number


def test_a_job_that_nobody_knows_is_a_mistake_of_the_command_line(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        for words in (
            ("trigger", "nobody"),
            ("pause", "nobody", "--reason", "x"),
            ("resume", "nobody"),
            ("release", "nobody"),
            ("why", "nobody"),
            ("backfill", "nobody", "--from", "2026-01-01", "--to", "2026-01-02"),
            ("simulate", "nobody", "--from", "2026-01-01", "--to", "2026-01-02"),
        ):
            told = said(hosts, *words, code=2)
            assert "failing, often, past, waiting" in told, words


def test_a_dry_run_of_a_job_that_does_not_declare_it_is_refused(hosts: Hosts) -> None:
    assert "nothing was run" in said(hosts, "exec", "often", "--dry-run", code=1)
    assert not hosts.state.exists()


def test_without_a_store_there_is_nothing_to_say_a_word_to(hosts: Hosts) -> None:
    for words in (("pause", "often", "--reason", "x"), ("trigger", "often"), ("cancel", "1"), ("release",)):
        told = said(hosts, *words, code=78)
        assert str(hosts.state) in told
    assert "no host has had this job yet" in said(hosts, "why", "often", "--at", "2100-01-01")
    assert "not there yet" in said(hosts, "status", code=1)
    assert not hosts.state.exists()


def test_status_is_well_beside_a_host_that_works_and_not_without_one(hosts: Hosts) -> None:
    with hosts.active() as host:
        wait_until(lambda: run_count(hosts, "often") > 0, "a run")

        well = read(hosts, "status")

        assert host.stop() == 0
    unwell = read(hosts, "status", code=1)
    assert well["well"] is True, well["remarks"]
    assert well["host"]["pid"] == host.pid
    assert well["host"]["active"] is True
    assert (well["store"]["path"], well["jobs"]) == (str(hosts.state), 4)
    assert {plugin["name"]: plugin["running"] for plugin in well["plugins"]}["counter"] == "counter 1.0"
    assert (unwell["well"], unwell["host"]["active"]) == (False, False)


def test_status_is_not_well_beside_a_host_whose_plugin_never_was_loaded(hosts: Hosts) -> None:
    break_plugins(hosts)
    with hosts.active() as host:
        unwell = read(hosts, "status", code=1)

        assert host.stop() == 0
    (remark,) = [remark for remark in unwell["remarks"] if remark["weight"] == "problem"]
    assert remark["subject"] == "plugin counter"
    assert remark["text"].startswith("cannot be loaded: ")


def test_simulate_touches_no_store_and_calls_no_job(hosts: Hosts) -> None:
    entries = read(
        hosts,
        *("simulate", "past", "failing", "--from", "2026-11-01", "--to", "2026-11-03"),
        *("--down", "2026-11-01T10:30..2026-11-01T20:30", "--takes", "10m"),
    )

    assert not hosts.state.exists()
    assert len([entry for entry in entries if entry["job"] == "failing"]) == 2
    past = [entry for entry in entries if entry["job"] == "past"]
    assert sum(entry.get("count", 1) for entry in past) == 48
    assert {entry["status"] for entry in past} == {"succeeded", "superseded"}
    assert [entry["fire_time"] for entry in past if entry["trigger"] == "catch_up"] == ["2026-11-01T20:00:00+00:00"]


def test_history_shows_windows(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        said(hosts, "pause", "past", "--reason", "because")
        said(hosts, "resume", "past")

        (window,) = read(hosts, "history", "past", "--windows")

    assert (window["job"], window["kind"], window["reason"]) == ("past", "paused", "because")
    assert window["until"] is not None


def test_two_operators_at_once_do_not_disturb_each_other(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        commands = [
            subprocess.Popen(
                [*_program(hosts), "trigger", "past", "--wait", "--json"],
                env=hosts.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(4)
        ]

        ended = [(command.communicate()[0], command.returncode) for command in commands]

        assert host.stop() == 0
    statuses = sorted(json.loads(out)["status"] for out, _ in ended)
    assert set(statuses) <= {"succeeded", "cancelled"}  # one that came while another ran is skipped
    assert "succeeded" in statuses
    assert len({json.loads(out)["run_id"] for out, _ in ended}) == 4


def _program(hosts: Hosts) -> list[str]:
    return [sys.executable, "-m", "rapua_scheduler", "--config", str(hosts.config)]


def test_a_run_in_the_foreground_is_cancelled_from_elsewhere_and_tells_who_asked_for_it(hosts: Hosts) -> None:
    with subprocess.Popen(
        [*_program(hosts), "exec", "waiting", "--json"], env=hosts.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        assert command.stderr is not None
        started = next(line for line in command.stderr if b"Executing job" in line)
        run_id = started.decode().partition("run_id=")[2].split()[0]

        said(hosts, "cancel", run_id)
        out, _ = command.communicate(timeout=10)

    ended = json.loads(out)
    assert (ended["status"], command.returncode) == ("cancelled", 1)
    assert "@" in ended["asked_by"]


def test_a_run_in_the_foreground_is_refused_beside_one_that_has_not_ended(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        run_id = json.loads(said(hosts, "trigger", "waiting", "--json"))["run_id"]
        wait_until(lambda: read(hosts, "show", run_id)["status"] == "running", "its start")

        refused = said(hosts, "exec", "waiting", code=1)

        assert run_id in refused
        assert "was not run" in refused
        host.send(signal.SIGKILL)
    with subprocess.Popen(
        [*_program(hosts), "exec", "waiting"], env=hosts.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:  # what a dead host has left is in nobody's way
        assert command.stderr is not None
        assert any(b"Executing job" in line for line in command.stderr)
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=10)


def test_ctrl_c_ends_the_waiting_for_a_run_and_not_the_run(hosts: Hosts) -> None:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        command = subprocess.Popen(
            [*_program(hosts), "trigger", "waiting", "--wait"],
            env=hosts.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert command.stderr is not None
        run_id = command.stderr.readline().split()[1]
        wait_until(lambda: read(hosts, "show", run_id)["status"] == "running", "its start")

        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=10)

        assert command.returncode == 1
        assert f"rapua-scheduler cancel {run_id}" in err
        assert read(hosts, "show", run_id)["status"] == "running"
        said(hosts, "cancel", run_id)
        assert host.stop() == 0
