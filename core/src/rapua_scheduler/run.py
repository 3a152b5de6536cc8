"""What became of fire times: runs and gaps, as plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from attrs import evolve, frozen

Scalar = str | int | float | bool | None
"""What a result may consist of."""


class RunStatus(StrEnum):
    """How far a run has come."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether the run has come to an end."""
        return self is not RunStatus.RUNNING and self is not RunStatus.QUEUED


class Trigger(StrEnum):
    """Why a run was started."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"
    RERUN = "rerun"
    MANUAL = "manual"
    BACKFILL = "backfill"

    @property
    def consumes_fire_time(self) -> bool:
        """Whether at most one run with such a trigger exists for one fire key."""
        return self is not Trigger.MANUAL and self is not Trigger.BACKFILL


class GapReason(StrEnum):
    """Why fire times were not run."""

    MISSED = "missed"
    SUPERSEDED = "superseded"
    SKIPPED = "skipped"
    PAUSED = "paused"
    HELD = "held"


@frozen
class Outcome:
    """The end of one attempt.

    Attributes:
        status: A final status.
        finished_at: When it ended, in UTC.
        result: What the job returned, as plain scalars; None if it returned nothing.
        error: Type and text of the exception, with a bounded traceback; None on success.
    """

    status: RunStatus
    finished_at: datetime
    result: Mapping[str, Scalar] | None = None
    error: str | None = None


@frozen
class Run:
    """One job at one fire time.

    Attributes:
        run_id: Unique over all stores; as text, ids sort by the second of the start.
        job_key: The job.
        fire_time: The instant that it was run for, in UTC.
        fire_key: The identity of that fire time; with the job, unique among scheduled runs.
        trigger: Why it was started.
        status: How far it has come.
        attempt: Number of the current or last try, from 1.
        started_at: When the last attempt was started, in UTC; None before the first.
        finished_at: When it ended, in UTC; None while it is going on.
        result: What the job returned.
        error: Why it failed.
        failures: How many of its attempts before the current one failed or timed out.
        losses: How many of them ended with the death of their host.
        asked_by: Who asked for it, if somebody did.
        done: How many items it has reported to be through; None if it reports none.
        total: How many items it said there are.
    """

    run_id: str
    job_key: str
    fire_time: datetime
    fire_key: str
    trigger: Trigger
    status: RunStatus = RunStatus.QUEUED
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Mapping[str, Scalar] | None = None
    error: str | None = None
    failures: int = 0
    losses: int = 0
    asked_by: str = ""
    done: int | None = None
    total: int | None = None

    @property
    def run_key(self) -> str:
        """The key that every attempt at this fire time shares."""
        return f"{self.job_key}@{self.fire_key}"


@frozen
class Gap:
    """A stretch of fire times of one job that were not run, and why.

    Attributes:
        job_key: The job.
        first: The oldest fire time of the stretch, in UTC.
        last: The newest, in UTC.
        count: How many they are; None if there were too many to count.
        reason: Why they were not run.
        detail: More for a person to read, such as the run that was still going on.
    """

    job_key: str
    first: datetime
    last: datetime
    count: int | None
    reason: GapReason
    detail: str = ""


def fold_gaps(
    newest: Gap | None, gaps: Iterable[Gap], claimed: Collection[datetime], *, lowered_from: datetime | None = None
) -> list[Gap]:
    """Return gaps of one job with those made one that adjoin and say the same, oldest first.

    Args:
        newest: The newest that is recorded, if no run was claimed since; it then is the first of those
            returned, the same object unless it was extended.
        gaps: Those that come after it, oldest first.
        claimed: The fire times of the runs that are claimed together with them.
        lowered_from: Up to where there may be other claims between them, as a mark was lowered from there.
    """
    folded = [] if newest is None else [newest]
    for gap in gaps:
        if folded and _adjoin(folded[-1], gap, claimed, lowered_from):
            folded[-1] = _one(folded[-1], gap)
        else:
            folded.append(gap)
    return folded


def _adjoin(older: Gap, newer: Gap, claimed: Collection[datetime], lowered_from: datetime | None) -> bool:
    if lowered_from is not None and older.last <= lowered_from:
        return False
    if (older.reason, older.detail) != (newer.reason, newer.detail) or newer.first <= older.last:
        return False
    return not any(older.last < fire_time < newer.first for fire_time in claimed)


def _one(older: Gap, newer: Gap) -> Gap:
    count = None if older.count is None or newer.count is None else older.count + newer.count
    return evolve(older, last=newer.last, count=count)


@frozen
class Decision:
    """What one look at a job decided about its fire times; stored as one.

    Attributes:
        job_key: The job.
        mark: Every fire time up to here is decided on now, in UTC.
        next_fire_time: The first fire time later than the mark, in UTC; None if there is none, or if
            it is not known yet.
        runs: The runs that are claimed, oldest fire time first; each is stored with its status, which
            is `running`, with its first attempt, or `queued`.
        gaps: The stretches that are not run, oldest first.
    """

    job_key: str
    mark: datetime
    next_fire_time: datetime | None
    runs: tuple[Run, ...] = ()
    gaps: tuple[Gap, ...] = ()


@frozen
class Start:
    """A queued run that is about to execute.

    Attributes:
        run_id: The run.
        attempt: The attempt that starts, from 1.
        at: When, in UTC.
    """

    run_id: str
    attempt: int
    at: datetime


@frozen
class PastAttempt:
    """An attempt at a run that was not its last.

    Attributes:
        attempt: Its number, from 1.
        status: How it ended.
        started_at: When it was started, in UTC.
        finished_at: When it ended, in UTC.
        error: Why it failed.
    """

    attempt: int
    status: RunStatus
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None = None


@frozen
class LogLine:
    """One line that a job wrote to its log, or printed, during a run.

    Attributes:
        at: When, in UTC.
        attempt: The attempt that wrote it.
        level: Such as "info" or "error".
        text: The event and its fields, in one bounded line.
    """

    at: datetime
    attempt: int
    level: str
    text: str


class WindowKind(StrEnum):
    """Why a job, or all of them, did not run for a while."""

    PAUSED = "paused"
    ABSENT = "absent"
    FAILED = "failed"
    HELD = "held"


@frozen
class Window:
    """A stretch of time in which a job did not run, whatever its fire times were.

    Attributes:
        job_key: The job; empty for all of them, as when the clock cannot be trusted.
        kind: `paused` by an operator or by the host; `absent`, as its plugin was not installed or not
            wanted; `failed`, as its plugin could not be loaded; `held`.
        since: When it began, in UTC.
        until: When it ended, in UTC; None while it lasts. A fire time at that instant is outside.
        reason: Why, for a person.
        by: Who began it; "host" if nobody did.
    """

    job_key: str
    kind: WindowKind
    since: datetime
    until: datetime | None
    reason: str
    by: str = ""

    def covers(self, instant: datetime) -> bool:
        """Tell whether *instant* lies within."""
        return self.since <= instant and (self.until is None or instant < self.until)
