"""The store port: what the engine and the command line ask of a store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, Gap, Outcome, Run, RunStatus


@frozen
class StoredJob:
    """What a store knows of a job, whether or not its plugin is still installed.

    Attributes:
        key: The job's key.
        name: Its name when last seen.
        plugin: Name of the plugin's entry point; empty for a job of an embedding application.
        distribution: The package that brought it.
        version: That package's version when last seen.
        schedule: Its schedule in words when last seen.
        fingerprint: Its schedule's fingerprint when last seen.
        mark: The last fire time decided on; the time it was first seen, if none was, in UTC.
        next_fire_time: The first fire time later than the mark, in UTC; None if there is none.
        first_seen_at: When a host first had this job, in UTC.
        last_seen_at: When a host was last started with this job, in UTC.
    """

    key: str
    name: str
    plugin: str
    distribution: str
    version: str
    schedule: str
    fingerprint: str
    mark: datetime
    next_fire_time: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime


class Store(Protocol):
    """Keeps what was decided and what became of it; safe to use from several threads.

    Times are aware and come back in UTC, to the microsecond. A store is the memory of one or more
    processes: whatever a method says is recorded is durable when the method returns, or when its
    callback is called. Text that no database takes (lone surrogates, NUL) comes back escaped.

    Every method raises `StoreError` if the store cannot be used, and after `close`.
    """

    def become_host(self) -> None:
        """Make this opening of the store the one whose jobs run by their schedules, until it is closed.

        Calling it again does nothing. Only runs by hand need no host.

        Raises:
            AnotherHostError: Another opening is the host and alive; names its process.
        """

    def declare(self, jobs: Sequence[RegisteredJob], at: datetime) -> Mapping[str, StoredJob]:
        """Record that these jobs are installed, and return what is stored of each.

        A job that is seen for the first time gets *at* as its mark: there is nothing to catch up.
        For one that is known, name, provider, schedule and last_seen_at are replaced, and the mark
        stays. Jobs that are not named stay as they are.

        Returns:
            What is stored, by key; may be made anew at each look, so look before deciding on a job.
        """

    def set_next(self, next_fire_times: Mapping[str, datetime | None]) -> None:
        """Record the next fire time of some jobs, by key; their marks stay.

        Raises:
            UnknownJobError: One of them was never declared; nothing was recorded.
        """

    def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
        """Record decisions in one durable transaction, and claim their runs.

        A claim succeeds at most once for a job and fire key, over all processes and for ever, and
        only for a fire time later than the job's stored mark; a decision without a run, only if its
        own mark is. A mark never moves back. What is not later, somebody else has decided on: nothing
        of that decision is recorded, and the others are. A run is recorded as running, with attempt 1
        and its own started_at.

        A gap that follows the job's newest, with the same reason and detail and no claim in between,
        becomes one with it.

        Returns:
            For each decision, whether it was recorded, and its run, if any, may start.

        Raises:
            StoreError: Nothing was recorded.
            UnknownJobError: A job was never declared; nothing was recorded.
            ValueError: A decision contradicts itself; nothing was recorded.
        """

    def claim(self, run: Run) -> None:
        """Record, durably, a run that consumes no fire time (manual, backfill) as running.

        Its job need not have been declared: running one by hand must not set a mark.

        Raises:
            StoreError: It was not recorded; its id may be taken.
            ValueError: Its trigger consumes a fire time.
        """

    def finish(
        self, run_id: str, attempt: int, outcome: Outcome, then: Callable[[Exception | None, bool], None]
    ) -> None:
        """Record the end of an attempt, without waiting for it.

        Args:
            run_id: The run.
            attempt: The attempt that ended; recorded only if it is the one that is running.
            outcome: How it ended. Its error is cut at 64 KiB, and then says so.
            then: Called from the store's own thread, or at once in this one, when the outcome is
                durable, with (None, whether it was the running attempt); or, if it could not be
                recorded, with the error and False. Must be quick, must not raise, and must not close
                the store.

        Raises:
            ValueError: The outcome's status is not final.
        """

    def mark_lost(self, at: datetime) -> Sequence[Run]:
        """Give every unfinished run whose owner is dead the status `lost`, and return them, oldest claim first.

        An owner is one opening of the store; it is dead when it was closed, or its process has ended,
        however it did.
        """

    def jobs(self) -> Sequence[StoredJob]:
        """Return every job ever declared, by key."""

    def run(self, run_id: str) -> Run | None:
        """Return one run; None if there is none."""

    def runs(
        self,
        *,
        job_key: str | None = None,
        since: datetime | None = None,
        statuses: Collection[RunStatus] | None = None,
        limit: int | None = None,
    ) -> Sequence[Run]:
        """Return runs, newest claim first.

        Args:
            job_key: Only of this job.
            since: Only started at or after this.
            statuses: Only with one of these.
            limit: At most so many.
        """

    def last_runs(self) -> Mapping[str, Run]:
        """Return each job's newest run, by job key; jobs that were never run are left out."""

    def last_success(self, job_key: str) -> datetime | None:
        """Return the fire time of the job's newest run that succeeded, in UTC."""

    def gaps(
        self, *, job_key: str | None = None, since: datetime | None = None, limit: int | None = None
    ) -> Sequence[Gap]:
        """Return gaps, those with the newest last fire time first.

        Args:
            job_key: Only of this job.
            since: Only those whose last fire time is at or after this.
            limit: At most so many.
        """

    def close(self) -> None:
        """Record what is queued, and let go of the store; calling it again does nothing."""
