"""The fire times to come, and those of any stretch of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import islice

from attrs import frozen

from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.fire_times import first_after
from rapua_scheduler.interrupts import is_from_person
from rapua_scheduler.job import takes_after
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.store.port import Store, StoredJob


@frozen(order=True)
class ComingFireTime:
    """One fire time to come.

    Attributes:
        fire_time: The instant, in UTC.
        job_key: The job.
        name: The job's name.
    """

    fire_time: datetime
    job_key: str
    name: str


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
        fire_time = ask_next(next_function, fire_time, zone)
        if fire_time is not None:
            yield fire_time


def ask_next(next_function: Callable[..., object], after: datetime, zone: tzinfo) -> datetime | None:
    """Return the first fire time later than *after*, in UTC, whatever the function does.

    Raises:
        BrokenNextError: The next function misbehaves.
    """
    try:
        return first_after(next_function, after, zone)
    except BrokenNextError:
        raise
    except BaseException as error:  # SystemExit too: it is the plugin's, not the command's
        if is_from_person(error):
            raise
        raise BrokenNextError(f"the next function raised {summarize_error(error)}") from error


def undecided_after(stored: StoredJob | None, now: datetime) -> datetime:
    """Return the instant after which nothing is decided on yet: now, or the mark if that is later."""
    return now if stored is None else max(now.astimezone(UTC), stored.mark)


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
) -> tuple[Sequence[ComingFireTime], Sequence[str]]:
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

    def of(registered: RegisteredJob) -> Iterator[ComingFireTime]:
        known = stored.get(registered.job.key)
        try:
            for fire_time in fire_times(registered, known, after or undecided_after(known, now), zone):
                if until is not None and fire_time > until:
                    return
                yield ComingFireTime(fire_time, registered.job.key, registered.job.name)
        except BrokenNextError as error:
            problems.append(f"job {registered.job.key}: {error.problem}")

    return list(islice(heapq.merge(*map(of, jobs)), count)), problems
