"""What must be true of a site whose hosts were killed: the promises, worked out by plain arithmetic.

Nothing of the product is asked: the fire times of the counting jobs are the multiples of their periods.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from tests.kills.evidence import Claim, Evidence, Micros

MOST_LOSSES = 3
"""So many hosts may die of one run before it is left to the operator, and its job paused."""

_AT_LEAST_EVERY = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FireTimes = Mapping[str, Mapping[Micros, str]]
"""The fire keys that each job must have answered, by instant."""


def key_of(instant: Micros) -> str:
    """Return the fire key of an instant."""
    at = _EPOCH + timedelta(microseconds=instant)
    return f"{at:%Y-%m-%dT%H:%M:%S}" + (f".{at:%f}Z" if at.microsecond else "Z")


def on_the_grid(evidence: Evidence, periods: Mapping[str, Micros]) -> FireTimes:
    """Return the multiples of each job's period since it was first declared, up to its mark."""
    expected: dict[str, dict[Micros, str]] = {}
    for job, declared in evidence.jobs.items():
        period = periods[job]
        first = declared.since // period + 1
        expected[job] = {n * period: key_of(n * period) for n in range(first, declared.mark // period + 1)}
    return expected


def record_faults(evidence: Evidence, expected: FireTimes, *, finished_until: Micros | None = None) -> list[str]:
    """Return everything that is wrong with what the store says, in words; nothing if all is well.

    Args:
        evidence: What was left behind.
        expected: What had to be answered.
        finished_until: Runs of fire times up to here must have come to an end; None if hosts are still to come.
    """
    found = [f"the store is damaged: {text}" for text in evidence.damage]
    for job in evidence.jobs:
        claims = [claim for claim in evidence.claims if claim.job == job and claim.consumes]
        found += _unanswered(job, claims, evidence, expected[job])
    if finished_until is not None:
        found += _unfinished(evidence.claims, finished_until)
        found += [
            f"{job} was decided on up to {key_of(declared.mark)} only"
            for job, declared in evidence.jobs.items()
            if declared.mark < finished_until - _AT_LEAST_EVERY
        ]
    return found


def _unanswered(job: str, claims: Sequence[Claim], evidence: Evidence, expected: Mapping[Micros, str]) -> Iterable[str]:
    """Every fire time has one run, or lies in one gap; nothing else has or does."""
    times = Counter(claim.fire_time for claim in claims)
    keys = Counter(claim.fire_key for claim in claims)
    yield from (f"{job}: {number} runs for {key}" for key, number in keys.items() if number > 1)
    yield from (f"{job}: {number} runs at {key_of(time)}" for time, number in times.items() if number > 1)
    yield from (f"{job}: a run for {c.fire_key}, no fire time" for c in claims if c.fire_time not in expected)
    for claim in claims:
        if expected.get(claim.fire_time, claim.fire_key) != claim.fire_key:
            yield f"{job}: a run for {claim.fire_key} at {expected[claim.fire_time]}"
    in_gaps: Counter[Micros] = Counter()
    for gap in (gap for gap in evidence.gaps if gap.job == job):
        inside = [time for time in expected if gap.first <= time <= gap.last]
        in_gaps.update(inside)
        if gap.count != len(inside):
            yield f"{job}: a gap of {gap.count} from {key_of(gap.first)} to {key_of(gap.last)}, not {len(inside)}"
        if gap.first not in expected or gap.last not in expected:
            yield f"{job}: a gap from {key_of(gap.first)} to {key_of(gap.last)}, no fire times"
    for time, key in expected.items():
        if times[time] + in_gaps[time] == 0:
            yield f"{job}: nothing of {key}"
        if in_gaps[time] and times[time] + in_gaps[time] > 1:
            yield f"{job}: {times[time]} runs and {in_gaps[time]} gaps of {key}"


def effect_faults(evidence: Evidence) -> list[str]:
    """Return everything that is wrong with what the counting jobs did, and when."""
    return [*_effects(evidence), *_beside_each_other(evidence)]


def _effects(evidence: Evidence) -> Iterable[str]:
    """No attempt happened twice, none after the one that was recorded as the last; and each left its effect."""
    begun = Counter((line.run_id, line.attempt) for line in evidence.effects if line.what == "begin")
    yield from (
        f"attempt {number} of {run_id} began {times} times" for (run_id, number), times in begun.items() if times > 1
    )
    run_ids: dict[str, set[str]] = defaultdict(set)
    for line in evidence.effects:
        run_ids[line.key].add(line.run_id)
    yield from (f"{key} was run as {sorted(ids)}" for key, ids in run_ids.items() if len(ids) > 1)
    claims = {claim.run_id: claim for claim in evidence.claims}
    for run_id, number in begun:
        claim = claims.get(run_id)
        if claim is None:
            yield f"attempt {number} of {run_id} began, and was never claimed"
        elif number > claim.attempt:
            yield f"attempt {number} of {run_id} began, after the last that is recorded, {claim.attempt}"
    for (run_id, number), status in evidence.past.items():
        if status == "succeeded":
            yield f"attempt {number} of {run_id} succeeded, and was not the last"
    ended = {(line.run_id, line.attempt) for line in evidence.effects if line.what == "end"}
    counted = Counter(evidence.counted)
    yield from (f"{key} is counted {number} times" for key, number in counted.items() if number > 1)
    if evidence.total != len(evidence.counted):
        yield f"{evidence.total} effects of {len(evidence.counted)} keys"
    for claim in evidence.claims:
        if claim.status != "succeeded":
            continue
        if claim.key not in counted:
            yield f"{claim.key} succeeded, and is not counted"
        if (claim.run_id, claim.attempt) not in ended:
            yield f"{claim.key} succeeded at attempt {claim.attempt}, which never came to its end"


def _beside_each_other(evidence: Evidence) -> Iterable[str]:
    """No two attempts at one run go on at a time in processes that live."""
    going_on: dict[str, tuple[int, int]] = {}
    for line in evidence.effects:
        if line.what == "begin":
            attempt, pid = going_on.get(line.run_id, (0, 0))
            if pid == line.pid:
                yield f"attempt {line.attempt} of {line.run_id} began beside attempt {attempt}"
            going_on[line.run_id] = (line.attempt, line.pid)
        else:
            going_on.pop(line.run_id, None)


def _unfinished(claims: Iterable[Claim], until: Micros) -> Iterable[str]:
    for claim in claims:
        if not claim.consumes or claim.fire_time > until or claim.status == "succeeded":
            continue
        if claim.status != "lost" or claim.losses < MOST_LOSSES:
            yield f"{claim.key} is {claim.status} after {claim.losses} losses"


def moved_back(before: Evidence, after: Evidence) -> list[str]:
    """Return everything that was promised at one moment and does not hold at a later one."""
    found: list[str] = []
    for job, declared in before.jobs.items():
        now = after.jobs.get(job)
        if now is None:
            found.append(f"{job} is not known any more")
        elif now.since != declared.since or now.mark < declared.mark:
            found.append(f"{job} went from {declared} to {now}")
    claims = {claim.run_id: claim for claim in after.claims}
    for claim in before.claims:
        now_claim = claims.get(claim.run_id)
        if now_claim is None:
            found.append(f"{claim.key} is not recorded any more")
        elif now_claim.attempt < claim.attempt:
            found.append(f"{claim.key} went from attempt {claim.attempt} to {now_claim.attempt}")
        elif claim.status == "succeeded" and now_claim != claim:
            found.append(f"{claim.key} had succeeded, and is {now_claim.status} at attempt {now_claim.attempt}")
    succeeded = {claim.run_id for claim in before.claims if claim.status == "succeeded"}
    found += [
        f"attempt {line.attempt} of {line.key} began after an end that was recorded as its success"
        for line in after.effects[len(before.effects) :]
        if line.what == "begin" and line.run_id in succeeded
    ]
    answered = {(gap.job, gap.first) for gap in after.gaps}
    found += [
        f"the gap of {gap.job} from {key_of(gap.first)} is gone"
        for gap in before.gaps
        if (gap.job, gap.first) not in answered
    ]
    return found
