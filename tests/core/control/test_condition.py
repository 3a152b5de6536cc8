"""What `status` finds, and what it takes for unwell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from rapua_scheduler import Job, JobContext, every
from rapua_scheduler.control.condition import LONG_QUEUE, Condition, Package, Weight, examine
from rapua_scheduler.control.listings import list_jobs
from rapua_scheduler.control.words import manual_run
from rapua_scheduler.registry import Registry
from rapua_scheduler.run import RunStatus, WindowKind
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing import ManualClock
from tests.core.control.worlds import HOUR, MINUTE, START, World, nothing

HOURLY = Job("Hourly", nothing, every(hours=1))
INSTALLED = {"plugin": [Package("package", "1.0")]}


def looked_at(
    world: World,
    installed: Mapping[str, Sequence[Package]] = INSTALLED,
    broken: Mapping[str, str] = MappingProxyType({}),
) -> Condition:
    listings = list_jobs(world.registry, world.store, world.now, world.zone)
    return examine(world.store, listings, installed, broken=broken, now=world.now, zone=world.zone)


def problems(condition: Condition) -> dict[str, str]:
    return {remark.subject: remark.text for remark in condition.remarks if remark.weight is Weight.PROBLEM}


def started(*jobs: Job) -> World:
    world = World(*jobs)
    world.start()
    return world


def test_a_host_that_runs_its_jobs_is_well() -> None:
    world = started(HOURLY)
    world.passes(3 * HOUR)

    condition = looked_at(world)

    assert condition.is_well, condition.remarks
    assert condition.remarks == ()
    assert (condition.jobs, condition.running, condition.queued, condition.errors) == (1, 0, 0, ())
    (plugin,) = condition.plugins
    assert plugin.running == Package("package", "1.0")


def test_no_host_is_not_well() -> None:
    condition = examine(MemoryStore(), [], {}, now=START, zone=UTC)

    assert not condition.is_well
    assert "rapua-scheduler run" in problems(condition)["host"]


def test_a_host_that_has_ended_is_told_with_its_last_sign_of_life(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "store.db", create=True, clock=ManualClock(START))
    store.become_host()
    store.note_alive(START + MINUTE)
    store.close()
    store = SqliteStore.open_read_only(tmp_path / "store.db")

    condition = examine(store, [], {}, now=START + HOUR, zone=UTC)

    assert "2026-11-01 00:01:01" in problems(condition)["host"]
    store.close()


def test_a_host_that_is_silent_is_told() -> None:
    world = started(HOURLY)
    world.passes(HOUR)

    world.clock.advance(10 * MINUTE)

    assert "10 minutes" in problems(looked_at(world))["host"]


def test_a_clock_that_was_set_back_and_jobs_that_wait_for_it_are_told() -> None:
    world = started(HOURLY)
    world.passes(3 * HOUR)

    world.clock.step(-2 * HOUR)

    clock = [remark.text for remark in looked_at(world).remarks if remark.subject == "clock"]
    assert len(clock) == 2
    assert "1 job waits" in clock[1]
    assert "hourly" in clock[1]


def test_a_hold_is_told_and_found() -> None:
    world = started(HOURLY)
    world.store.hold(world.now, "the clock is far ahead")

    condition = looked_at(world)

    assert condition.held is not None
    assert "the clock is far ahead" in problems(condition)["clock"]
    assert "rapua-scheduler release" in problems(condition)["clock"]


def test_what_runs_and_is_not_what_is_installed_is_told() -> None:
    world = started(HOURLY)

    newer = looked_at(world, {"plugin": [Package("package", "1.1")]})
    gone = looked_at(world, {})
    other = looked_at(world, {"plugin": [Package("package", "1.0")], "quiet": [Package("quiet", "2")]})

    assert "runs package 1.0, and package 1.1 is installed" in problems(newer)["plugin plugin"]
    assert "nothing of it is installed" in problems(gone)["plugin plugin"]
    assert other.is_well
    assert [(plugin.name, plugin.running is None) for plugin in other.plugins] == [("plugin", False), ("quiet", True)]


def test_a_plugin_that_cannot_be_loaded_needs_a_look_though_the_store_knows_no_job_of_it() -> None:
    world = started(HOURLY)

    condition = looked_at(world, {**INSTALLED, "new": [Package("new", "1")]}, {"new": "register_jobs raised: oops"})

    assert problems(condition) == {"plugin new": "cannot be loaded: register_jobs raised: oops"}


def test_a_pause_and_a_failed_plugin_need_a_look_and_an_absence_is_a_note() -> None:
    world = started(HOURLY, Job("Failed", nothing, every(hours=1)), Job("Absent", nothing, every(hours=1)))
    world.store.pause("hourly", world.now, "because", "ada@host")
    absences = {"failed": (WindowKind.FAILED, "SyntaxError"), "absent": (WindowKind.ABSENT, "not installed")}
    world.store.set_absent(absences, world.now)

    condition = looked_at(world)

    assert set(problems(condition)) == {"job hourly", "job failed"}
    assert "ada@host" in problems(condition)["job hourly"]
    assert [remark.subject for remark in condition.remarks][-1] == "job absent"


def test_a_job_whose_last_run_failed_needs_a_look_until_one_succeeds() -> None:
    fails = [True]

    def flaky(ctx: JobContext) -> None:
        if fails[0]:
            raise ValueError("no luck")

    world = started(Job("Flaky", flaky, every(hours=1)))
    world.passes(HOUR)
    failed = looked_at(world)
    fails[0] = False
    world.passes(HOUR)
    recovered = looked_at(world)

    assert "no luck" in problems(failed)["job flaky"]
    assert recovered.is_well
    assert [run.status for run in recovered.errors] == [RunStatus.FAILED]


def test_a_broken_next_function_needs_a_look() -> None:
    def broken(after: datetime) -> datetime:
        raise SystemExit("oops")

    assert "oops" in problems(looked_at(started(Job("Broken", nothing, broken))))["job broken"]


def test_a_long_queue_needs_a_look() -> None:
    world = started(HOURLY)
    runs = [
        manual_run("hourly", HOURLY.next, None, run_id=str(number), now=world.now, zone=UTC, by="me")
        for number in range(LONG_QUEUE)
    ]

    world.store.enqueue(runs[:-1])
    short = looked_at(world)
    world.store.enqueue(runs[-1:])
    long = looked_at(world)

    assert short.is_well
    assert "10 of its runs wait" in problems(long)["job hourly"]
    assert long.queued == LONG_QUEUE


def test_a_fire_time_that_the_host_lets_pass_needs_a_look() -> None:
    world = started(HOURLY)

    world.clock.advance(HOUR + timedelta(seconds=80))
    in_time = looked_at(world)
    world.clock.advance(timedelta(seconds=20))
    overdue = looked_at(world)

    assert "job hourly" not in problems(in_time)
    assert "overdue since 2026-11-01 01:00:00" in problems(overdue)["job hourly"]


def test_a_run_that_was_lost_and_is_not_run_again_needs_a_look(tmp_path: Path) -> None:
    world = World(HOURLY)
    path = tmp_path / "store.db"
    store = SqliteStore.open(path, create=True, clock=world.clock)
    world.store = store
    world.start()
    world.takes = 30 * MINUTE
    world.passes(HOUR + MINUTE)
    world.crash()
    store.close()

    store = SqliteStore.open(path, create=False, clock=world.clock)
    (lost,) = store.mark_lost(world.now)
    condition = examine(store, list_jobs(Registry(), store, world.now, UTC), {}, now=world.now, zone=UTC)

    assert f"run {lost.run_id} ended lost" in problems(condition)["job hourly"]
    store.close()
