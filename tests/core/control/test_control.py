"""What listings show, of real jobs in the store in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rapua_scheduler import Job, every, next_daily
from rapua_scheduler.control import find_run, history, list_jobs, upcoming
from rapua_scheduler.errors import RapuaSchedulerError, UnknownJobError
from rapua_scheduler.registry import Registry
from rapua_scheduler.run import Gap, Run
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.testing import VirtualScheduler

START = datetime(2026, 11, 1, 0, 0, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def nothing(ctx: object) -> None:
    """Do nothing."""


@pytest.fixture
def store() -> MemoryStore:
    """A store in which an hourly job has run twice, and missed three fire times between."""
    store = MemoryStore()
    scheduler = VirtualScheduler(store, start=START)
    scheduler.add_job("Hourly", nothing, every(hours=1))
    scheduler.advance(HOUR)
    scheduler.clock.advance(3 * HOUR + timedelta(minutes=30))
    scheduler.advance(HOUR)
    return store


def test_a_job_that_is_gone_stays_listed_as_orphaned_with_its_last_run(store: MemoryStore) -> None:
    (listing,) = list_jobs(Registry(), store, START, UTC)

    assert (listing.key, listing.is_orphaned, listing.next_fire_time) == ("hourly", True, None)
    assert listing.last_run is not None


def test_the_next_fire_time_is_one_that_is_not_decided_on_yet(store: MemoryStore) -> None:
    registry = Registry.of(Job("Hourly", nothing, every(hours=1)))
    long_ago = START - 24 * HOUR

    (listing,) = list_jobs(registry, store, long_ago, UTC)
    first, _ = upcoming(registry, store, UTC, now=long_ago, after=None, until=None, count=1)
    asked, _ = upcoming(registry, store, UTC, now=long_ago, after=long_ago, until=None, count=1)

    mark = store.jobs()[0].mark
    assert listing.next_fire_time == mark + HOUR
    assert [entry.fire_time for entry in first] == [mark + HOUR]
    assert [entry.fire_time for entry in asked] == [long_ago.replace(second=0) + HOUR]


def test_upcoming_merges_jobs_in_order_up_to_its_end() -> None:
    registry = Registry.of(Job("Daily", nothing, next_daily), Job("Six", nothing, every(hours=6)))

    listed, _ = upcoming(registry, None, UTC, now=START, after=None, until=START + 24 * HOUR, count=100)

    assert [(entry.fire_time.hour, entry.job_key) for entry in listed] == [
        (6, "six"),
        (12, "six"),
        (18, "six"),
        (0, "daily"),
        (0, "six"),
    ]


def test_a_next_function_that_raises_is_told_and_not_thrown() -> None:
    def broken(after: datetime) -> datetime:
        raise SystemExit("oops")

    registry = Registry.of(Job("Broken", nothing, broken), Job("Daily", nothing, next_daily))

    listings = {listing.key: listing for listing in list_jobs(registry, None, START, UTC)}

    assert "oops" in listings["broken"].problem
    assert listings["daily"].next_fire_time is not None
    fire_times, problems = upcoming(registry, None, UTC, now=START, after=None, until=None, count=1)
    assert [entry.job_key for entry in fire_times] == ["daily"]
    assert len(problems) == 1
    assert "broken" in problems[0]
    assert "oops" in problems[0]


def test_history_tells_runs_and_gaps_newest_first(store: MemoryStore) -> None:
    entries = history(store, ["hourly"])

    kinds = [type(entry) for entry in entries]
    assert kinds == [Run, Gap, Run]
    assert [entry.count for entry in entries if isinstance(entry, Gap)] == [3]
    assert history(store, ["hourly"], failed=True) == []
    assert len(history(store, ["hourly"], limit=1)) == 1


def test_history_of_a_job_that_nobody_knows_is_a_mistake_and_of_a_new_job_is_empty(store: MemoryStore) -> None:
    with pytest.raises(UnknownJobError, match="hourly"):
        history(store, [], job_key="huorly")
    assert history(store, ["new"], job_key="new") == []


def test_a_run_is_found_by_enough_of_its_id(store: MemoryStore) -> None:
    newest, *_, oldest = store.runs()

    assert find_run(store, newest.run_id) == newest
    assert find_run(store, newest.run_id[:15]) == newest
    with pytest.raises(RapuaSchedulerError, match="2 runs match"):
        find_run(store, oldest.run_id[:4])
    with pytest.raises(RapuaSchedulerError, match="no run has the id"):
        find_run(store, "x")
