"""Commands whose terminal, arguments or surroundings are odd: a clear message, and never a traceback."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.hosts import Hosts

ODD_NAMES = r"""
    from rapua_scheduler import Job, every, hookimpl

    @hookimpl
    def register_jobs():
        names = ["two\nlines", "clear \x1b[2J screen", "lone \udcff surrogate", "M\u0101ori"]
        return [Job(name, print, every(hours=1), key=f"job-{number}") for number, name in enumerate(names)]
"""
INTERRUPTING = "raise KeyboardInterrupt"
HANGING = """
    import sys, time
    print("importing", file=sys.stderr, flush=True)
    time.sleep(60)
"""


def shell(hosts: Hosts, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which RAPUA is the command."""
    return subprocess.run(
        ["bash", "-c", line.replace("RAPUA", f"{sys.executable} -m rapua_scheduler --config {hosts.config}")],
        env={**hosts.env, **env},
        cwd=hosts.config.parent,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=30,
        check=False,
    )


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path, plugin=ODD_NAMES)


@pytest.fixture
def with_store(hosts: Hosts) -> Hosts:
    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        assert host.stop() == 0
    return hosts


@pytest.mark.parametrize("command", ["jobs", "jobs --json", "plugins", "upcoming", "status", "why job-0", "check"])
def test_a_closed_standard_output_is_told(with_store: Hosts, command: str) -> None:
    result = shell(with_store, f"RAPUA {command} >&-")

    assert result.returncode == 1
    assert "standard output is closed" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["jobs", "upcoming --count 5000", "pause job-0 --reason x"])
def test_a_full_device_is_told(with_store: Hosts, command: str) -> None:
    result = shell(with_store, f"RAPUA {command} > /dev/full")

    assert result.returncode == 1
    assert "No space left" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


def test_no_stream_at_all_is_no_harm_to_the_store(with_store: Hosts) -> None:
    result = shell(with_store, "RAPUA pause job-0 --reason x <&- >&- 2>&-")

    assert result.returncode == 1
    listed = json.loads(shell(with_store, "RAPUA jobs --json").stdout)
    assert listed[0]["paused_reason"] == "x"


def test_a_host_needs_no_standard_output(with_store: Hosts) -> None:
    result = shell(with_store, "RAPUA run >&- & sleep 1.5; kill -TERM $!; wait $!")

    assert result.returncode == 0, result.stderr
    assert "Scheduler stopped" in result.stderr


def test_a_closed_pipe_ends_a_listing_without_a_word(with_store: Hosts) -> None:
    result = shell(with_store, "RAPUA upcoming --count 5000 | head -1; exit ${PIPESTATUS[0]}")

    assert result.returncode == 1
    assert result.stderr == ""


def test_names_cannot_break_a_table(with_store: Hosts) -> None:
    table = shell(with_store, "RAPUA jobs")
    listed = json.loads(shell(with_store, "RAPUA jobs --json").stdout)

    assert table.returncode == 0
    assert len(table.stdout.splitlines()) == 5
    assert r"two\nlines" in table.stdout
    assert r"clear \x1b[2J screen" in table.stdout
    assert r"lone \udcff surrogate" in table.stdout
    assert "Māori" in table.stdout
    assert listed[0]["name"] == "two\nlines"


def test_what_a_terminals_language_cannot_show_is_escaped(with_store: Hosts) -> None:
    table = shell(with_store, "RAPUA jobs", PYTHONIOENCODING="latin-1")

    assert table.returncode == 0, table.stderr
    assert r"M\u0101ori" in table.stdout


@pytest.mark.parametrize("argument", [r"$'\xff\xfe'", r"$'caf\xe9'", "''", "' '", "é"])
def test_an_argument_that_can_be_no_run_is_no_run(with_store: Hosts, argument: str) -> None:
    for command in ("show", "cancel"):
        result = shell(with_store, f"RAPUA {command} {argument}")

        assert result.returncode == 1
        assert "no run has the id" in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["pause {} --reason x", "resume {}", "release {}", "why {}", "trigger {}"])
def test_an_argument_that_can_be_no_job_is_no_job(with_store: Hosts, command: str) -> None:
    result = shell(with_store, f"RAPUA {command.format(chr(36))}'\\xff\\xfe'")

    assert result.returncode == 2, result.stderr
    assert "job-0" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_reason_that_is_no_text_is_kept_readable(with_store: Hosts) -> None:
    result = shell(with_store, r"RAPUA pause job-0 --reason $'\xff bytes'")
    listed = json.loads(shell(with_store, "RAPUA jobs --json").stdout)

    assert result.returncode == 0, result.stderr
    assert listed[0]["paused_reason"] == r"\udcff bytes"


def test_a_reason_cannot_break_an_answer(with_store: Hosts) -> None:
    shell(with_store, r"RAPUA pause job-0 --reason $'first\nnext fire time: never \x1b[2J'")

    told = [shell(with_store, f"RAPUA {command}").stdout for command in ("why job-0", "status", "resume job-0")]

    assert all(r"first\nnext fire time: never \x1b[2J" in text for text in told)
    assert all("\x1b" not in text for text in told)
    assert shell(with_store, "RAPUA pause job-0 --reason ' '").returncode == 2


@pytest.mark.parametrize("state", ["a\\u0000b.db", "x" * 300 + ".db", "y/" * 3000 + "z.db"])
@pytest.mark.parametrize("command", ["jobs", "run", "status", "history", "exec job-0", "pause job-0 --reason x"])
def test_a_state_that_can_be_no_file_is_told_with_its_place(hosts: Hosts, state: str, command: str) -> None:
    hosts.config.write_text(hosts.config.read_text().replace(str(hosts.state), state))

    result = shell(hosts, f"RAPUA {command}")

    assert result.returncode == 78, result.stderr
    assert str(hosts.config if "u0000" in state else hosts.config.parent) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["jobs", "plugins", "check", "why job-0", "status"])
def test_a_plugin_that_raises_keyboard_interrupt_is_set_aside(tmp_path: Path, command: str) -> None:
    hosts = Hosts(tmp_path, plugin=INTERRUPTING)

    result = shell(hosts, f"RAPUA {command}")

    assert "aborted" not in result.stderr
    assert "Traceback" not in result.stderr
    assert "KeyboardInterrupt" in shell(hosts, "RAPUA plugins").stdout


def test_a_plugin_that_raises_keyboard_interrupt_does_not_stop_a_host(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, plugin=INTERRUPTING)

    with hosts.active() as host:
        host.wait_for("Plugin set aside")
        assert host.stop() == 0


def test_ctrl_c_ends_a_command_whose_plugin_hangs(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, plugin=HANGING)
    command = subprocess.Popen(
        [sys.executable, "-m", "rapua_scheduler", "--config", str(hosts.config), "jobs"],
        env={**os.environ, **hosts.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr is not None
    assert "importing" in command.stderr.readline()

    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=10)

    assert command.returncode == 1
    assert err.split() == ["aborted"]


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "not read"])
def test_fault_81_a_host_whose_log_nobody_takes_keeps_to_its_times(tmp_path: Path, is_closed: bool) -> None:
    hosts = Hosts(tmp_path, every="milliseconds=100")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    host = subprocess.Popen(
        [sys.executable, "-m", "rapua_scheduler", "--config", str(hosts.config), "run"], env=hosts.env, stderr=writer
    )
    os.close(writer)
    if is_closed:
        os.close(reader)

    hosts.wait_for_effects(30)
    host.send_signal(signal.SIGTERM)

    assert host.wait(10) == 0
    with hosts.reading() as store:
        runs = store.runs()
        assert store.gaps() == []
    late = sorted((run.started_at or run.fire_time) - run.fire_time for run in runs)
    assert late[len(late) // 2].total_seconds() < 0.2
    if not is_closed:
        os.close(reader)
