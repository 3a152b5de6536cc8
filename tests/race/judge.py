"""Who was given what: every fire time by one of those who raced, as the store says too."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from attrs import frozen

from tests.race.claimants import STORE


@frozen
class Result:
    """What came of a race.

    Attributes:
        claims: How many fire times were given to somebody.
        duplicates: How many were given to somebody else, too.
        winners: How many fire times each process was given.
        contradictions: How many of those the store knows as somebody else's, or not at all.
    """

    claims: int
    duplicates: int
    winners: tuple[int, ...]
    contradictions: int

    def lines(self) -> Iterator[str]:
        """Yield it in words."""
        yield f"claims: {self.claims}"
        yield f"duplicates: {self.duplicates}"
        yield f"contradicted by the store: {self.contradictions}"
        yield f"by process: {' '.join(map(str, self.winners))}"


def judge(folder: Path, processes: int) -> Result:
    """Compare what each process wrote down with each other, and with the store."""
    given = [
        [tuple(json.loads(line)) for line in (folder / f"claimed-{number}").read_text().splitlines()]
        for number in range(processes)
    ]
    counted = Counter(key for of_process in given for key, _ in of_process)
    with closing(sqlite3.connect(folder / STORE)) as db:
        stored = {
            (f"{job}@{key}", run_id) for job, key, run_id in db.execute("SELECT job_key, fire_key, run_id FROM runs")
        }
    claimed = {claim for of_process in given for claim in of_process}
    return Result(
        claims=len(counted),
        duplicates=counted.total() - len(counted),
        winners=tuple(len(of_process) for of_process in given),
        contradictions=len(claimed ^ stored),
    )
