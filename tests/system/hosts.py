"""Host processes on a store of their own, with one plugin that leaves a trace of each of its runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Self

from rapua_scheduler.run import RunStatus
from rapua_scheduler.store.sqlite import SqliteStore
from tests.core.plugins.packages import Packages

PATIENCE = 30.0

COUNTER = """
    import os
    from rapua_scheduler import CatchUp, Job, every, hookimpl

    def count(ctx):
        with open(os.environ["EFFECTS"], "a") as effects:
            effects.write(f"{ctx.run_key} {ctx.attempt} {os.getpid()}\\n")
        ctx.sleep(TAKING)

    @hookimpl
    def register_jobs():
        return [Job(name="Counter", run=count, next=every(EVERY), catch_up=CatchUp.all(), overlap="queue_all")]
"""


class HostProcess:
    """One `rapua-scheduler run`."""

    def __init__(self, arguments: list[str], env: dict[str, str], log: Path, cwd: Path) -> None:
        self._log = log
        with log.open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rapua_scheduler", *arguments],
                env=env,
                cwd=cwd,
                stdout=subprocess.DEVNULL,
                stderr=err,
            )
        self.pid = self._process.pid

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, text: str) -> float:
        """Wait until it has logged *text*, and return the monotonic time."""
        wait_until(lambda: text in self.log or not self.is_running, f"{text!r} in {self.log}")
        assert text in self.log, self.log
        return time.monotonic()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        return self._process.wait(PATIENCE)

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)


class Hosts:
    """A folder with a configuration, the plugin, and what its runs leave behind."""

    def __init__(
        self,
        folder: Path,
        *,
        every: str = "milliseconds=200",
        taking: float = 0.0,
        plugin: str = COUNTER,
        state: Path | None = None,
    ) -> None:
        self._folder = folder
        self.state = state or folder / "store.db"
        self.effects_file = folder / "effects"
        self.effects_file.touch()
        self.config = folder / "rapua-scheduler.toml"
        self.config.write_text(
            f'[rapua_scheduler]\ntimezone = "UTC"\nstate = "{self.state}"\nallow_plugins = ["counter"]\n'
            'shutdown_grace = "5s"\n'
        )
        packages = folder / "packages"
        packages.mkdir()
        Packages(packages).install("counter", plugin.replace("EVERY", every).replace("TAKING", str(taking)))
        path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
        self.env = {**os.environ, "PYTHONPATH": path, "EFFECTS": str(self.effects_file)}
        self._started = 0

    def start(self, *options: str) -> HostProcess:
        """Start a host."""
        self._started += 1
        log = self._folder / f"log-{self._started}"
        return HostProcess(["--config", str(self.config), "run", *options], self.env, log, self._folder)

    def active(self) -> HostProcess:
        """Start a host, and return it once it is the active one."""
        host = self.start()
        host.wait_for("Host started")
        return host

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command on the same configuration."""
        return subprocess.run(
            [sys.executable, "-m", "rapua_scheduler", "--config", str(self.config), *arguments],
            env=self.env,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def effects(self) -> list[tuple[str, int, int]]:
        """Return run key, attempt and process of each effect, oldest first."""
        lines = [line.split() for line in self.effects_file.read_text().splitlines()]
        return [(key, int(attempt), int(pid)) for key, attempt, pid in lines]

    def wait_for_effects(self, count: int, pid: int | None = None) -> float:
        """Wait until there are so many (of one process), and return the monotonic time."""

        def counted() -> bool:
            return len([one for one in self.effects() if pid in {None, one[2]}]) >= count

        wait_until(counted, f"{count} effects; there are {self.effects()}")
        return time.monotonic()

    @contextmanager
    def reading(self) -> Iterator[SqliteStore]:
        """Open the store for reading."""
        with closing(SqliteStore.open_read_only(self.state)) as store:
            yield store

    def judge(self) -> None:
        """Compare the effects with the record: none twice, and every fire time run."""
        effects = self.effects()
        assert max(Counter((key, attempt) for key, attempt, _ in effects).values()) == 1
        with self.reading() as store:
            runs, gaps = store.runs(), store.gaps()
        assert gaps == []
        had_effect = {key for key, _, _ in effects}
        assert {run.run_key for run in runs if run.status is RunStatus.SUCCEEDED} <= had_effect
        assert had_effect <= {run.run_key for run in runs}
        again = Counter(key for key, _, _ in effects)
        assert {key for key, times in again.items() if times > 1} <= {run.run_key for run in runs if run.attempt > 1}
        fire_times = sorted(run.fire_time for run in runs)
        assert len({newer - older for older, newer in pairwise(fire_times)}) == 1, "a fire time was left out"


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if is_so():
            return
        pause.wait(0.01)
    raise AssertionError(f"waited in vain for {what}")


def let_pass(seconds: float) -> None:
    """Let real time pass, for what must not happen meanwhile."""
    threading.Event().wait(seconds)
