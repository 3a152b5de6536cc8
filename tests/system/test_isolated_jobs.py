"""Jobs that the operator gives processes of their own, from the configuration to the record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.run import Run, RunStatus, Trigger
from rapua_scheduler.store.sqlite import SqliteStore
from tests.core.plugins.packages import Packages
from tests.system.hosts import PATIENCE, HostProcess, wait_until

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

PLUGIN = """
    import os, time
    from attrs import frozen
    from rapua_scheduler import Job, every, hookimpl

    @frozen
    class Settings:
        size: int = 1

    def note_pid(name):
        with open(os.path.join(os.environ["FOLDER"], name), "a") as pids:
            pids.write(f"{os.getpid()}\\n")

    @hookimpl
    def register_jobs(settings: Settings, site):
        def swell(ctx):
            note_pid("swell")
            ctx.log.info("Swelling", size=settings.size)
            ctx.progress(1, 2)
            return {"bytes": len(bytearray(settings.size)), "database": str(site.database), "args": ctx.run_key}

        def stay(ctx):
            "Stay, whatever it is told."
            note_pid("stay")
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not os.path.exists(os.path.join(os.environ["FOLDER"], "go")):
                time.sleep(0.05)

        def wait(ctx):
            note_pid("wait")
            ctx.sleep(60)

        return [Job(name=run.__name__, run=run, next=every(hours=1)) for run in (swell, stay, wait)]
"""


class Operated:
    """A folder with a configuration in which every job of the plugin has a process of its own."""

    def __init__(self, folder: Path, size: int = 1) -> None:
        self.folder = folder
        (folder / "site.db").touch()
        tables = "".join(
            f'[rapua_scheduler.jobs.{key}]\nisolation = "process"\nmemory = "300M"\n'
            for key in ("swell", "stay", "wait")
        )
        (folder / "config.toml").write_text(
            '[rapua_scheduler]\ntimezone = "Pacific/Auckland"\nallow_plugins = ["operated"]\nshutdown_grace = "1s"\n'
            f'[rapua_scheduler.site]\ndatabase = "site.db"\n[rapua_scheduler.plugins.operated]\nsize = {size}\n{tables}'
        )
        (folder / "packages").mkdir()
        Packages(folder / "packages").install("operated", PLUGIN)
        self._env = {**os.environ, "PYTHONPATH": str(folder / "packages"), "FOLDER": str(folder)}
        self._hosts = 0

    def host(self) -> HostProcess:
        self._hosts += 1
        arguments = ["--config", "config.toml", "run"]
        host = HostProcess(arguments, self._env, self.folder / f"log-{self._hosts}", self.folder)
        host.wait_for("Next run scheduled")
        return host

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "rapua_scheduler", "--config", "config.toml", *arguments],
            env=self._env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def pid(self, name: str, number: int = 1) -> int:
        """Return the process in which a job was called, the *number*th time."""
        file = self.folder / name
        wait_until(lambda: file.exists() and file.read_text().count("\n") >= number, f"{name} is called")
        return int(file.read_text().split()[number - 1])

    def only_run(self) -> Run:
        with closing(SqliteStore.open_read_only(self.folder / "rapua-scheduler.db")) as store:
            (run,) = store.runs()
        return run


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["exec", "trigger"])
def test_a_job_in_a_process_has_its_settings_its_site_and_its_record(tmp_path: Path, how: str) -> None:
    operated = Operated(tmp_path, size=1000)
    if how == "exec":
        done = operated.run("exec", "swell")
        assert done.returncode == 0, done.stderr
    else:
        with operated.host() as host:
            done = operated.run("trigger", "swell", "--wait")
            assert done.returncode == 0, done.stderr
            assert operated.pid("swell") != host.pid
            assert host.stop() == 0

    run = operated.only_run()
    assert run.result == {"bytes": 1000, "database": str(tmp_path / "site.db"), "args": run.run_key}
    shown = json.loads(operated.run("show", run.run_id, "--json").stdout)
    assert "Swelling size=1000" in str(shown)
    assert (run.done, run.total) == (1, 2)


def test_what_a_job_in_a_process_logs_has_its_fields_in_the_log_of_the_host(tmp_path: Path) -> None:
    operated = Operated(tmp_path, size=1000)
    config = operated.folder / "config.toml"
    config.write_text(config.read_text().replace("[rapua_scheduler]", '[rapua_scheduler]\nlog_format = "json"', 1))

    done = operated.run("exec", "swell")

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    (line,) = [line for line in lines if line["event"] == "Swelling"]
    assert (line["size"], line["job"], line["plugin"]) == (1000, "swell", "operated")
    assert line["run_id"] == operated.only_run().run_id


def test_the_operator_s_limit_of_memory_holds(tmp_path: Path) -> None:
    operated = Operated(tmp_path, size=1024**3)

    assert operated.run("exec", "swell").returncode == 1
    assert "MemoryError" in (operated.only_run().error or "")


def test_ctrl_c_cancels_a_job_that_runs_in_the_foreground_and_in_a_process(tmp_path: Path) -> None:
    operated = Operated(tmp_path)
    process = operated.start("exec", "wait")
    pid = operated.pid("wait")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1, (out, err)
    assert operated.only_run().status is RunStatus.INTERRUPTED
    assert not is_alive(pid)


def test_a_stopped_host_leaves_no_process_behind(tmp_path: Path) -> None:
    operated = Operated(tmp_path)
    with operated.host() as host:
        assert operated.run("trigger", "stay").returncode == 0
        pid = operated.pid("stay")

        assert host.stop() == 0

    assert operated.only_run().status is RunStatus.INTERRUPTED
    wait_until(lambda: not is_alive(pid), "the process has ended")


def test_a_cancelled_job_in_a_process_ends(tmp_path: Path) -> None:
    operated = Operated(tmp_path)
    with operated.host() as host:
        assert operated.run("trigger", "stay").returncode == 0
        pid = operated.pid("stay")

        assert operated.run("cancel", operated.only_run().run_id).returncode == 0
        wait_until(lambda: operated.only_run().status is RunStatus.CANCELLED, "it is cancelled")

        assert not is_alive(pid)
        assert host.stop() == 0


def test_a_killed_host_takes_its_processes_along_and_the_next_one_knows_what_is_lost(tmp_path: Path) -> None:
    operated = Operated(tmp_path)
    with operated.host() as host:
        assert operated.run("trigger", "stay").returncode == 0
        pid = operated.pid("stay")
        host.send(signal.SIGKILL)
        host.end()

    wait_until(lambda: not is_alive(pid), "the process has ended")
    with operated.host() as host:
        host.wait_for("Run lost")
        assert host.stop() == 0
    run = operated.only_run()
    assert (run.status, run.trigger) == (RunStatus.LOST, Trigger.MANUAL)
