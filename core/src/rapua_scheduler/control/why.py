"""Say why: of one instant what became of it for a job, and of now what the job is at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rapua_scheduler.control.cases import AskNext, Case
from rapua_scheduler.control.explanations import Answer, Explanation
from rapua_scheduler.control.listings import UNFINISHED
from rapua_scheduler.control.previews import ask_next
from rapua_scheduler.control.wording import about, describe_attempt, describe_gap, describe_run, describe_window
from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.job import takes_after
from rapua_scheduler.run import Gap, GapReason, Run
from rapua_scheduler.store.port import StoredJob

_DECIDED_WITHIN = timedelta(seconds=60)


def explain_now(case: Case) -> Explanation:
    """Return what a job is at."""
    after = case.now if case.stored is None else max(case.now, case.stored.mark)
    next_function = case.next_function(after)
    following, problem = _following(case, next_function, after)
    under_way = list(case.store.runs(job_key=case.job_key, statuses=UNFINISHED))
    newest = next(iter(case.store.runs(job_key=case.job_key, limit=1)), None)
    gap = next(iter(case.store.gaps(job_key=case.job_key, limit=1)), None)
    lines = case.obstacles()
    if problem:
        lines.append(f"broken: {problem}")
    for run in under_way:
        lines += describe_run(run, case.zone)
    if following is not None:
        lines.append(f"next fire time: {case.when(following)} ({case.schedule(next_function)})")
    elif not problem:
        lines.append("next fire time: none is known")
    if newest is None:
        lines.append("it has never run")
    elif newest not in under_way:
        lines += describe_run(newest, case.zone)
    if gap is not None and (newest is None or gap.last > newest.fire_time):
        lines.append(f"last fire time not run: {case.when(gap.last)}, {describe_gap(gap)}")
    return Explanation(
        job_key=case.job_key,
        at=None,
        answer=Answer.NOW,
        lines=tuple(lines),
        run=under_way[0] if under_way else newest,
        gap=gap,
        windows=tuple(case.windows),
        next_fire_time=following,
    )


def _following(case: Case, next_function: AskNext | None, after: datetime) -> tuple[datetime | None, str]:
    if next_function is not None and takes_after(next_function):
        try:
            return ask_next(next_function, after, case.zone), ""
        except BrokenNextError as error:
            return None, error.problem
    return (None if case.stored is None else case.stored.next_fire_time), ""


def explain_instant(case: Case, at: datetime) -> Explanation:
    """Return what became, or becomes, of an instant (aware) for a job: exactly one answer for any instant."""
    at = at.astimezone(UTC)
    run = case.store.run_at(case.job_key, at)
    if run is not None:
        return _was_run(case, at, run)
    gaps = case.store.gaps(job_key=case.job_key, since=at)
    gap = next((gap for gap in gaps if gap.first <= at <= gap.last), None)
    if gap is not None and at in {gap.first, gap.last}:
        return _was_not_run(case, at, gap, is_certain=True)
    next_function = case.next_function(at)
    is_one = case.is_fire_time(next_function, at)
    if is_one is None and case.stored is not None and at == case.stored.next_fire_time:
        is_one = True
    if is_one is False and (gap is None or case.is_counted_by(next_function, gap)):
        return _is_none(case, at, next_function)
    if gap is not None:
        return _was_not_run(case, at, gap, is_certain=is_one is True)
    if case.stored is None:
        return _say(case, at, Answer.BEFORE_FIRST_SEEN, "no host has had this job yet", *case.obstacles())
    return _unrecorded(case, at, case.stored, next_function, is_certain=is_one is True)


def _unrecorded(
    case: Case, at: datetime, stored: StoredJob, next_function: AskNext | None, *, is_certain: bool
) -> Explanation:
    """Explain an instant that may be a fire time, and of which nothing is recorded."""
    if at <= min(stored.first_seen_at, stored.mark):
        text = f"the job was not known yet: a host first had it at {case.when(stored.first_seen_at)}"
        return _say(case, at, Answer.BEFORE_FIRST_SEEN, text)
    if not is_certain:
        return _say(case, at, Answer.CANNOT_TELL, _why_unknown(next_function))
    if at <= stored.mark:
        return _was_decided(case, at, stored, next_function)
    if at > case.now:
        text = f"to come: {case.when(at)} is a fire time of the job"
        return _say(case, at, Answer.TO_COME, text, *case.obstacles(), windows=tuple(case.windows))
    text = f"not decided on yet: {case.when(at)} is a fire time of the job"
    reasons = case.obstacles() or [_why_undecided(case.now - at)]
    return _say(case, at, Answer.UNDECIDED, text, *reasons, windows=tuple(case.windows))


def _was_run(case: Case, at: datetime, run: Run) -> Explanation:
    attempts = tuple(case.store.attempts(run.run_id))
    lines = [*describe_run(run, case.zone), *(describe_attempt(attempt, case.zone) for attempt in attempts)]
    return _say(case, at, Answer.RUN, *lines, run=run, attempts=attempts)


def _was_not_run(case: Case, at: datetime, gap: Gap, *, is_certain: bool) -> Explanation:
    text = f"not run: {describe_gap(gap)}"
    lines = [text if is_certain else f"if it was a fire time: {text}"]
    if gap.first != gap.last:
        many = "an unknown number of" if gap.count is None else str(gap.count)
        lines.append(f"one of {many} fire times from {case.when(gap.first)} to {case.when(gap.last)}")
    run = _run_in_the_way(case, gap)
    if run is not None:
        lines += describe_run(run, case.zone)
    windows = case.store.windows(job_key=case.job_key, since=at)
    covering = tuple(window for window in windows if window.covers(at))
    lines += [describe_window(window, case.zone) for window in covering]
    return _say(case, at, Answer.GAP, *lines, run=run, gap=gap, windows=covering)


def _run_in_the_way(case: Case, gap: Gap) -> Run | None:
    """Return the run that a gap names, or that took the place of its fire times."""
    if gap.reason is GapReason.SUPERSEDED:
        later = [run for run in case.scheduled_runs() if run.fire_time > gap.last]
        return min(later, key=lambda run: run.fire_time, default=None)
    words = gap.detail.split() if gap.reason is GapReason.SKIPPED else []
    return next((run for word in words if "-" in word and (run := case.store.run(word)) is not None), None)


def _is_none(case: Case, at: datetime, next_function: AskNext | None) -> Explanation:
    previous, following = case.around(next_function, at)
    by_hand = [run for run in case.store.runs(job_key=case.job_key) if run.fire_time == at]
    return _say(
        case,
        at,
        Answer.NOT_A_FIRE_TIME,
        f"{case.when(at)} is not a fire time of the job: it fires {case.schedule(next_function)}",
        f"the nearest are {case.when(previous)} before, and {case.when(following)} after",
        *(line for run in by_hand for line in describe_run(run, case.zone)),
        run=by_hand[0] if by_hand else None,
        previous_fire_time=previous,
        next_fire_time=following,
    )


def _was_decided(case: Case, at: datetime, stored: StoredJob, next_function: AskNext | None) -> Explanation:
    """Explain a fire time that the mark has passed, and that left no record."""
    if at > case.now:
        text = f"decided on before the clock was set back; up to {case.when(stored.mark)} nothing runs"
        return _say(case, at, Answer.FORGOTTEN, text, *case.obstacles())
    forgotten = case.store.forgotten_until(case.job_key)
    if at < case.now - case.retention or (forgotten is not None and at <= forgotten):
        lines = [f"its record is not kept any more; records are kept for {case.retention.days} days at most"]
        if forgotten is not None:
            lines.append(f"some of this job are forgotten, up to {case.when(forgotten)}")
        return _say(case, at, Answer.FORGOTTEN, *lines)
    previous, following = case.around(next_function, at)
    return _say(
        case,
        at,
        Answer.NOT_A_FIRE_TIME,
        f"it was no fire time when it was decided on: the job did not fire {stored.schedule} then",
        previous_fire_time=previous,
        next_fire_time=following,
    )


def _why_undecided(late: timedelta) -> str:
    if late <= _DECIDED_WITHIN:
        return "it is due now, and being decided on"
    return (
        f"it has been due for {about(late)}, and the active host has not decided on it: the store may fail, or the "
        "job's next function be broken; the host's log says which"
    )


def _why_unknown(next_function: AskNext | None) -> str:
    if next_function is None:
        why = "the job's schedule of that time is not known any more"
    elif takes_after(next_function):
        why = "the job's next function misbehaves; see `rapua-scheduler jobs`"
    else:
        why = "the job's next function takes no argument, and can be asked about no time but its next"
    return f"nothing is recorded for it, and whether it is a fire time cannot be told: {why}"


def _say(case: Case, at: datetime, answer: Answer, *lines: str, **more: Any) -> Explanation:
    return Explanation(job_key=case.job_key, at=at, answer=answer, lines=lines, **more)
