"""What hosts that were killed left behind, read without any code of the product's."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from attrs import evolve, field, frozen

STORE = "store.db"
COUNTER = "counter.db"
EFFECTS = "effects"

Micros = int
"""An instant, in microseconds since 1970."""

_CONSUMING = ("schedule", "catch_up", "rerun")


@frozen
class Effect:
    """A line of the log that jobs write beside the store."""

    what: str
    key: str
    attempt: int
    run_id: str
    pid: int


@frozen
class Declared:
    """A job as the store has it."""

    since: Micros
    mark: Micros


@frozen
class Claim:
    """A run as the store has it."""

    run_id: str
    job: str
    fire_time: Micros
    fire_key: str
    trigger: str
    status: str
    attempt: int
    losses: int = 0

    @property
    def key(self) -> str:
        return f"{self.job}@{self.fire_key}"

    @property
    def consumes(self) -> bool:
        return self.trigger in _CONSUMING


@frozen
class Stretch:
    """A gap as the store has it."""

    job: str
    first: Micros
    last: Micros
    count: int | None
    reason: str


@frozen
class Evidence:
    """Everything at one moment.

    Attributes:
        jobs: By key.
        claims: All runs.
        gaps: All gaps.
        past: Status of past attempts, by run id and number.
        effects: What jobs wrote at their beginnings and ends, in that order.
        counted: Keys in the jobs' own database, each entered in one transaction with its effect.
        total: What that effect has added up to.
        damage: What SQLite says is wrong with the store.
    """

    jobs: Mapping[str, Declared]
    claims: Sequence[Claim]
    gaps: Sequence[Stretch] = ()
    past: Mapping[tuple[str, int], str] = field(factory=dict)
    effects: Sequence[Effect] = ()
    counted: Sequence[str] = ()
    total: int = 0
    damage: Sequence[str] = ()


def read_evidence(folder: Path) -> Evidence:
    """Read everything in *folder*, which no process may be at work in; recovers the databases as any reader does."""
    try:
        stored = _read_store(folder / STORE)
    except sqlite3.Error as error:
        stored = Evidence({}, [], damage=[str(error)])
    counted, total = _read_counter(folder / COUNTER)
    return evolve(stored, effects=read_effects(folder / EFFECTS), counted=counted, total=total)


def read_copy(folder: Path) -> Evidence:
    """Read a copy of it, so that what a kill left in the databases' logs is there for the next host."""
    copy = folder / "copy"
    copy.mkdir()
    for name in (STORE, f"{STORE}-wal", COUNTER, f"{COUNTER}-wal", EFFECTS):
        if (folder / name).exists():
            shutil.copyfile(folder / name, copy / name)
    evidence = read_evidence(copy)
    shutil.rmtree(copy)
    return evidence


def _read_store(path: Path) -> Evidence:
    if not _has_schema(path):
        return Evidence({}, [])
    with closing(sqlite3.connect(path)) as db:
        damage = [text for (text,) in db.execute("PRAGMA integrity_check") if text != "ok"]
        since = "SELECT key, first_seen_at, mark FROM jobs WHERE mark IS NOT NULL"
        jobs = {key: Declared(first, mark) for key, first, mark in db.execute(since)}
        columns = "run_id, job_key, fire_time, fire_key, trigger, status, attempt, losses"
        claims = [Claim(*row) for row in db.execute(f"SELECT {columns} FROM runs ORDER BY id")]
        gaps = [Stretch(*row) for row in db.execute("SELECT job_key, first, last, count, reason FROM gaps")]
        tries = "SELECT run_id, attempts.attempt, attempts.status FROM attempts JOIN runs ON runs.id = run"
        past = {(run_id, attempt): status for run_id, attempt, status in db.execute(tries)}
    return Evidence(jobs, claims, gaps, past, damage=damage)


def read_effects(path: Path) -> list[Effect]:
    """Return the lines of a log; one that a kill has torn is not one."""
    if not path.exists():
        return []
    *whole, _ = path.read_text().split("\n")
    return [Effect(**json.loads(line)) for line in whole]


def _has_schema(path: Path) -> bool:
    if not path.exists():
        return False
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    return bool(version >= 2)


def _read_counter(path: Path) -> tuple[list[str], int]:
    if not path.exists():
        return [], 0
    with closing(sqlite3.connect(path)) as db:
        keys = [key for (key,) in db.execute("SELECT run_key FROM counted")]
        (total,) = db.execute("SELECT n FROM total").fetchone()
    return keys, int(total)
