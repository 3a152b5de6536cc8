"""One store, and the hosts that live on it one after another, on a clock that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rapua_scheduler import GapReason, Job, JobContext, Run, Trigger
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.store.port import Store
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing import ManualClock, VirtualScheduler

MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


class Site:
    """One store, and the hosts that live on it one after another, on one clock."""

    def __init__(self, store: Store, path: Any = None) -> None:
        self.store = store
        self.path = path
        self.clock = ManualClock(MIDNIGHT)
        self.jobs: list[Job] = []
        self.takes: dict[str, timedelta] = {}
        self.started: list[tuple[str, datetime, Trigger, int]] = []
        self.host: VirtualScheduler | None = None

    def job(self, key: str, schedule: Any, *, fails: int = 0, takes: timedelta | None = None, **policies: Any) -> None:
        left = [fails]

        def run(ctx: JobContext) -> None:
            self.started.append((key, ctx.fire_time, ctx.trigger, ctx.attempt))
            if left[0]:
                left[0] -= 1
                raise RuntimeError("not yet")

        self.jobs.append(Job(key, run, schedule, key=key, **policies))
        if takes is not None:
            self.takes[key] = takes

    def start(self) -> None:
        self.host = VirtualScheduler(
            self.store,
            start=MIDNIGHT,
            clock=self.clock,
            takes=lambda run: self.takes.get(run.job_key, timedelta(0)),
        )
        self.host.add(RegisteredJob(job) for job in self.jobs)

    def passes(self, duration: timedelta) -> None:
        """Let time pass, with the host up or down."""
        if self.host is None:
            self.clock.advance(duration)
        else:
            self.host.advance(duration)

    def stop(self) -> None:
        assert self.host is not None
        self.host.stop()
        self.host = None

    def crash(self) -> None:
        """End the host in the middle; on a file, another opening of the store then finds its owner dead."""
        assert self.host is not None
        self.host.crash()
        self.host = None
        if self.path is not None:
            self.store.close()
            self.store = SqliteStore.open(self.path, create=False)
            self.store.mark_lost(self.clock.now())

    def statuses(self, key: str) -> list[str]:
        return [run.status.value for run in reversed(self.store.runs(job_key=key))]

    def gaps(self, key: str) -> list[tuple[GapReason, int | None]]:
        return [(gap.reason, gap.count) for gap in reversed(self.store.gaps(job_key=key))]

    def run(self, key: str) -> Run:
        return self.store.runs(job_key=key, limit=1)[0]
