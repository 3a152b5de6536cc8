"""The answers to `why`, as values."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import frozen

from rapua_scheduler.run import Gap, PastAttempt, Run, Window


class Answer(StrEnum):
    """What can be said of an instant, or of now.

    Of an instant: it was `run`; it was not, for the reason of a `gap`; it is `not_a_fire_time`; it lies
    `before_first_seen`; it is `to_come`; it has come and is `undecided` yet; its record is `forgotten`, as
    it is older than what is kept; or one `cannot_tell`. Of `now`: the facts.
    """

    RUN = "run"
    GAP = "gap"
    NOT_A_FIRE_TIME = "not_a_fire_time"
    BEFORE_FIRST_SEEN = "before_first_seen"
    TO_COME = "to_come"
    UNDECIDED = "undecided"
    FORGOTTEN = "forgotten"
    CANNOT_TELL = "cannot_tell"
    NOW = "now"


@frozen(kw_only=True)
class Explanation:
    """The answer to `why`.

    Attributes:
        job_key: The job.
        at: The instant that was asked about, in UTC; None for now.
        answer: What can be said.
        lines: The answer in words, the most important line first.
        run: The run of that fire time; or the one on account of which it was not run.
        attempts: That run's past attempts, oldest first.
        gap: The stretch that it lies in.
        windows: What kept, or keeps, the job from running then.
        previous_fire_time: The nearest one before, in UTC; None if there is none, or it is not known.
        next_fire_time: The nearest one after, in UTC.
    """

    job_key: str
    at: datetime | None
    answer: Answer
    lines: tuple[str, ...]
    run: Run | None = None
    attempts: tuple[PastAttempt, ...] = ()
    gap: Gap | None = None
    windows: tuple[Window, ...] = ()
    previous_fire_time: datetime | None = None
    next_fire_time: datetime | None = None
