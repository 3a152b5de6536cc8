"""Run one job in a test, with a real context and without a host."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, cast

from rapua_scheduler.clock import Clock
from rapua_scheduler.context import Cancellation, JobContext
from rapua_scheduler.job import Job, is_async
from rapua_scheduler.logs import get_logger
from rapua_scheduler.run import Run, RunStatus, Trigger
from rapua_scheduler.schedules import BuiltInSchedule, instant_key
from rapua_scheduler.testing.clock import AutoClock


def run_job(
    job: Job,
    *,
    fire_time: datetime,
    dry_run: bool = False,
    clock: Clock | None = None,
    run_id: str = "test-run",
    attempt: int = 1,
    trigger: Trigger = Trigger.SCHEDULE,
    cancellation: Cancellation | None = None,
    last_success: datetime | None = None,
) -> Any:
    """Execute *job* once, in this thread, and return what it returns; its exceptions come through.

    Args:
        job: The job, as its plugin declares it.
        fire_time: The instant to run it for, aware, in the site's zone.
        dry_run: What `ctx.dry_run` says.
        clock: What `ctx.now()` and `ctx.sleep()` go by; by default a clock at *fire_time* on which
            sleeping takes no real time.
        run_id: What `ctx.run_id` says.
        attempt: What `ctx.attempt` says.
        trigger: What `ctx.trigger` says.
        cancellation: Lets the test cancel the run.
        last_success: What `ctx.last_success` says.
    """
    key = job.next.fire_key(fire_time) if isinstance(job.next, BuiltInSchedule) else instant_key(fire_time)
    run = Run(run_id, job.key, fire_time, key, trigger, RunStatus.RUNNING, attempt)
    context = JobContext(
        run,
        fire_time=fire_time,
        clock=clock or AutoClock(fire_time),
        cancellation=cancellation or Cancellation(),
        make_log=lambda: get_logger("rapua_scheduler.job", job=job.name, job_key=job.key, run_id=run_id),
        find_last_success=lambda: last_success,
        dry_run=dry_run,
    )
    try:
        if is_async(job.run):
            return asyncio.run(cast("Coroutine[Any, Any, object]", job.run(context)))
        return job.run(context)
    finally:
        context.close()
