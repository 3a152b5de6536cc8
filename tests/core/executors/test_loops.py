"""Asynchronous jobs on event loops that the tests block."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rapua_scheduler import JobContext
from rapua_scheduler.executors.loops import LoopExecutor
from rapua_scheduler.executors.watchdog import Watchdog
from tests.core.executors.works import PATIENCE, TestWork

Lines = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def executor() -> Iterator[LoopExecutor]:
    watchdog = Watchdog()
    executor = LoopExecutor("tried-loop", watchdog)
    yield executor
    executor.close()
    watchdog.close()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return the log lines with such an event, once there is one."""

    def find(event: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for record in caplog.records:
            if isinstance(record.msg, dict) and record.msg["event"] == event:
                found.append(record.msg)
        return found

    def wait(event: str) -> list[dict[str, Any]]:
        waiter = threading.Event()
        for _ in range(int(PATIENCE / 0.02)):
            if find(event):
                break
            waiter.wait(0.02)
        return find(event)

    caplog.set_level("INFO", "rapua_scheduler")
    return wait


class Blocker:
    """A job that blocks its loop until it is let go."""

    def __init__(self, key: str = "blocker") -> None:
        self.go_on = threading.Event()
        self.work = TestWork(self.block, key=key)
        self.entered = threading.Event()

    async def block(self, ctx: JobContext) -> None:
        self.entered.set()
        self.wait_in_a_function()

    def wait_in_a_function(self) -> None:
        password = "hunter2"  # noqa: F841
        self.go_on.wait(PATIENCE)


@pytest.fixture
def blocker() -> Iterator[Blocker]:
    blocker = Blocker()
    yield blocker
    blocker.go_on.set()


async def nothing(ctx: JobContext) -> str:
    return threading.current_thread().name


async def wait_long(ctx: JobContext) -> None:
    await asyncio.sleep(60)


def test_a_loop_that_is_blocked_is_told_of_once_with_the_job_and_its_stack(
    executor: LoopExecutor, blocker: Blocker, lines: Lines
) -> None:
    bystander = TestWork(wait_long, key="bystander")
    executor.submit(bystander)
    executor.submit(blocker.work)

    (told,) = lines("Event loop blocked")
    assert told["jobs"] == [{"job_key": "blocker", "run_id": "run-blocker"}]
    assert told["thread"] == "tried-loop"
    assert 1.0 <= told["blocked_s"] < 3.0
    assert "in wait_in_a_function" in told["stack"]
    assert "hunter2" not in told["stack"].replace('password = "hunter2"', "")

    blocker.go_on.set()
    (ended,) = lines("Event loop goes on")
    assert ended["blocked_s"] >= 1.0
    assert len(lines("Event loop blocked")) == 1


def test_a_loop_that_comes_round_is_not_told_of(executor: LoopExecutor, lines: Lines, blocker: Blocker) -> None:
    async def step(ctx: JobContext) -> None:
        for _ in range(30):
            await asyncio.sleep(0.1)

    work = TestWork(step)
    executor.submit(work)
    work.wait()
    executor.submit(blocker.work)

    assert [told["jobs"][0]["job_key"] for told in lines("Event loop blocked")] == ["blocker"]


def test_a_blocked_loop_is_left_alone_while_nothing_on_it_is_over_its_time(
    executor: LoopExecutor, blocker: Blocker, lines: Lines
) -> None:
    executor.submit(blocker.work)
    after = TestWork(nothing, key="after")
    assert lines("Event loop blocked")
    executor.submit(after)

    assert not after.ended.wait(0.5)
    blocker.go_on.set()
    after.wait()
    assert after.returned == "tried-loop"


def test_a_loop_that_is_blocked_past_a_timeout_is_replaced_for_what_has_not_begun(
    executor: LoopExecutor, blocker: Blocker
) -> None:
    bystander, waiting, later = TestWork(wait_long, key="bystander"), TestWork(nothing), TestWork(nothing)
    executor.submit(bystander)
    executor.submit(blocker.work)
    assert blocker.entered.wait(PATIENCE)
    executor.submit(waiting)

    executor.cancel(blocker.work)
    executor.write_off(blocker.work)
    waiting.wait()
    executor.submit(later)
    later.wait()

    assert (waiting.returned, later.returned) == ("tried-loop-2", "tried-loop-2")
    assert not bystander.ended.is_set()
    executor.cancel(bystander)
    blocker.go_on.set()
    blocker.work.wait()
    bystander.wait()
    assert isinstance(bystander.error, asyncio.CancelledError)
    for work in (blocker.work, waiting, later, bystander):
        assert work.ends == 1


def test_a_loop_that_was_replaced_ends_when_its_work_has(executor: LoopExecutor, blocker: Blocker) -> None:
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "tried-loop"]
    executor.submit(blocker.work)
    assert blocker.entered.wait(PATIENCE)
    executor.write_off(blocker.work)
    waiting = TestWork(nothing)
    executor.submit(waiting)
    waiting.wait()

    blocker.go_on.set()

    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_coroutine_that_ignores_its_cancellation_keeps_nobody_else(executor: LoopExecutor) -> None:
    release = threading.Event()
    caught = threading.Event()

    async def ignore(ctx: JobContext) -> None:
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                caught.set()

    stubborn, other = TestWork(ignore, key="stubborn"), TestWork(nothing)
    executor.submit(stubborn)
    assert stubborn.begun.wait(PATIENCE)
    executor.cancel(stubborn)
    executor.write_off(stubborn)
    assert caught.wait(PATIENCE)

    executor.submit(other)
    other.wait()
    assert other.returned == "tried-loop"
    assert not stubborn.ended.is_set()
    release.set()
    stubborn.wait()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("ending", ["returns", "raises", "awaits", "leaves"])
def test_a_fork_of_an_asynchronous_job_never_goes_on_with_the_loop(executor: LoopExecutor, ending: str) -> None:
    others = os.pipe()

    def tell() -> None:
        os.write(others[1], b"%d\n" % os.getpid())

    async def tell_in_a_job(ctx: JobContext) -> None:
        tell()

    async def fork(ctx: JobContext) -> int:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        loop.call_soon(lambda: [loop.call_soon(tell) for _ in range(3)])
        await turn  # now these three follow in the same turn of the loop
        executor.submit(TestWork(tell_in_a_job))
        pid = os.fork()
        if pid == 0:
            if ending == "raises":
                raise ValueError("in the fork")
            if ending == "awaits":
                await asyncio.sleep(0)
                os.write(others[1], b"awaited\n")
            if ending == "leaves":
                raise SystemExit(3)
            return 0
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    work, last = TestWork(fork), TestWork(tell_in_a_job)
    executor.submit(work)
    work.wait()
    executor.submit(last)
    last.wait()

    assert work.returned == {"returns": 0, "raises": 1, "awaits": 1, "leaves": 3}[ending]
    assert os.read(others[0], 10_000).split() == [b"%d" % os.getpid()] * 5
    for end in others:
        os.close(end)
