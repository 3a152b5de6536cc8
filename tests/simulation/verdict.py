"""Judge a world by what its jobs did and what an independent enumeration of fire times says."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from attrs import evolve

from rapua_scheduler import GapReason
from rapua_scheduler.store.port import FormerSchedule, StoredJob
from tests.core.schedules.oracle import instant, seconds_of, stretches
from tests.simulation.world import GROUP, Effect, Line, World

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GRID_OF_OWN = datetime(2026, 1, 1, tzinfo=UTC)


def judge(world: World) -> list[str]:
    """Return everything that is wrong in a world, one line each."""
    problems = [f"{effect} is not recorded" for effect in world.effects if world.store.inner.run(effect.run_id) is None]
    for key, line in world.lines.items():
        problems += _accounts(world, key, line)
    problems += _repeats(world)
    problems += _overlaps(world)
    problems += _run_though_cancelled(world)
    return problems


def expected(world: World, line: Line, after: datetime, until: datetime) -> list[datetime]:
    """Return the fire times later than *after*, up to *until*, oldest first."""
    if line.grid is not None:
        origin = _GRID_OF_OWN if line.job.key == "own" else _EPOCH
        number = (after - origin) // line.grid + 1
        found = []
        while origin + number * line.grid <= until:
            found.append(origin + number * line.grid)
            number += 1
        return found
    assert line.rule is not None
    first, last = seconds_of(after.replace(microsecond=0)), seconds_of(until.replace(microsecond=0))
    cut = stretches(world.zone, first - 5 * 86_400, last + 5 * 86_400)
    return [found for found in map(instant, line.rule.fire_times(cut)) if after < found <= until]


def _of_all_schedules(world: World, line: Line, stored: StoredJob, until: datetime) -> list[datetime]:
    """Return the fire times of a job, by each of the schedules that it had in its time."""
    if line.job.key != "grid":
        return expected(world, line, stored.first_seen_at, until)
    found: list[datetime] = []
    after = stored.first_seen_at
    for schedule in (*stored.formers, FormerSchedule(stored.fingerprint, until)):
        end = min(until, schedule.until)
        if after < end:
            found += expected(world, evolve(line, grid=world.grids[schedule.fingerprint]), after, end)
            after = end
    return found


def _accounts(world: World, key: str, line: Line) -> list[str]:
    """Every fire time has one run, or one place in one gap; those ahead of a lowered mark have a run or nothing yet."""
    stored = next((job for job in world.store.inner.jobs() if job.key == key), None)
    if stored is None:
        return [] if key in world.absent else [f"{key} is not known"]
    runs = [run for run in world.store.inner.runs(job_key=key) if run.trigger.consumes_fire_time]
    newest = max((run.fire_time for run in runs), default=stored.mark)
    times = _of_all_schedules(world, line, stored, max(stored.mark, newest))
    problems = []
    answers: dict[datetime, list[str]] = {time: [] for time in times}
    for run in runs:
        if run.fire_time not in answers:
            problems.append(f"{key}: run {run.run_id} is for {run.fire_time}, which is no fire time")
        else:
            answers[run.fire_time].append(run.run_id)
    for gap in world.store.inner.gaps(job_key=key):
        inside = times[bisect_left(times, gap.first) : bisect_right(times, gap.last)]
        is_cut = gap.count is None and line.rule is None and line.job.key == "own"  # nobody can count but itself
        if len(inside) != gap.count and not is_cut:
            problems.append(f"{key}: {gap} has {len(inside)} fire times")
        for time in inside:
            answers[time].append(gap.reason.value)
    problems += [
        f"{key}: {time} is answered by {found or 'nothing'}"
        for time, found in answers.items()
        if len(found) != 1 and (found or time <= stored.mark)
    ]
    if key not in world.absent and stored.mark < world.clock.now() - timedelta(days=40) and times:
        due = expected(world, line, stored.mark, world.clock.now())
        if due and not world.store.inner.windows(job_key=key):
            problems.append(f"{key}: nothing was decided since {stored.mark}, though {len(due)} were due")
    return problems


def _repeats(world: World) -> list[str]:
    """A fire time has one attempt after another, and none after one that did its work."""
    by_key: dict[str, list[Effect]] = defaultdict(list)
    for effect in world.effects:
        by_key[effect.key].append(effect)
    problems = []
    for key, effects in by_key.items():
        numbers = [effect.attempt for effect in effects]
        if numbers != sorted(set(numbers)):
            problems.append(f"{key}: attempts {numbers}")
        if len({effect.run_id for effect in effects}) != 1:
            problems.append(f"{key}: run as {sorted({effect.run_id for effect in effects})}")
        for effect in effects[:-1]:
            has_worked = not effect.fails and not effect.is_cut
            if has_worked and effect.ends not in world.crashes:
                problems.append(f"{key}: run again after {effect}")
    return problems


def _run_though_cancelled(world: World) -> list[str]:
    """A run that somebody has asked to cancel has no further attempt."""
    return [
        f"{effect.key}: attempt {effect.attempt}, though it was cancelled at {world.cancelled[effect.run_id]}"
        for effect in world.effects
        if effect.attempt > world.cancelled.get(effect.run_id, effect.attempt)
    ]


def _overlaps(world: World) -> list[str]:
    """No job runs beside itself, nor beside one that shares its concurrency key."""
    lanes: dict[str, list[Effect]] = defaultdict(list)
    for effect in world.effects:
        lanes[effect.job_key].append(effect)
        if world.lines[effect.job_key].job.concurrency_key == GROUP:
            lanes[GROUP].append(effect)
    problems = []
    for lane, effects in lanes.items():
        for before, after in itertools.pairwise(effects):
            if after.started < before.ends and not before.is_cut:
                problems.append(f"{lane}: {after} began beside {before}")
    return problems


def reasons(world: World) -> set[GapReason]:
    """Return the reasons that occur, so that a test can tell whether its worlds are eventful."""
    return {gap.reason for gap in world.store.inner.gaps()}
