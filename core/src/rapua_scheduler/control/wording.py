"""What is recorded, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta, tzinfo

from rapua_scheduler.control.instants import moment
from rapua_scheduler.planner import MOST_LOSSES
from rapua_scheduler.run import Gap, GapReason, PastAttempt, Run, RunStatus, Trigger, Window, WindowKind

_REASONS = {
    GapReason.MISSED: "missed",
    GapReason.SUPERSEDED: "superseded by a newer fire time",
    GapReason.SKIPPED: "skipped",
    GapReason.PAUSED: "the job was paused",
    GapReason.HELD: "everything was held",
}
_WINDOWS = {
    WindowKind.PAUSED: "paused",
    WindowKind.ABSENT: "not there",
    WindowKind.FAILED: "its plugin could not be loaded,",
    WindowKind.HELD: "everything is held",
}
_UNITS = ((86_400, "days"), (3600, "hours"), (60, "minutes"))


def describe_run(run: Run, zone: tzinfo) -> Iterator[str]:
    """Yield what can be said of a run."""
    by = f", asked for by {run.asked_by}" if run.asked_by else ""
    text = f"run {run.run_id} ({run.trigger.value}{by}) for {moment(run.fire_time, zone)}"
    if run.status is RunStatus.QUEUED:
        tried = f"; attempt {run.attempt} was the last so far" if run.started_at is not None else ""
        yield f"{text} waits for its turn{tried}"
    elif run.status is RunStatus.RUNNING:
        progress = f", {run.done} of {'?' if run.total is None else run.total} done" if run.done is not None else ""
        yield f"{text} is running since {moment(run.started_at, zone)}, attempt {run.attempt}{progress}"
    else:
        yield f"{text} ended {run.status.value} at {moment(run.finished_at, zone)}, attempt {run.attempt}"
    if run.error is not None:
        yield f"its error: {last_line(run.error)}"
    if run.losses:
        yield f"its host died {run.losses} times during it"
    if run.status in {RunStatus.LOST, RunStatus.INTERRUPTED}:
        if run.trigger is Trigger.MANUAL:
            yield "it did not come to its end; one that was asked for by hand is not run again by itself"
        elif run.losses >= MOST_LOSSES:
            yield "it did not come to its end, and is not run again, as it may be what its hosts died of"
        else:
            yield "it did not come to its end; a host runs it again at its next start, unless the job says otherwise"
    elif run.trigger is Trigger.RERUN:
        yield "it was run again, as it had not come to its end before"


def describe_attempt(attempt: PastAttempt, zone: tzinfo) -> str:
    """Return what can be said of a past attempt."""
    error = f": {last_line(attempt.error)}" if attempt.error else ""
    return f"attempt {attempt.attempt} ended {attempt.status.value} at {moment(attempt.finished_at, zone)}{error}"


def describe_gap(gap: Gap) -> str:
    """Return why fire times were not run."""
    return _REASONS[gap.reason] + (f": {gap.detail}" if gap.detail else "")


def describe_window(window: Window, zone: tzinfo) -> str:
    """Return what kept, or keeps, a job from running."""
    until = f" until {moment(window.until, zone)}" if window.until is not None else ""
    by = f" by {window.by}" if window.by and window.kind is WindowKind.PAUSED else ""
    return f"{_WINDOWS[window.kind]}{by} since {moment(window.since, zone)}{until}: {window.reason}"


def last_line(text: str | None) -> str:
    """Return the last line of *text* that is not blank; "" for None."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def counted(number: int, noun: str) -> str:
    """Return *number* with *noun*, in the plural unless it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def about(duration: timedelta) -> str:
    """Return roughly how long *duration* is."""
    seconds = int(duration.total_seconds())
    for unit, name in _UNITS:
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} seconds"
