"""The real engine, planner and runner on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rapua_scheduler import (
    Event,
    FireTimesNotRun,
    JobBroken,
    JobContext,
    RunFinished,
    RunStarted,
    RunStatus,
    every,
    next_daily,
    next_first_of_month,
)
from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import Decision, GapReason, Run
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.testing import VirtualScheduler

AUCKLAND = ZoneInfo("Pacific/Auckland")
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
START = MIDNIGHT + timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def fire_times(scheduler: VirtualScheduler, key: str) -> list[datetime]:
    return sorted(run.fire_time for run in scheduler.store.runs(job_key=key))


def test_a_job_runs_at_each_of_its_fire_times_once() -> None:
    ran: list[datetime] = []
    scheduler = VirtualScheduler(start=START)
    scheduler.add_job("Count", lambda ctx: ran.append(ctx.fire_time), every(hours=6))

    scheduler.advance(DAY)

    assert [time.hour for time in ran] == [6, 12, 18, 0]
    assert fire_times(scheduler, "count") == ran


def test_a_monthly_job_in_auckland_runs_on_each_first_across_both_changes_of_clock() -> None:
    ran: list[str] = []
    scheduler = VirtualScheduler(start=datetime(2026, 2, 10, tzinfo=UTC), timezone=AUCKLAND)
    scheduler.add_job("Top up", lambda ctx: ran.append(ctx.run_key), next_first_of_month)

    scheduler.advance(timedelta(days=300))

    assert ran == [f"top-up@2026-{month:02d}-01T00:00" for month in range(3, 13)]


def test_a_run_is_in_the_store_before_any_observer_hears_of_it() -> None:
    heard: list[tuple[str, RunStatus]] = []
    scheduler: VirtualScheduler

    def observe(event: Event) -> None:
        if isinstance(event, (RunStarted, RunFinished)):
            stored = scheduler.store.run(event.run.run_id)
            assert stored is not None
            heard.append((type(event).__name__, stored.status))

    scheduler = VirtualScheduler(start=START, observe=observe)
    scheduler.add_job("Sweep", lambda ctx: None, every(hours=1))
    scheduler.advance(HOUR)

    assert heard == [("RunStarted", RunStatus.RUNNING), ("RunFinished", RunStatus.SUCCEEDED)]


def test_fire_times_that_passed_while_nobody_looked_are_recorded_where_nothing_is_made_up() -> None:
    events: list[Event] = []
    scheduler = VirtualScheduler(start=START, observe=events.append)
    scheduler.add_job("Daily", lambda ctx: None, next_daily, catch_up="none")

    scheduler.clock.advance(timedelta(days=3, hours=5))
    scheduler.advance(timedelta(0))

    assert scheduler.store.runs() == []
    (gap,) = scheduler.store.gaps()
    assert (gap.reason, gap.count) == (GapReason.MISSED, 3)
    assert [type(event) for event in events] == [FireTimesNotRun]


def test_a_clock_set_back_repeats_nothing() -> None:
    scheduler = VirtualScheduler(start=START)
    scheduler.add_job("Hourly", lambda ctx: None, every(hours=1))
    scheduler.advance(2 * HOUR)

    scheduler.clock.step(-3 * HOUR)
    scheduler.advance(5 * HOUR)

    times = fire_times(scheduler, "hourly")
    assert len(times) == len(set(times)) == 4


def test_a_restart_on_the_same_store_repeats_nothing_and_misses_nothing_in_silence() -> None:
    store = MemoryStore()
    first = VirtualScheduler(store, start=START)
    first.add_job("Hourly", lambda ctx: None, every(hours=1))
    first.advance(3 * HOUR)

    second = VirtualScheduler(store, start=START + 6 * HOUR + timedelta(minutes=10))
    second.add_job("Hourly", lambda ctx: None, every(hours=1))
    second.advance(2 * HOUR)

    times = fire_times(second, "hourly")
    (gap,) = store.gaps()
    assert times == [MIDNIGHT + hour * HOUR for hour in (1, 2, 3, 6, 7, 8)]
    assert (gap.first, gap.last, gap.count, gap.reason) == (
        MIDNIGHT + 4 * HOUR,
        MIDNIGHT + 5 * HOUR,
        2,
        GapReason.SUPERSEDED,
    )


def test_a_next_function_without_argument_is_asked_at_start_and_after_each_run_and_survives_a_restart() -> None:
    store = MemoryStore()
    asked: list[datetime] = []

    def pending(scheduler_clock: list[VirtualScheduler]) -> datetime:
        asked.append(scheduler_clock[-1].clock.now())
        return asked[-1] + HOUR

    hosts: list[VirtualScheduler] = []
    hosts.append(VirtualScheduler(store, start=START))
    hosts[0].add_job("Go", lambda ctx: None, lambda: pending(hosts))
    hosts[0].advance(timedelta(minutes=90))
    assert asked == [START, START + HOUR]

    hosts.append(VirtualScheduler(store, start=START + timedelta(minutes=100)))
    hosts[1].add_job("Go", lambda ctx: None, lambda: pending(hosts))
    hosts[1].advance(timedelta(minutes=30))

    assert fire_times(hosts[1], "go") == [START + HOUR, START + 2 * HOUR]


def test_a_next_function_that_fails_is_asked_again_with_growing_waits_and_the_job_then_goes_on() -> None:
    events: list[Event] = []
    asked: list[float] = []
    scheduler: VirtualScheduler

    def moody(after: datetime) -> datetime:
        asked.append(scheduler.clock.monotonic())
        if len(asked) <= 4:
            raise SystemExit("not today")
        return after + HOUR

    scheduler = VirtualScheduler(start=START, observe=events.append)
    scheduler.add_job("Moody", lambda ctx: None, moody)
    scheduler.advance(HOUR + timedelta(minutes=1))

    assert [round(seconds) for seconds in asked[:5]] == [0, 1, 3, 7, 15]
    assert [type(event) for event in events][:4] == [JobBroken] * 4
    assert len(scheduler.store.runs()) == 1


def test_a_due_run_starts_even_if_what_comes_after_it_cannot_be_known() -> None:
    answers = iter([START + HOUR])

    def once_then_broken(after: datetime) -> datetime:
        return next(answers)

    scheduler = VirtualScheduler(start=START)
    scheduler.add_job("Once", lambda ctx: None, once_then_broken)
    scheduler.advance(2 * HOUR)

    assert fire_times(scheduler, "once") == [START + HOUR]


class FailingStore(MemoryStore):
    """A store whose disk is full for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.failures_left = 3

    def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
        if self.failures_left:
            self.failures_left -= 1
            raise StoreError("memory", "the disk is full")
        return super().decide(decisions)


class UnreopenableStore(MemoryStore):
    """A store whose disk is full for long, once a run is to be run again."""

    def __init__(self) -> None:
        super().__init__()
        self.tries: list[str] = []

    def reopen(self, job_key: str, fire_key: str) -> Run | None:
        self.tries.append(fire_key)
        if len(self.tries) < 5:
            raise StoreError("memory", "the disk is full")
        return super().reopen(job_key, fire_key)


def test_an_effect_that_is_gone_is_had_again_once_the_store_works_which_is_not_asked_without_pause() -> None:
    ran: list[int] = []
    store = UnreopenableStore()
    first = VirtualScheduler(store, start=START)
    first.add_job("Hourly", lambda ctx: ran.append(ctx.attempt), every(hours=1))
    first.advance(HOUR)
    second = VirtualScheduler(store, start=START + HOUR)
    second.add_job("Hourly", lambda ctx: ran.append(ctx.attempt), every(hours=1), is_done=lambda fire_time: False)

    second.advance(timedelta(seconds=2))
    assert len(store.tries) <= 2
    second.advance(timedelta(seconds=30))

    assert ran == [1, 2]


def test_nothing_starts_without_a_recorded_claim_and_what_was_due_starts_once_the_store_works() -> None:
    ran: list[JobContext] = []
    store = FailingStore()
    scheduler = VirtualScheduler(store, start=START)
    scheduler.add_job("Hourly", ran.append, every(hours=1))

    scheduler.advance(HOUR)
    assert ran == []
    scheduler.advance(timedelta(seconds=30))

    assert store.failures_left == 0
    assert len(ran) == 1


def test_a_year_of_a_daily_job_is_one_run_a_day() -> None:
    scheduler = VirtualScheduler(MemoryStore(keep_runs=1000), start=START, timezone=AUCKLAND)
    scheduler.add_job("Daily", lambda ctx: None, next_daily)

    scheduler.advance(timedelta(days=365))

    assert len({run.fire_key for run in scheduler.store.runs()}) == 365
    assert scheduler.store.gaps() == []
