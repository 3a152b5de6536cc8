"""Work for executors, as tests give it, and packages for the processes of jobs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rapua_scheduler import Job, JobContext, every
from rapua_scheduler.clock import SystemClock
from rapua_scheduler.context import Cancellation
from rapua_scheduler.executors.port import Assignment
from rapua_scheduler.executors.wire import ChildSetup
from rapua_scheduler.job import RunFunction, call_run
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run, RunStatus, Trigger

PATIENCE = 20.0
FIRE_TIME = datetime(2026, 11, 1, tzinfo=UTC)


class TestWork:
    """One attempt at a run of a job, remembering what becomes of it."""

    __test__ = False

    def __init__(
        self,
        run: RunFunction = lambda ctx: None,
        *,
        key: str = "job",
        plugin: str = "",
        last_success: datetime | None = None,
        dry_run: bool = False,
        remaining: float | None = None,
        memory: int | None = None,
    ) -> None:
        job = Job(key, run, every(hours=1), key=key)
        self.registered = RegisteredJob(job, plugin, plugin, "1.0", memory)
        self.run = Run(f"run-{key}", key, FIRE_TIME, "2026-11-01T00:00Z", Trigger.MANUAL, RunStatus.RUNNING, 2)
        self.last_success = last_success
        self.dry_run = dry_run
        self.remaining = remaining
        self.cancellation = Cancellation()
        self.may_begin = True
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.lined = threading.Event()
        self.progress: list[tuple[int, int | None]] = []
        self.lines: list[tuple[str, str]] = []
        self.events: list[Mapping[str, object]] = []
        self.returned: object = None
        self.error: BaseException | None = None
        self.ends = 0

    @property
    def assignment(self) -> Assignment:
        return Assignment(
            self.registered,
            self.run,
            self.dry_run,
            SystemClock().now(),
            self.remaining,
            self.cancellation,
            lambda: self.last_success,
            lambda done, total: self.progress.append((done, total)),
            self._note_line,
        )

    def _note_line(self, level: str, text: str, event: Mapping[str, object] | None) -> None:
        self.lines.append((level, text))
        if event is not None:
            self.events.append(event)
        self.lined.set()

    def begin(self) -> bool:
        self.begun.set()
        return self.may_begin

    def call(self) -> object:
        context = JobContext(
            self.run,
            fire_time=FIRE_TIME,
            clock=SystemClock(),
            cancellation=self.cancellation,
            make_log=lambda: None,
            find_last_success=lambda: None,
        )
        return call_run(self.registered.job.run, context)

    def end(self, returned: object, error: BaseException | None) -> None:
        self.returned, self.error, self.ends = returned, error, self.ends + 1
        self.ended.set()

    def wait(self) -> None:
        assert self.ended.wait(PATIENCE), "the work has not ended"

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.lines]


def setup_for(folder: Path, *, grace: float = 10.0) -> ChildSetup:
    """Return how processes are made that find the packages in *folder* / "site-packages"."""
    (folder / "rapua-scheduler.toml").write_text('[rapua_scheduler]\ntimezone = "Pacific/Auckland"\n')
    return ChildSetup(
        config=folder / "rapua-scheduler.toml",
        site=None,
        cwd=folder,
        grace=timedelta(seconds=grace),
        import_path=(str(folder / "site-packages"), *sys.path),
    )
