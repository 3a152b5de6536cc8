"""Those who race: each wants every fire time, and writes down in a file of its own which ones it was given."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rapua_scheduler import every
from rapua_scheduler.job import Job
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, Run, RunStatus, Trigger
from rapua_scheduler.schedules import instant_key
from rapua_scheduler.store import claims
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.store.statements import field

STORE = "store.db"
START = datetime(2026, 11, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)

Claim = Callable[[Sequence[Run]], Sequence[bool]]
"""Tells of each run, all of different jobs, whether it is the caller's."""


def prepare(folder: Path, jobs: int) -> None:
    """Make a store that knows the jobs."""
    store = SqliteStore.open(folder / STORE, create=True)
    declared = [RegisteredJob(Job(key, lambda ctx: None, every(_MINUTE), key=key)) for key in job_keys(jobs)]
    store.declare(declared, START)
    store.close()


def job_keys(jobs: int) -> list[str]:
    """Return the keys of so many jobs."""
    return [f"job-{number:03}" for number in range(jobs)]


def with_the_store(folder: Path) -> Iterator[Claim]:
    """Claim as an embedded scheduler does."""
    store = SqliteStore.open(folder / STORE, create=False)
    yield lambda runs: store.decide([Decision(run.job_key, run.fire_time, None, (run,)) for run in runs])
    store.close()


def without_the_guards(folder: Path) -> Iterator[Claim]:
    """Claim with the same store, once nothing of it compares a claim with those there are: a control."""
    claims._MOVE_MARKS = claims._MOVE_MARKS.replace(f"AND jobs.mark < {field(3)}", "")
    with closing(sqlite3.connect(folder / STORE)) as db:
        db.execute("DROP INDEX IF EXISTS claims")
    yield from with_the_store(folder)


def look_then_insert(folder: Path) -> Iterator[Claim]:
    """Claim as one would at first: look whether anybody has, and say so if not. A control."""
    with closing(sqlite3.connect(folder / "naive.db", isolation_level=None, timeout=60)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS claimed (key TEXT)")
        db.execute("CREATE INDEX IF NOT EXISTS by_key ON claimed (key)")

        def claim(runs: Sequence[Run]) -> list[bool]:
            taken = [
                db.execute("SELECT 1 FROM claimed WHERE key = ?", (run.run_key,)).fetchone() is not None for run in runs
            ]
            db.execute("BEGIN IMMEDIATE")
            free = [(run.run_key,) for run, is_taken in zip(runs, taken, strict=True) if not is_taken]
            db.executemany("INSERT INTO claimed VALUES (?)", free)
            db.execute("COMMIT")
            return [not is_taken for is_taken in taken]

        yield claim


CLAIMANTS: dict[str, Callable[[Path], Iterator[Claim]]] = {
    "store": with_the_store,
    "without-guards": without_the_guards,
    "look-then-insert": look_then_insert,
}


def race(folder: Path, name: str, number: int, jobs: int, fire_times: int, meet: Callable[[], object]) -> None:
    """Claim each job's fire times, oldest first and in batches; meet the others before each.

    Args:
        folder: Where the store is.
        name: Which claimant.
        number: Which process.
        jobs: How many jobs there are.
        fire_times: How many each of them has.
        meet: Returns when all have called it.
    """
    chance = random.Random(number)
    keys = job_keys(jobs)
    claimant = CLAIMANTS[name](folder)
    claim = next(claimant)
    with (folder / f"claimed-{number}").open("w") as file:
        for minute in range(1, fire_times + 1):
            at = START + minute * _MINUTE
            chance.shuffle(keys)
            size = chance.choices((1, 10, 25, 100), (1, 5, 10, 10))[0]
            meet()
            for start in range(0, jobs, size):
                runs = [_run(key, at, f"{number}-{key}-{minute}") for key in keys[start : start + size]]
                for run, is_ours in zip(runs, claim(runs), strict=True):
                    if is_ours:
                        file.write(json.dumps([run.run_key, run.run_id]) + "\n")
    next(claimant, None)


def _run(key: str, at: datetime, run_id: str) -> Run:
    return Run(run_id, key, at, instant_key(at), Trigger.SCHEDULE, RunStatus.RUNNING, started_at=at)
