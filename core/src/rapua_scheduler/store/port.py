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
    callback is called.
    """

    def declare(self, jobs: Sequence[RegisteredJob], at: datetime) -> Mapping[str, StoredJob]:
        """Record that these jobs are installed, and return what is stored of each.

        A job that is seen for the first time gets *at* as its mark: there is nothing to catch up.
        For one that is known, name, provider, schedule and last_seen_at are replaced, and the mark
        stays. Jobs that are not named stay as they are.
        """

    def set_next(self, next_fire_times: Mapping[str, datetime | None]) -> None:
        """Record the next fire time of some jobs, by key; their marks stay."""

    def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
        """Record decisions in one durable transaction, and claim their runs.

        A claim succeeds at most once for a job and fire key, over all processes and for ever, and
        only for a fire time later than the job's stored mark. A mark never moves back. If a
        decision's run is not claimed, somebody else has decided on the same fire time: nothing of
        that decision is recorded. Adjoining gaps of one job with equal reason and detail become one.

        Returns:
            For each decision, whether it was recorded, and its run, if any, may start.

        Raises:
            StoreError: Nothing was recorded.
        """

    def claim(self, run: Run) -> None:
        """Record, durably, a run that consumes no fire time (manual, backfill) as running.

        Raises:
            StoreError: It was not recorded.
        """

    def finish(
        self, run_id: str, attempt: int, outcome: Outcome, then: Callable[[Exception | None, bool], None]
    ) -> None:
        """Record the end of an attempt, without waiting for it.

        Args:
            run_id: The run.
            attempt: The attempt that ended; recorded only if it is the one that is running.
            outcome: How it ended.
            then: Called from the store's own thread, or at once in this one, when the outcome is
                durable, with (None, whether it was the running attempt); or, if it could not be
                recorded, with the error and False. Must be quick and must not raise.
        """

    def mark_lost(self, at: datetime) -> Sequence[Run]:
        """Give every unfinished run whose owner is dead the status `lost`, and return them.

        An owner is one opening of the store; it is dead when its process no longer holds the lock
        that it took then, however it ended.
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
        """Return each job's newest run, by job key."""

    def last_success(self, job_key: str) -> datetime | None:
        """Return the fire time of the job's newest run that succeeded, in UTC."""

    def gaps(
        self, *, job_key: str | None = None, since: datetime | None = None, limit: int | None = None
    ) -> Sequence[Gap]:
        """Return gaps, newest first.

        Args:
            job_key: Only of this job.
            since: Only those whose last fire time is at or after this.
            limit: At most so many.
        """

    def close(self) -> None:
        """Record what is queued, and let go of the store; calling it again does nothing."""
