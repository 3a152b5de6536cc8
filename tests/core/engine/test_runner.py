"""How attempts end, on a clock that the test moves and executors that it drives."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from rapua_scheduler import Event, Job, JobContext, Retry, RunFinished, RunStatus, every
from rapua_scheduler.executors.port import Work
from rapua_scheduler.observers import Observers
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import LogLine, Outcome, Run, Start, Trigger
from rapua_scheduler.runner import RECORD_AGAIN_AFTER, Attempt, Runner
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.testing import ManualClock

START = datetime(2026, 11, 1, tzinfo=UTC)


class HandExecutor:
    """Executes nothing by itself: the test begins and ends the work."""

    def __init__(self) -> None:
        self.submitted: list[Work] = []
        self.cancelled: list[Work] = []
        self.written_off: list[Work] = []

    def submit(self, work: Work) -> None:
        self.submitted.append(work)

    def cancel(self, work: Work) -> None:
        self.cancelled.append(work)

    def write_off(self, work: Work) -> None:
        self.written_off.append(work)

    def close(self) -> None: ...


class MoodyStore(MemoryStore):
    """Refuses as many outcomes as it is told to."""

    refusals = 0

    def finish(
        self,
        run_id: str,
        attempt: int,
        outcome: Outcome,
        then: Callable[[Exception | None, bool], None],
        *,
        again: bool = False,
        log: Sequence[LogLine] = (),
    ) -> None:
        if self.refusals:
            self.refusals -= 1
            then(OSError("the disk is full"), False)
        else:
            super().finish(run_id, attempt, outcome, then, again=again, log=log)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.store = MoodyStore()
        self.executor = HandExecutor()
        self.ended: list[str] = []
        self.heard: list[Event] = []
        self.runner = Runner(self.store, self.clock, lambda _: self.executor, zone=UTC, publish=Observers({}))

    def start(self, job: Job) -> Work:
        run = Run(f"r{len(self.executor.submitted)}", job.key, START, "k", Trigger.MANUAL, RunStatus.RUNNING, 1, START)
        self.store.claim(run)
        self.runner.start(RegisteredJob(job), run, lambda attempt: self.ended.append(attempt.run.job_key))
        return self.executor.submitted[-1]

    def status(self, run_id: str = "r0") -> RunStatus:
        run = self.store.run(run_id)
        assert run is not None
        return run.status


@pytest.fixture
def world() -> World:
    return World()


def alive_parts_of_runs() -> list[Attempt | JobContext]:
    return [each for each in gc.get_objects() if isinstance(each, (Attempt, JobContext))]


def job(run: Callable[[JobContext], Any] = lambda ctx: None, **policies: Any) -> Job:
    return Job("Job", run, every(hours=1), **policies)


def test_a_run_ends_for_the_engine_when_it_is_recorded_and_released(world: World) -> None:
    work = world.start(job())
    assert work.begin()

    work.end({"n": 1}, None)

    assert world.status() is RunStatus.SUCCEEDED
    assert world.ended == ["job"]


@pytest.mark.parametrize("policies", [{}, {"timeout": "1h"}])
def test_nothing_of_a_run_that_has_ended_is_left_for_the_garbage_collector(
    world: World, policies: dict[str, Any]
) -> None:
    def say(ctx: JobContext) -> None:
        ctx.log.info("said")
        ctx.progress(1)

    gc.collect()
    gc.disable()
    of_other_tests = alive_parts_of_runs()  # a thread that a test left behind may still hold its own
    try:
        work = world.start(job(say, **policies))
        work.begin()
        world.runner.tick()
        work.end(work.call(), None)
        world.executor.submitted.clear()
        del work
        left = [each for each in alive_parts_of_runs() if not any(each is other for other in of_other_tests)]
    finally:
        gc.enable()

    assert left == []


def test_the_timeout_runs_from_the_begin_of_the_execution_not_from_the_claim(world: World) -> None:
    work = world.start(job(timeout="10s"))
    world.clock.advance(timedelta(hours=1))
    assert world.runner.tick() is None

    work.begin()
    wait = world.runner.tick()
    world.clock.advance(timedelta(seconds=9))
    world.runner.tick()

    assert wait == 10.0
    assert world.status() is RunStatus.RUNNING
    world.clock.advance(timedelta(seconds=1))
    world.runner.tick()
    assert world.status() is RunStatus.TIMED_OUT


def test_a_run_past_its_timeout_is_recorded_at_once_and_ends_for_the_engine_only_when_released(world: World) -> None:
    work = world.start(job(timeout="10s"))
    work.begin()
    world.runner.tick()
    world.clock.advance(timedelta(seconds=10))
    world.runner.tick()

    assert world.status() is RunStatus.TIMED_OUT
    assert (world.executor.cancelled, world.executor.written_off) == ([work], [work])
    assert world.ended == []

    work.end(None, None)
    assert world.status() is RunStatus.TIMED_OUT
    assert world.ended == ["job"]


def test_a_run_that_is_settled_before_its_turn_is_not_begun(world: World) -> None:
    work = world.start(job())
    world.runner.stop(timedelta(0))

    assert not work.begin()
    assert world.status() is RunStatus.INTERRUPTED
    assert world.ended == ["job"]


def test_an_outcome_that_the_store_refuses_is_handed_to_it_again(world: World) -> None:
    world.store.refusals = 2
    work = world.start(job())
    work.begin()
    work.end(None, None)
    assert world.status() is RunStatus.RUNNING

    for _ in range(2):
        assert world.ended == []
        world.runner.tick()
        world.clock.advance(timedelta(seconds=RECORD_AGAIN_AFTER))
    world.runner.tick()

    assert world.status() is RunStatus.SUCCEEDED
    assert world.ended == ["job"]


def test_stop_tries_once_more_to_record_what_the_store_refused(world: World) -> None:
    world.store.refusals = 1
    work = world.start(job())
    work.begin()
    work.end(None, None)

    world.runner.stop(timedelta(0))

    assert world.status() is RunStatus.SUCCEEDED


def test_stop_tells_running_jobs_and_their_executor(world: World) -> None:
    contexts: list[JobContext] = []
    work = world.start(job(contexts.append))
    work.begin()
    work.call()

    world.runner.cut_grace()
    world.runner.stop(timedelta(hours=1))

    assert contexts[0].cancelled
    assert world.executor.cancelled == [work]
    assert world.status() is RunStatus.INTERRUPTED


def test_a_function_that_only_makes_a_generator_or_a_coroutine_has_not_run(world: World) -> None:
    def generator(ctx: JobContext) -> Any:
        yield 1

    async def coroutine(ctx: JobContext) -> None: ...

    for run in (lambda ctx: generator(ctx), lambda ctx: coroutine(ctx)):
        work = world.start(job(run))
        work.begin()
        with pytest.raises(TypeError, match="nobody executes"):
            work.call()


@pytest.mark.parametrize(
    ("error", "level", "line"),
    [
        (None, logging.INFO, "Job completed successfully"),
        (ValueError("no"), logging.ERROR, "Job execution"),
    ],
)
def test_the_end_of_a_run_is_one_line_with_the_originals_words(
    world: World, caplog: pytest.LogCaptureFixture, error: Exception | None, level: int, line: str
) -> None:
    caplog.set_level(logging.INFO, "rapua_scheduler")
    work = world.start(job())
    work.begin()
    work.end(None, error)

    lines = [(record.levelno, record.msg) for record in caplog.records]
    fields = [msg for _, msg in lines if isinstance(msg, dict)]
    assert [entry["event"] for entry in fields] == ["Executing job", line]
    assert lines[-1][0] == level
    assert {"job", "job_key", "run_id"} <= set(fields[-1])


def test_observers_hear_of_an_end_only_after_it_is_recorded() -> None:
    heard: list[tuple[RunStatus, RunStatus]] = []
    world = World()

    class Listening:
        is_heard = True

        def __call__(self, event: Event) -> None:
            if isinstance(event, RunFinished):
                heard.append((event.run.status, world.status()))

    world.runner = Runner(world.store, world.clock, lambda _: world.executor, zone=UTC, publish=Listening())
    world.store.refusals = 1
    work = world.start(job())
    work.begin()
    work.end(None, None)
    assert heard == []
    world.runner.tick()

    assert heard == [(RunStatus.SUCCEEDED, RunStatus.SUCCEEDED)]


def test_a_deadline_is_that_of_its_attempt_and_not_of_its_run(world: World) -> None:
    shorter = world.start(job(timeout="2s"))
    shorter.begin()
    failing = Job("Failing", lambda ctx: None, every(hours=1), timeout="10s")
    run = Run("again", failing.key, START, "k", Trigger.MANUAL, RunStatus.RUNNING, 1, START)
    world.store.claim(run)
    retry = Retry(3, "1s")
    world.runner.start(RegisteredJob(failing), run, lambda attempt: None, retry=retry)
    first = world.executor.submitted[-1]
    first.begin()
    world.runner.tick()
    first.end(None, RuntimeError("once"))
    world.clock.advance(timedelta(seconds=5))
    world.store.begin([Start("again", 2, world.clock.now())])
    world.runner.start(RegisteredJob(failing), evolve(run, attempt=2), lambda attempt: None, retry=retry)
    second = world.executor.submitted[-1]
    second.begin()

    world.clock.advance(timedelta(seconds=9))
    world.runner.tick()
    assert world.status("again") is RunStatus.RUNNING

    world.clock.advance(timedelta(seconds=2))
    world.runner.tick()
    assert world.status("again") is RunStatus.QUEUED
    assert [attempt.status for attempt in world.store.attempts("again")][-1] is RunStatus.TIMED_OUT


def test_an_attempt_that_was_cancelled_while_it_waited_for_a_thread_does_not_begin(world: World) -> None:
    work = world.start(job())
    world.runner.cancel("r0", "cancelled by ann")

    assert not work.begin()

    assert world.status() is RunStatus.CANCELLED
    assert world.ended == ["job"]


def test_what_a_person_has_cancelled_stays_cancelled_when_the_host_stops(world: World) -> None:
    work = world.start(job())
    work.begin()
    world.runner.cancel("r0", "cancelled by ann")

    world.runner.stop(timedelta(0))

    assert world.status() is RunStatus.CANCELLED
    run = world.store.run("r0")
    assert run is not None
    assert run.error == "cancelled by ann; it had not ended when the host stopped"
