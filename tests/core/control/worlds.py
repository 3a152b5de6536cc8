"""A host, its store and its jobs, on a clock that a test moves; and the questions that commands ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from rapua_scheduler import Job
from rapua_scheduler.control.cases import Case
from rapua_scheduler.control.explanations import Explanation
from rapua_scheduler.control.why import explain_instant, explain_now
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.run import Run
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing import ManualClock, VirtualScheduler

START = datetime(2026, 11, 1, 0, 0, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def nothing(ctx: object) -> None:
    """Do nothing."""


class World:
    """One store, and a host that may be up."""

    def __init__(self, *jobs: Job, at: datetime = START, zone: tzinfo = UTC) -> None:
        self.clock = ManualClock(at)
        self.zone = zone
        self.store: Store = MemoryStore(keep_runs=1000, clock=self.clock)
        self.registry = Registry(RegisteredJob(job, "plugin", "package", "1.0") for job in jobs)
        self.takes: timedelta = timedelta(0)
        self.host: VirtualScheduler | None = None

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def start(self) -> VirtualScheduler:
        self.store.become_host()
        self.host = VirtualScheduler(
            self.store, start=self.now, clock=self.clock, timezone=self.zone, takes=lambda _: self.takes
        )
        self.host.add(self.registry.values())
        return self.host

    def passes(self, duration: timedelta) -> None:
        """Let time pass, with the host up or down."""
        if self.host is None:
            self.clock.advance(duration)
        else:
            self.host.advance(duration)

    def crash(self) -> None:
        assert self.host is not None
        self.host.crash()
        self.host = None

    def runs(self, job_key: str) -> list[Run]:
        """Return the runs of a job, oldest first."""
        return list(reversed(self.store.runs(job_key=job_key)))

    def case(
        self,
        job_key: str,
        *,
        registry: Registry | None = None,
        absences: Mapping[str, str] | None = None,
        retention: timedelta = 400 * DAY,
    ) -> Case:
        return Case.of(
            self.store,
            job_key,
            registry=self.registry if registry is None else registry,
            absences=absences or {},
            now=self.now,
            zone=self.zone,
            retention=retention,
        )

    def why(self, job_key: str, at: datetime | None = None) -> Explanation:
        case = self.case(job_key)
        return explain_now(case) if at is None else explain_instant(case, at)
