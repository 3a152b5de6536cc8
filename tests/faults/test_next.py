"""Faults 22 to 34: what a job's `next` may do to its host.

In each test a healthy job runs beside the misbehaving one, and the control is the same look at a `next`
that behaves.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler import (
    GapReason,
    InvalidScheduleError,
    Job,
    JobBroken,
    RunStatus,
    Scheduler,
    cron,
    daily,
    every,
    monthly,
    next_daily,
    next_first_of_month,
    weekly,
)
from rapua_scheduler.control.listings import JobState, list_jobs
from rapua_scheduler.registry import Registry
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.testing import VirtualScheduler, check_next

MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NEW_YORK = ZoneInfo("America/New_York")
PATIENCE = 30.0


def in_time(after: datetime) -> datetime:
    """Fire once an hour, as a function of somebody's own that behaves."""
    return after.replace(minute=0, second=0, microsecond=0) + HOUR


@define
class Beside:
    """A job with a `next` of somebody's own, and a healthy one that runs each minute beside it.

    Attributes:
        scheduler: It runs both.
        asked: What the function was asked for, oldest first.
        broken: What was said of it.
    """

    scheduler: VirtualScheduler
    asked: list[datetime] = field(factory=list)
    broken: list[str] = field(factory=list)

    def runs(self, key: str) -> list[datetime]:
        return [run.fire_time for run in reversed(self.scheduler.store.runs(job_key=key))]

    def advance(self, duration: timedelta) -> None:
        """Let time pass, and check that every run of the healthy job started at its time."""
        before = self.scheduler.clock.now()
        self.scheduler.advance(duration)
        runs = [run for run in self.scheduler.store.runs(job_key="healthy") if run.fire_time > before]
        assert len(runs) == duration // MINUTE
        assert all(run.started_at == run.fire_time and run.status is RunStatus.SUCCEEDED for run in runs)


def beside(next_function: Callable[[datetime], Any], zone: Any = UTC, start: datetime = MIDNIGHT) -> Beside:
    store = MemoryStore(keep_runs=10_000)
    found = Beside(VirtualScheduler(store, start=start, timezone=zone, observe=lambda event: note(event)))

    def note(event: object) -> None:
        if isinstance(event, JobBroken) and event.job_key == "odd":
            found.broken.append(event.problem)

    def asked(after: datetime) -> Any:
        found.asked.append(after)
        return next_function(after)

    found.scheduler.add_job("Healthy", lambda ctx: None, every(minutes=1))
    found.scheduler.add_job("Odd", lambda ctx: None, asked)
    return found


def test_a_next_that_behaves_is_not_called_broken() -> None:
    """The control of all that follow."""
    both = beside(in_time)

    both.advance(3 * HOUR)

    assert both.runs("odd") == [MIDNIGHT + n * HOUR for n in (1, 2, 3)]
    assert both.broken == []


def test_fault_22_a_next_that_stays_in_the_past_is_asked_less_and_less_often() -> None:
    both = beside(lambda after: after - HOUR)

    both.advance(MINUTE)
    soon = len(both.asked)
    both.advance(HOUR - MINUTE)

    assert both.runs("odd") == []
    assert soon <= 8
    assert len(both.asked) - soon <= 15
    assert len(both.broken) == len(both.asked)
    assert "which is not later than 2026-11-01T00:00:00+00:00" in both.broken[0]


def test_fault_22_a_next_that_is_mended_while_the_host_runs_goes_on() -> None:
    is_mended = [False]
    both = beside(lambda after: in_time(after) if is_mended[0] else after)

    both.advance(HOUR)
    is_mended[0] = True
    both.advance(3 * HOUR)

    assert both.runs("odd")[-1] == MIDNIGHT + 4 * HOUR


def test_fault_23_a_next_that_names_the_same_instant_for_ever_runs_once() -> None:
    both = beside(lambda _: MIDNIGHT + HOUR)

    both.advance(3 * HOUR)

    assert both.runs("odd") == [MIDNIGHT + HOUR]
    assert both.broken
    assert len(both.asked) <= 40


def test_fault_24_a_naive_time_is_refused_with_a_hint_at_the_zone() -> None:
    both = beside(lambda after: in_time(after).replace(tzinfo=None))

    both.advance(HOUR)

    assert both.runs("odd") == []
    assert (
        "2026-11-01T01:00:00 without a zone; build it from its argument, which carries the site's zone"
        in (both.broken[0])
    )


def test_fault_25_none_means_never_again_and_is_visible() -> None:
    both = beside(lambda after: in_time(after) if after < MIDNIGHT + HOUR else None)

    both.advance(3 * HOUR)

    assert both.runs("odd") == [MIDNIGHT + HOUR]
    assert both.broken == []
    assert listed(both, lambda after: in_time(after) if after < MIDNIGHT + HOUR else None).state is JobState.FINISHED
    assert listed(both, in_time).state is JobState.SCHEDULED


def listed(both: Beside, next_function: Callable[[datetime], Any]) -> Any:
    """Return what is listed of the job, as another process sees it, which asks by itself."""
    registry = Registry.of(Job("Odd", lambda ctx: None, next_function))
    listings = list_jobs(registry, both.scheduler.store, both.scheduler.clock.now(), UTC)
    return next(listing for listing in listings if listing.key == "odd")


@pytest.mark.parametrize("error", [ValueError("no idea"), SystemExit(3), KeyboardInterrupt(), RecursionError()])
def test_fault_26_a_next_that_raises_breaks_its_job_only(error: BaseException) -> None:
    def raising(_: datetime) -> datetime:
        raise error

    both = beside(raising)

    both.advance(HOUR)

    assert both.runs("odd") == []
    assert f"raised {type(error).__name__}" in both.broken[0]
    assert len(both.asked) <= 20


def test_fault_27_a_next_that_hangs_is_given_up_on_and_others_are_on_time() -> None:
    release, broken = threading.Event(), threading.Event()
    problems: list[str] = []

    def hang(after: datetime) -> datetime | None:
        release.wait()
        return None

    scheduler = Scheduler(MemoryStore(), timezone=UTC, observers={"test": told(broken, problems)})
    late = healthy_beside(scheduler)
    scheduler.add_job("Odd", lambda ctx: None, hang)
    with scheduler:
        assert broken.wait(PATIENCE)
        release.set()

    assert problems == ["the next function had not returned after 5 s; it must be quick and pure"]
    assert len(late) >= 20
    assert percentile(late, 0.99) < 0.1


def told(broken: threading.Event, problems: list[str] | None = None) -> Callable[[object], None]:
    """Return an observer that sets *broken* when a job is said to be, and adds the problem."""

    def observe(event: object) -> None:
        if isinstance(event, JobBroken):
            if problems is not None:
                problems.append(event.problem)
            broken.set()

    return observe


def healthy_beside(scheduler: Scheduler) -> list[float]:
    """Add a job that fires five times a second; return how late its runs began, in seconds, as they come."""
    late: list[float] = []
    scheduler.add_job(
        "Healthy", lambda ctx: late.append((ctx.now() - ctx.fire_time).total_seconds()), every(milliseconds=200)
    )
    return late


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("2026-11-01T01:00:00Z", "str"),
        (1_793_500_000, "int"),
        (float("nan"), "float"),
        (date(2026, 12, 1), "date"),
        (HOUR, "timedelta"),
        (True, "bool"),
        ([MIDNIGHT + HOUR], "list"),
    ],
)
def test_fault_28_what_is_no_time_is_refused_by_its_type(answer: object, name: str) -> None:
    both = beside(lambda _: answer)

    both.advance(HOUR)

    assert both.runs("odd") == []
    assert both.broken[0] == (f"the next function returned {name}; return an aware datetime, or None for never again")


@pytest.mark.parametrize("years", [1, 500, 7000])
def test_fault_29_a_time_far_ahead_is_shown_and_keeps_nobody_waiting(years: int) -> None:
    far = MIDNIGHT.replace(year=MIDNIGHT.year + years)
    both = beside(lambda after: far if after < far else None)

    both.advance(HOUR)

    assert both.broken == []
    (stored,) = [job for job in both.scheduler.store.jobs() if job.key == "odd"]
    assert stored.next_fire_time == far


def test_fault_29_a_time_beyond_the_calendar_is_never() -> None:
    both = beside(lambda _: datetime.max.replace(tzinfo=ZoneInfo("Pacific/Niue")))

    both.advance(HOUR)

    assert both.broken == []
    assert both.runs("odd") == []


@pytest.mark.parametrize("microseconds", [1, 50, 999])
def test_fault_30_a_next_without_pause_is_broken_visibly_and_neither_the_processor_nor_others_suffer(
    microseconds: int,
) -> None:
    broken = threading.Event()
    store = MemoryStore()
    scheduler = Scheduler(store, timezone=UTC, observers={"test": told(broken)})
    late = healthy_beside(scheduler)
    scheduler.add_job("Odd", lambda ctx: None, lambda after: after + timedelta(microseconds=microseconds))
    enough = threading.Event()
    scheduler.add_job("Enough", lambda ctx: enough.set(), lambda after: after + timedelta(seconds=2.5))

    before, began = time.process_time(), time.monotonic()
    with scheduler:
        assert enough.wait(PATIENCE)
    used, passed = time.process_time() - before, time.monotonic() - began

    assert broken.is_set()
    assert used < passed / 2
    assert len(late) >= 10
    assert percentile(late, 0.99) < 0.1
    assert any(gap.reason in {GapReason.MISSED, GapReason.SUPERSEDED} for gap in store.gaps(job_key="odd"))


def test_fault_30_control_the_shortest_interval_there_may_be_is_not_broken() -> None:
    both = beside(lambda after: after + timedelta(milliseconds=1))

    both.scheduler.advance(timedelta(seconds=1))

    assert both.broken == []
    assert len(both.runs("odd")) == 1000


# 31: a next that keeps no rule is caught before it is ever run by a host


@pytest.mark.parametrize(
    ("next_function", "problem"),
    [
        (lambda after: datetime.now(UTC) + 10_000 * timedelta(days=1), "which is the same, is"),
        (lambda after: MIDNIGHT, "which is not later than"),
        (lambda after: after + HOUR, "which lies between, is"),
        (lambda after: after + (30 if after.day % 2 else 1) * timedelta(days=1), "which lies between, is"),
        (lambda after: in_time(after) + random.random() * MINUTE, "which is the same, is"),
        (lambda after: in_time(after).replace(tzinfo=None), "without a zone"),
        (lambda after: None if after.month == 12 else in_time(after), "is None"),
        (lambda after: None if after.minute >= 30 else in_time(after), "which lies between, is None"),
        (lambda after: in_time(after) + (HOUR if after.minute < 6 else 0 * HOUR), "which lies between, is"),
        (lambda after: in_time(after + timedelta(seconds=1)), "which lies between, is"),
    ],
)
def test_fault_31_a_next_that_keeps_no_rule_is_caught_by_the_kit(
    next_function: Callable[[datetime], Any], problem: str
) -> None:
    with pytest.raises(AssertionError, match=problem):
        check_next(next_function)


def test_fault_31_a_next_that_names_its_own_fire_time_again_is_caught_by_the_kit() -> None:
    def not_later(after: datetime) -> datetime:
        return after if after == after.replace(minute=0, second=0, microsecond=0) else in_time(after)

    with pytest.raises(AssertionError, match="which is not later than"):
        check_next(not_later, start=MIDNIGHT + 17 * MINUTE)


@pytest.mark.parametrize(
    "next_function",
    [
        in_time,
        next_daily,
        next_first_of_month,
        every(hours=7),
        daily(at="02:30"),
        weekly("sun", at="02:30"),
        monthly(day=31, at="02:30"),
        cron("*/7 1-3 * * *"),
        lambda after: None,
        lambda after: MIDNIGHT if after < MIDNIGHT else None,
    ],
)
def test_fault_31_control_a_next_that_keeps_the_rules_passes(next_function: Callable[[datetime], Any]) -> None:
    check_next(next_function, zone=NEW_YORK)


def test_fault_31_a_next_without_argument_has_no_rules() -> None:
    with pytest.raises(ValueError, match="takes no argument"):
        check_next(lambda: MIDNIGHT)


INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))


@given(after=INSTANTS, between=st.floats(0, 1))
def test_fault_31_the_rule_holds_for_built_in_schedules_wherever_they_are_asked(
    after: datetime, between: float
) -> None:
    for schedule in (
        next_daily,
        next_first_of_month,
        every(hours=7),
        monthly(day=31, at="02:30"),
        cron("*/7 1-3 * * *"),
    ):
        found = schedule(after.astimezone(NEW_YORK))
        assert found is not None
        assert found > after
        instant = after + between * (found.astimezone(UTC) - after - timedelta(microseconds=1))
        assert schedule(instant.astimezone(NEW_YORK)) == found


# 32, 33, 34


@pytest.mark.parametrize("expression", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 29 2 */0"])
def test_fault_32_an_impossible_schedule_is_refused_when_it_is_written(expression: str) -> None:
    began = time.perf_counter()

    with pytest.raises(InvalidScheduleError):
        cron(expression)

    assert time.perf_counter() - began < 1


def test_fault_32_control_a_rare_schedule_is_not_impossible() -> None:
    assert cron("0 0 29 2 *")(MIDNIGHT) == datetime(2028, 2, 29, tzinfo=UTC)


def test_fault_33_a_time_that_occurs_twice_is_told_apart_by_its_fold() -> None:
    first = datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK)
    second = first.replace(fold=1)
    assert not first < second  # what comparing them as they are says

    def twice(after: datetime) -> datetime | None:
        return next((time for time in (first, second) if time.astimezone(UTC) > after.astimezone(UTC)), None)

    both = beside(twice, NEW_YORK, start=datetime(2026, 11, 1, 4, tzinfo=UTC))
    both.advance(4 * HOUR)

    assert both.broken == []
    assert both.runs("odd") == [datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 6, 30, tzinfo=UTC)]


@pytest.mark.parametrize(
    "schedule", [every(minutes=10), lambda after: in_time(after) - 30 * MINUTE if after.minute < 30 else in_time(after)]
)
def test_fault_34_a_changed_schedule_has_no_fire_times_before_its_change(schedule: Any) -> None:
    store = MemoryStore()
    first = VirtualScheduler(store, start=MIDNIGHT)
    first.add_job("Odd", lambda ctx: None, daily(at="06:00"), key="odd", catch_up="all")
    first.advance(7 * HOUR)

    changed_at = MIDNIGHT + 10 * HOUR
    second = VirtualScheduler(store, start=changed_at)
    second.add_job("Odd", lambda ctx: None, schedule, key="odd", catch_up="all")
    second.advance(HOUR)

    fire_times = [run.fire_time for run in reversed(store.runs(job_key="odd"))]
    assert fire_times[0] == MIDNIGHT + 6 * HOUR
    assert len(fire_times) > 1
    assert min(fire_times[1:]) > changed_at
    assert store.gaps(job_key="odd") == []


def test_fault_34_control_the_same_schedule_makes_up_what_passed() -> None:
    store = MemoryStore()
    first = VirtualScheduler(store, start=MIDNIGHT)
    first.add_job("Odd", lambda ctx: None, every(minutes=10), key="odd", catch_up="all")
    first.advance(HOUR)

    second = VirtualScheduler(store, start=MIDNIGHT + 2 * HOUR)
    second.add_job("Odd", lambda ctx: None, every(minutes=10), key="odd", catch_up="all")

    assert len(store.runs(job_key="odd")) == 12
