"""What `jobs` and `upcoming` show, of real jobs in the store in memory."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rapua_scheduler import Job, every, next_daily, once
from rapua_scheduler.control.listings import JobListing, JobState, list_jobs
from rapua_scheduler.control.previews import upcoming
from rapua_scheduler.errors import UnknownJobError
from rapua_scheduler.overrides import DisabledJob
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.run import WindowKind
from rapua_scheduler.store.memory import MemoryStore
from tests.core.control.worlds import DAY, HOUR, MINUTE, START, World, nothing

HOURLY = Job("Hourly", nothing, every(hours=1))


def states(world: World) -> dict[str, str]:
    return {
        listing.key: listing.state.value for listing in list_jobs(world.registry, world.store, world.now, world.zone)
    }


def test_a_job_that_is_gone_stays_listed_as_orphaned_with_its_last_run_and_the_reason() -> None:
    world = World(HOURLY)
    world.start()
    world.passes(HOUR)
    world.store.set_absent({"hourly": (WindowKind.ABSENT, "package is not installed")}, world.now)

    (listing,) = list_jobs(Registry(), world.store, world.now, UTC)

    assert (listing.key, listing.is_orphaned, listing.next_fire_time) == ("hourly", True, None)
    assert listing.state is JobState.ORPHANED
    assert listing.problem == "package is not installed"
    assert listing.last_run is not None


def test_a_job_of_an_application_is_listed_from_the_store_as_long_as_that_is_active() -> None:
    world = World()
    world.registry = Registry([RegisteredJob(HOURLY)])
    world.start()
    world.passes(HOUR)

    (scheduled,) = list_jobs(Registry(), world.store, world.now, UTC)
    (waiting,) = list_jobs(Registry(), world.store, START, UTC)
    world.store.pause("hourly", world.now, "because", "ada@host")
    (paused,) = list_jobs(Registry(), world.store, world.now, UTC)

    assert scheduled == JobListing(
        "hourly",
        "Hourly",
        "",
        "",
        "",
        "every hour",
        START.replace(hour=2, second=0),
        world.runs("hourly")[-1],
    )
    assert (waiting.state, paused.state) == (JobState.WAITING_FOR_CLOCK, JobState.PAUSED)


def test_a_job_that_is_disabled_is_listed_once_with_the_reason_whether_or_not_the_store_knows_it() -> None:
    world = World(HOURLY)
    world.start()
    world.passes(HOUR)
    known, unknown = RegisteredJob(HOURLY, "digest"), RegisteredJob(Job("New", nothing, every(hours=1)), "digest")
    disabled = {each.job.key: DisabledJob(each, "disabled in /etc/conf.toml") for each in (known, unknown)}

    listings = list_jobs(Registry(), world.store, world.now, UTC, disabled=disabled)

    assert [(each.key, each.state, each.is_orphaned, each.plugin, each.problem) for each in listings] == [
        ("hourly", JobState.DISABLED, True, "digest", "disabled in /etc/conf.toml"),
        ("new", JobState.DISABLED, True, "digest", "disabled in /etc/conf.toml"),
    ]
    assert [each.last_run is not None for each in listings] == [True, False]


def test_the_next_fire_time_is_one_that_is_not_decided_on_yet() -> None:
    world = World(HOURLY)
    world.start()
    world.passes(HOUR)
    long_ago = START - DAY

    (listing,) = list_jobs(world.registry, world.store, long_ago, UTC)
    first, _ = upcoming(world.registry, world.store, UTC, now=long_ago, after=None, until=None, count=1)
    asked, _ = upcoming(world.registry, world.store, UTC, now=long_ago, after=long_ago, until=None, count=1)

    mark = world.store.jobs()[0].mark
    assert listing.next_fire_time == mark + HOUR
    assert [entry.fire_time for entry in first] == [mark + HOUR]
    assert [entry.fire_time for entry in asked] == [long_ago.replace(second=0) + HOUR]


def test_a_job_says_what_it_is_at() -> None:
    def broken(after: datetime) -> datetime:
        raise SystemExit("oops")

    world = World(
        HOURLY,
        Job("Daily", nothing, next_daily),
        Job("Long", nothing, every(hours=2)),
        Job("Queue", nothing, every(hours=2), concurrency_key="shared", key="x-queue"),
        Job("First", nothing, every(hours=2), concurrency_key="shared", key="w-first"),
        Job("Past", nothing, once("2026-01-01T00:00+00:00")),
        Job("Broken", nothing, broken),
    )
    world.start()
    world.takes = 10 * MINUTE
    world.store.pause("daily", world.now, "because", "me")
    world.passes(2 * HOUR)

    assert states(world) == {
        "hourly": "running",
        "daily": "paused",
        "long": "running",
        "w-first": "running",
        "x-queue": "queued",
        "past": "finished",
        "broken": "broken",
    }

    world.store.hold(world.now, "the clock is far ahead")
    assert states(world)["hourly"] == "held"


def test_a_job_whose_mark_the_clock_has_not_reached_waits_for_it() -> None:
    world = World(HOURLY)
    world.start()
    world.passes(3 * HOUR)

    world.clock.step(-2 * HOUR)

    assert states(world) == {"hourly": "waiting_for_clock"}


def test_a_paused_job_tells_by_whom_and_why() -> None:
    world = World(HOURLY)
    world.start()
    world.store.pause("hourly", world.now, "disk is full", "ada@host")

    (listing,) = list_jobs(world.registry, world.store, world.now, UTC)

    assert listing.pause is not None
    assert (listing.pause.reason, listing.pause.by, listing.pause.since) == ("disk is full", "ada@host", world.now)
    world.store.resume("hourly", world.now)
    (listing,) = list_jobs(world.registry, world.store, world.now, UTC)
    assert listing.pause is None
    assert listing.state is JobState.SCHEDULED


def test_upcoming_merges_jobs_in_order_up_to_its_end() -> None:
    registry = Registry.of(Job("Daily", nothing, next_daily), Job("Six", nothing, every(hours=6)))

    listed, _ = upcoming(registry, None, UTC, now=START, after=None, until=START + DAY, count=100)

    assert [(entry.fire_time.hour, entry.job_key) for entry in listed] == [
        (6, "six"),
        (12, "six"),
        (18, "six"),
        (0, "daily"),
        (0, "six"),
    ]


def test_upcoming_of_an_unknown_job_is_a_mistake() -> None:
    with pytest.raises(UnknownJobError, match="hourly"):
        upcoming(Registry.of(HOURLY), None, UTC, now=START, after=None, until=None, count=1, job_key="huorly")


def test_a_next_function_that_raises_is_told_and_not_thrown() -> None:
    def broken(after: datetime) -> datetime:
        raise SystemExit("oops")

    registry = Registry.of(Job("Broken", nothing, broken), Job("Daily", nothing, next_daily))

    listings = {listing.key: listing for listing in list_jobs(registry, None, START, UTC)}
    fire_times, problems = upcoming(registry, None, UTC, now=START, after=None, until=None, count=1)

    assert "oops" in listings["broken"].problem
    assert listings["daily"].next_fire_time is not None
    assert [entry.job_key for entry in fire_times] == ["daily"]
    assert len(problems) == 1
    assert "broken" in problems[0]
    assert "oops" in problems[0]


def test_a_next_function_without_an_argument_has_the_pending_time_only() -> None:
    def pending() -> datetime:
        return START + HOUR

    registry = Registry.of(Job("Original", nothing, pending))
    store = MemoryStore()
    store.declare(list(registry.values()), START)
    store.set_next({"original": START + HOUR})

    fire_times, _ = upcoming(registry, store, UTC, now=START, after=None, until=None, count=10)

    assert [entry.fire_time for entry in fire_times] == [START + HOUR]
