"""Kill hosts of the counting jobs again and again, and judge what they leave behind."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from attrs import evolve

from tests.kills import counter
from tests.kills.counter import PERIODS, Life, live
from tests.kills.evidence import Evidence, read_copy, read_evidence
from tests.kills.failpoints import ANY, Crossing, points
from tests.kills.killer import Killer
from tests.kills.oracle import effect_faults, moved_back, on_the_grid, record_faults
from tests.kills.processes import REFUSED, Child
from tests.kills.reports import Report

_AN_EPISODE = 30
_BIRTHS = 2
_STATEMENTS_OF_A_BIRTH = 70
_LOOKS = 0.15
_DOWN_TIMES = 0.15
_FROM_SCHEMA_1 = 0.5
_ENOUGH_FAULTS = 20


class CounterCampaign:
    """Kills hosts in every way there is."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        report: Report,
        *,
        prepare_process: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            folder: Where sites are made; those with faults stay.
            seed: Decides who is killed when.
            report: What is done and found goes there.
            prepare_process: Done to each host's process first.
        """
        self._folder = folder
        self._chance = random.Random(seed)
        self._report = report
        self._prepare_process = prepare_process
        self._killer = Killer(report, points("store", "counter"))
        self._site = folder
        self._episode = 0

    def run(self, kills: int) -> None:
        """Kill so many hosts, or until there are faults enough."""
        until = self._report.kills.total() + kills
        while (left := until - self._report.kills.total()) > 0 and len(self._report.faults) < _ENOUGH_FAULTS:
            self._live_through(min(left, _AN_EPISODE))

    def _live_through(self, kills: int) -> None:
        self._episode += 1
        self._site = self._folder / f"site-{self._episode}"
        self._site.mkdir(parents=True)
        counter.prepare(self._site, from_schema_1=self._chance.random() < _FROM_SCHEMA_1)
        found: list[str] = []
        seen: Evidence | None = None
        until = self._report.kills.total() + kills
        for _ in range(_BIRTHS):
            found += self._while_the_store_is_made()
        while self._report.kills.total() < until and not found:
            found += self._end_a_host()
            if self._chance.random() < _DOWN_TIMES:
                time.sleep(self._chance.choices((self._chance.uniform(0, 0.6), 4.5), (97, 3))[0])
            if self._chance.random() < _LOOKS:
                found += self._look(seen)
                seen = read_copy(self._site)
        began = int(time.time() * 1e6)
        found += self._start(Life(self._site, finishes=True)).faults({0}) + self._look(seen, began)
        self._report.faults.extend(f"{self._site}: {fault}" for fault in found)
        if not found:
            shutil.rmtree(self._site)

    # -- ways to die

    def _end_a_host(self) -> list[str]:
        ways = (self._at_a_failpoint, self._at_any_moment, self._suspended, self._in_a_row, self._before_one_that_waits)
        (way,) = self._chance.choices(ways, (60, 20, 7, 7, 6))
        return way()

    def _while_the_store_is_made(self) -> list[str]:
        """Kill one of the first hosts at any statement, as a store is created or brought up to date but once."""
        crossing = Crossing(f"store: {ANY}", self._chance.randint(1, _STATEMENTS_OF_A_BIRTH))
        child = self._start(Life(self._site, crossing))
        return self._killer.let_die(child, "at a statement of one of the first hosts")

    def _at_a_failpoint(self) -> list[str]:
        seed = self._chance.getrandbits(32)
        return self._killer.let_die_at_a_failpoint(lambda crossing: self._start(Life(self._site, crossing, seed=seed)))

    def _at_any_moment(self) -> list[str]:
        child = self._start(self._any_life())
        self._pass(0, 0.45)
        return self._killer.kill(child, "at any moment")

    def _suspended(self) -> list[str]:
        """Stop a host for a while, in which another one tries to take its place."""
        child = self._start(self._any_life())
        self._pass(0, 0.3)
        child.send(signal.SIGSTOP)
        other = self._start(self._any_life())
        self._pass(0, 0.3)
        child.send(signal.SIGCONT)
        self._pass(0, 0.2)
        return self._killer.kill(child, "after a suspension") + other.faults({0, REFUSED})

    def _in_a_row(self) -> list[str]:
        found: list[str] = []
        for _ in range(self._chance.randint(2, 4)):
            child = self._start(self._any_life())
            self._pass(0, 0.04)
            found += self._killer.kill(child, "in a row, while starting")
        return found

    def _before_one_that_waits(self) -> list[str]:
        """Kill a host while another one stands by; that one is killed in the end, too."""
        child = self._start(self._any_life())
        waiting = self._start(evolve(self._any_life(), stands_by=True))
        self._pass(0, 0.3)
        found = self._killer.kill(child, "with another one standing by")
        self._pass(0, 0.3)
        return found + self._killer.kill(waiting, "after it had taken over")

    def _any_life(self) -> Life:
        return Life(self._site, seconds=0.5, seed=self._chance.getrandbits(32))

    # -- processes

    def _start(self, life: Life) -> Child:
        return Child.start(partial(live, life, self._prepare_process), self._site / "log")

    def _pass(self, shortest: float, longest: float) -> None:
        time.sleep(self._chance.uniform(shortest, longest))

    # -- judging

    def _look(self, seen: Evidence | None, finished_until: int | None = None) -> list[str]:
        opened: list[str] = []
        if finished_until is not None:
            opened = Child.start(partial(counter.open_and_close, self._site), self._site / "log").faults({0})
            evidence = read_evidence(self._site)
        else:
            evidence = read_copy(self._site)
        expected = on_the_grid(evidence, PERIODS)
        found = opened + record_faults(evidence, expected, finished_until=finished_until) + effect_faults(evidence)
        found += [] if seen is None else moved_back(seen, evidence)
        judged: Counter[str] = self._report.judged
        judged["looks"] += 1
        if finished_until is not None:
            judged["fire times"] += sum(len(times) for times in expected.values())
            judged["fire times run"] += sum(claim.consumes for claim in evidence.claims)
            judged["fire times not run, with the reason"] += sum(gap.count or 0 for gap in evidence.gaps)
            judged["attempts begun"] += sum(line.what == "begin" for line in evidence.effects)
            judged["effects"] += evidence.total
            judged["runs lost three times, and left"] += sum(claim.status == "lost" for claim in evidence.claims)
        return found
