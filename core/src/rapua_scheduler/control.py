"""What the command line asks of registry and store: listings, as plain values."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import islice

from attrs import frozen

from rapua_scheduler.errors import BrokenNextError, RapuaSchedulerError, UnknownJobError
from rapua_scheduler.fire_times import first_after
from rapua_scheduler.job import takes_after
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.run import Gap, Run, RunStatus
from rapua_scheduler.store.port import Store, StoredJob

FAILED = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.INTERRUPTED, RunStatus.LOST})
"""What `history --failed` shows."""


@frozen
class JobListing:
    """One line of the list of jobs.

    Attributes:
        key: The job's key.
        name: Its name.
        plugin: The plugin that brings, or brought, it.
        distribution: The package of that plugin.
        version: That package's version.
        schedule: When it fires, in words.
        next_fire_time: When it is due next, in UTC; None if never or not known.
        last_run: Its newest run.
        is_orphaned: Whether only the store knows it: its plugin is gone or set aside.
        problem: Why the next fire time is not known.
    """

    key: str
    name: str
    plugin: str
    distribution: str
    version: str
    schedule: str
    next_fire_time: datetime | None
    last_run: Run | None
    is_orphaned: bool = False
    problem: str = ""


@frozen(order=True)
class FireTime:
    """One fire time to come.

    Attributes:
        fire_time: The instant, in UTC.
        job_key: The job.
        name: The job's name.
    """

    fire_time: datetime
    job_key: str
    name: str


def list_jobs(registry: Registry, store: Store | None, now: datetime, zone: tzinfo) -> Sequence[JobListing]:
    """Return every job that is installed or that the store knows, by key.

    Args:
        registry: The jobs that are installed.
        store: Where runs are recorded; None if there is no store yet.
        now: The current time.
        zone: The zone that next functions are asked in.
    """
    stored = {job.key: job for job in store.jobs()} if store is not None else {}
    last_runs = store.last_runs() if store is not None else {}
    listings = [
        _installed(registered, stored.get(key), last_runs.get(key), now, zone) for key, registered in registry.items()
    ]
    listings += [_orphaned(job, last_runs.get(key)) for key, job in stored.items() if key not in registry]
    return sorted(listings, key=lambda listing: listing.key)


def _installed(
    registered: RegisteredJob, stored: StoredJob | None, last_run: Run | None, now: datetime, zone: tzinfo
) -> JobListing:
    problem = ""
    next_fire_time = None
    try:
        next_fire_time = next(fire_times(registered, stored, _undecided(stored, now), zone), None)
    except BrokenNextError as error:
        problem = error.problem
    job = registered.job
    return JobListing(
        job.key,
        job.name,
        registered.plugin,
        registered.distribution,
        registered.version,
        registered.schedule,
        next_fire_time,
        last_run,
        problem=problem,
    )


def _orphaned(job: StoredJob, last_run: Run | None) -> JobListing:
    return JobListing(
        job.key,
        job.name,
        job.plugin,
        job.distribution,
        job.version,
        job.schedule,
        None,
        last_run,
        is_orphaned=True,
    )


def fire_times(
    registered: RegisteredJob, stored: StoredJob | None, after: datetime, zone: tzinfo
) -> Iterator[datetime]:
    """Yield the fire times later than *after*, oldest first, in UTC.

    A next function that takes no argument has no preview: only the time that a host has pending is
    yielded.

    Raises:
        BrokenNextError: The next function misbehaves.
    """
    next_function = registered.job.next
    if not takes_after(next_function):
        if stored is not None and stored.next_fire_time is not None and stored.next_fire_time > after:
            yield stored.next_fire_time
        return
    fire_time: datetime | None = after.astimezone(UTC)
    while fire_time is not None:
        fire_time = _asked(next_function, fire_time, zone)
        if fire_time is not None:
            yield fire_time


def _undecided(stored: StoredJob | None, now: datetime) -> datetime:
    """Return the instant after which nothing is decided on yet: now, or the mark if that is later."""
    return now if stored is None else max(now.astimezone(UTC), stored.mark)


def _asked(next_function: Callable[..., object], after: datetime, zone: tzinfo) -> datetime | None:
    try:
        return first_after(next_function, after, zone)
    except (BrokenNextError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too: it is the plugin's, not the command's
        raise BrokenNextError(f"the next function raised {summarize_error(error)}") from error


def upcoming(
    registry: Registry,
    store: Store | None,
    zone: tzinfo,
    *,
    now: datetime,
    after: datetime | None,
    until: datetime | None,
    count: int,
    job_key: str | None = None,
) -> tuple[Sequence[FireTime], Sequence[str]]:
    """Return the next fire times of all jobs, or of one, oldest first; and what kept some from being known.

    Args:
        registry: The jobs.
        store: Holds the pending time of next functions that take no argument.
        zone: The zone that next functions are asked in.
        now: The current time.
        after: Only later than this; None for what a host has yet to decide on.
        until: Only at or before this; None is without end.
        count: At most so many.
        job_key: Only of this job.

    Raises:
        UnknownJobError: No job has that key.
    """
    problems: list[str] = []
    stored = {job.key: job for job in store.jobs()} if store is not None else {}
    jobs = [registry.find(job_key)] if job_key is not None else list(registry.values())

    def of(registered: RegisteredJob) -> Iterator[FireTime]:
        known = stored.get(registered.job.key)
        try:
            for fire_time in fire_times(registered, known, after or _undecided(known, now), zone):
                if until is not None and fire_time > until:
                    return
                yield FireTime(fire_time, registered.job.key, registered.job.name)
        except BrokenNextError as error:
            problems.append(f"job {registered.job.key}: {error.problem}")

    return list(islice(heapq.merge(*map(of, jobs)), count)), problems


def history(
    store: Store,
    known: Collection[str],
    *,
    job_key: str | None = None,
    since: datetime | None = None,
    failed: bool = False,
    limit: int | None = None,
) -> Sequence[Run | Gap]:
    """Return runs, and fire times that were not run, newest first.

    Args:
        store: Where they are recorded.
        known: The keys of installed jobs, which may have no history yet.
        job_key: Only of this job.
        since: Only from this instant on.
        failed: Only runs that did not succeed.
        limit: At most so many.

    Raises:
        UnknownJobError: Neither the store nor *known* has that key.
    """
    if job_key is not None and job_key not in known:
        recorded = {*known, *(job.key for job in store.jobs()), *store.last_runs()}
        if job_key not in recorded:
            raise UnknownJobError(job_key, tuple(recorded))
    runs = store.runs(job_key=job_key, since=since, statuses=FAILED if failed else None, limit=limit)
    gaps = () if failed else store.gaps(job_key=job_key, since=since, limit=limit)
    merged: list[Run | Gap] = [*runs, *gaps]
    merged.sort(key=_when, reverse=True)
    return merged[:limit]


def _when(entry: Run | Gap) -> datetime:
    if isinstance(entry, Gap):
        return entry.last
    return entry.started_at or entry.fire_time


def find_run(store: Store, text: str) -> Run:
    """Return the run whose id is *text*, or the only one whose id begins or ends so.

    Raises:
        RapuaSchedulerError: None is, or several are.
    """
    exact = store.run(text)
    if exact is not None:
        return exact
    matches = [run for run in store.runs() if run.run_id.startswith(text) or run.run_id.endswith(text)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise RapuaSchedulerError(f"no run has the id {text!r}; `rapua-scheduler history` lists them")
    raise RapuaSchedulerError(
        f"{len(matches)} runs match {text!r}, among them {', '.join(run.run_id for run in matches[:3])}; "
        "write more of the id"
    )


def run_fields(run: Run, zone: tzinfo) -> Mapping[str, object]:
    """Return a run under the names that `--json` promises; times are ISO 8601 in *zone*."""
    return {
        "run_id": run.run_id,
        "job": run.job_key,
        "fire_time": iso(run.fire_time, zone),
        "fire_key": run.fire_key,
        "trigger": run.trigger.value,
        "status": run.status.value,
        "attempt": run.attempt,
        "started_at": iso(run.started_at, zone),
        "finished_at": iso(run.finished_at, zone),
        "result": dict(run.result) if run.result is not None else None,
        "error": run.error,
    }


def gap_fields(gap: Gap, zone: tzinfo) -> Mapping[str, object]:
    """Return a gap under the names of a run, its reason as the status, and three names of its own."""
    return {
        "run_id": None,
        "job": gap.job_key,
        "fire_time": iso(gap.first, zone),
        "fire_key": None,
        "trigger": None,
        "status": gap.reason.value,
        "attempt": None,
        "started_at": None,
        "finished_at": None,
        "result": None,
        "error": None,
        "last_fire_time": iso(gap.last, zone),
        "count": gap.count,
        "detail": gap.detail,
    }


def job_fields(listing: JobListing, zone: tzinfo) -> Mapping[str, object]:
    """Return a job under the names that `--json` promises; times are ISO 8601 in *zone*."""
    return {
        "key": listing.key,
        "name": listing.name,
        "plugin": listing.plugin,
        "distribution": listing.distribution,
        "version": listing.version,
        "schedule": listing.schedule,
        "next_fire_time": iso(listing.next_fire_time, zone),
        "paused": False,
        "orphaned": listing.is_orphaned,
        "problem": listing.problem or None,
        "last_run": run_fields(listing.last_run, zone) if listing.last_run is not None else None,
    }


def iso(instant: datetime | None, zone: tzinfo) -> str | None:
    """Return *instant* as ISO 8601 with the offset of *zone*."""
    return None if instant is None else instant.astimezone(zone).isoformat()
