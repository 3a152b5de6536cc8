"""The operator's word: runs by hand, runs for the past, and runs that are to end; state in the store, no message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from attrs import frozen

from rapua_scheduler.control.listings import UNFINISHED, is_embedded
from rapua_scheduler.control.previews import fire_times
from rapua_scheduler.errors import RapuaSchedulerError, UnknownJobError
from rapua_scheduler.fire_times import fire_key, is_fire_time
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.run import Outcome, Run, RunStatus, Trigger
from rapua_scheduler.schedules import from_fingerprint, instant_key
from rapua_scheduler.store.port import Store

MOST_LOOKED_AT = 100_000
"""Fire times that one backfill looks at."""

_TICK = timedelta(microseconds=1)


def refuse_unknown(store: Store, job_key: str) -> None:
    """Refuse a job that no host has ever had.

    Raises:
        UnknownJobError: The store does not know it; names those that it knows.
    """
    known = [job.key for job in store.jobs()]
    if job_key not in known:
        raise UnknownJobError(job_key, known)


def find_job(registry: Registry, store: Store, job_key: str, absences: Mapping[str, str]) -> RegisteredJob:
    """Return a job that can be run.

    Args:
        registry: The jobs that are installed.
        store: Knows others.
        job_key: The job.
        absences: Why jobs that the store knows are not installed, by key.

    Raises:
        UnknownJobError: Nobody knows it.
        RapuaSchedulerError: The store knows it, but it is not installed; says why.
    """
    if job_key in registry:
        return registry[job_key]
    known = [job.key for job in store.jobs()]
    if job_key in known:
        why = absences.get(job_key, "no plugin brings it")
        raise RapuaSchedulerError(f"job {job_key!r} cannot be run: {why}")
    raise UnknownJobError(job_key, tuple({*registry, *known}))


def find_next_function(
    registry: Registry, store: Store, job_key: str, absences: Mapping[str, str]
) -> Callable[..., Any] | None:
    """Return the next function of a job that a host can be asked to run.

    Args:
        registry: The jobs that are installed.
        store: Knows others, such as those of an application that is active.
        job_key: The job.
        absences: Why jobs that the store knows are not installed, by key.

    Returns:
        The next function; None if only the application knows it.

    Raises:
        UnknownJobError: Nobody knows the job.
        RapuaSchedulerError: The store knows it, but it is not installed, nor the active application's; says why.
    """
    stored = next((job for job in store.jobs() if job.key == job_key), None)
    if job_key not in registry and stored is not None and is_embedded(store.host(), stored):
        return from_fingerprint(stored.fingerprint)
    return find_job(registry, store, job_key, absences).job.next


def refuse_unknown_to_host(store: Store, job_key: str) -> None:
    """Refuse a job that was installed after the active host was started.

    Raises:
        RapuaSchedulerError: The active host would not run it.
    """
    host = store.host()
    if host is None or not host.is_active:
        return
    stored = next((job for job in store.jobs() if job.key == job_key), None)
    if stored is None or stored.last_seen_at < host.started_at:
        raise RapuaSchedulerError(
            f"job {job_key!r} is not known to the host that is active (process {host.pid}); start that anew, "
            f"or run the job here: `rapua-scheduler exec {job_key}`"
        )


def manual_run(
    job_key: str,
    next_function: Callable[..., Any] | None,
    fire_time: datetime | None,
    *,
    run_id: str,
    now: datetime,
    zone: tzinfo,
    by: str,
) -> Run:
    """Return a run by hand, queued.

    Args:
        job_key: The job.
        next_function: What tells its fire times; None if that is not known.
        fire_time: The instant to run it for, aware; now, if None.
        run_id: Its id.
        now: The current time.
        zone: The zone that schedules are asked in.
        by: Who asks for it.
    """
    if fire_time is not None and next_function is not None and is_fire_time(next_function, fire_time, zone):
        key = fire_key(next_function, fire_time, zone)
    else:
        key = instant_key(fire_time or now)
    return Run(
        run_id,
        job_key,
        (fire_time or now).astimezone(UTC),
        key,
        Trigger.MANUAL,
        RunStatus.QUEUED,
        asked_by=by,
    )


class Cancelled(StrEnum):
    """What came of the wish to cancel a run."""

    ENDED_BEFORE = "ended_before"
    DROPPED = "dropped"
    ASKED = "asked"
    NOBODY = "nobody"


def cancel(store: Store, run: Run, *, now: datetime, by: str) -> Cancelled:
    """Ask the host to cancel a run; if there is no host, drop one that is queued.

    Returns:
        `ended_before`: nothing to do; `dropped`: it will not be started; `asked`: the active host, or
        whoever executes it, is asked; `nobody`: no host is active, and the next one will end it.
    """
    host = store.host()
    is_active = host is not None and host.is_active
    if run.status is RunStatus.QUEUED and not is_active:
        outcome = Outcome(RunStatus.CANCELLED, now, error=f"cancelled by {by}")
        if store.drop(run.run_id, outcome):
            return Cancelled.DROPPED
    if not store.request_cancel(run.run_id, by):
        return Cancelled.ENDED_BEFORE
    now_known = store.run(run.run_id)
    if now_known is not None and now_known.status is RunStatus.CANCELLED:  # it had ended, and would have been run again
        return Cancelled.DROPPED
    return Cancelled.ASKED if is_active else Cancelled.NOBODY


@frozen
class SkippedFireTime:
    """A fire time that a backfill leaves out.

    Attributes:
        fire_time: The instant, in UTC.
        run: The run that makes another one needless: it has succeeded, or is under way.
    """

    fire_time: datetime
    run: Run


@frozen
class Backfill:
    """What a backfill will do.

    Attributes:
        runs: The runs to be queued, oldest fire time first.
        skipped: The fire times that are left out, oldest first.
        rest_from: The first fire time that was not looked at, as there are too many, in UTC.
    """

    runs: tuple[Run, ...]
    skipped: tuple[SkippedFireTime, ...]
    rest_from: datetime | None = None


def plan_backfill(
    registered: RegisteredJob,
    recorded: Iterable[Run],
    *,
    start: datetime,
    end: datetime,
    limit: int,
    new_run_id: Callable[[], str],
    zone: tzinfo,
    by: str,
) -> Backfill:
    """Return the runs that make up for the fire times in `[start, end)` of a job that allows it.

    Args:
        registered: The job.
        recorded: Its runs; what has succeeded, or is under way, is left out.
        start: The first instant, aware.
        end: The first instant that is too late, aware.
        limit: At most so many runs.
        new_run_id: Makes the id of a run.
        zone: The zone that its next function is asked in.
        by: Who asks for it.

    Raises:
        RapuaSchedulerError: It does not declare that it may be run for the past, or its fire times in the
            past cannot be told.
        BrokenNextError: Its next function misbehaves.
    """
    job = registered.job
    if not job.supports_backfill:
        raise RapuaSchedulerError(
            f"job {job.key!r} does not declare that it may be run for fire times long past; nothing was queued"
        )
    if registered.asks_after_each_run:
        raise RapuaSchedulerError(f"job {job.key!r} has a next function without an argument: its past cannot be told")
    served = _served(recorded)
    runs: list[Run] = []
    skipped: list[SkippedFireTime] = []
    for number, fire_time in enumerate(fire_times(registered, None, start - _TICK, zone)):
        if fire_time >= end:
            break
        if len(runs) >= limit or number >= MOST_LOOKED_AT:
            return Backfill(tuple(runs), tuple(skipped), fire_time)
        key = fire_key(job.next, fire_time, zone)
        if key in served:
            skipped.append(SkippedFireTime(fire_time, served[key]))
            continue
        runs.append(
            Run(new_run_id(), job.key, fire_time, key, Trigger.BACKFILL, RunStatus.QUEUED, asked_by=by),
        )
    return Backfill(tuple(runs), tuple(skipped))


def _served(recorded: Iterable[Run]) -> Mapping[str, Run]:
    served: dict[str, Run] = {}
    for run in recorded:
        if run.status is RunStatus.SUCCEEDED or run.status in UNFINISHED:
            served.setdefault(run.fire_key, run)
    return served
