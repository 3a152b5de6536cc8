"""What the tests of the store do in processes of their own: `python -m tests.store.children NAME ARGUMENT...`."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import evolve

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import Decision, Outcome, Run, RunStatus, Start, Trigger
from rapua_scheduler.store.locks import HOST, is_held
from rapua_scheduler.store.rows import to_micros
from rapua_scheduler.store.schema import MIGRATIONS, migrate
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import (
    HOUR,
    START,
    finish,
    some_job,
    some_run,
    to_queue,
    to_run,
    waiting,
)


def say(word: str, **more: object) -> None:
    """Tell the parent one thing, at once and whole."""
    os.write(1, (json.dumps({"word": word, **more}) + "\n").encode())


def wait_for_parent() -> None:
    sys.stdin.readline()


def hold(path: str, job_key: str) -> None:
    """Claim three runs of a job, and keep the store open until told to go."""
    store = SqliteStore.open(path, create=False)
    store.declare([some_job(job_key)], START)
    assert store.decide([to_run(hour, job_key) for hour in (1, 2)]) == [True, True]
    store.claim(some_run(3, job_key, trigger=Trigger.MANUAL))
    say("ready")
    wait_for_parent()
    store.close()
    say("closed")
    wait_for_parent()


def hold_queued(path: str, job_key: str) -> None:
    """Claim two queued runs and a running one, all of one job, and keep the store open until told to go."""
    store = SqliteStore.open(path, create=False)
    store.become_host()
    store.declare([some_job(job_key)], START)
    assert store.decide([to_queue(1, 2, job_key=job_key), to_run(3, job_key)]) == [True, True]
    say("ready")
    wait_for_parent()
    store.close()


def speak(path: str, job_key: str, run_id: str) -> None:
    """Say what an operator may say, from a process of its own."""
    store = SqliteStore.open(path, create=False)
    store.enqueue([waiting(9, job_key, trigger=Trigger.MANUAL)])
    store.pause(job_key, START, "rats", "ann")
    say("said", cancelled=store.request_cancel(run_id, "ann"))
    store.close()


def begin_at_once(path: str, run_ids: str) -> None:
    """Take what is queued, and say what could be begun of it."""
    store = SqliteStore.open(path, create=False)
    say("ready")
    wait_for_parent()
    taken = [run.run_id for run in store.take_queued()]
    begun = store.begin([Start(run_id, 1, START) for run_id in run_ids.split(",")])
    say("begun", taken=taken, begun=list(begun))
    wait_for_parent()
    store.close()


def be_host(path: str) -> None:
    """Be the host until told to go."""
    store = SqliteStore.open(path, create=False)
    store.become_host()
    say("ready")
    wait_for_parent()
    store.close()


def be_host_and_fork(path: str) -> None:
    """Be the host, with a forked child that outlives it by five seconds."""
    store = SqliteStore.open(path, create=True)
    store.become_host()
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            threading.Event().wait(0.1)
        threading.Event().wait(5)
        os._exit(0)
    say("ready")
    wait_for_parent()


def look_without_end(path: str) -> None:
    """Ask again and again whether there is a host."""
    say("looking")
    while True:
        is_held(Path(path), HOST)


def mark_lost(path: str) -> None:
    """Say which runs are lost."""
    store = SqliteStore.open(path, create=False)
    say("lost", runs=[run.run_id for run in store.mark_lost(START)])
    store.close()


def compete(path: str, worker: str, jobs: str, hours: str) -> None:
    """Try to claim every job's every hour, and say what was claimed."""
    shuffled = random.Random(worker)
    keys = [f"job-{number}" for number in range(int(jobs))]
    store = SqliteStore.open(path, create=False)
    say("ready")
    wait_for_parent()
    for hour in range(1, int(hours) + 1):
        shuffled.shuffle(keys)
        for start in range(0, len(keys), 5):
            runs = [evolve(some_run(hour, key), run_id=f"{worker}-{hour}-{key}") for key in keys[start : start + 5]]
            decisions = [Decision(run.job_key, run.fire_time, None, (run,)) for run in runs]
            for run, is_recorded in zip(runs, store.decide(decisions), strict=True):
                if is_recorded:
                    say("claimed", run_id=run.run_id)
    store.close()


def work_until_killed(path: str, life: str) -> None:
    """Claim and finish runs without end, saying of each what the store has promised."""
    store = SqliteStore.open(path, create=False)
    jobs = [some_job(f"job-{number}") for number in range(10)]
    stored = store.declare(jobs, START)
    hour = 1 + max((job.mark - START) // HOUR for job in stored.values())
    unfinished = threading.Semaphore(100)
    while True:
        runs = [evolve(some_run(hour, job.job.key), run_id=f"{life}-{hour}-{job.job.key}") for job in jobs]
        if all(store.decide([Decision(run.job_key, run.fire_time, None, (run,)) for run in runs])):
            say("claimed", runs=[run.run_id for run in runs])
        for run in runs:
            unfinished.acquire()
            store.finish(
                run.run_id, 1, Outcome(RunStatus.SUCCEEDED, START, {"id": run.run_id}), _telling(run, unfinished)
            )
        hour += 1


def _telling(run: Run, unfinished: threading.Semaphore) -> Callable[[Exception | None, bool], None]:
    def then(error: Exception | None, is_recorded: bool) -> None:
        if error is None and is_recorded:
            say("finished", runs=[run.run_id])
        unfinished.release()

    return then


def open_and_be_killed(folder: str) -> None:
    """Create stores, each time killed one statement later, until one is complete."""

    def create(path: Path) -> None:
        SqliteStore.open(path, create=True).close()

    _be_killed_at_each_statement(Path(folder), lambda path: None, create)


def migrate_and_be_killed(folder: str) -> None:
    """Bring copies of a store up to a later schema, each time killed one statement later."""
    later = (
        "CREATE TABLE tries (run INTEGER, number INTEGER)",
        "INSERT INTO tries SELECT id, attempt FROM runs",
        "ALTER TABLE jobs ADD COLUMN paused_because TEXT",
        "UPDATE jobs SET paused_because = 'all of them'",
    )

    def fill(path: Path) -> None:
        store = SqliteStore.open(path, create=True)
        store.declare([some_job()], START)
        store.decide([to_run(hour) for hour in range(1, 6)])
        store.close()

    def change(path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        migrate(connection, [*MIGRATIONS, later])
        connection.close()

    _be_killed_at_each_statement(Path(folder), fill, change)


def update_and_be_killed(folder: str) -> None:
    """Open stores of schema 1 for writing, each time killed one statement later."""

    def update(path: Path) -> None:
        SqliteStore.open(path, create=False).close()

    _be_killed_at_each_statement(Path(folder), fill_first_schema, update)


def fill_first_schema(path: Path) -> None:
    """Leave a store of schema 1 behind, with runs of every status."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, MIGRATIONS[:1])
        hour, start = 3_600_000_000, to_micros(START)
        statuses = ["succeeded", "lost", "failed", "interrupted", "running", "lost", "interrupted"]
        for number, status in enumerate(statuses, start=1):
            key = "mop" if number == 6 else "sweep"
            previous = None if number in (1, 6) else 5 if number == 7 else number - 1
            db.execute(
                """
                INSERT INTO runs (id, run_id, job_key, fire_time, fire_key, trigger, status, attempt, owner, started_at,
                    previous) VALUES (?, ?, ?, ?, ?, 'schedule', ?, 1, 7, ?, ?)
                """,
                (number, f"run-{number}", key, start + number * hour, str(number), status, start, previous),
            )
        for key, last_run in (("mop", 6), ("sweep", 7)):
            db.execute(
                "INSERT INTO jobs (key, mark, first_seen_at, last_seen_at, last_run) VALUES (?, ?, ?, ?, ?)",
                (key, start + 9 * hour, start, start, last_run),
            )
        db.execute("INSERT INTO gaps VALUES (1, 'sweep', ?, ?, 1, 'missed', '', 7)", (start, start))


def bring_up_to_date_and_be_killed(folder: str) -> None:
    """Open copies of a store of the first schema, each time killed one statement later."""

    def copy(path: Path) -> None:
        shutil.copyfile(Path(__file__).parent / "golden" / "schema-1.db", path)

    def change(path: Path) -> None:
        SqliteStore.open(path, create=False).close()

    _be_killed_at_each_statement(Path(folder), copy, change)


def _be_killed_at_each_statement(folder: Path, prepare: Callable[[Path], None], act: Callable[[Path], None]) -> None:
    for survived in range(1000):
        path = folder / str(survived) / "store.db"
        path.parent.mkdir()
        prepare(path)
        pid = os.fork()
        if pid == 0:
            _die_after(survived)
            act(path)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            say("whole", path=str(path), status=os.WEXITSTATUS(status))
            return
        say("killed", path=str(path))


def _die_after(statements: int) -> None:
    """Kill this process when more than so many statements are begun."""
    left = statements
    connect = sqlite3.connect

    def count(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect_and_count(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = connect_and_count  # type: ignore[assignment]


def open_at_once(path: str, processes: str) -> None:
    """Create one store from several processes at once, and say how each fared."""
    read, write = os.pipe()
    pids = []
    for _ in range(int(processes)):
        pid = os.fork()
        if pid == 0:
            os.close(write)
            os.read(read, 1)  # until the parent closes its end
            SqliteStore.open(path, create=True).close()
            os._exit(0)
        pids.append(pid)
    os.close(read)
    os.close(write)
    say("ended", statuses=[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])


def run_out_of_disk(path: str) -> None:
    """Decide until no byte more can be written, then again once it can."""
    store = SqliteStore.open(path, create=True)
    store.declare([some_job()], START)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    recorded = 0
    try:
        while True:
            run = evolve(some_run(recorded + 1), run_id=f"{recorded + 1}" + "." * 3000)
            assert store.decide([Decision("sweep", run.fire_time, None, (run,))]) == [True]
            recorded += 1
    except StoreError as error:
        say("full", problem=error.problem, recorded=recorded, there=len(store.runs()))
    told: list[Exception | None] = []
    is_told = threading.Event()

    def then(error: Exception | None, _: bool) -> None:
        told.append(error)
        is_told.set()

    newest = store.runs(limit=1)[0].run_id
    store.finish(newest, 1, Outcome(RunStatus.FAILED, START, error="x" * 60_000), then)
    assert is_told.wait(30)
    say("finish", failed=isinstance(told[0], StoreError), status=store.runs(limit=1)[0].status)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    again = list(store.decide([to_run(recorded + 1)]))
    say("room", recorded=again, finished=finish(store, newest), runs=len(store.runs()))
    store.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
