"""Make a golden file: a store as one release leaves it behind, and its history as that release reads it.

`python tests/store/golden/make.py FOLDER`, with the code of the release on PYTHONPATH, writes
`schema-N.db` and `schema-N.json` for the schema N that this code writes. See CONTRIBUTING.md.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import attrs

from rapua_scheduler.clock import SystemClock
from rapua_scheduler.job import Job
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, Gap, GapReason, Outcome, Run, RunStatus, Trigger
from rapua_scheduler.schedules import every
from rapua_scheduler.store.schema import VERSION
from rapua_scheduler.store.sqlite import SqliteStore

START = datetime(2026, 10, 25, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEYS = ("air", "mop", "sweep")
ENDS = [
    *[RunStatus.SUCCEEDED] * 6,
    RunStatus.FAILED,
    RunStatus.TIMED_OUT,
    RunStatus.CANCELLED,
    RunStatus.INTERRUPTED,
]
RESULTS: list[Any] = [
    None,
    {},
    {"deleted": 3, "freed_mb": 0.25, "dry": False, "note": None},
    {"user": "Žofie \U0001f9f9"},
    {"odd": "\udc80 and \0", "large": 2**63 - 1},
]
ERRORS = ["ValueError: no such folder", "Traceback (most recent call last):\n  …\nŽError: \udc80\0", "x" * 200]


class Hour(SystemClock):
    """Stands at one hour after the start."""

    def __init__(self, hour: int) -> None:
        self._now = START + hour * HOUR

    def now(self) -> datetime:
        return self._now


def history(store: SqliteStore) -> dict[str, Any]:
    """Return all that can be read of a store, as JSON has it."""
    jobs, runs = store.jobs(), store.runs()
    keys = sorted({run.job_key for run in runs} | {job.key for job in jobs})
    read: dict[str, Any] = {
        "jobs": {job.key: attrs.asdict(job) for job in jobs},
        "runs": [attrs.asdict(run) for run in runs],
        "gaps": [attrs.asdict(gap) for gap in store.gaps()],
        "runs of": {key: [run.run_id for run in store.runs(job_key=key)] for key in keys},
        "last runs": {key: run.run_id for key, run in store.last_runs().items()},
        "last success": {key: store.last_success(key) for key in keys},
    }
    if VERSION >= 2:
        read["windows"] = [attrs.asdict(window) for window in store.windows()]
        read["attempts"] = {run.run_id: [attrs.asdict(past) for past in store.attempts(run.run_id)] for run in runs}
        read["log lines"] = {run.run_id: [attrs.asdict(line) for line in store.log_lines(run.run_id)] for run in runs}
    return json.loads(json.dumps(read, default=_plain))  # type: ignore[no-any-return]


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value.isoformat() if isinstance(value, datetime) else repr(value)


def declared(key: str, life: int) -> RegisteredJob:
    job = Job(name=f"{key.title()} № {life}", key=key, run=lambda ctx: None, next=every(hours=1 + life // 2))
    return RegisteredJob(job, plugin="cleaning", distribution="acme-cleaning", version=f"1.{life}")


def run_of(life: int, hour: int, key: str, trigger: Trigger, status: RunStatus = RunStatus.RUNNING) -> Run:
    fire_time = START + hour * HOUR
    return Run(
        f"{life}-{hour:03}-{key}-{trigger.value}",
        key,
        fire_time,
        fire_time.isoformat(),
        trigger,
        status,
        started_at=fire_time + timedelta(seconds=2, microseconds=7),
    )


def decision(run: Run, gaps: tuple[Gap, ...]) -> Decision:
    following = run.fire_time + HOUR
    if VERSION == 1:
        return Decision(run.job_key, run.fire_time, following, run, gaps)  # type: ignore[arg-type]
    return Decision(run.job_key, run.fire_time, following, (run,), gaps)


def finish(store: SqliteStore, run: Run, outcome: Outcome, **more: Any) -> None:
    told = threading.Event()

    def then(error: Exception | None, is_recorded: bool) -> None:
        assert error is None
        assert is_recorded
        told.set()

    store.finish(run.run_id, run.attempt, outcome, then, **more)
    assert told.wait(30)


def live(path: Path, life: int, chance: random.Random) -> None:
    """Be the host for some hours, and leave what is running behind."""
    first = life * 20 + 1
    with closing(SqliteStore.open(path, create=True, clock=Hour(first))) as store:
        store.become_host()
        store.mark_lost(START + first * HOUR)
        store.declare([declared(key, life) for key in KEYS[: 2 + life % 2]], START + first * HOUR)
        for hour in range(first + 3, first + 18):
            for run in _claimed(store, life, hour, chance):
                if hour < first + 17:
                    _end(store, run, chance)
        by_hand = run_of(life, first + 5, "never-declared", Trigger.MANUAL)
        store.claim(by_hand)
        _end(store, by_hand, chance)
        if VERSION >= 2:
            _live_more(store, life, first)


def _live_more(store: SqliteStore, life: int, first: int) -> None:
    """Do what schema 2 has come to keep: attempts, logs, queues, answers, and the operator's words."""
    from rapua_scheduler.run import LogLine, Start, WindowKind  # unknown to the code of schema 1

    now = START + (first + 18) * HOUR
    store.note_alive(now)
    for run in store.unanswered():
        if life % 2:
            store.rerun(run.run_id)
        else:
            store.leave([run.run_id])
    for run in store.take_queued():
        store.drop(run.run_id, Outcome(RunStatus.CANCELLED, now, error="dropped: Ž"))
    retried = attrs.evolve(run_of(life, first + 18, "air", Trigger.SCHEDULE), status=RunStatus.QUEUED)
    assert store.decide([decision(retried, ())]) == [True]
    for attempt in (1, 2, 3):
        assert store.begin([Start(retried.run_id, attempt, now + attempt * timedelta(minutes=1))]) == [True]
        lines = [LogLine(now, attempt, "info", f"line {number} Ž \udc80") for number in range(attempt)]
        store.report(retried.run_id, attempt, done=attempt, total=3, log=lines)
        ended = Outcome(
            RunStatus.FAILED if attempt < 3 else RunStatus.SUCCEEDED, now, error=None if attempt == 3 else "Ž"
        )
        finish(store, attrs.evolve(retried, attempt=attempt), ended, again=attempt < 3, log=lines[:1])
    asked = attrs.evolve(run_of(life, first + 2, "air", Trigger.BACKFILL), started_at=None, asked_by="žofie@example")
    store.enqueue([attrs.evolve(asked, status=RunStatus.QUEUED)])
    assert store.request_cancel(asked.run_id, "žofie@example")
    assert store.pause("mop", now, "the mop is broken: Ž", "žofie@example")
    assert store.resume("mop", now + HOUR)
    store.set_absent({"air": (WindowKind.FAILED if life % 2 else WindowKind.ABSENT, "uninstalled")}, now)
    if life == 2:
        store.hold(now, "the clock is a month ahead")
        store.release(now)
    elif life == 3:
        store.pause("sweep", now, "for ever", "žofie@example")


def _claimed(store: SqliteStore, life: int, hour: int, chance: random.Random) -> Iterator[Run]:
    for key in KEYS[: 2 + life % 2]:
        if chance.random() < 0.35:
            continue
        trigger = chance.choice([Trigger.SCHEDULE, Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.RERUN])
        gaps: tuple[Gap, ...] = ()
        if chance.random() < 0.3:
            reason = chance.choice(list(GapReason))
            before = START + hour * HOUR - timedelta(minutes=30)
            gaps = (Gap(key, before, before + timedelta(minutes=10), chance.choice([None, 2]), reason, "Ž, 2 of 3"),)
        run = run_of(life, hour, key, trigger)
        assert store.decide([decision(run, gaps)]) == [True]
        yield run


def _end(store: SqliteStore, run: Run, chance: random.Random) -> None:
    status = chance.choice(ENDS)
    is_good = status is RunStatus.SUCCEEDED
    error = None if is_good else chance.choice(ERRORS)
    ended_at = run.fire_time + timedelta(minutes=1, microseconds=chance.randrange(10**6))
    finish(store, run, Outcome(status, ended_at, chance.choice(RESULTS) if is_good else None, error))


def make(folder: Path) -> None:
    """Write the golden file of the schema that this code writes."""
    path = folder / f"schema-{VERSION}.db"
    chance = random.Random(VERSION)
    for life in range(6 if VERSION == 1 else 4):
        live(path, life, chance)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE owners SET pid = 1000 + id, host_name = 'old.example.org'")
        db.execute("UPDATE meta SET value = '0123456789abcdef0123456789abcdef' WHERE name = 'store_id'")
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("VACUUM")
    path.with_name(f"{path.name}.lock").unlink()
    with closing(SqliteStore.open_read_only(path)) as store:
        read = history(store)
    lines = json.dumps(read)
    path.with_suffix(".json").write_text(lines + "\n")
    print(path, path.stat().st_size, "bytes,", len(read["runs"]), "runs,", len(read["gaps"]), "gaps")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
