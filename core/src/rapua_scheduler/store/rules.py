"""What every store holds to, wherever it keeps things."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

from attrs import evolve

from rapua_scheduler.run import Decision, LogLine, Outcome, Run, RunStatus

MOST_LINES = 1000
"""Lines that are kept of a run's log."""

MOST_LOGGED = 256 * 1024
"""Bytes that are kept of a run's log, in UTF-8."""

AHEAD = timedelta(seconds=5)
"""How far a mark must be ahead of a release for it to be lowered: hosts go on deciding while an operator speaks."""

BY_HOST = "host"
"""Who began a window that nobody did."""

_CLAIMED_AS = {RunStatus.RUNNING, RunStatus.QUEUED}


def check_decisions(decisions: Iterable[Decision]) -> None:
    """Refuse decisions that contradict themselves.

    Raises:
        ValueError: A run or gap is of another job, a run's fire time is later than the mark or
            earlier than that of the run before it, its trigger consumes no fire time, or its status
            is neither `running` nor `queued`.
    """
    for decision in decisions:
        for gap in decision.gaps:
            if gap.job_key != decision.job_key:
                raise ValueError(f"a gap of {gap.job_key} is no part of a decision on {decision.job_key}")
        for run in decision.runs:
            _check_decided(run, decision)
        for older, newer in pairwise(decision.runs):
            if newer.fire_time < older.fire_time:
                raise ValueError(f"run {newer.run_id} is for an earlier time than {older.run_id} before it")


def _check_decided(run: Run, decision: Decision) -> None:
    if run.job_key != decision.job_key:
        raise ValueError(f"run {run.run_id} of {run.job_key} is no part of a decision on {decision.job_key}")
    if run.fire_time > decision.mark:
        raise ValueError(f"run {run.run_id} is for {run.fire_time}, on which mark {decision.mark} does not decide")
    if not run.trigger.consumes_fire_time:
        raise ValueError(f"run {run.run_id} is {run.trigger}, which consumes no fire time; claim it instead")
    if run.status not in _CLAIMED_AS:
        raise ValueError(f"run {run.run_id} cannot be claimed as {run.status}; let it be running or queued")


def check_manual(run: Run) -> None:
    """Refuse a run that must be decided on.

    Raises:
        ValueError: Its trigger consumes a fire time.
    """
    if run.trigger.consumes_fire_time:
        raise ValueError(f"run {run.run_id} is {run.trigger}, which consumes a fire time; decide on it instead")


def check_queued(runs: Iterable[Run]) -> None:
    """Refuse runs that must be decided on, or do not wait.

    Raises:
        ValueError: A trigger consumes a fire time, or a status is not `queued`.
    """
    for run in runs:
        check_manual(run)
        if run.status is not RunStatus.QUEUED:
            raise ValueError(f"run {run.run_id} is {run.status}; only what is queued is enqueued")


def check_outcome(run_id: str, outcome: Outcome) -> None:
    """Refuse an outcome that is none.

    Raises:
        ValueError: Its status is not final.
    """
    if not outcome.status.is_final:
        raise ValueError(f"run {run_id} cannot end as {outcome.status}")


def left_out(count: int, first: LogLine) -> LogLine:
    """Return the line that stands for the *count* lines of a log that were before *first*."""
    return evolve(first, level="warning", text=f"… ({count} earlier lines were left out)")
