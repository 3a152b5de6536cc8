"""The store port: what the engine and the command line ask of a store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import evolve, frozen

from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import (
    Decision,
    Gap,
    LogLine,
    Outcome,
    PastAttempt,
    Run,
    RunStatus,
    Start,
    Window,
    WindowKind,
)

NO_JOB = ""
"""The key that no job has."""


@frozen
class FormerSchedule:
    """A schedule that a job has had.

    Attributes:
        fingerprint: Its fingerprint.
        until: When a host first had the job with the next one, in UTC: what was due up to here is due by it.
    """

    fingerprint: str
    until: datetime


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
        formers: The schedules that it had before, oldest first; those long past are forgotten.
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
    formers: tuple[FormerSchedule, ...] = ()


@frozen
class HostRecord:
    """The host that is, or was last, active on a store.

    Attributes:
        pid: Its process.
        host_name: The machine it runs on.
        started_at: When it opened the store, in UTC.
        alive_at: When it last said that it was alive, in UTC; None if it never did.
        is_active: Whether it is the active host now.
    """

    pid: int
    host_name: str
    started_at: datetime
    alive_at: datetime | None
    is_active: bool


PartUntil = Callable[[str, Gap, datetime], Gap]
"""Gives the part of a gap up to an instant within it, and the fingerprint of its job's schedule."""


def unknown_part(_: str, gap: Gap, until: datetime) -> Gap:
    """Return the part of a gap up to an instant without knowing how many fire times it has."""
    return evolve(gap, last=until, count=None)


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

    def host(self) -> HostRecord | None:
        """Return the active host, or else the last one; None if there never was one."""

    def declare(
        self, jobs: Sequence[RegisteredJob], at: datetime, *, adopt_from: datetime | None = None
    ) -> Mapping[str, StoredJob]:
        """Record that these jobs are installed, and return what is stored of each.

        A job that is seen for the first time gets *at* as its mark, so that there is nothing to catch
        up, or *adopt_from*, if that is given. If it is not known under its key, but under one that it
        had formerly and that is not among *jobs*, then everything that is recorded under that key is
        its own from now on. For one that is known, name, provider, schedule and last_seen_at are
        replaced, and the mark stays; if the schedule's fingerprint is another one now, the one before
        becomes a former one, until *at*. A former one that was until a later time, by a clock that was
        ahead, was until *at*, or until the mark if that is later. An `absent` or `failed` window of one of
        these jobs ends. Jobs that are not named stay as they are.

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
        only for a fire time later than the job's stored mark; a decision without runs, only if its
        own mark is. A mark never moves back. What is not later, somebody else has decided on: nothing
        of that decision is recorded, and the others are. A run is recorded with its status, `running`
        or `queued`, with attempt 1 and its own started_at, and is this opening's.

        A gap that follows the job's newest, with the same reason and detail and no claim in between,
        becomes one with it.

        Returns:
            For each decision, whether it was recorded, and its runs, if any, are this caller's.

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

    def enqueue(self, runs: Sequence[Run]) -> None:
        """Record, durably, runs that consume no fire time (manual, backfill) as queued, and nobody's yet.

        The active host takes them within a second, or the next one when it starts.

        Raises:
            StoreError: None was recorded; an id may be taken.
            ValueError: A trigger consumes a fire time, or a status is not `queued`.
        """

    def take_queued(self) -> Sequence[Run]:
        """Make every queued run that is nobody's, or a dead owner's, this opening's; oldest claim first."""

    def begin(self, starts: Sequence[Start]) -> Sequence[bool]:
        """Record, in one durable transaction, that queued runs of this opening execute.

        Returns:
            For each, whether it was queued and this opening's, and nobody has asked to cancel it: it is
            `running` now, with that attempt and start. One that is not must not be started.
        """

    def drop(self, run_id: str, outcome: Outcome) -> bool:
        """End, durably, a run that is queued: it will not be started (again).

        Returns:
            Whether it was queued. One that executes meanwhile is left as it is.

        Raises:
            ValueError: The outcome's status is not final.
        """

    def finish(
        self,
        run_id: str,
        attempt: int,
        outcome: Outcome,
        then: Callable[[Exception | None, bool], None],
        *,
        again: bool = False,
        log: Sequence[LogLine] = (),
    ) -> None:
        """Record the end of an attempt, without waiting for it.

        Args:
            run_id: The run.
            attempt: The attempt that ended; recorded only if it is the one that is running, and the run
                is this opening's.
            outcome: How it ended; `interrupted` is `cancelled` if somebody has asked for that. Its error
                is cut at 64 KiB, and then says so.
            then: Called from the store's own thread, or at once in this one, when the outcome is
                durable, with (None, whether it was the running attempt); or, if it could not be
                recorded, with the error and False. Must be quick, must not raise, and must not close
                the store.
            again: Whether there will be another attempt: this one is kept as a past attempt, the
                run's failures become one more, and the run is queued.
            log: Lines to be kept with the run, after those that are.

        Raises:
            ValueError: The outcome's status is not final.
        """

    def report(self, run_id: str, attempt: int, *, done: int | None, total: int | None, log: Sequence[LogLine]) -> None:
        """Keep the progress of a running attempt, and lines of its log, without waiting for it.

        None leaves what is kept. Of an attempt that is not this opening's running one nothing is kept.
        What cannot be recorded is lost.
        """

    def mark_lost(self, at: datetime) -> Sequence[Run]:
        """Give every running run whose owner is dead the status `lost`, and return them, oldest claim first.

        One that somebody has asked to cancel is `cancelled` instead.

        An owner is one opening of the store; it is dead when it was closed, or its process has ended,
        however it did. Each such run's losses become one more.
        """

    def unanswered(self) -> Sequence[Run]:
        """Return the runs that ended `lost` or `interrupted` and are not answered yet, oldest claim first.

        Those that consume a fire time, and backfills; not what was run by hand. An answer is `rerun`
        or `leave`.
        """

    def rerun(self, run_id: str) -> Run | None:
        """Queue, durably, an unanswered run again, as this opening's.

        The attempt that ended is kept as a past one. Unless it is a backfill, the run's trigger is
        `rerun` from now on.

        Returns:
            The run as it is now, its attempt still the one that ended; None if it is answered already.
        """

    def reopen(self, job_key: str, fire_key: str) -> Run | None:
        """Queue, durably, a run of a fire time again that has ended, as `rerun` does, however it ended.

        For when the effect is found not to be there. Returns None if there is no such run that
        consumes a fire time, or if it has not ended.
        """

    def leave(self, run_ids: Collection[str]) -> None:
        """Answer runs that ended unfinished: they stay as they are."""

    # -- the operator's word: state, which the active host looks at each second

    def pause(self, job_key: str, at: datetime, reason: str, by: str) -> bool:
        """Begin a `paused` window of a job.

        Returns:
            False if it is paused already; then nothing changes.

        Raises:
            UnknownJobError: It was never declared.
        """

    def resume(self, job_key: str, at: datetime) -> bool:
        """End a job's `paused` window; False if it is not paused.

        Raises:
            UnknownJobError: It was never declared.
        """

    def hold(self, at: datetime, reason: str) -> None:
        """Begin a `held` window of all jobs, unless there is one."""

    def release(
        self, at: datetime, job_key: str | None = None, *, part_until: PartUntil = unknown_part
    ) -> Sequence[str]:
        """End the `held` window, let *at* count as a sign of life, and lower every mark that is later to *at*.

        A mark that is a few seconds later stays: a host may have gone on meanwhile.

        No former schedule has been until a later time than that.

        No mark is lowered below the newest fire time whose claim was pruned: it alone still guards that.
        Later fire times are decided on anew, so that a gap no longer tells of them. Runs stay, and what
        they have claimed is not claimed again.

        Args:
            at: The time that the operator takes to be right.
            job_key: Lower only this job's mark; `NO_JOB` to lower none.
            part_until: Gives the part that is left of a gap which a mark comes to lie within.

        Returns:
            The keys of the jobs whose marks were lowered.
        """

    def claims_ahead(self) -> Mapping[str, Sequence[datetime]]:
        """Return the claimed fire times later than the mark of their job, oldest first, by its key.

        Only jobs whose marks were lowered have any.
        """

    def set_absent(self, jobs: Mapping[str, tuple[WindowKind, str]], at: datetime) -> None:
        """Record which declared jobs are not there, each with `absent` or `failed` and the reason.

        Begins a window for each that has none of that kind; one of the other kind ends.
        """

    def windows(self, *, job_key: str | None = None, since: datetime | None = None) -> Sequence[Window]:
        """Return windows, oldest first.

        Args:
            job_key: Only of this job, and of all jobs (held).
            since: Only those that last, or ended later than this.
        """

    def request_cancel(self, run_id: str, by: str) -> bool:
        """Ask the run's host to cancel it; False if it has ended, or does not exist.

        One that ended unfinished, and would be run again, is `cancelled` at once.
        """

    def cancel_requests(self) -> Mapping[str, str]:
        """Return the unfinished runs of this opening that are to be cancelled, each with who asked."""

    def word(self) -> int:
        """Return a number that is another one as soon as an operator has said something.

        That is `enqueue`, `pause`, `resume`, `hold`, `release` and `request_cancel`, by any opening of the
        store. Cheap enough to ask each second.
        """

    def note_alive(self, at: datetime) -> None:
        """Record that the host is alive and its clock shows *at*."""

    def releases(self) -> int:
        """Return how often an operator has released anything: all jobs, or one."""

    def alive(self) -> datetime | None:
        """Return what `note_alive` or `release` last recorded, in UTC."""

    # -- listings

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
        id_part: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Run]:
        """Return runs, newest claim first.

        Args:
            job_key: Only of this job.
            since: Only started at or after this.
            statuses: Only with one of these.
            id_part: Only those whose id begins or ends so.
            limit: At most so many.
        """

    def forgotten_until(self, job_key: str) -> datetime | None:
        """Return the newest fire time of a job of which a record was pruned, in UTC; None if none was."""

    def run_at(self, job_key: str, fire_time: datetime) -> Run | None:
        """Return the run that consumes the fire time at this instant; None if there is none."""

    def attempts(self, run_id: str) -> Sequence[PastAttempt]:
        """Return a run's past attempts, oldest first; the last or current one is the run itself."""

    def log_lines(self, run_id: str) -> Sequence[LogLine]:
        """Return what a run wrote to its log, oldest first."""

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

    def prune(self, before: datetime, keep_runs: int, *, most: int = 1000) -> int:
        """Forget ended runs with their attempts and lines, gaps and windows: one durable step.

        Goes what ended before *before*, and of each job the oldest runs and gaps beyond *keep_runs*. Stays,
        however old: what has not ended or is not answered, each job's newest run and newest success.

        Returns:
            How many runs and gaps went, at most about *most*; fewer means that nothing is left to go.
        """

    def close(self) -> None:
        """Record what is queued, and let go of the store; calling it again does nothing."""
