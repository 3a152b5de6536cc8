"""The oracle finds each fault that it is there to find: evidence without fault, and what is done to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from tests.kills.evidence import Claim, Declared, Effect, Evidence, Stretch
from tests.kills.oracle import effect_faults, key_of, moved_back, on_the_grid, record_faults

PERIOD = 40_000
PERIODS = {"steady": PERIOD}


def claim(number: int, **fields: Any) -> Claim:
    fields = {"status": "succeeded", "attempt": 1, "trigger": "schedule", **fields}
    return Claim(f"r{number}", "steady", number * PERIOD, key_of(number * PERIOD), **fields)


def effect(what: str, of: Claim, attempt: int = 1, pid: int = 1) -> Effect:
    return Effect(what, of.key, attempt, of.run_id, pid)


FIRST, SECOND, LAST = claim(1), claim(2, attempt=2, trigger="rerun"), claim(6)
SOUND = Evidence(
    jobs={"steady": Declared(PERIOD // 2, 6 * PERIOD)},
    claims=[FIRST, SECOND, LAST],
    gaps=[Stretch("steady", 3 * PERIOD, 5 * PERIOD, 3, "missed")],
    past={("r2", 1): "lost"},
    effects=[
        effect("begin", FIRST),
        effect("end", FIRST),
        effect("begin", SECOND),
        effect("begin", SECOND, 2, pid=2),
        effect("end", SECOND, 2, pid=2),
        effect("begin", LAST, pid=2),
        effect("end", LAST, pid=2),
    ],
    counted=[FIRST.key, SECOND.key, LAST.key],
    total=3,
)


def found(evidence: Evidence) -> list[str]:
    expected = on_the_grid(evidence, PERIODS)
    return [*record_faults(evidence, expected, finished_until=6 * PERIOD), *effect_faults(evidence)]


def test_there_is_no_fault_in_what_is_sound() -> None:
    assert found(SOUND) == []
    assert moved_back(SOUND, SOUND) == []


def without(number: int) -> Callable[[Evidence], Evidence]:
    return lambda sound: evolve(sound, claims=[each for each in sound.claims if each.run_id != f"r{number}"])


def with_gap(*stretches: Stretch) -> Callable[[Evidence], Evidence]:
    return lambda sound: evolve(sound, gaps=stretches)


def with_claim(number: int, **fields: Any) -> Callable[[Evidence], Evidence]:
    return lambda sound: evolve(
        sound,
        claims=[evolve(each, **fields) if each.run_id == f"r{number}" else each for each in sound.claims],
    )


def more(*effects: Effect) -> Callable[[Evidence], Evidence]:
    return lambda sound: evolve(sound, effects=[*sound.effects, *effects])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda sound: evolve(sound, damage=["row 1 missing from index"]), "damaged"),
        (without(6), "nothing of 1970-01-01T00:00:00.240000Z"),
        (with_gap(), "nothing of 1970-01-01T00:00:00.120000Z"),
        (with_gap(Stretch("steady", 3 * PERIOD, 5 * PERIOD, 2, "missed")), "a gap of 2"),
        (with_gap(Stretch("steady", 3 * PERIOD, 5 * PERIOD, None, "missed")), "a gap of None"),
        (with_gap(Stretch("steady", 2 * PERIOD, 5 * PERIOD, 4, "missed")), "1 runs and 1 gaps"),
        (with_gap(*[Stretch("steady", 3 * PERIOD, 5 * PERIOD, 3, "missed")] * 2), "0 runs and 2 gaps"),
        (with_gap(Stretch("steady", 3 * PERIOD - 1, 5 * PERIOD, 3, "missed")), "no fire times"),
        (lambda sound: evolve(sound, claims=[*sound.claims, evolve(FIRST, run_id="r9")]), "2 runs for"),
        (with_claim(2, fire_key="1970-01-01T00:00:00.08Z"), "at 1970-01-01T00:00:00.080000Z"),
        (with_claim(6, fire_time=6 * PERIOD + 1, fire_key="x"), "no fire time"),
        (
            lambda sound: evolve(sound, jobs={"steady": Declared(-30 * PERIOD, -20 * PERIOD)}),
            "was decided on up to 1969",
        ),
        (with_claim(1, status="running"), "is running after 0 losses"),
        (with_claim(1, status="lost", losses=2), "is lost after 2 losses"),
        (with_claim(2, attempt=1), "after the last that is recorded, 1"),
        (with_claim(1, attempt=2), "never came to its end"),
        (lambda sound: evolve(sound, past={("r1", 1): "succeeded"}), "succeeded, and was not the last"),
        (more(effect("begin", FIRST, pid=3)), "attempt 1 of r1 began 2 times"),
        (more(effect("begin", claim(9))), "never claimed"),
        (more(Effect("begin", FIRST.key, 1, "r2", 3)), "was run as ['r1', 'r2']"),
        (more(effect("begin", SECOND, 3, 2), effect("begin", SECOND, 4, 2)), "beside attempt 3"),
        (lambda sound: evolve(sound, counted=sound.counted[:2], total=2), "is not counted"),
        (lambda sound: evolve(sound, counted=[*sound.counted, FIRST.key], total=4), "counted 2 times"),
        (lambda sound: evolve(sound, total=4), "4 effects of 3 keys"),
    ],
)
def test_each_fault_is_found(spoil: Callable[[Evidence], Evidence], says: str) -> None:
    assert any(says in fault for fault in found(spoil(SOUND)))


@pytest.mark.parametrize(
    ("later", "says"),
    [
        (lambda sound: evolve(sound, jobs={}), "not known any more"),
        (lambda sound: evolve(sound, jobs={"steady": Declared(PERIOD // 2, 5 * PERIOD)}), "went from"),
        (lambda sound: evolve(sound, jobs={"steady": Declared(PERIOD, 6 * PERIOD)}), "went from"),
        (without(1), "not recorded any more"),
        (with_claim(2, attempt=1), "went from attempt 2 to 1"),
        (with_claim(1, attempt=2, status="running"), "had succeeded, and is running"),
        (with_gap(), "is gone"),
        (more(effect("begin", FIRST, 2, 3)), "began after an end that was recorded as its success"),
    ],
)
def test_what_was_promised_and_does_not_hold_any_more_is_found(
    later: Callable[[Evidence], Evidence], says: str
) -> None:
    assert any(says in fault for fault in moved_back(SOUND, later(SOUND)))
