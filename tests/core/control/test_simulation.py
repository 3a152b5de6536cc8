"""What `simulate` shows: runs and reasons that are exactly the fire times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapua_scheduler import Isolation, Job, JobContext, daily, every, next_daily, next_first_of_month
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import GapReason, RunStatus, Trigger
from rapua_scheduler.simulation import Downtime, Simulated, simulate
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import Store
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing import VirtualScheduler
from tests.core.control.worlds import DAY, HOUR, MINUTE, nothing

AUCKLAND = ZoneInfo("Pacific/Auckland")
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def simulated(
    *jobs: Job,
    until: datetime,
    since: datetime = FIRST,
    down: tuple[tuple[datetime, datetime], ...] = (),
    takes: timedelta = timedelta(0),
    most_runs: int = 10_000,
    store: Store | None = None,
    reopen: Callable[[Store], Store] = lambda store: store,
) -> Simulated:
    return simulate(
        [RegisteredJob(job) for job in jobs],
        store or MemoryStore(keep_runs=100_000),
        start=since,
        end=until,
        zone=AUCKLAND,
        downtimes=[Downtime(*stretch) for stretch in down],
        takes=takes,
        most_runs=most_runs,
        reopen=reopen,
    )


def test_no_job_is_called_and_every_fire_time_of_the_half_open_stretch_is_there() -> None:
    def never(ctx: JobContext) -> None:
        raise AssertionError("called")

    job = Job("Six", never, every(hours=6), isolation=Isolation.PROCESS, check=lambda: ["no"], is_done=lambda _: False)

    found = simulated(job, until=FIRST + DAY)

    assert [run.fire_time for run in found.runs] == [FIRST + hours * HOUR for hours in (0, 6, 12, 18)]
    assert {(run.trigger, run.status) for run in found.runs} == {(Trigger.SCHEDULE, RunStatus.SUCCEEDED)}
    assert found.gaps == ()
    assert found.until == FIRST + DAY


def test_a_downtime_leaves_gaps_with_their_reasons_and_a_catch_up() -> None:
    found = simulated(
        Job("Six", nothing, every(hours=6)), until=FIRST + 2 * DAY, down=((FIRST + HOUR, FIRST + 20 * HOUR),)
    )

    assert [(gap.first, gap.last, gap.count, gap.reason) for gap in found.gaps] == [
        (FIRST + 6 * HOUR, FIRST + 12 * HOUR, 2, GapReason.SUPERSEDED)
    ]
    (caught_up,) = [run for run in found.runs if run.trigger is Trigger.CATCH_UP]
    assert (caught_up.fire_time, caught_up.started_at) == (FIRST + 18 * HOUR, FIRST + 20 * HOUR)


def test_jobs_that_share_a_key_run_one_after_another_at_one_time() -> None:
    jobs = [Job(name, nothing, next_daily, concurrency_key="database") for name in ("a", "b", "c")]

    at_once = simulated(*jobs, until=FIRST + DAY)
    slowly = simulated(*jobs, until=FIRST + DAY, takes=10 * MINUTE)

    midnight = datetime(2026, 11, 2, tzinfo=AUCKLAND)
    assert [run.started_at for run in at_once.runs] == [midnight] * 3
    assert [run.started_at for run in slowly.runs] == [midnight, midnight + 10 * MINUTE, midnight + 20 * MINUTE]


def test_a_run_that_takes_longer_than_the_gap_skips_the_next_fire_time() -> None:
    found = simulated(Job("Hourly", nothing, every(hours=1)), until=FIRST + 4 * HOUR, takes=90 * MINUTE)

    assert [run.fire_time for run in found.runs] == [FIRST, FIRST + 2 * HOUR]
    assert [(gap.first, gap.reason) for gap in found.gaps] == [
        (FIRST + HOUR, GapReason.SKIPPED),
        (FIRST + 3 * HOUR, GapReason.SKIPPED),
    ]


def test_a_run_that_a_stop_interrupts_is_run_again(tmp_path: Path) -> None:
    path = tmp_path / "simulated.db"

    def reopen(store: Store) -> Store:
        store.close()
        return SqliteStore.open(path, create=False)

    found = simulated(
        Job("Daily", nothing, daily(at="12:00")),
        until=FIRST + 2 * DAY,
        takes=HOUR,
        down=((datetime(2026, 11, 2, 12, 30, tzinfo=AUCKLAND), datetime(2026, 11, 2, 18, tzinfo=AUCKLAND)),),
        store=SqliteStore.open(path, create=True),
        reopen=reopen,
    )

    first = found.runs[0]
    assert (first.trigger, first.attempt, first.status) == (Trigger.RERUN, 2, RunStatus.SUCCEEDED)
    assert first.started_at == datetime(2026, 11, 2, 18, tzinfo=AUCKLAND)


def test_a_downtime_that_would_hold_a_host_is_told_and_released() -> None:
    since = datetime(2026, 1, 1, tzinfo=AUCKLAND)

    found = simulated(
        Job("Monthly", nothing, next_first_of_month),
        since=since,
        until=datetime(2027, 1, 1, tzinfo=AUCKLAND),
        down=((datetime(2026, 3, 15, tzinfo=AUCKLAND), datetime(2026, 6, 15, tzinfo=AUCKLAND)),),
    )

    (hold,) = found.holds
    assert hold.since == datetime(2026, 6, 15, tzinfo=AUCKLAND)
    assert len(found.runs) + sum(gap.count or 0 for gap in found.gaps) == 12


def test_a_simulation_ends_after_enough_runs_and_says_where() -> None:
    found = simulated(Job("Often", nothing, every(minutes=1)), until=FIRST + 100 * DAY, most_runs=2000)

    assert found.until == FIRST + 2 * DAY
    assert len(found.runs) == 2880


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 60 * 24 * 20), min_size=2, max_size=8, unique=True).map(sorted),
    st.sampled_from(["none", "latest", "all"]),
    st.sampled_from([0, 30, 100, 400]),
    st.sampled_from([daily(at="02:30"), every(hours=5), every(minutes=95)]),
)
def test_runs_and_reasons_are_exactly_the_fire_times(
    edges: list[int], catch_up: str, takes: int, schedule: Callable[..., datetime | None]
) -> None:
    since, until = datetime(2026, 9, 20, tzinfo=AUCKLAND), datetime(2026, 10, 10, tzinfo=AUCKLAND)
    moments = [since.astimezone(UTC) + edge * MINUTE for edge in edges]
    down = tuple(zip(moments[::2], moments[1::2], strict=False))

    found = simulated(
        Job("Job", nothing, schedule, catch_up=catch_up),
        since=since,
        until=until,
        down=down,
        takes=takes * MINUTE,
    )

    last_up = min(down[-1][0], until) if down and down[-1][1] >= until else until
    expected = []
    fire_time = schedule((since.astimezone(UTC) - timedelta(microseconds=1)).astimezone(AUCKLAND))
    while fire_time is not None and fire_time < last_up:
        expected.append(fire_time.astimezone(UTC))
        fire_time = schedule(fire_time)
    decided = [run.fire_time for run in found.runs]
    for gap in found.gaps:
        inside = [at for at in expected if gap.first <= at <= gap.last and at not in decided]
        assert len(inside) == gap.count
        decided += inside
    assert sorted(decided) == expected


@pytest.mark.parametrize("minutes", [0, 10])
def test_a_downtime_may_reach_beyond_both_ends(minutes: int) -> None:
    found = simulated(
        Job("Hourly", nothing, every(hours=1)),
        until=FIRST + 4 * HOUR,
        down=((FIRST - DAY, FIRST + HOUR + minutes * MINUTE), (FIRST + 3 * HOUR, FIRST + DAY)),
    )

    assert found.runs[-1].fire_time == FIRST + 2 * HOUR


steps = st.lists(st.timedeltas(timedelta(microseconds=1), timedelta(days=3)), min_size=1, max_size=12)


@settings(deadline=None)
@given(steps, st.timedeltas(timedelta(milliseconds=7), timedelta(hours=5)))
def test_exactly_as_much_time_passes_as_was_asked_for(steps: list[timedelta], takes: timedelta) -> None:
    scheduler = VirtualScheduler(start=FIRST, timezone=AUCKLAND, takes=lambda _: takes)
    scheduler.add_job("Often", nothing, every(minutes=47), overlap="queue_all")

    for step in steps:
        before = scheduler.clock.now()
        scheduler.advance(step)
        assert scheduler.clock.now() - before == step
