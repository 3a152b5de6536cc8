"""What is compared: each contender registers no-op jobs and runs them, through its public face only."""

from __future__ import annotations

import heapq
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DAY = 86400.0
NoOp = Callable[[int], None]


class Ours:
    """The embedded scheduler; `durable` records every claim and outcome in SQLite."""

    def __init__(self, hit: NoOp, *, durable: bool = False) -> None:
        from rapua_scheduler import Scheduler

        self._hit = hit
        self._folder: Path | None = None
        self._store: Any = None
        if durable:
            from rapua_scheduler.clock import SystemClock
            from rapua_scheduler.store.sqlite import SqliteStore

            self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
            self._store = SqliteStore.open(self._folder / "store.db", create=True, clock=SystemClock())
        self._scheduler = Scheduler(self._store, timezone=UTC)
        self._schedules: dict[float, Any] = {}

    def add(self, number: int, due: float) -> None:
        schedule = self._schedules.get(due)
        if schedule is None:  # schedules are values: jobs may share one
            from rapua_scheduler import every

            schedule = self._schedules[due] = every(days=1, anchor=datetime.fromtimestamp(due, UTC))
        self._scheduler.add_job(f"job {number}", self._run, schedule)

    def _run(self, ctx: Any) -> None:
        self._hit(int(ctx.job_key[4:]))

    def start(self) -> None:
        self._scheduler.start()

    def recorded(self) -> int:
        from rapua_scheduler import RunStatus

        return len(self._store.runs(statuses={RunStatus.SUCCEEDED}))

    def stop(self) -> None:
        self._scheduler.stop()
        if self._store is not None:
            self._store.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class OursDurable(Ours):
    """As `Ours`, every claim durable before its job starts."""

    def __init__(self, hit: NoOp) -> None:
        super().__init__(hit, durable=True)


class APScheduler3:
    """BackgroundScheduler as documented, its misfire limit lifted so that it drops nothing; records nothing."""

    def __init__(self, hit: NoOp) -> None:
        from apscheduler.schedulers.background import BackgroundScheduler

        self._hit = hit
        self._scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None})
        self._scheduler.start(paused=True)

    def add(self, number: int, due: float) -> None:
        from apscheduler.triggers.interval import IntervalTrigger

        trigger = IntervalTrigger(days=1, start_date=datetime.fromtimestamp(due, UTC), timezone=UTC)
        self._scheduler.add_job(self._hit, trigger, (number,))

    def start(self) -> None:
        self._scheduler.resume()

    def stop(self) -> None:
        self._scheduler.shutdown(wait=False)


class Heap:
    """The limit: a heap of instants, and calls in one thread."""

    def __init__(self, hit: NoOp) -> None:
        self._hit = hit
        self._heap: list[tuple[float, int]] = []

    def add(self, number: int, due: float) -> None:
        heapq.heappush(self._heap, (due, number))

    def start(self) -> None:
        while self._heap[0][0] < time.time() + DAY / 2:
            due, number = self._heap[0]
            wait = due - time.time()
            if wait > 0:
                time.sleep(wait)
            self._hit(number)
            heapq.heapreplace(self._heap, (due + DAY, number))

    def stop(self) -> None:
        self._heap.clear()


CONTENDERS: dict[str, Callable[[NoOp], Any]] = {
    "ours, durable": OursDurable,
    "ours, in memory": Ours,
    "APScheduler 3": APScheduler3,
    "limit: heap": Heap,
}
