"""What every store holds to, wherever it keeps things."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from attrs import evolve

from rapua_scheduler.run import Decision, Gap, Outcome, Run


def check_decisions(decisions: Iterable[Decision]) -> None:
    """Refuse decisions that contradict themselves.

    Raises:
        ValueError: A run or gap is of another job, a run's fire time is later than the mark, or its
            trigger consumes no fire time.
    """
    for decision in decisions:
        for gap in decision.gaps:
            if gap.job_key != decision.job_key:
                raise ValueError(f"a gap of {gap.job_key} is no part of a decision on {decision.job_key}")
        run = decision.run
        if run is None:
            continue
        if run.job_key != decision.job_key:
            raise ValueError(f"run {run.run_id} of {run.job_key} is no part of a decision on {decision.job_key}")
        if run.fire_time > decision.mark:
            raise ValueError(f"run {run.run_id} is for {run.fire_time}, on which mark {decision.mark} does not decide")
        if not run.trigger.consumes_fire_time:
            raise ValueError(f"run {run.run_id} is {run.trigger}, which consumes no fire time; claim it instead")


def check_manual(run: Run) -> None:
    """Refuse a run that must be decided on.

    Raises:
        ValueError: Its trigger consumes a fire time.
    """
    if run.trigger.consumes_fire_time:
        raise ValueError(f"run {run.run_id} is {run.trigger}, which consumes a fire time; decide on it instead")


def check_outcome(run_id: str, outcome: Outcome) -> None:
    """Refuse an outcome that is none.

    Raises:
        ValueError: Its status is not final.
    """
    if not outcome.status.is_final:
        raise ValueError(f"run {run_id} cannot end as {outcome.status}")


def fold_gaps(newest: Gap | None, gaps: Iterable[Gap], claimed: datetime | None) -> list[Gap]:
    """Return gaps of one job with those made one that adjoin and say the same, oldest first.

    Args:
        newest: The newest that is stored, if no run was claimed since; it then is the first of those
            returned, the same object unless it was extended.
        gaps: Those that are to be stored, oldest first.
        claimed: The fire time of the run that is claimed together with them, if one is.
    """
    folded = [] if newest is None else [newest]
    for gap in gaps:
        if folded and _adjoin(folded[-1], gap, claimed):
            folded[-1] = _one(folded[-1], gap)
        else:
            folded.append(gap)
    return folded


def _adjoin(older: Gap, newer: Gap, claimed: datetime | None) -> bool:
    if (older.reason, older.detail) != (newer.reason, newer.detail) or newer.first <= older.last:
        return False
    return claimed is None or not older.last < claimed < newer.first


def _one(older: Gap, newer: Gap) -> Gap:
    count = None if older.count is None or newer.count is None else older.count + newer.count
    return evolve(older, last=newer.last, count=count)
