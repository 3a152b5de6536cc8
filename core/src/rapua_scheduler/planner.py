"""Decide what becomes of a job's fire times, and when a failed run is tried again; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from rapua_scheduler.fire_times import FireTime, Stretch, Survey
from rapua_scheduler.policy import CatchUp, CatchUpMode, Overlap, Retry
from rapua_scheduler.run import Decision, Gap, GapReason, Run, RunStatus, Trigger, Window, WindowKind, fold_gaps

ON_TIME = timedelta(seconds=60)
"""A fire time that is at most this late is run as scheduled."""

MOST_CAUGHT_UP = 100
"""How many fire times `catch_up="all"` makes up at most."""

MOST_WAITING = 100
"""How many runs of a job may wait for their turn before a further fire time is skipped."""

MOST_LOSSES = 3
"""After how many deaths of a host during one run its job is paused."""

_NOT_MADE_UP = {WindowKind.PAUSED: GapReason.PAUSED, WindowKind.ABSENT: GapReason.MISSED}


@frozen
class Standing:
    """What is under way of a job at the moment it is decided on.

    Attributes:
        active: Ids of the runs that have been started and are not at their end, waits between two
            attempts included; oldest first.
        waiting: Ids of the runs that wait for their turn, oldest first.
        replaceable: Those of the waiting that a newer fire time may take the place of.
        is_catching_up: Whether any of them makes up for a fire time that has passed.
        must_wait: Whether nothing of it may start now: a job that shares its concurrency key has one executing,
            or it is paused.
    """

    active: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    replaceable: tuple[str, ...] = ()
    is_catching_up: bool = False
    must_wait: bool = False


IDLE = Standing()
"""Nothing of the job is under way."""


@frozen
class Place:
    """Where a run goes that is to be added to what is under way.

    Attributes:
        status: `running` to start now, `queued` to wait for its turn; None if it is skipped.
        why_skipped: The reason, for a person.
        cancels: Runs that are to be cancelled for it.
        replaces: Waiting runs that it takes the place of.
    """

    status: RunStatus | None
    why_skipped: str = ""
    cancels: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


@frozen
class Verdict:
    """What is to be recorded about a job's fire times, and what follows for its other runs.

    Attributes:
        decision: To be recorded as one.
        cancels: Active runs to be cancelled.
        replaces: Waiting runs that will not be started.
    """

    decision: Decision
    cancels: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


@frozen
class _Answer:
    """What becomes of some fire times in a row: a run of one, or a gap."""

    first: datetime
    last: datetime
    count: int | None
    fire_time: FireTime | None = None
    trigger: Trigger | None = None
    reason: GapReason = GapReason.MISSED
    detail: str = ""


def kept_by(catch_up: CatchUp) -> int:
    """Return how many of the newest fire times a decision by this policy needs to know."""
    return MOST_CAUGHT_UP + 1 if catch_up.mode is CatchUpMode.ALL else 1  # the newest may be on time


def decide(
    job_key: str,
    survey: Survey,
    now: datetime,
    *,
    catch_up: CatchUp,
    overlap: Overlap,
    standing: Standing,
    new_run_id: Callable[[], str],
    started_at: datetime,
) -> Verdict:
    """Return what becomes of every fire time of *survey*, which has at least one.

    The newest is run as scheduled if it is at most 60 s late. What has passed is made up as *catch_up*
    says, except in windows in which nothing is made up.

    Args:
        job_key: The job.
        survey: The fire times that have come.
        now: The current time, in UTC, by which lateness is told.
        catch_up: The job's policy for fire times that have passed.
        overlap: Its policy for a fire time while a run is under way.
        standing: What is under way.
        new_run_id: Makes the id of a run.
        started_at: What a run that starts now has as its start, in UTC.
    """
    if standing is IDLE and _is_one_on_time(survey, now):
        due = survey.stretches[0].kept[0]
        run = Run(new_run_id(), job_key, due.at, due.key, Trigger.SCHEDULE, RunStatus.RUNNING, started_at=started_at)
        return Verdict(Decision(job_key, due.at, survey.next, (run,)))
    answers = list(_answers(survey.stretches, now, catch_up))
    runs: list[Run] = []
    place = Place(None)
    for number, answer in enumerate(answers):
        if answer.fire_time is None or answer.trigger is None:
            continue
        if answer.trigger is Trigger.SCHEDULE:
            place = place_of(overlap, _after(standing, runs))
        else:
            is_free = not (standing.active or standing.waiting or standing.must_wait or runs)
            place = Place(RunStatus.RUNNING if is_free else RunStatus.QUEUED)
        if place.status is None:
            skipped = evolve(answer, fire_time=None, reason=GapReason.SKIPPED, detail=place.why_skipped)
            answers[number] = skipped
            continue
        runs.append(
            Run(
                new_run_id(),
                job_key,
                answer.fire_time.at,
                answer.fire_time.key,
                answer.trigger,
                place.status,
                started_at=started_at if place.status is RunStatus.RUNNING else None,
            )
        )
    gaps = [
        Gap(job_key, answer.first, answer.last, answer.count, answer.reason, answer.detail)
        for answer in answers
        if answer.fire_time is None
    ]
    claimed = [stretch.first for stretch in survey.stretches if stretch.is_claimed]
    folded = fold_gaps(None, gaps, [*claimed, *(run.fire_time for run in runs)])
    decision = Decision(job_key, survey.stretches[-1].end, survey.next, tuple(runs), tuple(folded))
    return Verdict(decision, place.cancels, place.replaces)


def piece_by_piece(decision: Decision) -> tuple[Decision, ...]:
    """Return a decision as several, oldest first, each on one run or gap; the last moves the mark alone.

    To be recorded one after another, where all of it together cannot be.
    """
    parts: list[tuple[datetime, Decision]] = [
        (run.fire_time, Decision(decision.job_key, run.fire_time, decision.next_fire_time, (run,)))
        for run in decision.runs
    ]
    parts += [
        (gap.last, Decision(decision.job_key, gap.last, decision.next_fire_time, gaps=(gap,))) for gap in decision.gaps
    ]
    parts.sort(key=lambda part: part[0])
    end = Decision(decision.job_key, decision.mark, decision.next_fire_time)
    return (*(part for _, part in parts), end)


def _is_one_on_time(survey: Survey, now: datetime) -> bool:
    """Tell whether there is nothing to weigh, as nearly always."""
    stretch = survey.stretches[-1]
    return (
        len(survey.stretches) == len(stretch.kept) == 1
        and stretch.last_before is None
        and stretch.window is None
        and not stretch.is_claimed
        and now - stretch.kept[0].at <= ON_TIME
    )


def _after(standing: Standing, runs: Sequence[Run]) -> Standing:
    if not runs:
        return standing
    waiting = (*standing.waiting, *(run.run_id for run in runs))
    return evolve(standing, waiting=waiting, is_catching_up=True)


def place_of(overlap: Overlap, standing: Standing) -> Place:
    """Return where a run at its fire time, or one by hand, goes beside what is under way.

    What makes up for the past is a queue that a run joins at its end, whatever the policy.
    """
    is_under_way = bool(standing.active or standing.waiting)
    if standing.is_catching_up:
        return _queued(standing)
    if not is_under_way or overlap is Overlap.ALLOW:
        if standing.must_wait:
            return _queued(standing)
        return Place(RunStatus.RUNNING)
    if overlap is Overlap.SKIP:
        return Place(None, f"run {(*standing.active, *standing.waiting)[0]} had not ended")
    if overlap is Overlap.QUEUE_ALL:
        return _queued(standing)
    cancels = standing.active if overlap is Overlap.CANCEL_PREVIOUS else ()
    return Place(RunStatus.QUEUED, cancels=cancels, replaces=standing.replaceable)


def _queued(standing: Standing) -> Place:
    most = MOST_WAITING + MOST_CAUGHT_UP if standing.is_catching_up else MOST_WAITING
    if len(standing.waiting) >= most:
        return Place(None, f"{len(standing.waiting)} runs were waiting already")
    return Place(RunStatus.QUEUED)


def _answers(stretches: Sequence[Stretch], now: datetime, catch_up: CatchUp) -> Iterator[_Answer]:
    """Yield what becomes of all fire times but those claimed already, oldest first, before overlap is looked at."""
    newest = stretches[-1].kept[-1] if stretches[-1].kept and _may_run(stretches[-1]) else None
    on_time = newest if newest is not None and now - newest.at <= ON_TIME else None
    made_up = _made_up(stretches, now, catch_up, on_time)
    for stretch in stretches:
        if stretch.is_claimed:
            continue
        reason, detail = _why_not(stretch.window, catch_up)
        if not stretch.kept:
            yield _Answer(stretch.first, stretch.end, None, reason=GapReason.MISSED, detail=stretch.unknown)
            continue
        if stretch.last_before is not None:
            yield _Answer(stretch.first, stretch.last_before, stretch.earlier, reason=reason, detail=detail)
        for fire_time in stretch.kept:
            trigger = Trigger.SCHEDULE if fire_time is on_time else Trigger.CATCH_UP
            if fire_time is on_time or fire_time in made_up:
                yield _Answer(fire_time.at, fire_time.at, 1, fire_time, trigger)
            elif _is_too_late(fire_time, now, catch_up) and _may_run(stretch):
                why = f"more than {catch_up.within} late"
                yield _Answer(fire_time.at, fire_time.at, 1, reason=GapReason.MISSED, detail=why)
            else:
                yield _Answer(fire_time.at, fire_time.at, 1, reason=reason, detail=detail)


def _made_up(
    stretches: Sequence[Stretch], now: datetime, catch_up: CatchUp, on_time: FireTime | None
) -> frozenset[FireTime]:
    if catch_up.mode is CatchUpMode.NONE or (catch_up.mode is CatchUpMode.LATEST and on_time is not None):
        return frozenset()
    passed = [
        fire_time
        for stretch in stretches
        if _may_run(stretch)
        for fire_time in stretch.kept
        if fire_time is not on_time
    ]
    newest = passed[-MOST_CAUGHT_UP:] if catch_up.mode is CatchUpMode.ALL else passed[-1:]
    return frozenset(fire_time for fire_time in newest if not _is_too_late(fire_time, now, catch_up))


def _is_too_late(fire_time: FireTime, now: datetime, catch_up: CatchUp) -> bool:
    return (
        catch_up.mode is not CatchUpMode.NONE and catch_up.within is not None and now - fire_time.at > catch_up.within
    )


def _may_run(stretch: Stretch) -> bool:
    return stretch.window is None or stretch.window.kind not in _NOT_MADE_UP


def _why_not(window: Window | None, catch_up: CatchUp) -> tuple[GapReason, str]:
    """Return why fire times of a stretch are not run, if they are not."""
    if window is not None and window.kind in _NOT_MADE_UP:
        by = f" by {window.by}" if window.by and window.kind is WindowKind.PAUSED else ""
        return _NOT_MADE_UP[window.kind], f"{window.kind.value}{by}: {window.reason}"
    if window is not None:
        return GapReason.HELD, window.reason
    if catch_up.mode is CatchUpMode.LATEST:
        return GapReason.SUPERSEDED, ""
    return GapReason.MISSED, "" if catch_up.mode is CatchUpMode.NONE else f"only {MOST_CAUGHT_UP} are made up"


def retry_delay(retry: Retry, run: Run) -> timedelta | None:
    """Return how long to wait until a run whose attempt has just failed is tried again; None if it is not.

    The wait doubles with each failure up to the cap, and is lengthened by up to a tenth, by a share
    that depends on the run and the failure only.

    Args:
        retry: The job's policy.
        run: The run; its failures do not count the one at hand yet.
    """
    if run.failures + 1 >= retry.attempts:
        return None
    seconds = min(retry.delay.total_seconds() * 2.0 ** min(run.failures, 60), retry.cap.total_seconds())
    return timedelta(seconds=seconds * (1 + 0.1 * share_of(f"{run.run_key} {run.failures}")))


def lag_of(job_key: str, jitter: timedelta | None, shortest_gap: timedelta | None) -> timedelta:
    """Return by how much a job starts later than its fire times: a share of *jitter* that the key decides.

    Args:
        job_key: The job.
        jitter: The longest delay; None is no delay.
        shortest_gap: Between two fire times; the delay stays below it. None if there is no second one.
    """
    if jitter is None:
        return timedelta(0)
    longest = jitter if shortest_gap is None else min(jitter, shortest_gap)
    return longest * share_of(job_key)


def share_of(text: str) -> float:
    """Return a number from 0 to below 1 that looks drawn, and is always the same for *text*."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest()) / 2**48
