"""What became of fire times: runs and gaps, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from attrs import frozen

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
        return self not in {RunStatus.QUEUED, RunStatus.RUNNING}


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
        return self in {Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.RERUN}


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
        started_at: When the last attempt was started, in UTC; None while queued.
        finished_at: When it ended, in UTC; None while it is going on.
        result: What the job returned.
        error: Why it failed.
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


@frozen
class Decision:
    """What one look at a job decided about its fire times; stored as one.

    Attributes:
        job_key: The job.
        mark: Every fire time up to here is decided on now, in UTC.
        next_fire_time: The first fire time later than the mark, in UTC; None if there is none, or if
            it is not known yet.
        run: The run to start, if one is; stored as running, with its first attempt.
        gaps: The stretches that are not run, oldest first.
    """

    job_key: str
    mark: datetime
    next_fire_time: datetime | None
    run: Run | None = None
    gaps: tuple[Gap, ...] = ()
