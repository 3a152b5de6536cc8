"""The jobs, as they are now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from attrs import frozen

from rapua_scheduler.control.previews import fire_times, undecided_after
from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.overrides import DisabledJob
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.run import Run, RunStatus, Window, WindowKind
from rapua_scheduler.store.port import HostRecord, Store, StoredJob

UNFINISHED = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})
"""What is under way."""


class JobState(StrEnum):
    """What a job is at, or what keeps it from running; of several, the first of these."""

    ORPHANED = "orphaned"
    DISABLED = "disabled"
    BROKEN = "broken"
    HELD = "held"
    PAUSED = "paused"
    WAITING_FOR_CLOCK = "waiting_for_clock"
    RUNNING = "running"
    QUEUED = "queued"
    FINISHED = "finished"
    SCHEDULED = "scheduled"


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
        is_orphaned: Whether only the store knows it: its plugin is gone or set aside, or it is switched off.
        problem: Why the next fire time is not known, or why nobody runs the job.
        state: What it is at.
        pause: The window in which it is paused now; None if it is not.
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
    state: JobState = JobState.SCHEDULED
    pause: Window | None = None


@frozen
class _Facts:
    """What the store says of all jobs at once."""

    stored: Mapping[str, StoredJob]
    last_runs: Mapping[str, Run]
    windows: Mapping[str, list[Window]]
    statuses: Mapping[str, set[RunStatus]]
    host: HostRecord | None

    def open_window(self, job_key: str, kinds: Collection[WindowKind]) -> Window | None:
        return next((window for window in self.windows.get(job_key, ()) if window.kind in kinds), None)


def list_jobs(
    registry: Registry,
    store: Store | None,
    now: datetime,
    zone: tzinfo,
    *,
    disabled: Mapping[str, DisabledJob] = MappingProxyType({}),
) -> Sequence[JobListing]:
    """Return every job that is installed or that the store knows, by key.

    Args:
        registry: The jobs that are installed.
        store: Where runs are recorded; None if there is no store yet.
        now: The current time.
        zone: The zone that next functions are asked in.
        disabled: The jobs that are installed and not to run, by key.
    """
    facts = _read(store, now)
    listings = [_installed(registered, facts, now, zone) for registered in registry.values()]
    listings += [_disabled(job, facts) for job in disabled.values()]
    listings += [
        _embedded(job, facts, now) if is_embedded(facts.host, job) else _orphaned(job, facts)
        for key, job in facts.stored.items()
        if key not in registry and key not in disabled
    ]
    return sorted(listings, key=lambda listing: listing.key)


def _read(store: Store | None, now: datetime) -> _Facts:
    if store is None:
        return _Facts({}, {}, {}, {}, None)
    statuses: dict[str, set[RunStatus]] = {}
    for run in store.runs(statuses=UNFINISHED):
        statuses.setdefault(run.job_key, set()).add(run.status)
    return _Facts(
        {job.key: job for job in store.jobs()},
        store.last_runs(),
        _by_job(open_windows(store, now)),
        statuses,
        store.host(),
    )


def is_had_by(host: HostRecord | None, job: StoredJob) -> bool:
    """Tell whether *host* is active and has the job."""
    return host is not None and host.is_active and job.last_seen_at >= host.started_at


def is_embedded(host: HostRecord | None, job: StoredJob) -> bool:
    """Tell whether the active *host* is an application that brings the job itself: no plugin needs to be there."""
    return not job.plugin and is_had_by(host, job)


def open_windows(store: Store, now: datetime, job_key: str | None = None) -> Sequence[Window]:
    """Return the windows that last, oldest first: of all jobs, or of one and of those for all."""
    return [window for window in store.windows(job_key=job_key, since=now) if window.until is None]


def pause_of(store: Store, job_key: str) -> Window | None:
    """Return the window in which a job is paused; None if it is not."""
    windows = store.windows(job_key=job_key)
    return next((window for window in windows if window.kind is WindowKind.PAUSED and window.until is None), None)


def _by_job(windows: Iterable[Window]) -> Mapping[str, list[Window]]:
    found: dict[str, list[Window]] = {}
    for window in windows:
        found.setdefault(window.job_key, []).append(window)
    return found


def _installed(registered: RegisteredJob, facts: _Facts, now: datetime, zone: tzinfo) -> JobListing:
    job = registered.job
    stored = facts.stored.get(job.key)
    problem = ""
    next_fire_time = None
    try:
        next_fire_time = next(fire_times(registered, stored, undecided_after(stored, now), zone), None)
    except BrokenNextError as error:
        problem = error.problem
    pause = facts.open_window(job.key, {WindowKind.PAUSED})
    state = _state(facts, job.key, pause, is_broken=bool(problem))
    if state is JobState.SCHEDULED and stored is not None and stored.mark > now.astimezone(UTC):
        state = JobState.WAITING_FOR_CLOCK
    elif state is JobState.SCHEDULED and next_fire_time is None and not registered.asks_after_each_run:
        state = JobState.FINISHED
    return JobListing(
        job.key,
        job.name,
        registered.plugin,
        registered.distribution,
        registered.version,
        registered.schedule,
        next_fire_time,
        facts.last_runs.get(job.key),
        problem=problem,
        state=state,
        pause=pause,
    )


def _state(facts: _Facts, job_key: str, pause: Window | None, *, is_broken: bool) -> JobState:
    if is_broken:
        return JobState.BROKEN
    if facts.open_window("", {WindowKind.HELD}) is not None:
        return JobState.HELD
    if pause is not None:
        return JobState.PAUSED
    statuses = facts.statuses.get(job_key, ())
    if RunStatus.RUNNING in statuses:
        return JobState.RUNNING
    return JobState.QUEUED if statuses else JobState.SCHEDULED


def _disabled(job: DisabledJob, facts: _Facts) -> JobListing:
    registered = job.registered
    return JobListing(
        registered.job.key,
        registered.job.name,
        registered.plugin,
        registered.distribution,
        registered.version,
        registered.schedule,
        None,
        facts.last_runs.get(registered.job.key),
        is_orphaned=True,
        problem=job.reason,
        state=JobState.DISABLED,
        pause=facts.open_window(registered.job.key, {WindowKind.PAUSED}),
    )


def _embedded(job: StoredJob, facts: _Facts, now: datetime) -> JobListing:
    pause = facts.open_window(job.key, {WindowKind.PAUSED})
    state = _state(facts, job.key, pause, is_broken=False)
    if state is JobState.SCHEDULED and job.mark > now.astimezone(UTC):
        state = JobState.WAITING_FOR_CLOCK
    return _stored(job, facts, job.next_fire_time, state=state, pause=pause)


def _orphaned(job: StoredJob, facts: _Facts) -> JobListing:
    absence = facts.open_window(job.key, {WindowKind.ABSENT, WindowKind.FAILED})
    problem = "" if job.plugin else "the application that brings it is not active"
    return _stored(
        job,
        facts,
        None,
        is_orphaned=True,
        problem=absence.reason if absence is not None else problem,
        state=JobState.ORPHANED,
        pause=facts.open_window(job.key, {WindowKind.PAUSED}),
    )


def _stored(job: StoredJob, facts: _Facts, next_fire_time: datetime | None, **more: Any) -> JobListing:
    """List a job as the store knows it."""
    return JobListing(
        job.key,
        job.name,
        job.plugin,
        job.distribution,
        job.version,
        job.schedule,
        next_fire_time,
        facts.last_runs.get(job.key),
        **more,
    )
