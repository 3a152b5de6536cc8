"""The jobs that count, and the lives of hosts that run them."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

from attrs import frozen

from rapua_scheduler import JobContext, Retry, Scheduler, every
from rapua_scheduler.errors import AnotherHostError, UnknownJobError
from rapua_scheduler.store.schema import MIGRATIONS, migrate
from rapua_scheduler.store.sqlite import SqliteStore
from tests.kills.evidence import COUNTER, EFFECTS, STORE, Micros
from tests.kills.failpoints import Crossing, Failpoints
from tests.kills.processes import REFUSED

PERIODS: Mapping[str, Micros] = {"steady": 40_000, "flaky": 70_000, "async": 110_000, "slow": 150_000}
"""Of each job."""

_GRACE = timedelta(seconds=5)
_PATIENCE = 20.0
_FINISHES_WITHIN = 150.0
_HANGS_AFTER = 300.0


@frozen
class Life:
    """What one host is to do.

    Attributes:
        folder: The site.
        fatal: Where it is to die; None if nowhere.
        seconds: How long it runs, unless it dies.
        seed: Decides what the operator says meanwhile; None if nothing.
        stands_by: Whether it waits for its turn if there is another host.
        finishes: Whether it goes on until everything that was due when it started has come to an end.
    """

    folder: Path
    fatal: Crossing | None = None
    seconds: float = 0.35
    seed: int | None = None
    stands_by: bool = False
    finishes: bool = False


class Counting:
    """The effects: lines in a log, and keys in a database of the jobs' own."""

    def __init__(self, folder: Path, failpoints: Failpoints) -> None:
        self._path = folder / COUNTER
        self._log = os.open(folder / EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._failpoints = failpoints

    def count(self, ctx: JobContext) -> None:
        """Count a run once, however many attempts there are."""
        self._begin(ctx)
        self._enter(ctx)
        self._end(ctx)

    def fail_at_first(self, ctx: JobContext) -> None:
        """Count a run, at its second attempt."""
        self._begin(ctx)
        if ctx.attempt == 1:
            self._say("fail", ctx)
            raise RuntimeError("not at the first attempt")
        self._enter(ctx)
        self._end(ctx)

    async def count_slowly(self, ctx: JobContext) -> None:
        """Count a run, with others beside it."""
        self._begin(ctx)
        await asyncio.sleep(0.01)
        self._enter(ctx)
        self._end(ctx)

    def count_items(self, ctx: JobContext) -> dict[str, int]:
        """Count a run after some work that can be cancelled, and say something."""
        self._begin(ctx)
        try:
            for item in ctx.track(range(4)):
                ctx.log.info("item", number=item)
                ctx.sleep(0.01)
        except BaseException:
            self._say("fail", ctx)
            raise
        self._enter(ctx)
        self._end(ctx)
        return {"items": 4}

    def _begin(self, ctx: JobContext) -> None:
        self._say("begin", ctx)
        self._failpoints.cross("effect: begun")

    def _end(self, ctx: JobContext) -> None:
        self._failpoints.cross("effect: committed")
        self._say("end", ctx)
        self._failpoints.cross("effect: ended")

    def _enter(self, ctx: JobContext) -> None:
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            if db.execute("INSERT OR IGNORE INTO counted VALUES (?)", (ctx.run_key,)).rowcount:
                db.execute("UPDATE total SET n = n + 1")
            db.execute("COMMIT")

    def _say(self, what: str, ctx: JobContext) -> None:
        fields: dict[str, Any] = {"what": what, "key": ctx.run_key, "attempt": ctx.attempt, "run_id": ctx.run_id}
        os.write(self._log, (json.dumps({**fields, "pid": os.getpid()}) + "\n").encode())
        os.fsync(self._log)


def prepare(folder: Path, *, from_schema_1: bool = False) -> None:
    """Make the jobs' database, and perhaps a store as an earlier release left it."""
    with closing(sqlite3.connect(folder / COUNTER, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript("CREATE TABLE counted (run_key TEXT); CREATE TABLE total (n); INSERT INTO total VALUES (0)")
        db.execute("CREATE UNIQUE INDEX once ON counted (run_key)")
    if from_schema_1:
        with closing(sqlite3.connect(folder / STORE, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            migrate(db, MIGRATIONS[:1])
            _leave_as_schema_1_did(db, int(time.time() * 1e6) - 500_000)


def _leave_as_schema_1_did(db: sqlite3.Connection, since: Micros) -> None:
    """Record jobs, and a run that was going on when its host died."""
    for number, (job, period) in enumerate(PERIODS.items(), start=1):
        first = (since // period + 1) * period
        fire_key = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(first // 1_000_000))
        fire_key += f".{first % 1_000_000:06d}Z" if first % 1_000_000 else "Z"
        db.execute(
            "INSERT INTO jobs (key, name, mark, first_seen_at, last_seen_at, last_run) VALUES (?, ?, ?, ?, ?, ?)",
            (job, job, first, since, since, number),
        )
        db.execute(
            "INSERT INTO runs (id, run_id, job_key, fire_time, fire_key, trigger, status, attempt, owner, started_at)"
            " VALUES (?, ?, ?, ?, ?, 'schedule', 'running', 1, 1, ?)",
            (number, f"old-{number}", job, first, fire_key, first),
        )
    db.execute("INSERT INTO owners VALUES (1, 1, 'here', ?)", (since,))


def live(life: Life, prepare_process: Callable[[], object] = lambda: None) -> int:
    """Be a host until the end of its life, and return the exit status.

    Args:
        life: What it is to do.
        prepare_process: What is done to the process before the failpoints are put in.
    """
    faulthandler.dump_traceback_later(_HANGS_AFTER, exit=True)
    prepare_process()
    failpoints = Failpoints(life.fatal)
    failpoints.install()
    counting = Counting(life.folder, failpoints)
    scheduler = _scheduler(life)
    if scheduler is None:
        return REFUSED
    policies: dict[str, Any] = {"catch_up": "all", "retry": Retry(attempts=3, delay=timedelta(milliseconds=5))}
    schedules = {job: every(milliseconds=period / 1000) for job, period in PERIODS.items()}
    scheduler.add_job("steady", counting.count, schedules["steady"], overlap="queue_all", **policies)
    scheduler.add_job("flaky", counting.fail_at_first, schedules["flaky"], **policies)
    scheduler.add_job("async", counting.count_slowly, schedules["async"], concurrency_key="shared", **policies)
    scheduler.add_job(
        "slow", counting.count_items, schedules["slow"], concurrency_key="shared", retry=Retry(attempts=3)
    )
    with scheduler:
        operator = threading.Thread(target=_operate, args=(scheduler, life), daemon=True)
        operator.start()
        _sleep_or_finish(scheduler, life)
        operator.join()
    return 0


def _scheduler(life: Life) -> Scheduler | None:
    give_up_at = time.monotonic() + _PATIENCE
    while True:
        try:
            return Scheduler(life.folder / STORE, timezone=UTC, shutdown_grace=_GRACE)
        except AnotherHostError:
            if not life.stands_by or time.monotonic() > give_up_at:
                return None
            time.sleep(0.005)


def _operate(scheduler: Scheduler, life: Life) -> None:
    """Say what an operator may say; a job whose runs were lost too often is resumed."""
    _resume_all(scheduler)
    if life.seed is None:
        return
    chance = random.Random(life.seed)
    job = chance.choice(list(PERIODS))
    word = chance.choice(["trigger", "trigger and cancel", "pause and resume", "nothing"])
    if word == "pause and resume":
        time.sleep(chance.uniform(0, life.seconds / 2))
        scheduler.pause(job, "for a moment")
        time.sleep(chance.uniform(0, life.seconds / 2))
        scheduler.resume(job)
    elif word != "nothing":
        run_id = scheduler.trigger(job)
        if word == "trigger and cancel":
            scheduler.cancel(run_id)


def _resume_all(scheduler: Scheduler) -> None:
    for job in PERIODS:
        with suppress(UnknownJobError):
            scheduler.resume(job)


def _sleep_or_finish(scheduler: Scheduler, life: Life) -> None:
    began = int(time.time() * 1e6)
    time.sleep(life.seconds)
    give_up_at = time.monotonic() + _FINISHES_WITHIN  # a machine with other things to do has a backlog
    while life.finishes and time.monotonic() < give_up_at and not is_finished(life.folder / STORE, began):
        _resume_all(scheduler)  # one more loss may have paused a job at the start of this life
        time.sleep(0.02)


_OPEN = """
    SELECT (SELECT count(*) FROM jobs WHERE mark < :until - 500000) + (
        SELECT count(*) FROM runs WHERE fire_time <= :until AND trigger <> 'manual' AND status <> 'succeeded'
            AND NOT (status = 'lost' AND is_answered)
    )
"""


def is_finished(store: Path, until: Micros) -> bool:
    """Tell whether everything that was due at *until* has come to an end."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=30)) as db:
        (left,) = db.execute(_OPEN, {"until": until}).fetchone()
    return not left


def open_and_close(folder: Path) -> None:
    """Open the store and close it, to see whether it is whole."""
    SqliteStore.open(folder / STORE, create=False).close()
