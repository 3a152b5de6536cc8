"""Faults 35 to 58: what a job's `run` may do to its host, as far as one process can show it.

Each misbehaving job is a plugin's; where a healthy one runs beside it, that is another plugin's, unless the
test says otherwise. The controls do the same to plain asyncio, or to a pool of the standard library.
What only a host process can show is in `test_runs_in_hosts`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rapua_scheduler import Job, JobContext, Retry, RunStatus, Scheduler, every
from rapua_scheduler.errors import ContextClosedError, StoreError
from rapua_scheduler.executors.pools import THREADS_PER_PLUGIN
from rapua_scheduler.job import RunFunction
from rapua_scheduler.outcomes import LONGEST_ERROR, LONGEST_TEXT
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run
from rapua_scheduler.store.sqlite import SqliteStore
from tests.core.executors.works import setup_for
from tests.core.plugins.packages import Packages

PATIENCE = 20.0


class World:
    """A scheduler on a store in a file."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore.open(folder / "store.db", create=True)
        self.scheduler = Scheduler(
            self.store, timezone=UTC, shutdown_grace=timedelta(seconds=0.2), child_setup=setup_for(folder)
        )
        self.scheduler.start()
        self.hang = threading.Event()
        """Never set before the end of the test."""

    def add(self, run: RunFunction, key: str = "misbehaving", *, plugin: str = "bad", **policies: Any) -> str:
        """Add a job that runs when it is asked for only."""
        policies.setdefault("next", every(hours=1))
        self.scheduler.add([RegisteredJob(Job(name=key, run=run, key=key, **policies), plugin)])
        return key

    def start(self, key: str) -> str:
        return self.scheduler.trigger(key)

    def end_of(self, run_id: str) -> Run:
        """Wait until a run has ended, and return it."""
        ended: list[Run] = []

        def has_ended() -> bool:
            run = self.store.run(run_id)
            if run is not None and run.status.is_final:
                ended.append(run)
            return bool(ended)

        wait_until(has_ended, f"run {run_id} has ended")
        return ended[0]

    def run_once(self, run: RunFunction, key: str = "misbehaving", **policies: Any) -> Run:
        """Run a job once, and return how that ended."""
        return self.end_of(self.start(self.add(run, key, **policies)))

    def is_well(self) -> bool:
        """Tell whether jobs still run, of the same plugin and of another, plain and asynchronous ones."""

        def plain(ctx: JobContext) -> None: ...

        async def asynchronous(ctx: JobContext) -> None: ...

        runs = [
            self.start(self.add(run, f"well-{plugin}-{run.__name__}", plugin=plugin))
            for plugin in ("bad", "good")
            for run in (plain, asynchronous)
        ]
        return all(self.end_of(run_id).status is RunStatus.SUCCEEDED for run_id in runs)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "site-packages").mkdir()
    world = World(tmp_path)
    yield world
    world.hang.set()
    world.scheduler.stop()
    world.store.close()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    waiter = threading.Event()
    for _ in range(int(PATIENCE / 0.005)):
        if is_so():
            return
        waiter.wait(0.005)
    pytest.fail(f"waited in vain until {what}")


def plain(error: BaseException) -> RunFunction:
    def run(ctx: JobContext) -> None:
        raise error

    return run


def asynchronous(error: BaseException) -> RunFunction:
    async def run(ctx: JobContext) -> None:
        await asyncio.sleep(0)
        raise error

    return run


BOTH_KINDS = pytest.mark.parametrize("raising", [plain, asynchronous])


# -- what is raised


@BOTH_KINDS
def test_fault_35_an_exception_is_a_failed_attempt_with_a_bounded_traceback_and_tried_again(
    world: World, raising: Callable[[BaseException], RunFunction]
) -> None:
    run = world.run_once(
        raising(ValueError("x" * 10_000_000)), retry=Retry(attempts=3, delay=timedelta(milliseconds=5))
    )

    assert (run.status, run.attempt, run.failures) == (RunStatus.FAILED, 3, 2)
    assert [past.status for past in world.store.attempts(run.run_id)] == [RunStatus.FAILED] * 2
    assert run.error is not None
    assert run.error.startswith("Traceback (most recent call last)")
    assert "ValueError: xxx" in run.error
    assert len(run.error) < LONGEST_ERROR + 200
    assert world.is_well()


class Odd(BaseException):
    """Somebody's own, and no Exception."""


@BOTH_KINDS
@pytest.mark.parametrize("error", [Odd("36"), SystemExit(3), KeyboardInterrupt(), GeneratorExit("bye")], ids=type)
def test_fault_36_fault_37_fault_38_what_is_no_exception_fails_the_run_and_not_the_host(
    world: World, raising: Callable[[BaseException], RunFunction], error: BaseException
) -> None:
    run = world.run_once(raising(error))

    assert run.status is RunStatus.FAILED
    assert type(error).__name__ in (run.error or "")
    assert world.is_well()


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()"])
def test_fault_37_fault_38_control_asyncio_ends_with_it(error: str) -> None:
    source = f"""
import asyncio

async def fail():
    raise {error}

async def host():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    print("the others go on")

asyncio.run(host())
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert done.stdout == ""


def test_fault_39_a_cancellation_that_nobody_asked_for_is_a_failure(world: World) -> None:
    for key, run in (
        ("async", asynchronous(asyncio.CancelledError("made up"))),
        ("plain", plain(concurrent.futures.CancelledError("made up"))),
    ):
        assert world.run_once(run, key).status is RunStatus.FAILED
    assert world.is_well()


def test_fault_40_stop_iteration_fails_the_run(world: World) -> None:
    def run(ctx: JobContext) -> object:
        return next(iter(()))

    assert world.run_once(run).status is RunStatus.FAILED
    assert world.run_once(asynchronous(StopIteration("now")), "async").status is RunStatus.FAILED
    assert world.is_well()


def test_fault_40_control_a_future_of_asyncio_cannot_carry_it() -> None:
    async def host() -> BaseException | None:
        future = asyncio.get_running_loop().create_future()
        try:
            future.set_exception(StopIteration())
        except TypeError:  # up to Python 3.12, so that `to_thread` waits for ever
            return None
        return future.exception()

    assert not isinstance(asyncio.run(host()), StopIteration)


def test_fault_47_a_recursion_without_end_fails_the_run(world: World) -> None:
    def run(ctx: JobContext) -> None:
        run(ctx)

    failed = world.run_once(run)

    assert failed.status is RunStatus.FAILED
    assert "RecursionError" in (failed.error or "")
    assert world.is_well()


@BOTH_KINDS
def test_fault_48_want_of_memory_fails_the_run(world: World, raising: Callable[[BaseException], RunFunction]) -> None:
    assert "MemoryError" in (world.run_once(raising(MemoryError())).error or "")
    assert world.is_well()


def test_fault_48_in_a_process_the_want_is_that_job_s_alone(world: World, tmp_path: Path) -> None:
    source = """
        from rapua_scheduler import Job, every, hookimpl

        def swell(ctx):
            swollen = []
            while True:
                swollen.append(bytearray(16 * 1024 * 1024))

        @hookimpl
        def register_jobs():
            return [Job(name="Swell", run=swell, next=every(hours=1))]
    """
    Packages(tmp_path / "site-packages").install("swelling", source)
    job = Job(name="Swell", run=world.hang.wait, next=every(hours=1), isolation="process")
    world.scheduler.add([RegisteredJob(job, "swelling", "swelling", "1.0", 300 * 1024 * 1024)])
    before = resident()

    run = world.end_of(world.start("swell"))

    assert run.status is RunStatus.FAILED
    assert "MemoryError" in (run.error or "")
    assert resident() - before < 20 * 1024 * 1024
    assert world.is_well()


class SpitefulError(Exception):
    """Raises when it is looked at."""

    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SpitefulError(), "SpitefulError"),
        (ValueError("\ud800 alone"), "\\ud800 alone"),
        (ValueError("a\0b"), "a\\x00b"),
    ],
    ids=["raises", "lone surrogate", "NUL"],
)
@BOTH_KINDS
def test_fault_56_an_error_whose_text_cannot_be_stored_is_stored_escaped(
    world: World, raising: Callable[[BaseException], RunFunction], error: BaseException, text: str
) -> None:
    run = world.run_once(raising(error))

    assert run.status is RunStatus.FAILED
    assert text in (run.error or "")
    assert world.is_well()


def test_fault_56_control_the_database_takes_no_such_text(world: World) -> None:
    with pytest.raises(UnicodeEncodeError):
        "\ud800 alone".encode()
    with pytest.raises(SystemExit):
        str(SpitefulError())


def test_fault_58_groups_and_loops_of_errors_are_told_bounded(world: World) -> None:
    def deep(levels: int) -> Exception:
        error: Exception = ValueError("at the bottom")
        for level in range(levels):
            error = ExceptionGroup(f"level {level}", [error] * 3 if level < 8 else [error])
        return error

    looped, other = ValueError("first"), ValueError("second")
    looped.__cause__, other.__cause__ = other, looped

    for key, error in (
        ("deep", deep(50)),
        ("wide", ExceptionGroup("w", [ValueError("x" * 1000)] * 5000)),
        ("l", looped),
    ):
        began = time.monotonic()
        run = world.run_once(plain(error), key)
        assert run.status is RunStatus.FAILED
        assert len(run.error or "") < LONGEST_ERROR + 200
        assert time.monotonic() - began < 5
    assert world.is_well()


# -- what is returned


class Unspeakable:
    def __repr__(self) -> str:
        raise Odd("no representation")


@pytest.mark.parametrize(
    ("returned", "stored"),
    [
        (object, "<class 'object'>"),
        (Unspeakable(), "its representation raised Odd"),
        ({"a": {1, 2}}, "{1, 2}"),
        ("x" * 100_000_000, "characters left out"),
        (b"x" * 100_000_000, "characters left out"),
        (10**5000, "a huge integer"),
        ("\ud800", "\\ud800"),
    ],
    ids=["class", "no repr", "set", "100 MB", "100 MB of bytes", "huge", "surrogate"],
)
def test_fault_55_what_cannot_be_stored_is_kept_as_its_representation_cut(
    world: World, returned: object, stored: str
) -> None:
    run = world.run_once(lambda ctx: returned)

    assert run.status is RunStatus.SUCCEEDED
    (text,) = (run.result or {}).values()
    assert stored in str(text)
    assert len(str(text)) < LONGEST_TEXT + 200
    assert world.is_well()


LARGE = [[0] * 1000] * 100_000


@pytest.mark.parametrize("what", ["returned", "raised", "logged"])
def test_fault_55_a_large_value_keeps_nobody_waiting(world: World, what: str) -> None:
    ticks: list[float] = []

    def tick(ctx: JobContext) -> None:
        ticks.append(time.monotonic())

    def run(ctx: JobContext) -> object:
        if what == "raised":
            raise ValueError(LARGE)
        if what == "logged":
            ctx.log.warning("Rows %s", LARGE, rows=LARGE)
            return None
        return LARGE

    world.add(tick, "tick", plugin="good", next=every(milliseconds=20))
    wait_until(lambda: len(ticks) > 5, "the other job runs")
    ended = world.run_once(run)
    seen = len(ticks)
    wait_until(lambda: len(ticks) > seen + 5, "the other job has run on")

    assert ended.status is (RunStatus.FAILED if what == "raised" else RunStatus.SUCCEEDED)
    assert max(later - earlier for earlier, later in pairwise(ticks)) < 0.5  # measured: 0.03 s


def test_fault_55_control_a_representation_keeps_all_threads_waiting() -> None:
    turns: list[float] = []
    is_over = threading.Event()

    def take_turns() -> None:
        while not is_over.wait(0.005):
            turns.append(time.monotonic())

    other = threading.Thread(target=take_turns)
    other.start()
    is_over.wait(0.05)
    repr(LARGE[:20_000])
    is_over.wait(0.05)
    is_over.set()
    other.join()

    assert max(later - earlier for earlier, later in pairwise(turns)) > 0.3


# -- what does not end


def test_fault_41_a_job_that_blocks_its_loop_is_named_and_harms_nobody_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "rapua_scheduler")
    go_on = threading.Event()
    lateness: list[float] = []

    async def block(ctx: JobContext) -> None:
        go_on.wait(5)

    def tick(ctx: JobContext) -> None:
        lateness.append((ctx.now() - ctx.fire_time).total_seconds())

    async def tick_async(ctx: JobContext) -> None:
        tick(ctx)

    blocking = world.start(world.add(block))
    for key, run, plugin in (("same", tick, "bad"), ("other", tick, "good"), ("loop", tick_async, "good")):
        world.add(run, key, plugin=plugin, next=every(milliseconds=50))

    wait_until(lambda: bool(blocked_lines(caplog)), "the watchdog has told of it")
    wait_until(lambda: len(lateness) > 60, "the others have run")
    go_on.set()
    assert world.end_of(blocking).status is RunStatus.SUCCEEDED
    (told,) = blocked_lines(caplog)
    assert told["jobs"] == [{"job_key": "misbehaving", "run_id": blocking}]
    assert "in block" in told["stack"]
    assert told["blocked_s"] < 2
    assert sorted(lateness)[len(lateness) // 2] < 0.1


def blocked_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [line for line in lines if line["event"] == "Event loop blocked"]


def test_fault_41_control_asyncio_runs_nothing_meanwhile() -> None:
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def host() -> None:
        task = asyncio.create_task(tick())
        await asyncio.sleep(0.03)
        time.sleep(0.5)
        await asyncio.sleep(0.03)
        task.cancel()

    asyncio.run(host())
    assert max(later - earlier for earlier, later in pairwise(ticks)) > 0.4


def test_fault_42_a_job_that_ignores_its_cancellation_times_out_on_time_and_is_not_joined(world: World) -> None:
    starts: list[float] = []
    release = threading.Event()

    async def ignore(ctx: JobContext) -> None:
        starts.append(time.monotonic())
        while not release.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    world.add(ignore, timeout=timedelta(milliseconds=300), next=every(milliseconds=100), overlap="skip")
    wait_until(lambda: bool(world.store.runs(statuses={RunStatus.TIMED_OUT})), "it has timed out")
    (run,) = world.store.runs(statuses={RunStatus.TIMED_OUT})
    assert run.started_at is not None
    assert run.finished_at is not None
    assert timedelta(seconds=0.3) <= run.finished_at - run.started_at < timedelta(seconds=0.6)

    wait_until(lambda: sum(gap.count or 0 for gap in world.store.gaps()) >= 3, "it is skipped meanwhile")
    assert len(starts) == 1
    assert world.is_well()

    release.set()
    wait_until(lambda: len(starts) >= 2, "it runs again once it has let go")


def test_fault_43_plain_jobs_that_hang_time_out_and_starve_nobody_of_their_own_plugin(world: World) -> None:
    hung = [
        world.start(world.add(lambda ctx: world.hang.wait(), f"hung-{number}", timeout=timedelta(milliseconds=200)))
        for number in range(THREADS_PER_PLUGIN + 2)
    ]

    assert {world.end_of(run_id).status for run_id in hung} == {RunStatus.TIMED_OUT}
    assert world.is_well()


def test_fault_43_control_a_pool_of_the_standard_library_starves() -> None:
    hang = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(THREADS_PER_PLUGIN) as pool:
        for _ in range(THREADS_PER_PLUGIN + 2):
            pool.submit(hang.wait)
        healthy = pool.submit(int)
        with pytest.raises(concurrent.futures.TimeoutError):
            healthy.result(0.3)
        hang.set()


def test_fault_46_two_jobs_that_wait_for_one_another_both_time_out(world: World) -> None:
    locks = threading.Lock(), threading.Lock()
    both = threading.Barrier(2)

    def deadlock(first: threading.Lock, second: threading.Lock) -> RunFunction:
        def run(ctx: JobContext) -> None:
            with first:
                both.wait(PATIENCE)
                second.acquire()

        return run

    runs = [
        world.start(world.add(deadlock(*pair), key, timeout=timedelta(milliseconds=500)))
        for key, pair in (("one", locks), ("other", locks[::-1]))
    ]

    assert [world.end_of(run_id).status for run_id in runs] == [RunStatus.TIMED_OUT] * 2
    assert world.is_well()
    for lock in locks:
        lock.release()


# -- what is left behind


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fault_49_a_fork_of_a_job_ends_where_the_job_returns(world: World) -> None:
    told = os.pipe()

    def fork(ctx: JobContext) -> int:
        pid = os.fork()
        if pid == 0:
            os.write(told[1], b"in the fork\n")
            return 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    run = world.run_once(fork)

    assert world.is_well()
    assert run.result == {"result": 0}
    assert os.read(told[0], 100) == b"in the fork\n"
    assert [stored.status for stored in world.store.runs(job_key="misbehaving")] == [RunStatus.SUCCEEDED]
    for end in told:
        os.close(end)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fault_49_a_fork_of_a_job_cannot_read_through_the_host_s_connection(world: World) -> None:
    def fork(ctx: JobContext) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                ctx.last_success  # noqa: B018
            except StoreError:
                os._exit(49)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert world.run_once(fork).result == {"result": 49}
    assert world.is_well()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fault_49_control_a_fork_goes_on_as_the_pool_that_it_was_forked_from() -> None:
    told, gate = os.pipe(), threading.Event()

    def tell() -> None:
        os.write(told[1], b"%d\n" % os.getpid())

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(gate.wait)
        forked, _ = pool.submit(os.fork), pool.submit(tell)
        gate.set()
        child = forked.result()
    written = b""
    while written.count(b"\n") < 2:  # the work that follows is done in both
        written += os.read(told[0], 100)
    os.kill(child, 9)
    os.waitpid(child, 0)
    for end in told:
        os.close(end)
    assert {int(line) for line in written.split()} == {os.getpid(), child}


def test_fault_50_what_a_process_prints_without_end_is_bounded(world: World, tmp_path: Path) -> None:
    print_in_a_process(world, tmp_path, 64)


@pytest.mark.slow
def test_fault_50_a_gigabyte(world: World, tmp_path: Path) -> None:
    print_in_a_process(world, tmp_path, 1024)


def print_in_a_process(world: World, folder: Path, megabytes: int) -> None:
    source = f"""
        from rapua_scheduler import Job, every, hookimpl

        def print_much(ctx):
            for _ in range({megabytes} * 16):
                print("x" * 63 + "\\n" + ("y" * 127 + "\\n") * 511, end="")
            print("the end")

        @hookimpl
        def register_jobs():
            return [Job(name="Print much", run=print_much, next=every(hours=1))]
    """
    Packages(folder / "site-packages").install("printing", source)
    job = Job(name="Print much", run=world.hang.wait, next=every(hours=1), isolation="process")
    world.scheduler.add([RegisteredJob(job, "printing", "printing")])
    before, began, most = resident(), time.monotonic(), 0
    run_id = world.start("print-much")
    while (run := world.store.run(run_id)) is None or not run.status.is_final:
        most = max(most, resident())
        world.hang.wait(0.02)
        assert time.monotonic() - began < 5 + megabytes / 16

    lines = world.store.log_lines(run_id)
    assert run.status is RunStatus.SUCCEEDED
    assert lines[-1].text == "the end"
    assert sum(len(line.text) for line in lines) < 1024 * 1024
    assert most - before < 20 * 1024 * 1024
    assert world.is_well()


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def test_fault_57_a_context_that_outlives_its_run_says_so(world: World) -> None:
    kept: list[JobContext] = []
    told: list[BaseException] = []
    ended = threading.Event()

    def meddle() -> None:
        ended.wait(PATIENCE)
        uses: list[Callable[[JobContext], object]] = [
            lambda ctx: ctx.progress(1),
            lambda ctx: ctx.log,
            lambda ctx: ctx.raise_if_cancelled(),
            lambda ctx: ctx.last_success,
            lambda ctx: ctx.sleep(0),
        ]
        for use in uses:
            try:
                use(kept[0])
            except ContextClosedError as error:
                told.append(error)

    def run(ctx: JobContext) -> None:
        kept.append(ctx)

    meddler = threading.Thread(target=meddle, daemon=True)
    meddler.start()
    finished = world.run_once(run)
    wait_until(lambda: kept[0]._closed, "the context is closed")
    ended.set()
    meddler.join(PATIENCE)

    assert len(told) == 5
    assert finished.run_id in str(told[0])
    stored = world.store.run(finished.run_id)
    assert stored is not None
    assert stored.done is None
    assert world.is_well()


def test_fault_54_what_an_embedding_application_has_set_is_left_alone(world: World, tmp_path: Path) -> None:
    here = Path.cwd()

    def move(ctx: JobContext) -> None:
        os.chdir(tmp_path)

    try:
        world.run_once(move)
        assert Path.cwd() == tmp_path
        assert world.is_well()
    finally:
        os.chdir(here)
