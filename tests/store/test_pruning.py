"""Pruning the store on disk: histories stay whole, and the file no larger than it must be."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.run import LogLine, RunStatus
from rapua_scheduler.store import pruning
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import HOUR, START, finish, not_to_run, some_job, some_run, start, to_run


def fill(store: SqliteStore, keys: list[str], hours: range, *, seed: int = 0) -> None:
    """Run every job at every hour; some runs fail, take two attempts, write a log, or go on."""
    chance = random.Random(f"{seed} {hours}")
    store.declare([some_job(key) for key in keys], START)
    for hour in hours:
        assert all(store.decide([to_run(hour, key) for key in keys]))
        for key in keys:
            run_id, ended_at = some_run(hour, key).run_id, START + hour * HOUR
            attempt = 1
            if chance.random() < 0.2:
                finish(store, run_id, status=RunStatus.FAILED, at=ended_at, again=True, log=[_LINE])
                attempt = 2 if start(store, run_id, 2, ended_at) else 1
            if chance.random() < 0.9:
                status = chance.choice([RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.FAILED, RunStatus.INTERRUPTED])
                finish(store, run_id, attempt, status, at=ended_at, log=[_LINE])


def in_order_of_claims(store: SqliteStore, key: str) -> list[str]:
    return [run.run_id for run in store.runs() if run.job_key == key]


def rows_in(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


@pytest.mark.parametrize("most", [1, 7, 1000])
@pytest.mark.parametrize("walked", [1, 50_000])
def test_every_history_stays_whole(
    sqlite_store: SqliteStore, path: Path, most: int, walked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_MOST_WALKED", walked)
    keys = ["air", "mop", "sweep"]
    fill(sqlite_store, keys, range(1, 25), seed=most)

    while sqlite_store.prune(START + 8 * HOUR, 12, most=most):
        for key in keys:
            assert [run.run_id for run in sqlite_store.runs(job_key=key)] == in_order_of_claims(sqlite_store, key)

    assert len(sqlite_store.runs()) < 24 * 3 - 20
    for key in keys:
        newest = [run.fire_time for run in sqlite_store.runs(job_key=key)][:12]
        assert newest == [START + hour * HOUR for hour in range(24, 12, -1)]
    with closing(sqlite3.connect(path)) as db:
        counted = db.execute("SELECT key, (SELECT count(*) FROM runs WHERE job_key = key) FROM jobs ORDER BY key")
        assert db.execute("SELECT key, run_count FROM jobs ORDER BY key").fetchall() == counted.fetchall()


def test_nothing_is_left_of_what_is_forgotten(sqlite_store: SqliteStore, path: Path) -> None:
    fill(sqlite_store, ["sweep"], range(1, 30))
    assert min(rows_in(path, "attempts"), rows_in(path, "log_lines")) > 5
    for run in sqlite_store.unanswered():
        sqlite_store.leave([run.run_id])
    for run in sqlite_store.runs(statuses=[RunStatus.RUNNING]):
        finish(sqlite_store, run.run_id, run.attempt)

    while sqlite_store.prune(START + 999 * HOUR, 0):
        pass

    kept = sqlite_store.runs()
    assert len(kept) <= 2
    assert rows_in(path, "attempts") == sum(len(sqlite_store.attempts(run.run_id)) for run in kept)
    assert rows_in(path, "log_lines") == sum(len(sqlite_store.log_lines(run.run_id)) for run in kept)


def test_a_file_that_is_pruned_does_not_grow(sqlite_store: SqliteStore, path: Path) -> None:
    keys = [f"job-{number}" for number in range(50)]
    sqlite_store.declare([some_job(key) for key in keys], START)
    sizes = []
    for hour in range(1, 61):
        sqlite_store.decide([to_run(hour, key) for key in keys[:25]])
        sqlite_store.decide([not_to_run(hour, job_key=key) for key in keys[25:]])
        for key in keys[:25]:
            finish(sqlite_store, some_run(hour, key).run_id, at=START + hour * HOUR, log=[_LINE])
        while sqlite_store.prune(START, 10) == 1000:
            pass
        with closing(sqlite3.connect(path)) as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            sizes.append(pages)

    assert sizes[-1] <= sizes[20]


def test_pruning_looks_at_what_may_go_and_not_at_everything(sqlite_store: SqliteStore, path: Path) -> None:
    fill(sqlite_store, ["sweep"], range(1, 4))
    with closing(sqlite3.connect(path)) as db:
        for statement in (pruning._ENDED_BEFORE, pruning._BEYOND, pruning._GAPS_BEFORE, pruning._LINK):
            given = {"before": 0, "most": 1, "keep_runs": 1, "gone": "[]", "job_keys": "[]"}
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", given)]
            assert not [step for step in plan if step in ("SCAN runs", "SCAN gaps", "SCAN jobs")], plan


_LINE = LogLine(START, 1, "info", "swept")
