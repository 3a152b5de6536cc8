"""A machine whose clock a test sets, and the real programs on it, as many processes as there may be.

Every process of the machine reads its wall time through a file that tells how far the machine's clock is
from the real one; nothing else of the program is changed.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rapua_scheduler.run import WindowKind
from tests.core.plugins.packages import Packages
from tests.system.hosts import HostProcess, Hosts, wait_until

_CLOCK = """
    import os
    from datetime import timedelta
    import rapua_scheduler.clock as clock

    class MachineClock(clock.SystemClock):
        __slots__ = ()

        def now(self):
            with open(os.environ["MACHINE_CLOCK"]) as file:
                return super().now() + timedelta(seconds=float(file.read()))

    clock.SystemClock = MachineClock  # before any other module of the program is imported
"""


_TAKEN_IN = ("Next run scheduled", "No job to run", "Next function failed")


class Machine(Hosts):
    """A folder with a configuration, plugins, a clock, and what runs leave behind."""

    def __init__(self, folder: Path, plugin: str, *, now: datetime, timezone: str = "UTC") -> None:
        """Make a machine.

        Args:
            folder: Empty.
            plugin: Source of the plugin `counter`.
            now: What the clock shows.
            timezone: The zone that is configured; none if empty.
        """
        super().__init__(folder, plugin=plugin)
        self.packages = Packages(folder / "packages")
        (self.packages.folder / "sitecustomize.py").write_text(textwrap.dedent(_CLOCK))
        self._distance = folder / "clock"
        self.env["MACHINE_CLOCK"] = str(self._distance)
        self.set_clock(now)
        self.configure(timezone=timezone)

    def configure(self, *lines: str, timezone: str = "UTC", plugins: str = "counter") -> None:
        """Write the configuration anew, with *lines* for its main table or after it."""
        main = ["[rapua_scheduler]", f'state = "{self.state}"', f'allow_plugins = ["{plugins}"]']
        main += [f'timezone = "{timezone}"'] if timezone else []
        self.config.write_text("\n".join([*main, *lines, ""]))

    def take_over(self, other: Machine) -> None:
        """Take a copy of another machine's store and effects; nothing may be at work there."""
        for file in (*other.state.parent.glob(f"{other.state.name}*"), other.effects_file):
            shutil.copy2(file, self.state.parent / file.name)

    def set_clock(self, now: datetime) -> None:
        """Set the clock of every process, those that run included."""
        new = self._distance.with_suffix(".new")
        new.write_text(str((now - datetime.now(UTC)).total_seconds()))
        new.replace(self._distance)

    @property
    def now(self) -> datetime:
        """What the clock shows."""
        return datetime.now(UTC) + timedelta(seconds=float(self._distance.read_text()))

    def lives(self, *options: str) -> str:
        """Let a host start, decide on all that is due, see its runs end, and stop; return its log."""
        with self.start(*options) as host:
            self.wait_until_settled(host)
            assert host.stop() == 0, host.log
        return host.log

    def wait_until_settled(self, host: HostProcess) -> None:
        """Wait until a host has taken in its jobs, and nothing is due or under way."""
        wait_until(lambda: any(line in host.log for line in _TAKEN_IN) or not host.is_running, f"jobs in {host.log}")

        def is_settled() -> bool:
            with self.reading() as store:
                jobs, runs, now = store.jobs(), store.runs(), self.now
                failed = {
                    window.job_key
                    for window in store.windows(since=now)
                    if window.kind is WindowKind.FAILED and window.until is None
                }
            return all(run.status.is_final for run in runs) and not any(
                job.next_fire_time is not None and job.next_fire_time <= now for job in jobs if job.key not in failed
            )

        wait_until(lambda: is_settled() or not host.is_running, "everything to be decided on")
        assert host.is_running, host.log

    def json(self, *arguments: str) -> Any:
        """Run a command with --json, and return what it says."""
        result = self.command(*arguments, "--json")
        assert result.returncode == 0, result.stdout + result.stderr
        return json.loads(result.stdout)

    def said(self, *arguments: str, code: int = 0) -> str:
        """Run a command, and return what it printed."""
        result = self.command(*arguments)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    def history(self, job_key: str) -> list[tuple[str, str, int | None]]:
        """Return fire time, status (or reason) and number of fire times of each entry, oldest first."""
        entries = self.json("history", job_key, "--count", "1000")
        return [(entry["fire_time"], entry["status"], entry.get("count")) for entry in reversed(entries)]

    def had_effects(self, job_key: str) -> list[str]:
        """Return the fire keys that a job ran for, oldest first."""
        keys = (key.split("@", 1) for key, _, _ in self.effects())
        return [fire_key for key, fire_key in keys if key == job_key]


def at(text: str) -> datetime:
    """Return the instant of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plugin(jobs: Iterable[str]) -> str:
    """Return the source of a plugin with jobs that leave a trace of each run, given what follows their function."""
    declared = ",\n            ".join(f"Job({job})" for job in jobs)
    return f"""
    import os
    from datetime import datetime, timedelta
    from rapua_scheduler import *

    def count(ctx):
        with open(os.environ["EFFECTS"], "a") as effects:
            effects.write(f"{{ctx.run_key}} {{ctx.attempt}} {{os.getpid()}}\\n")

    @hookimpl
    def register_jobs():
        return [
            {declared}
        ]
    """
