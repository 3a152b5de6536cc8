"""The jobs, runs, gaps and decisions of the tests."""

# ruff: noqa: S101  assertions are what tests are made of

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from attrs import evolve

from rapua_scheduler.job import Job
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, Gap, GapReason, LogLine, Outcome, Run, RunStatus, Scalar, Start, Trigger
from rapua_scheduler.schedules import every
from rapua_scheduler.store.port import Store, StoredJob

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PATIENCE = 30.0


def some_job(
    key: str = "sweep", *, name: str = "Sweep", hours: int = 1, version: str = "1.0", formerly: tuple[str, ...] = ()
) -> RegisteredJob:
    """Return a job that is declared by a plugin."""
    job = Job(name=name, key=key, run=lambda ctx: None, next=every(hours=hours), formerly=formerly)
    return RegisteredJob(job, plugin="cleaning", distribution="acme-cleaning", version=version)


def some_run(hour: int, job_key: str = "sweep", *, trigger: Trigger = Trigger.SCHEDULE, run_id: str = "") -> Run:
    """Return the run of a job at a number of hours after the start, to be claimed as running."""
    fire_time = START + hour * HOUR
    return Run(
        run_id or f"{job_key}-{trigger}-{hour}",
        job_key,
        fire_time,
        fire_time.isoformat(),
        trigger,
        RunStatus.RUNNING,
        started_at=fire_time + timedelta(seconds=1),
    )


def waiting(hour: int, job_key: str = "sweep", *, trigger: Trigger = Trigger.SCHEDULE, run_id: str = "") -> Run:
    """Return the run of a job at a number of hours after the start, to be claimed as queued."""
    run = some_run(hour, job_key, trigger=trigger, run_id=run_id)
    return evolve(run, status=RunStatus.QUEUED, started_at=None)


def some_gap(first: int, last: int | None = None, job_key: str = "sweep", *, detail: str = "") -> Gap:
    """Return a stretch of skipped fire times, one an hour."""
    last = first if last is None else last
    return Gap(job_key, START + first * HOUR, START + last * HOUR, last - first + 1, GapReason.SKIPPED, detail)


def to_run(hour: int, job_key: str = "sweep", *gaps: Gap, trigger: Trigger = Trigger.SCHEDULE) -> Decision:
    """Return the decision to run a job at an hour."""
    run = some_run(hour, job_key, trigger=trigger)
    return Decision(job_key, run.fire_time, run.fire_time + HOUR, (run,), gaps)


def to_queue(*hours: int, job_key: str = "sweep") -> Decision:
    """Return the decision to queue runs of a job."""
    runs = tuple(waiting(hour, job_key) for hour in hours)
    return Decision(job_key, runs[-1].fire_time, runs[-1].fire_time + HOUR, runs)


def not_to_run(hour: int, *gaps: Gap, job_key: str = "sweep") -> Decision:
    """Return the decision that an hour is not run."""
    gaps = gaps or (some_gap(hour, job_key=job_key),)
    return Decision(job_key, START + hour * HOUR, START + (hour + 1) * HOUR, (), gaps)


def finish(
    store: Store,
    run_id: str,
    attempt: int = 1,
    status: RunStatus = RunStatus.SUCCEEDED,
    *,
    at: datetime = START + 99 * HOUR,
    result: Mapping[str, Scalar] | None = None,
    error: str | None = None,
    again: bool = False,
    log: Sequence[LogLine] = (),
) -> bool:
    """Finish an attempt, wait for that, and return whether it was the running one."""
    told: list[tuple[Exception | None, bool]] = []
    is_told = threading.Event()

    def then(problem: Exception | None, is_recorded: bool) -> None:
        told.append((problem, is_recorded))
        is_told.set()

    store.finish(run_id, attempt, Outcome(status, at, result, error), then, again=again, log=log)
    assert is_told.wait(PATIENCE), "the store never called back"
    ((problem, is_recorded),) = told
    assert problem is None
    return is_recorded


def start(store: Store, run_id: str, attempt: int = 1, at: datetime = START + 50 * HOUR) -> bool:
    """Let a queued run execute, and return whether it does."""
    (is_begun,) = store.begin([Start(run_id, attempt, at)])
    return is_begun


def settle(store: Store) -> None:
    """Wait until everything is recorded that nobody waits for."""
    finish(store, "nobody")


def run_of(store: Store, run_id: str) -> Run:
    """Return a run that is there."""
    run = store.run(run_id)
    assert run is not None
    return run


def job_of(store: Store, key: str = "sweep") -> StoredJob:
    """Return what is stored of a job."""
    return next(job for job in store.jobs() if job.key == key)
