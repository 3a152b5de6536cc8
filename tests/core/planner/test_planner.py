"""What becomes of fire times: the planner against plain enumeration."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler import cron, daily, every, next_daily, next_first_of_month
from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.planner import MOST_CALLS, decide, first_after, first_pending, is_fire_time, survey
from rapua_scheduler.run import GapReason, Trigger
from rapua_scheduler.schedules import BuiltInSchedule

AUCKLAND = ZoneInfo("Pacific/Auckland")
START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULES: list[BuiltInSchedule] = [
    next_daily,
    next_first_of_month,
    every(minutes=7),
    daily(at="02:30"),
    cron("*/20 1-3 * * *"),
]


def stepped(schedule: BuiltInSchedule, after: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    fire_time = first_after(schedule, after, AUCKLAND)
    while fire_time is not None and fire_time <= until:
        found.append(fire_time)
        fire_time = first_after(schedule, fire_time, AUCKLAND)
    return found


@given(
    schedule=st.sampled_from(SCHEDULES),
    mark=st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31)).map(lambda t: t.replace(tzinfo=UTC)),
    down=st.timedeltas(timedelta(0), timedelta(days=12)),
    is_stepped=st.booleans(),
)
def test_every_fire_time_since_the_mark_is_run_or_in_a_gap(
    schedule: BuiltInSchedule, mark: datetime, down: timedelta, is_stepped: bool
) -> None:
    now = mark + down
    expected = stepped(schedule, mark, now)
    if not expected:
        return
    asked: Callable[[datetime], datetime | None] = (lambda after: schedule(after)) if is_stepped else schedule

    stretch = survey(asked, expected[0], now, AUCKLAND)
    decision = decide("job", stretch, now, identify=str, run_id="r")

    in_gaps = [t for gap in decision.gaps for t in expected if gap.first <= t <= gap.last]
    ran = [decision.run.fire_time] if decision.run else []
    assert sorted(in_gaps + ran) == expected
    assert sum(gap.count or 0 for gap in decision.gaps) == len(in_gaps)
    assert decision.mark == expected[-1]
    assert decision.next_fire_time == first_after(schedule, now, AUCKLAND)


@pytest.mark.parametrize(("late", "runs"), [(0, True), (60, True), (61, False)])
def test_a_fire_time_is_run_when_it_is_at_most_a_minute_late(late: int, runs: bool) -> None:
    now = START + timedelta(seconds=late)

    decision = decide(
        "job", survey(daily(tz="UTC"), START, now, UTC), now, identify=lambda t: t.isoformat(), run_id="r"
    )

    if runs:
        assert decision.run is not None
        assert (decision.run.trigger, decision.run.fire_time, decision.gaps) == (Trigger.SCHEDULE, START, ())
    else:
        assert decision.run is None
        assert [(gap.reason, gap.count) for gap in decision.gaps] == [(GapReason.MISSED, 1)]


def test_a_fire_time_of_a_running_job_is_skipped_and_names_the_run() -> None:
    decision = decide("job", survey(daily(tz="UTC"), START, START, UTC), START, identify=str, run_id="r2", running="r1")

    assert decision.run is None
    assert [(gap.reason, gap.count) for gap in decision.gaps] == [(GapReason.SKIPPED, 1)]
    assert "r1" in decision.gaps[0].detail


def test_fire_times_of_a_running_job_that_are_long_over_are_missed_not_skipped_twice() -> None:
    now = START + timedelta(hours=5, minutes=30)

    decision = decide("job", survey(every(hours=1), START, now, UTC), now, identify=str, run_id="r2", running="r1")

    assert [(gap.first, gap.last, gap.count) for gap in decision.gaps] == [(START, START + timedelta(hours=5), 6)]


def test_a_stretch_too_long_to_step_through_is_one_gap_of_unknown_count() -> None:
    calls = 0

    def each_second(after: datetime) -> datetime:
        nonlocal calls
        calls += 1
        return after + timedelta(seconds=1)

    now = START + timedelta(days=30)
    stretch = survey(each_second, START, now, UTC)
    decision = decide("job", stretch, now, identify=str, run_id="r")

    assert calls <= MOST_CALLS + 1
    assert [(gap.first, gap.last, gap.count) for gap in decision.gaps] == [(START, now, None)]
    assert decision.run is None
    assert decision.next_fire_time is not None
    assert decision.next_fire_time > now


def test_a_built_in_schedule_jumps_over_a_long_stretch() -> None:
    now = START + timedelta(days=36500)

    stretch = survey(every(milliseconds=1), START, now, UTC)

    assert stretch.newest == now
    assert stretch.earlier == 36500 * 86_400_000


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (5, "returned int"),
        ("2999-01-01", "returned str"),
        (timedelta(1), "returned timedelta"),
        (START.date(), "returned date"),
        (float("nan"), "returned float"),
        (datetime(2999, 1, 1), "without a zone"),
        (START, "not later"),
        (START - timedelta(microseconds=1), "not later"),
    ],
)
def test_an_answer_that_is_no_later_instant_is_refused(answer: object, problem: str) -> None:
    with pytest.raises(BrokenNextError, match=problem):
        first_after(lambda _: answer, START, UTC)
    with pytest.raises(BrokenNextError, match=problem):
        first_pending(lambda: answer, START)


def test_the_next_function_is_asked_in_the_sites_zone_and_answered_in_utc() -> None:
    asked: list[datetime] = []

    def tomorrow(after: datetime) -> datetime:
        asked.append(after)
        return after + timedelta(days=1)

    answer = first_after(tomorrow, START, AUCKLAND)

    assert asked[0].tzinfo is AUCKLAND
    assert answer is not None
    assert answer.tzinfo is UTC


def test_a_later_answer_in_the_second_hour_of_a_fold_is_later() -> None:
    first_half_past_two = datetime(2026, 4, 5, 2, 30, tzinfo=AUCKLAND)
    second = first_half_past_two.replace(fold=1)

    assert first_after(lambda _: second, first_half_past_two.astimezone(UTC), AUCKLAND) == second.astimezone(UTC)


def test_only_fire_times_are_fire_times() -> None:
    midnight = datetime(2026, 11, 1, tzinfo=AUCKLAND)

    assert is_fire_time(next_first_of_month, midnight, AUCKLAND)
    assert not is_fire_time(next_first_of_month, midnight + timedelta(seconds=1), AUCKLAND)
    assert not is_fire_time(lambda after: after, midnight, AUCKLAND)


class NotATime(datetime):
    """As some libraries have one: no comparison with it holds, and no conversion changes it."""

    def __le__(self, other: object) -> bool:
        return False

    def __lt__(self, other: object) -> bool:
        return False

    def astimezone(self, tz: object = None) -> NotATime:
        return self


def test_a_subclass_of_datetime_is_taken_for_the_time_it_shows() -> None:
    answer = first_after(lambda _: NotATime(2999, 1, 1, tzinfo=AUCKLAND), START, UTC)

    assert type(answer) is datetime
    assert answer == datetime(2999, 1, 1, tzinfo=AUCKLAND)
    with pytest.raises(BrokenNextError, match="not later"):
        first_after(lambda _: NotATime(1999, 1, 1, tzinfo=UTC), START, UTC)
