"""Worlds from seeds, judged from outside; and worlds that are sabotaged, so that the judge is seen to find it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from rapua_scheduler import GapReason, Trigger
from rapua_scheduler.run import Decision, Start
from tests.simulation.faulty_store import FaultyStore
from tests.simulation.verdict import judge, reasons
from tests.simulation.world import ChangingWorld, World


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@contextmanager
def lived(seed: int, folder: Path, *, years: float, kind: type[World] = World) -> Iterator[World]:
    world = kind(seed, folder / f"world-{seed}.db", years=years)
    try:
        world.live()
        yield world
    finally:
        world.close()


def assert_right(world: World, seed: int) -> None:
    problems = judge(world)
    assert not problems, "\n".join([f"seed {seed}:", *problems[:10], "", *world.story[-40:]])


@pytest.mark.parametrize("seed", range(2))
def test_a_year_of_faults_misses_nothing_and_repeats_nothing(seed: int, tmp_path: Path) -> None:
    with lived(seed, tmp_path, years=1) as world:
        assert_right(world, seed)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_a_year_of_changing_schedules_misses_nothing_and_repeats_nothing(seed: int, tmp_path: Path) -> None:
    with lived(seed, tmp_path, years=1, kind=ChangingWorld) as world:
        assert_right(world, seed)
        assert len(world.grids) > 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_five_years_of_faults_miss_nothing_and_repeat_nothing(seed: int, tmp_path: Path) -> None:
    with lived(seed, tmp_path, years=5) as world:
        assert_right(world, seed)


def test_a_seed_replays_exactly(tmp_path: Path) -> None:
    def live(name: str) -> tuple[list[Any], list[str]]:
        (tmp_path / name).mkdir()
        with lived(7, tmp_path / name, years=0.5) as world:
            return world.effects, world.story

    assert live("once") == live("again")


def test_the_worlds_are_eventful(tmp_path: Path) -> None:
    seen: set[GapReason | Trigger] = set()
    attempts = 0
    for seed in (0, 16, 18):
        with lived(seed, tmp_path, years=1) as world:
            seen |= reasons(world)
            runs = world.store.inner.runs()
            seen |= {run.trigger for run in runs}
            attempts = max(attempts, *(run.attempt for run in runs))

    assert seen >= {*GapReason, Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.RERUN, Trigger.MANUAL}
    assert attempts >= 3


# -- the judge is seen to find what is wrong


class _Sabotaged(FaultyStore):
    """A store that does not do what it says."""

    def __getattr__(self, name: str) -> Any:
        sabotage = getattr(type(self), f"bad_{name}", None)
        honest = super().__getattr__(name)
        return honest if sabotage is None else lambda *given, **named: sabotage(self, honest, *given, **named)


class LosesGaps(_Sabotaged):
    def bad_decide(self, honest: Any, decisions: Sequence[Decision]) -> Any:
        return honest([evolve(decision, gaps=()) for decision in decisions])


class ForgetsToMark(_Sabotaged):
    """Lets a host repeat what it has decided: nothing of it is recorded."""

    def bad_decide(self, honest: Any, decisions: Sequence[Decision]) -> Any:
        return [True] * len(decisions)


class LetsAnythingBegin(_Sabotaged):
    """Says of each attempt that it has begun, and records nothing of it."""

    def bad_begin(self, honest: Any, starts: Sequence[Start]) -> Any:
        return [True] * len(starts)


class NeverGivesBack(_Sabotaged):
    """Keeps what a dead host has left to itself."""

    def bad_unanswered(self, honest: Any) -> Any:
        return []

    def bad_take_queued(self, honest: Any) -> Any:
        return []

    def bad_decide(self, honest: Any, decisions: Sequence[Decision]) -> Any:
        return honest([evolve(decision, runs=decision.runs[:1]) for decision in decisions])


@pytest.mark.parametrize("sabotage", [LosesGaps, ForgetsToMark, LetsAnythingBegin, NeverGivesBack])
def test_the_judge_finds_sabotage(sabotage: type[FaultyStore], tmp_path: Path) -> None:
    class Bad(World):
        def make_store(self) -> FaultyStore:
            return sabotage(self._inner)

    with lived(4, tmp_path, years=1, kind=Bad) as world:
        assert judge(world)
