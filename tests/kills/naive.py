"""Schedulers that keep their marks as one would at first. They are here to fail the oracle."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rapua_scheduler.run import Decision, RunStatus, Start
from rapua_scheduler.store.sqlite import SqliteStore
from tests.kills.evidence import EFFECTS, Claim, Declared, Evidence, read_effects
from tests.kills.oracle import effect_faults, key_of, on_the_grid, record_faults
from tests.kills.processes import Child, killed
from tests.kills.reports import Report

PERIOD = 40_000
_RECORD = "record"


def claim_afterwards() -> None:
    """Have this process record what it decides once the run has ended, not before it starts."""
    pending: dict[str, Decision] = {}
    decide, begin, finish = SqliteStore.decide, SqliteStore.begin, SqliteStore.finish

    def remember(store: SqliteStore, decisions: Sequence[Decision]) -> Sequence[bool]:
        without_runs = [decision for decision in decisions if not decision.runs]
        decide(store, without_runs)
        for decision in decisions:
            pending.update((run.run_id, decision) for run in decision.runs)
        return [True] * len(decisions)

    def begin_or_pretend(store: SqliteStore, starts: Sequence[Start]) -> Sequence[bool]:
        known = [start for start in starts if start.run_id not in pending]
        begun = dict(zip([start.run_id for start in known], begin(store, known), strict=True))
        return [begun.get(start.run_id, True) for start in starts]

    def record(store: SqliteStore, run_id: str, attempt: int, *arguments: Any, **options: Any) -> None:
        decision = pending.get(run_id)
        if decision is not None:
            decide(store, [decision])
            for run in decision.runs:
                pending.pop(run.run_id, None)
                if run.run_id == run_id and run.status is RunStatus.QUEUED:
                    begin(store, [Start(run_id, attempt, decision.mark)])
        finish(store, run_id, attempt, *arguments, **options)

    SqliteStore.decide = remember  # type: ignore[method-assign, assignment]
    SqliteStore.begin = begin_or_pretend  # type: ignore[method-assign, assignment]
    SqliteStore.finish = record  # type: ignore[method-assign, assignment]


class InMemory:
    """A scheduler as many programs have one: a loop, and the next fire time in a variable."""

    def __init__(self, folder: Path) -> None:
        """Work in a folder."""
        self._folder = folder

    def live(self, seconds: float) -> None:
        """Run, record what was run, and forget the rest."""
        end = time.time() + seconds
        due = (int(time.time() * 1e6) // PERIOD + 1) * PERIOD
        while time.time() < end:
            time.sleep(max(0.0, due / 1e6 - time.time()))
            fields = {"key": f"steady@{key_of(due)}", "attempt": 1, "run_id": f"at-{due}", "pid": os.getpid()}
            self._say(EFFECTS, what="begin", **fields)
            self._say(EFFECTS, what="end", **fields)
            self._say(_RECORD, fire_time=due, run_id=fields["run_id"])
            due += PERIOD

    def evidence(self) -> Evidence:
        """Return what it left behind, as the oracle wants it."""
        runs = [json.loads(line) for line in (self._folder / _RECORD).read_text().splitlines()]
        times = [run["fire_time"] for run in runs]
        return Evidence(
            {"steady": Declared(times[0] - 1, times[-1])},
            [
                Claim(run["run_id"], "steady", at, key_of(at), "schedule", "succeeded", 1)
                for run, at in zip(runs, times, strict=True)
            ],
            effects=read_effects(self._folder / EFFECTS),
            counted=[f"steady@{key_of(at)}" for at in times],
            total=len(times),
        )

    def _say(self, name: str, **fields: object) -> None:
        with (self._folder / name).open("a") as file:
            file.write(json.dumps(fields) + "\n")


def kill_in_memory(folder: Path, seed: int, report: Report) -> None:
    """Kill such a scheduler ten times, and judge it as any other."""
    chance = random.Random(seed)
    scheduler = InMemory(folder)
    for _ in range(10):
        child = Child.start(lambda: scheduler.live(5.0), folder / "log")
        time.sleep(chance.uniform(0.05, 0.2))
        child.send(signal.SIGKILL)
        report.kills["of a scheduler in memory"] += killed(child.wait())
        time.sleep(0.1)
    evidence = scheduler.evidence()
    report.faults.extend(record_faults(evidence, on_the_grid(evidence, {"steady": PERIOD})))
    report.faults.extend(effect_faults(evidence))
