"""What operators say: runs by hand and for the past, and runs that are to end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rapua_scheduler import Job, daily, every, next_first_of_month
from rapua_scheduler.control.words import (
    MOST_LOOKED_AT,
    Backfill,
    Cancelled,
    cancel,
    find_job,
    find_next_function,
    manual_run,
    plan_backfill,
    refuse_unknown_to_host,
)
from rapua_scheduler.errors import RapuaSchedulerError, UnknownJobError
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.run import Run, RunStatus, Trigger
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing import ManualClock
from tests.core.control.worlds import DAY, HOUR, MINUTE, START, World, nothing

MIDNIGHT = START.replace(second=0)
AUCKLAND = ZoneInfo("Pacific/Auckland")
HOURLY = Job("Hourly", nothing, every(hours=1), supports_backfill=True)


def by_hand(world: World, job_key: str, at: datetime | None = None, run_id: str = "by-hand") -> Run:
    return manual_run(
        job_key, world.registry[job_key].job.next, at, run_id=run_id, now=world.now, zone=world.zone, by="ada@host"
    )


def planned(
    world: World, start: datetime, end: datetime, *, limit: int = 1000, recorded: Sequence[Run] | None = None
) -> Backfill:
    numbers = count(1)
    return plan_backfill(
        world.registry["hourly"],
        world.store.runs(job_key="hourly") if recorded is None else recorded,
        start=start,
        end=end,
        limit=limit,
        new_run_id=lambda: f"backfill-{next(numbers)}",
        zone=world.zone,
        by="ada@host",
    )


def test_a_run_by_hand_is_run_within_a_second_though_its_job_is_paused() -> None:
    world = World(HOURLY)
    world.start()
    world.store.pause("hourly", world.now, "because", "ada@host")
    world.store.enqueue([by_hand(world, "hourly")])

    world.passes(timedelta(seconds=1))

    (run,) = world.runs("hourly")
    assert (run.status, run.trigger, run.asked_by) == (RunStatus.SUCCEEDED, Trigger.MANUAL, "ada@host")


def test_a_run_by_hand_has_the_key_of_the_fire_time_it_is_for() -> None:
    world = World(Job("Monthly", nothing, next_first_of_month), zone=AUCKLAND)
    first = datetime(2026, 11, 1, tzinfo=AUCKLAND)

    assert by_hand(world, "monthly", first).fire_key == "2026-11-01T00:00"
    assert by_hand(world, "monthly", first + HOUR).fire_key == "2026-10-31T12:00:00Z"
    assert by_hand(world, "monthly").fire_time == world.now


def test_a_job_that_cannot_be_run_is_refused_with_the_reason() -> None:
    world = World(HOURLY)
    world.start()
    empty = World()

    assert find_job(world.registry, world.store, "hourly", {}) is world.registry["hourly"]
    with pytest.raises(RapuaSchedulerError, match="package is not installed"):
        find_job(empty.registry, world.store, "hourly", {"hourly": "package is not installed"})
    with pytest.raises(UnknownJobError, match="hourly"):
        find_job(world.registry, world.store, "huorly", {})


def test_a_job_of_an_application_can_be_asked_for_as_long_as_that_is_active(tmp_path: Path) -> None:
    clock = ManualClock(START)
    application = SqliteStore.open(tmp_path / "store.db", create=True, clock=clock)
    application.become_host()
    own = RegisteredJob(Job("Own", nothing, lambda after: after + HOUR))
    application.declare([RegisteredJob(HOURLY), own, RegisteredJob(Job("Gone", nothing, daily()), "plugin")], START)

    assert find_next_function(Registry(), application, "hourly", {}) == HOURLY.next
    assert find_next_function(Registry(), application, "own", {}) is None
    with pytest.raises(RapuaSchedulerError, match="not installed"):
        find_next_function(Registry(), application, "gone", {"gone": "plugin is not installed"})
    application.close()
    with (
        closing(SqliteStore.open_read_only(tmp_path / "store.db")) as store,
        pytest.raises(RapuaSchedulerError, match="an application brings it"),
    ):
        find_next_function(Registry(), store, "hourly", {"hourly": "an application brings it"})


def test_a_job_that_was_installed_after_the_host_was_started_is_refused() -> None:
    world = World(HOURLY)
    refuse_unknown_to_host(world.store, "hourly")
    world.start()

    refuse_unknown_to_host(world.store, "hourly")
    with pytest.raises(RapuaSchedulerError, match="start that anew"):
        refuse_unknown_to_host(world.store, "newer")


def test_a_job_that_only_an_earlier_host_had_is_refused(tmp_path: Path) -> None:
    path, clock = tmp_path / "store.db", ManualClock(START)
    earlier = SqliteStore.open(path, create=True, clock=clock)
    earlier.declare([RegisteredJob(HOURLY)], clock.now())
    earlier.close()
    clock.advance(MINUTE)
    host = SqliteStore.open(path, create=False, clock=clock)
    host.become_host()

    with pytest.raises(RapuaSchedulerError, match="start that anew"):
        refuse_unknown_to_host(host, "hourly")
    host.declare([RegisteredJob(HOURLY)], clock.now())
    refuse_unknown_to_host(host, "hourly")
    host.close()


# -- cancel


def test_a_running_run_is_told_to_stop_and_ends_cancelled() -> None:
    world = World(Job("Slow", nothing, every(hours=1)))
    world.start()
    world.takes = 30 * MINUTE
    world.passes(HOUR)
    (run,) = world.runs("slow")

    answer = cancel(world.store, run, now=world.now, by="ada@host")
    world.passes(timedelta(seconds=1))

    assert answer is Cancelled.ASKED
    (run,) = world.runs("slow")
    assert run.status is RunStatus.CANCELLED
    assert run.error is not None
    assert "ada@host" in run.error


def test_a_run_that_waits_is_cancelled_before_it_starts() -> None:
    world = World(HOURLY)
    world.start()
    world.takes = 30 * MINUTE
    world.passes(HOUR)
    queued = evolve(by_hand(world, "hourly"), trigger=Trigger.BACKFILL)
    world.store.enqueue([queued])
    world.passes(timedelta(seconds=1))

    answer = cancel(world.store, queued, now=world.now, by="ada@host")
    world.passes(HOUR)

    assert answer is Cancelled.ASKED
    found = world.store.run("by-hand")
    assert found is not None
    assert (found.status, found.started_at) == (RunStatus.CANCELLED, None)


def test_a_run_that_has_ended_is_left_as_it_is() -> None:
    world = World(HOURLY)
    world.start()
    world.passes(HOUR)
    (run,) = world.runs("hourly")

    assert cancel(world.store, run, now=world.now, by="ada@host") is Cancelled.ENDED_BEFORE
    assert world.runs("hourly") == [run]


def test_without_a_host_a_queued_run_is_dropped_at_once() -> None:
    world = World(HOURLY)
    world.store.enqueue([by_hand(world, "hourly")])
    (queued,) = world.runs("hourly")

    assert cancel(world.store, queued, now=world.now, by="ada@host") is Cancelled.DROPPED
    (run,) = world.runs("hourly")
    assert run.status is RunStatus.CANCELLED


def test_what_a_dead_host_was_running_is_left_to_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    host = SqliteStore.open(path, create=True)
    running = Run("1", "job", START, "key", Trigger.MANUAL, RunStatus.RUNNING, started_at=START)
    host.claim(running)
    host.close()
    other = SqliteStore.open(path, create=False)

    assert cancel(other, running, now=START, by="ada@host") is Cancelled.NOBODY
    other.close()


# -- backfill


def test_a_backfill_takes_the_fire_times_of_a_half_open_stretch_oldest_first() -> None:
    world = World(HOURLY)

    plan = planned(world, MIDNIGHT - 3 * HOUR, MIDNIGHT)

    assert [run.fire_time for run in plan.runs] == [MIDNIGHT - 3 * HOUR, MIDNIGHT - 2 * HOUR, MIDNIGHT - HOUR]
    assert {(run.trigger, run.status, run.asked_by) for run in plan.runs} == {
        (Trigger.BACKFILL, RunStatus.QUEUED, "ada@host")
    }
    assert plan.runs[0].fire_key == "2026-10-31T21:00:00Z"
    assert plan.rest_from is None


def test_a_backfill_leaves_out_what_has_succeeded_or_is_under_way_and_says_so() -> None:
    world = World(HOURLY)
    (first, second, third, fourth) = planned(world, MIDNIGHT - 4 * HOUR, MIDNIGHT).runs
    recorded = [
        evolve(first, run_id="a", status=RunStatus.SUCCEEDED, trigger=Trigger.SCHEDULE),
        evolve(second, run_id="b", status=RunStatus.FAILED, trigger=Trigger.SCHEDULE),
        evolve(third, run_id="c", status=RunStatus.QUEUED),
    ]

    plan = planned(world, MIDNIGHT - 4 * HOUR, MIDNIGHT, recorded=recorded)

    assert [run.fire_time for run in plan.runs] == [second.fire_time, fourth.fire_time]
    assert [(left_out.fire_time, left_out.run.run_id) for left_out in plan.skipped] == [
        (first.fire_time, "a"),
        (third.fire_time, "c"),
    ]


def test_a_backfill_is_limited_and_says_where_to_go_on() -> None:
    world = World(HOURLY)

    plan = planned(world, MIDNIGHT - DAY, MIDNIGHT, limit=3)
    rest = planned(world, plan.rest_from or MIDNIGHT, MIDNIGHT)

    assert len(plan.runs) == 3
    assert plan.rest_from == MIDNIGHT - 21 * HOUR
    assert len(plan.runs) + len(rest.runs) == 24


def test_a_backfill_does_not_look_without_end() -> None:
    world = World(Job("Hourly", nothing, every(seconds=1), supports_backfill=True))
    served = [
        Run(str(number), "hourly", at, f"{at:%Y-%m-%dT%H:%M:%S}Z", Trigger.SCHEDULE, RunStatus.SUCCEEDED)
        for number, at in ((number, MIDNIGHT + number * timedelta(seconds=1)) for number in range(MOST_LOOKED_AT))
    ]

    plan = planned(world, MIDNIGHT, MIDNIGHT + 30 * DAY, recorded=served)

    assert plan.runs == ()
    assert plan.rest_from == MIDNIGHT + MOST_LOOKED_AT * timedelta(seconds=1)


def test_a_backfill_of_a_job_that_does_not_allow_it_is_refused() -> None:
    world = World(evolve(HOURLY, supports_backfill=False))

    with pytest.raises(RapuaSchedulerError, match="does not declare"):
        planned(world, MIDNIGHT - DAY, MIDNIGHT)


def test_a_backfill_of_a_job_that_cannot_tell_its_past_is_refused() -> None:
    world = World(evolve(HOURLY, next=lambda: None))

    with pytest.raises(RapuaSchedulerError, match="cannot be told"):
        planned(world, MIDNIGHT - DAY, MIDNIGHT)


def test_a_backfill_runs_one_after_another_and_consumes_no_fire_time() -> None:
    world = World(HOURLY)
    world.start()
    world.takes = MINUTE
    world.store.enqueue(planned(world, MIDNIGHT - 5 * HOUR, MIDNIGHT).runs)

    world.passes(30 * MINUTE)

    runs = world.runs("hourly")
    assert [run.status for run in runs] == [RunStatus.SUCCEEDED] * 5
    starts = [run.started_at for run in runs if run.started_at is not None]
    assert starts == sorted(starts)
    assert all(later - earlier >= MINUTE for earlier, later in pairwise(starts))
    assert planned(world, MIDNIGHT - 5 * HOUR, MIDNIGHT).runs == ()


@settings(deadline=None)
@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    st.integers(1, 50),
)
def test_backfills_that_go_on_where_the_last_one_ended_take_each_fire_time_once(
    one: datetime, other: datetime, limit: int
) -> None:
    start, end = sorted((one.replace(tzinfo=AUCKLAND), other.replace(tzinfo=AUCKLAND)))
    world = World(Job("Hourly", nothing, daily(at="02:30"), supports_backfill=True), zone=AUCKLAND)

    taken: list[str] = []
    rest: datetime | None = start
    while rest is not None:
        plan = planned(world, rest, end, limit=limit)
        taken += [run.fire_key for run in plan.runs]
        rest = plan.rest_from

    assert len(set(taken)) == len(taken)
    assert abs(len(taken) - (end - start) / DAY) <= 1
