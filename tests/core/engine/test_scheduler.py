"""The embedded scheduler, with real threads and the machine's clock."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rapua_scheduler import JobContext, Retry, RunStatus, Scheduler, every
from rapua_scheduler.errors import AnotherHostError, DuplicateJobError, InvalidJobError, UnknownJobError
from rapua_scheduler.run import Decision
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.sqlite import SqliteStore

PATIENCE = 10.0


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def scheduler(store: MemoryStore) -> Iterator[Scheduler]:
    scheduler = Scheduler(store, timezone=UTC, shutdown_grace=timedelta(seconds=5))
    yield scheduler
    scheduler.stop()


def in_a_moment(milliseconds: int = 20) -> Callable[[], datetime]:
    """As the original's tests had it: asked now, due a little later, again and again."""
    return lambda: datetime.now(UTC) + timedelta(milliseconds=milliseconds)


def wait_until(done: Callable[[], bool], what: str) -> None:
    waiter = threading.Event()
    for _ in range(int(PATIENCE / 0.005)):
        if done():
            return
        waiter.wait(0.005)
    pytest.fail(f"waited {PATIENCE} s in vain until {what}")


def test_a_scheduler_without_jobs_starts_and_stops(scheduler: Scheduler) -> None:
    scheduler.start()

    scheduler.stop()


def test_a_job_runs_at_its_time_and_again(scheduler: Scheduler) -> None:
    ran = threading.Semaphore(0)
    scheduler.add_job("Count", lambda ctx: ran.release(), in_a_moment())

    scheduler.start()

    assert ran.acquire(timeout=PATIENCE)
    assert ran.acquire(timeout=PATIENCE)


def test_a_job_goes_on_after_two_errors_in_a_row(scheduler: Scheduler, store: MemoryStore) -> None:
    calls: list[int] = []
    third = threading.Event()

    def fail_twice(ctx: JobContext) -> None:
        calls.append(ctx.attempt)
        if len(calls) <= 2:
            raise ValueError(f"failure {len(calls)}")
        third.set()

    scheduler.add_job("Fail twice", fail_twice, in_a_moment())
    scheduler.start()

    assert third.wait(PATIENCE)
    scheduler.stop()
    assert [run.status for run in reversed(store.runs(job_key="fail-twice"))][:3] == [
        RunStatus.FAILED,
        RunStatus.FAILED,
        RunStatus.SUCCEEDED,
    ]


def test_a_job_never_runs_when_stopped_before_it_is_due(scheduler: Scheduler, store: MemoryStore) -> None:
    scheduler.add_job("Later", lambda ctx: pytest.fail("ran"), every(hours=1))
    scheduler.start()

    scheduler.stop()

    assert store.runs() == []


def test_several_jobs_run_side_by_side(scheduler: Scheduler) -> None:
    together = threading.Barrier(3, timeout=PATIENCE)
    met = threading.Semaphore(0)

    def meet(ctx: JobContext) -> None:
        together.wait()
        met.release()

    for number in range(3):
        scheduler.add_job(f"Meet {number}", meet, in_a_moment())
    scheduler.start()

    for _ in range(3):
        assert met.acquire(timeout=PATIENCE)


def test_a_period_of_a_millisecond_never_runs_two_at_a_time(scheduler: Scheduler) -> None:
    running = threading.Lock()
    ran = threading.Semaphore(0)
    overlaps: list[str] = []

    def run(ctx: JobContext) -> None:
        if not running.acquire(blocking=False):
            overlaps.append(ctx.run_id)
            return
        ran.release()
        running.release()

    scheduler.add_job("Quick", run, every(milliseconds=1))
    scheduler.start()

    for _ in range(200):
        assert ran.acquire(timeout=PATIENCE)
    scheduler.stop()
    assert overlaps == []


def test_a_run_longer_than_its_period_is_not_joined_by_another(scheduler: Scheduler, store: MemoryStore) -> None:
    gate = threading.Event()
    starts: list[datetime] = []

    def run(ctx: JobContext) -> None:
        starts.append(ctx.fire_time)
        gate.wait(PATIENCE)

    scheduler.add_job("Slow", run, every(milliseconds=10))
    scheduler.start()
    wait_until(lambda: any((gap.count or 0) >= 5 for gap in store.gaps(job_key="slow")), "five fire times are skipped")

    assert len(starts) == 1
    gate.set()
    wait_until(lambda: len(starts) >= 2, "the job runs again")


def test_an_asynchronous_job_runs_and_returns_its_result(scheduler: Scheduler, store: MemoryStore) -> None:
    done = threading.Event()

    async def run(ctx: JobContext) -> dict[str, int]:
        await asyncio.sleep(0)
        done.set()
        return {"answers": 42}

    scheduler.add_job("Async", run, in_a_moment())
    scheduler.start()
    assert done.wait(PATIENCE)
    wait_until(lambda: bool(store.runs(statuses={RunStatus.SUCCEEDED})), "a run is recorded")

    assert store.runs(statuses={RunStatus.SUCCEEDED})[-1].result == {"answers": 42}


@pytest.mark.parametrize(
    "error", [Exception, SystemExit, StopIteration, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_whatever_a_job_raises_fails_its_run_and_no_more(
    scheduler: Scheduler, store: MemoryStore, error: type[BaseException], kind: str
) -> None:
    beside = threading.Semaphore(0)

    def plain(ctx: JobContext) -> None:
        raise error("raised by the job")

    async def asynchronous(ctx: JobContext) -> None:
        raise error("raised by the job")

    async def healthy(ctx: JobContext) -> None:
        beside.release()

    scheduler.add_job("Raise", plain if kind == "plain" else asynchronous, in_a_moment())
    scheduler.add_job("Healthy", healthy, in_a_moment(40))
    scheduler.start()

    wait_until(lambda: len(store.runs(job_key="raise", statuses={RunStatus.FAILED})) >= 2, "it has failed twice")
    assert beside.acquire(timeout=PATIENCE)
    assert beside.acquire(timeout=PATIENCE)


def test_a_job_past_its_timeout_is_recorded_on_time_and_does_not_take_the_room_of_others(
    scheduler: Scheduler, store: MemoryStore
) -> None:
    hang = threading.Event()
    for number in range(12):  # more than a plugin's threads
        scheduler.add_job(f"Hang {number}", lambda ctx: hang.wait(60), every(milliseconds=50), timeout="100ms")
    ran = threading.Event()
    scheduler.start()
    wait_until(lambda: len(store.runs(statuses={RunStatus.TIMED_OUT})) >= 12, "all have timed out")

    scheduler.add_job("Healthy", lambda ctx: ran.set(), in_a_moment())

    assert ran.wait(PATIENCE)
    hang.set()


def test_a_job_whose_thread_outlives_its_timeout_is_not_started_beside_it(
    scheduler: Scheduler, store: MemoryStore
) -> None:
    hang = threading.Event()
    starts: list[str] = []

    def run(ctx: JobContext) -> None:
        starts.append(ctx.run_id)
        hang.wait(60)

    scheduler.add_job("Hang", run, every(milliseconds=20), timeout="30ms")
    scheduler.start()
    wait_until(lambda: any((gap.count or 0) >= 5 for gap in store.gaps()), "five fire times are skipped")

    assert len(starts) == 1
    hang.set()
    wait_until(lambda: len(starts) >= 2, "it runs again once its thread has ended")


def test_stop_cancels_a_running_job_and_records_it_interrupted(scheduler: Scheduler, store: MemoryStore) -> None:
    started = threading.Event()

    def run(ctx: JobContext) -> None:
        started.set()
        ctx.sleep(60)

    scheduler.add_job("Sleep", run, in_a_moment())
    scheduler.start()
    assert started.wait(PATIENCE)

    scheduler.stop()

    assert [run.status for run in store.runs()] == [RunStatus.INTERRUPTED]


@pytest.mark.parametrize(
    ("retry", "status"), [(Retry(attempts=2, delay="1ms"), RunStatus.QUEUED), (Retry(), RunStatus.FAILED)]
)
def test_a_run_that_fails_while_the_host_stops_keeps_the_attempts_it_has_left(
    scheduler: Scheduler, store: MemoryStore, retry: Retry, status: RunStatus
) -> None:
    started = threading.Event()

    def run(ctx: JobContext) -> None:
        started.set()
        while not ctx.cancelled:
            time.sleep(0.001)
        raise RuntimeError("failed meanwhile")

    scheduler.add_job("Fail", run, in_a_moment(), retry=retry)
    scheduler.start()
    assert started.wait(PATIENCE)

    scheduler.stop()

    (ended,) = store.runs()
    assert ended.status is status


def test_stop_waits_no_longer_than_the_grace_period(store: MemoryStore) -> None:
    started, hang = threading.Event(), threading.Event()

    def run(ctx: JobContext) -> None:
        started.set()
        hang.wait(60)

    scheduler = Scheduler(store, timezone=UTC, shutdown_grace=timedelta(milliseconds=50))
    scheduler.add_job("Hang", run, in_a_moment())
    scheduler.start()
    assert started.wait(PATIENCE)

    scheduler.stop()

    assert [run.status for run in store.runs()] == [RunStatus.INTERRUPTED]
    hang.set()


def test_a_context_raises_once_its_run_has_ended(scheduler: Scheduler) -> None:
    kept: list[JobContext] = []
    scheduler.add_job("Keep", kept.append, in_a_moment())
    scheduler.start()
    wait_until(lambda: len(kept) >= 2, "the job has run")

    with pytest.raises(Exception, match="has ended"):
        _ = kept[0].fire_time


def test_observers_hear_of_a_run_after_it_is_stored(store: MemoryStore) -> None:
    heard: list[tuple[str, bool]] = []
    finished = threading.Event()

    def observe(event: object) -> None:
        run = getattr(event, "run", None)
        if run is not None:
            stored = store.run(run.run_id)
            heard.append((type(event).__name__, stored is not None and stored.status is run.status))
            if type(event).__name__ == "RunFinished":
                finished.set()

    def never_twice() -> datetime | None:
        return None if heard else datetime.now(UTC) + timedelta(milliseconds=20)

    with Scheduler(store, timezone=UTC, observers={"test": observe}) as scheduler:
        scheduler.add_job("Once", lambda ctx: None, never_twice)
        assert finished.wait(PATIENCE)

    assert heard[0][0] == "RunStarted"
    assert ("RunFinished", True) in heard


def test_an_observer_that_raises_hears_the_next_event_all_the_same(store: MemoryStore) -> None:
    heard = threading.Semaphore(0)

    def observe(event: object) -> None:
        heard.release()
        raise SystemExit

    with Scheduler(store, timezone=UTC, observers={"test": observe}) as scheduler:
        scheduler.add_job("Tick", lambda ctx: None, in_a_moment())
        for _ in range(3):
            assert heard.acquire(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("soon", "returned str"),
        (datetime(2999, 1, 1), "without a zone"),
        (datetime(1999, 1, 1, tzinfo=UTC), "not later"),
    ],
)
def test_a_next_function_that_answers_nonsense_is_set_aside_and_harms_nobody(
    store: MemoryStore, answer: object, problem: str
) -> None:
    told: list[str] = []
    broken, ran = threading.Event(), threading.Event()

    def observe(event: object) -> None:
        if type(event).__name__ == "JobBroken":
            told.append(event.problem)  # type: ignore[attr-defined]
            broken.set()

    with Scheduler(store, timezone=UTC, observers={"test": observe}) as scheduler:
        scheduler.add_job("Nonsense", lambda ctx: None, lambda after: answer)  # type: ignore[arg-type]
        scheduler.add_job("Healthy", lambda ctx: ran.set(), in_a_moment())
        assert broken.wait(PATIENCE)
        assert ran.wait(PATIENCE)

    assert problem in told[0]
    assert store.runs(job_key="nonsense") == []


def test_a_next_function_that_hangs_delays_nobody(store: MemoryStore) -> None:
    hang, ran = threading.Event(), threading.Semaphore(0)

    def stuck(after: datetime) -> datetime:
        hang.wait(60)
        return after

    with Scheduler(store, timezone=UTC) as scheduler:
        scheduler.add_job("Stuck", lambda ctx: None, stuck)
        scheduler.add_job("Healthy", lambda ctx: ran.release(), every(milliseconds=20))
        for _ in range(5):
            assert ran.acquire(timeout=PATIENCE)
        hang.set()


def test_a_next_function_may_end_a_job(store: MemoryStore) -> None:
    ran = threading.Event()
    answers = iter([datetime.now(UTC) + timedelta(milliseconds=20)])

    with Scheduler(store, timezone=UTC) as scheduler:
        scheduler.add_job("Once", lambda ctx: ran.set(), lambda: next(answers, None))
        assert ran.wait(PATIENCE)

    assert len(store.runs()) == 1


def test_a_defect_of_the_scheduler_itself_is_told_and_not_silent() -> None:
    class DefectiveStore(MemoryStore):
        def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
            raise ZeroDivisionError

    told: list[BaseException] = []
    failed = threading.Event()

    def fail(error: BaseException) -> None:
        told.append(error)
        failed.set()

    with Scheduler(DefectiveStore(), timezone=UTC, on_failure=fail) as scheduler:
        scheduler.add_job("Never", lambda ctx: None, in_a_moment())
        assert failed.wait(PATIENCE)

    assert isinstance(told[0], ZeroDivisionError)


def test_an_application_that_only_configures_logging_reads_plain_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "rapua_scheduler")

    with Scheduler(timezone="UTC") as scheduler:
        scheduler.add_job("Sweep", lambda ctx: None, every(hours=1))
        wait_until(lambda: "Next run scheduled" in caplog.text, "the next run is logged")

    assert "Starting job job='Sweep' job_key='sweep'" in caplog.messages


def test_a_scheduler_on_a_file_remembers_across_restarts_and_has_it_for_itself(tmp_path: Path) -> None:
    ran = threading.Event()
    with Scheduler(tmp_path / "jobs.db", timezone=UTC) as first:
        first.add_job("Tick", lambda ctx: ran.set(), in_a_moment())
        assert ran.wait(PATIENCE)
        with pytest.raises(AnotherHostError):
            Scheduler(tmp_path / "jobs.db", timezone=UTC)

    store = SqliteStore.open_read_only(tmp_path / "jobs.db")
    assert store.runs(job_key="tick")[-1].status is RunStatus.SUCCEEDED
    store.close()
    Scheduler(tmp_path / "jobs.db", timezone=UTC).stop()


def test_a_scheduler_refuses_what_it_could_not_work_with() -> None:
    with pytest.raises(ValueError, match="Mars/Base"):
        Scheduler(timezone="Mars/Base")
    scheduler = Scheduler(timezone=UTC)
    scheduler.stop()
    with pytest.raises(RuntimeError, match="another"):
        scheduler.start()
    with pytest.raises(RuntimeError, match="another"):
        scheduler.add_job("Late", lambda ctx: None, every(hours=1))


def test_two_jobs_under_one_key_are_refused(scheduler: Scheduler) -> None:
    scheduler.add_job("Hello", lambda ctx: None, every(hours=1))

    with pytest.raises(DuplicateJobError, match="key"):
        scheduler.add_job("hello!", lambda ctx: None, every(hours=1))


def test_a_claim_that_was_refused_is_not_run(store: MemoryStore) -> None:
    class RefusingStore(MemoryStore):
        def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
            decided.set()
            return [False] * len(decisions)

    ran: list[JobContext] = []
    decided = threading.Event()
    with Scheduler(RefusingStore(), timezone=UTC) as scheduler:
        scheduler.add_job("Never", ran.append, every(milliseconds=10))
        assert decided.wait(PATIENCE)
    assert ran == []


class OddMapping(dict[str, int]):
    """One that cannot be read."""

    def items(self) -> Any:
        return [(1, 2, 3)]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_job_that_returns_what_cannot_be_read_ends_and_runs_again(
    scheduler: Scheduler, store: MemoryStore, kind: str
) -> None:
    def plain(ctx: JobContext) -> object:
        return OddMapping()

    async def asynchronous(ctx: JobContext) -> object:
        return OddMapping()

    scheduler.add_job("Odd", plain if kind == "plain" else asynchronous, in_a_moment())
    scheduler.start()

    wait_until(lambda: len(store.runs(statuses={RunStatus.SUCCEEDED})) >= 2, "it has run twice")


def test_a_fire_time_at_the_end_of_time_harms_nobody_in_any_zone(store: MemoryStore) -> None:
    ran = threading.Event()
    with Scheduler(store, timezone="Pacific/Auckland") as scheduler:
        logging.getLogger("rapua_scheduler").setLevel(logging.INFO)
        scheduler.add_job("Far", lambda ctx: None, lambda after: datetime.max.replace(tzinfo=UTC))
        scheduler.add_job("Further", lambda ctx: None, lambda: datetime.max.replace(tzinfo=UTC))
        scheduler.add_job("Healthy", lambda ctx: ran.set(), in_a_moment())
        assert ran.wait(PATIENCE)
    logging.getLogger("rapua_scheduler").setLevel(logging.NOTSET)


def test_an_asynchronous_job_that_is_cancelled_before_its_first_step_ends(store: MemoryStore) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    async def block(ctx: JobContext) -> None:
        blocked.set()
        go_on.wait(PATIENCE)

    async def wait(ctx: JobContext) -> None:
        await asyncio.sleep(60)

    times = iter([datetime.now(UTC) + timedelta(milliseconds=50)])
    later = iter([datetime.now(UTC) + timedelta(milliseconds=150)])
    scheduler = Scheduler(store, timezone=UTC, shutdown_grace=timedelta(seconds=60))
    scheduler.add_job("Block", block, lambda: next(times, None))
    scheduler.add_job("Wait", wait, lambda: next(later, None))
    scheduler.start()
    assert blocked.wait(PATIENCE)
    wait_until(lambda: len(store.runs()) == 2, "the other one is claimed")

    threading.Timer(0.2, go_on.set).start()
    scheduler.stop()

    assert {run.job_key: run.status for run in store.runs()} == {
        "block": RunStatus.SUCCEEDED,
        "wait": RunStatus.INTERRUPTED,
    }


def test_a_job_for_which_there_is_no_thread_fails_and_is_not_stuck(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refused = threading.Event()

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("jobs-") and not thread.name.startswith("jobs-next") and not refused.is_set():
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Scheduler(store, timezone=UTC) as scheduler:
        scheduler.add_job("Job", lambda ctx: None, in_a_moment())
        wait_until(lambda: bool(store.runs(statuses={RunStatus.FAILED})), "it has failed")
        refused.set()
        wait_until(lambda: bool(store.runs(statuses={RunStatus.SUCCEEDED})), "it runs once there is a thread")


def test_observers_that_hang_delay_the_stop_together_not_each(store: MemoryStore) -> None:
    hang = threading.Event()
    observers = {f"observer {number}": lambda event: hang.wait(60) for number in range(8)}
    scheduler = Scheduler(store, timezone=UTC, observers=observers)
    scheduler.start()

    began = time.monotonic()
    scheduler.stop()

    assert time.monotonic() - began < 8
    hang.set()


def test_a_job_that_no_process_could_find_is_refused(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidJobError, match="an installed plugin brings"):
        scheduler.add_job("Alone", lambda ctx: None, every(hours=1), isolation="process")

    scheduler.add_job("Alone", lambda ctx: None, every(hours=1))


def test_a_stopped_scheduler_takes_no_run_by_hand(scheduler: Scheduler, store: MemoryStore) -> None:
    scheduler.add_job("Hello", lambda ctx: None, every(hours=1))
    scheduler.start()
    scheduler.stop()

    with pytest.raises(RuntimeError, match="another"):
        scheduler.trigger("hello")
    assert store.runs() == []


def test_a_pause_before_the_start_is_said_to_be_too_early(scheduler: Scheduler) -> None:
    scheduler.add_job("Hello", lambda ctx: None, every(hours=1))

    with pytest.raises(RuntimeError, match="`start`"):
        scheduler.pause("hello", "because")
    with pytest.raises(RuntimeError, match="`start`"):
        scheduler.resume("hello")
    with pytest.raises(UnknownJobError, match="'hullo'"):
        scheduler.pause("hullo", "because")
    scheduler.start()
    assert scheduler.pause("hello", "because")
