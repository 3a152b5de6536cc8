"""A host process with plugins that a test has written, its log, and its store."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rapua_scheduler.store.sqlite import SqliteStore
from tests.core.plugins.packages import Packages
from tests.system.hosts import HostProcess

HEALTHY = """
    import os, time
    from rapua_scheduler import Job, every, hookimpl

    def breathe(ctx):
        late = (ctx.now() - ctx.fire_time).total_seconds()
        with open(os.environ["BREATHS"], "a") as breaths:
            breaths.write(f"{ctx.run_key} {late} {os.getpid()}\\n")

    @hookimpl
    def register_jobs():
        return [Job(name="Breathe", run=breathe, next=every(milliseconds=50), overlap="queue_all")]
"""
"""A job every 50 ms, which writes down how late it was started, and in which process."""


class FaultyHosts:
    """A folder in which hosts with these plugins run, one after another."""

    def __init__(self, folder: Path, plugins: Mapping[str, str]) -> None:
        self.folder = folder
        self.state = folder / "store.db"
        self.breaths_file = folder / "breaths"
        self.breaths_file.touch()
        config = folder / "rapua-scheduler.toml"
        config.write_text(
            f'[rapua_scheduler]\ntimezone = "UTC"\nstate = "{self.state}"\nshutdown_grace = "1s"\n'
            f"allow_plugins = {json.dumps(list(plugins))}\n"
        )
        (folder / "packages").mkdir()
        packages = Packages(folder / "packages")
        for name, source in plugins.items():
            packages.install(name, source)
        self._arguments = ["--config", str(config), "run", "--log-format", "json"]
        self._env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder / "packages"), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "BREATHS": str(self.breaths_file),
            "FOLDER": str(folder),
        }
        self._logs: list[Path] = []

    def start(self, *, descriptors: int | None = None) -> HostProcess:
        """Start a host, and return it once it runs jobs; it may have so many descriptors."""
        log = self.folder / f"log-{len(self._logs)}"
        self._logs.append(log)
        host = HostProcess(self._arguments, self._env, log, self.folder)
        if descriptors is not None:
            resource.prlimit(host.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
        host.wait_for("Next run scheduled")
        return host

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What all hosts have logged, oldest first."""
        complete = [line for log in self._logs for line in log.read_text().split("\n")[:-1]]
        return [json.loads(line) for line in complete if line.startswith("{")]

    def said(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the lines with that event and those fields."""
        return [line for line in self.lines if line["event"] == event and fields.items() <= line.items()]

    def breaths(self) -> list[tuple[str, float, int]]:
        """Return run key, lateness in seconds and process of each run of the healthy job, oldest first."""
        lines = [line.split() for line in self.breaths_file.read_text().splitlines()]
        return [(key, float(late), int(pid)) for key, late, pid in lines]

    @contextmanager
    def reading(self) -> Iterator[SqliteStore]:
        """Open the store for reading."""
        with closing(SqliteStore.open_read_only(self.state)) as store:
            yield store
