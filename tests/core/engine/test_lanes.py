"""Whose turn it is, by job and by concurrency key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rapua_scheduler import Job, Overlap, every
from rapua_scheduler.lanes import Entry, Lanes
from rapua_scheduler.planner import IDLE, Standing
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run, Trigger

START = datetime(2026, 11, 1, tzinfo=UTC)


def job(key: str, **policies: Any) -> RegisteredJob:
    return RegisteredJob(Job(key, lambda ctx: None, every(hours=1), key=key, **policies))


def run(registered: RegisteredJob, run_id: str, trigger: Trigger = Trigger.SCHEDULE) -> Run:
    return Run(run_id, registered.job.key, START, run_id, trigger)


def names(entries: list[Entry]) -> list[str]:
    return [entry.run.run_id for entry in entries]


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


def test_a_job_of_which_nothing_is_under_way_is_idle(lanes: Lanes) -> None:
    assert lanes.standing(job("a")) is IDLE
    assert lanes.is_idle("a")


def test_what_waits_has_its_turn_when_what_executes_has_ended(lanes: Lanes) -> None:
    a = job("a")
    first = lanes.start(a, run(a, "r1"))
    lanes.wait(a, run(a, "r2"))

    assert lanes.standing(a) == Standing(("r1",), ("r2",), ("r2",))
    assert lanes.take_ready(0, ()) == []
    lanes.end(first)

    assert names(lanes.take_ready(0, ())) == ["r2"]
    assert lanes.standing(a) == Standing(("r2",))
    assert not lanes.has_pending


def test_what_waits_starts_one_after_another_in_its_order(lanes: Lanes) -> None:
    a = job("a")
    for number in range(3):
        lanes.wait(a, run(a, f"r{number}"))

    started = []
    while lanes.has_pending:
        (entry,) = lanes.take_ready(0, ())
        started.append(entry.run.run_id)
        assert lanes.take_ready(0, ()) == []
        lanes.end(entry)

    assert started == ["r0", "r1", "r2"]
    assert lanes.is_idle("a")


def test_where_overlap_is_allowed_nothing_waits_for_another(lanes: Lanes) -> None:
    a = job("a", overlap=Overlap.ALLOW)
    lanes.start(a, run(a, "r1"))
    lanes.wait(a, run(a, "r2"))
    lanes.wait(a, run(a, "r3"))

    assert names(lanes.take_ready(0, ())) == ["r2", "r3"]


def test_what_makes_up_for_the_past_waits_even_where_overlap_is_allowed(lanes: Lanes) -> None:
    a = job("a", overlap=Overlap.ALLOW)
    lanes.start(a, run(a, "r1", Trigger.CATCH_UP))
    lanes.wait(a, run(a, "r2", Trigger.CATCH_UP))

    assert lanes.take_ready(0, ()) == []


def test_jobs_of_one_concurrency_key_have_their_turns_one_at_a_time(lanes: Lanes) -> None:
    a, b = job("a", concurrency_key="db"), job("b", concurrency_key="db")
    first = lanes.start(b, run(b, "b1"))

    assert lanes.standing(a).is_group_busy
    lanes.wait(a, run(a, "a1"))
    assert lanes.take_ready(0, ()) == []
    lanes.end(first)

    assert names(lanes.take_ready(0, ())) == ["a1"]


def test_of_those_admitted_together_the_first_key_goes_first(lanes: Lanes) -> None:
    a, b, c = (job(key, concurrency_key="db") for key in "abc")
    for registered in (c, a, b):
        lanes.wait(registered, run(registered, registered.job.key))

    (first,) = lanes.take_ready(0, ())
    lanes.end(first)
    (second,) = lanes.take_ready(0, ())

    assert names([first, second]) == ["a", "b"]


def test_those_admitted_earlier_go_before_a_smaller_key(lanes: Lanes) -> None:
    a, b, c = (job(key, concurrency_key="db") for key in "abc")
    executing = lanes.start(c, run(c, "c"))
    lanes.wait(b, run(b, "b"))
    lanes.take_ready(0, ())
    lanes.wait(a, run(a, "a"))
    lanes.end(executing)

    assert names(lanes.take_ready(0, ())) == ["b"]


def test_a_wait_between_attempts_holds_up_the_job_and_not_its_group(lanes: Lanes) -> None:
    a, b = job("a", concurrency_key="db"), job("b", concurrency_key="db")
    entry = lanes.start(a, run(a, "a1"))
    lanes.wait(a, run(a, "a2"))
    lanes.wait_again(entry, 10.0)
    lanes.wait(b, run(b, "b1"))

    assert lanes.seconds_to_wait(4.0) == 6.0
    (other,) = lanes.take_ready(4.0, ())
    assert other.run.run_id == "b1"
    assert lanes.take_ready(10.0, ()) == []
    assert lanes.seconds_to_wait(10.0) is None  # it waits for the other one, which will tell
    lanes.end(other)

    assert names(lanes.take_ready(10.0, ())) == ["a1"]
    assert lanes.seconds_to_wait(10.0) is None


def test_of_a_paused_job_only_what_was_asked_for_by_hand_starts(lanes: Lanes) -> None:
    a = job("a")
    lanes.wait(a, run(a, "r1"))
    lanes.wait(a, run(a, "r2", Trigger.MANUAL))

    assert names(lanes.take_ready(0, {"a"})) == ["r2"]
    assert lanes.take_ready(0, {"a"}) == []


def test_a_backfill_lets_everything_else_go_first(lanes: Lanes) -> None:
    a = job("a")
    lanes.wait(a, run(a, "b1", Trigger.BACKFILL))
    lanes.wait(a, run(a, "b2", Trigger.BACKFILL))
    (first,) = lanes.take_ready(0, ())

    assert lanes.standing(a) == Standing(("b1",), is_catching_up=True)
    lanes.wait(a, run(a, "r1"))
    lanes.end(first)

    assert names(lanes.take_ready(0, ())) == ["r1"]


def test_what_waits_can_be_taken_away(lanes: Lanes) -> None:
    a = job("a")
    lanes.start(a, run(a, "r1"))
    waiting = lanes.wait(a, run(a, "r2"))

    lanes.end(waiting)
    lanes.end(waiting)

    assert lanes.standing(a) == Standing(("r1",))
    assert lanes.find("r2", "a") is None
    assert [entry.run.run_id for entry in lanes.entries()] == ["r1"]
