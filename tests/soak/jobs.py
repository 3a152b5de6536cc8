"""Jobs of every kind: plain and asynchronous, that log, print, report progress, fail, and are tried again."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from rapua_scheduler import JobContext, Retry, Scheduler, every

EVERY_MS = 40
OF_EACH_KIND = 6


class Jobs:
    """Counts its runs, by what they do."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add_to(self, scheduler: Scheduler) -> int:
        """Add some jobs of each kind, each at moments of its own; return how many."""
        kinds: list[tuple[Callable[[JobContext], Any], dict[str, Any]]] = [
            (self.return_something, {}),
            (self.log, {}),
            (self.report_progress, {}),
            (self.fail, {}),
            (self.fail_at_first, {"retry": Retry(attempts=3, delay="1ms"), "overlap": "queue_one"}),
            (self.wait, {"timeout": "10s"}),
            (self.wait_and_fail, {"retry": Retry(attempts=2, delay="1ms")}),
            (self.share, {"concurrency_key": "shared", "overlap": "queue_all"}),
        ]
        for run, policies in kinds:
            for number in range(OF_EACH_KIND):
                schedule = every(milliseconds=EVERY_MS + number)
                scheduler.add_job(f"{run.__name__} {number}", run, schedule, **policies)
        return len(kinds) * OF_EACH_KIND

    def return_something(self, ctx: JobContext) -> dict[str, object]:
        self._count(ctx, "plain")
        return {"text": "x" * 200, "attempt": ctx.attempt}

    def log(self, ctx: JobContext) -> None:
        self._count(ctx, "logging")
        for number in range(3):
            ctx.log.info("A line of the log", number=number, more="y" * 80)

    def report_progress(self, ctx: JobContext) -> None:
        self._count(ctx, "reporting progress")
        for _ in ctx.track(range(10)):
            pass

    def fail(self, ctx: JobContext) -> None:
        self._count(ctx, "failing")
        raise ValueError(f"no luck with {ctx.run_key}")

    def fail_at_first(self, ctx: JobContext) -> None:
        self._count(ctx, "tried again")
        if ctx.attempt < 3:
            raise RuntimeError("not yet")

    async def wait(self, ctx: JobContext) -> dict[str, int]:
        self._count(ctx, "asynchronous")
        await asyncio.sleep(0.002)
        return {"attempt": ctx.attempt}

    async def wait_and_fail(self, ctx: JobContext) -> None:
        self._count(ctx, "asynchronous, failing")
        await asyncio.sleep(0)
        raise OSError("no network")

    def share(self, ctx: JobContext) -> None:
        self._count(ctx, "one at a time")

    def _count(self, ctx: JobContext, what: str) -> None:
        if ctx.attempt == 1:
            with self._lock:
                self.runs[what] += 1
