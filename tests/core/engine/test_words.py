"""What operators say, heeded by an engine whose store fails at the wrong moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from rapua_scheduler import Retry, Run, Trigger, every, next_daily
from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import GapReason, Outcome, Start
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import StoredJob
from rapua_scheduler.testing import VirtualScheduler
from tests.core.engine.sites import DAY, HOUR, MIDNIGHT, MINUTE, Site


class MoodyStore(MemoryStore):
    """Fails once in the method that it is told to."""

    fails_in = ""

    def _ask(self, name: str) -> None:
        if self.fails_in == name:
            self.fails_in = ""
            raise StoreError("the store", "is busy")

    def take_queued(self) -> Sequence[Run]:
        self._ask("take_queued")
        return super().take_queued()

    def cancel_requests(self) -> Mapping[str, str]:
        self._ask("cancel_requests")
        return super().cancel_requests()

    def drop(self, run_id: str, outcome: Outcome) -> bool:
        self._ask("drop")
        return super().drop(run_id, outcome)

    def jobs(self) -> Sequence[StoredJob]:
        self._ask("jobs")
        return super().jobs()


@pytest.fixture
def moody() -> Site:
    return Site(MoodyStore())


def by_hand(key: str, number: int) -> Run:
    return Run(f"m-{number}", key, MIDNIGHT, f"m-{number}", Trigger.MANUAL)


def fails_in(site: Site, name: str) -> None:
    assert isinstance(site.store, MoodyStore)
    site.store.fails_in = name


# -- every word is heeded, whatever fails meanwhile


@pytest.mark.parametrize("name", ["take_queued", "cancel_requests"])
def test_a_word_that_could_not_be_heeded_is_heeded_next_time(moody: Site, name: str) -> None:
    moody.job("a", every(hours=6), takes=50 * HOUR)
    moody.job("b", every(days=9))
    moody.start()
    moody.passes(7 * HOUR)
    moody.store.request_cancel(moody.run("a").run_id, "ann")
    moody.store.enqueue([by_hand("b", 1)])
    fails_in(moody, name)
    moody.passes(MINUTE)

    assert moody.statuses("a")[0] == "cancelled"
    assert moody.statuses("b") == ["succeeded"]


def test_a_run_that_cannot_be_given_its_place_takes_no_other_along(moody: Site) -> None:
    moody.job("a", every(hours=6), takes=HOUR)
    moody.job("b", every(days=9))
    moody.start()
    moody.passes(6 * HOUR + MINUTE)
    moody.store.enqueue([by_hand("a", 1), by_hand("b", 2)])
    fails_in(moody, "drop")  # of the first, which is skipped
    moody.passes(MINUTE)

    assert moody.statuses("a") == ["running", "cancelled"]
    assert moody.statuses("b") == ["succeeded"]


# -- every release is heard


def ahead(site: Site, days: int) -> None:
    """Let the clock be ahead for a while, and be set right."""
    site.clock.step(days * DAY)
    site.passes(MINUTE)
    site.clock.step(-days * DAY)


def test_a_release_in_the_moment_in_which_the_clock_is_set_right_is_heard(site: Site) -> None:
    site.job("a", every(hours=6))
    site.start()
    ahead(site, 10)
    site.stop()
    site.clock.step(60 * DAY)
    site.start()
    site.passes(MINUTE)
    site.clock.step(-60 * DAY)
    site.store.release(site.clock.now())
    site.passes(2 * DAY)

    ran = {at for _, at, _, _ in site.started if at <= site.clock.now()}
    assert ran == {MIDNIGHT + number * 6 * HOUR for number in range(1, 9)}


def test_a_release_is_heard_although_the_store_fails_then(moody: Site) -> None:
    moody.job("a", every(hours=6))
    moody.start()
    ahead(moody, 10)
    moody.store.release(moody.clock.now())
    fails_in(moody, "jobs")
    moody.passes(2 * DAY)

    assert len([at for _, at, _, _ in moody.started if at <= moody.clock.now()]) == 8


def known_by_another_schedule(site: Site) -> None:
    """Let a host know a job, and change its schedule while none is up."""
    site.job("a", next_daily)
    site.start()
    site.passes(HOUR)
    site.stop()
    site.jobs.clear()
    site.job("a", every(hours=6))


def test_a_release_takes_back_a_change_of_schedule_that_a_clock_ahead_has_told(site: Site) -> None:
    known_by_another_schedule(site)
    site.clock.step(30 * DAY)
    site.start()
    site.clock.step(-30 * DAY)
    site.store.release(site.clock.now())
    site.passes(DAY)

    assert [at - MIDNIGHT for _, at, _, _ in site.started if at <= site.clock.now()][-4:] == [
        hours * HOUR for hours in (6, 12, 18, 24)
    ]


def test_a_job_is_neither_new_nor_changed_by_a_clock_that_is_not_trusted(site: Site) -> None:
    known_by_another_schedule(site)
    site.job("new", every(hours=6))
    site.clock.step(900 * DAY)
    site.start()
    site.passes(HOUR)
    assert [job.key for job in site.store.jobs()] == ["a"]
    site.clock.step(-900 * DAY)
    site.passes(DAY)

    for key in ("a", "new"):
        assert [at - MIDNIGHT for job, at, _, _ in site.started if job == key] == [
            hours * HOUR for hours in (6, 12, 18, 24)
        ]


def test_a_pause_that_a_clock_ahead_has_told_holds_at_once(site: Site) -> None:
    site.job("a", every(hours=6))
    site.start()
    site.passes(HOUR)
    site.store.pause("a", site.clock.now() + 9 * DAY, "do not run", "ann")
    site.passes(DAY)

    assert site.started == []
    assert site.gaps("a") == [(GapReason.PAUSED, 4)]


def test_nothing_of_a_paused_job_starts_though_its_fire_time_came_before_the_pause(site: Site) -> None:
    site.job("a", every(hours=1))
    site.start()
    site.passes(HOUR)
    site.stop()
    site.passes(3 * HOUR)
    site.store.pause("a", site.clock.now(), "moving house", "ann")
    site.start()
    site.passes(MINUTE)
    assert site.statuses("a") == ["succeeded", "queued"]

    site.store.resume("a", site.clock.now())
    site.passes(MINUTE)

    assert site.statuses("a") == ["succeeded", "succeeded"]


def test_a_job_that_has_killed_three_hosts_kills_no_fourth_by_what_is_due_already(site: Site) -> None:
    site.job("a", every(minutes=10), takes=2 * HOUR)
    for _ in range(5):
        site.start()
        site.passes(12 * MINUTE)
        site.crash()
        site.passes(15 * MINUTE)

    assert len(site.started) == 3
    assert any(window.until is None for window in site.store.windows())


# -- what is cancelled is not run again


def cancel(site: Site) -> None:
    site.store.request_cancel(site.run("a").run_id, "ann")


def stop_at_once(site: Site) -> None:
    cancel(site)
    site.stop()


def stop_later(site: Site) -> None:
    cancel(site)
    site.passes(timedelta(seconds=2))
    site.stop()


def crash(site: Site) -> None:
    cancel(site)
    site.crash()


def crash_before(site: Site) -> None:
    site.crash()
    cancel(site)


def stop_before(site: Site) -> None:
    site.stop()
    cancel(site)


@pytest.mark.parametrize("end", [stop_at_once, stop_later, crash, crash_before, stop_before])
def test_a_run_that_was_cancelled_is_not_run_by_the_next_host(site: Site, end: Callable[[Site], None]) -> None:
    site.job("a", every(hours=6), takes=2 * HOUR)
    site.start()
    site.passes(7 * HOUR)
    end(site)
    site.start()
    site.passes(4 * HOUR)

    assert site.statuses("a") == ["cancelled"]
    assert len(site.started) == 1


def test_a_run_that_waits_for_its_next_attempt_is_cancelled(site: Site) -> None:
    site.job("a", every(hours=6), fails=9, retry=Retry(5, "10m"))
    site.start()
    site.passes(6 * HOUR + MINUTE)
    cancel(site)
    site.passes(HOUR)

    assert site.statuses("a") == ["cancelled"]
    assert len(site.started) == 1


def test_a_run_that_is_cancelled_in_the_moment_in_which_it_begins_does_not_begin() -> None:
    class Cancelling(MemoryStore):
        def begin(self, starts: Sequence[Start]) -> Sequence[bool]:
            for start in starts:
                self.request_cancel(start.run_id, "ann")
            return super().begin(starts)

    site = Site(Cancelling())
    site.job("a", every(hours=6), fails=9, retry=Retry(5, "10m"))
    site.start()
    site.passes(7 * HOUR)

    assert site.statuses("a") == ["cancelled"]
    assert site.run("a").error == "cancelled by ann"
    assert len(site.started) == 1
    site.passes(6 * HOUR)
    assert len(site.started) == 2


# -- jobs that are asked after each run


def test_a_job_that_is_asked_after_each_run_is_asked_after_one_that_was_cancelled_too() -> None:
    scheduler: VirtualScheduler

    def in_an_hour() -> datetime:
        return scheduler.clock.now() + HOUR

    takes: dict[str, Any] = {"b": 2 * HOUR}
    scheduler = VirtualScheduler(start=MIDNIGHT, takes=lambda run: takes.get(run.job_key, timedelta(0)))
    scheduler.add_job("B", lambda ctx: None, every(hours=24, anchor=MIDNIGHT + 30 * MINUTE), concurrency_key="g")
    scheduler.add_job("A", lambda ctx: None, in_an_hour, concurrency_key="g")
    scheduler.advance(HOUR + 5 * MINUTE)
    (waiting,) = scheduler.store.runs(job_key="a")
    scheduler.store.request_cancel(waiting.run_id, "ann")
    scheduler.heed()
    scheduler.advance(5 * HOUR)

    assert [run.status.value for run in scheduler.store.runs(job_key="a")][-1] == "cancelled"
    assert len(scheduler.store.runs(job_key="a")) > 3


# -- pauses after failed runs


@pytest.mark.parametrize("overlap", ["skip", "queue_all", "allow"])
def test_a_job_is_paused_after_failed_runs_whatever_waits_or_runs_beside(site: Site, overlap: str) -> None:
    site.job("a", every(hours=1), fails=99, takes=3 * HOUR, overlap=overlap, pause_after_failures=3)
    site.start()
    site.passes(2 * DAY)

    (window,) = site.store.windows()
    assert window.reason.startswith("3 runs in a row failed")
    assert 3 <= len(site.started) <= 6
