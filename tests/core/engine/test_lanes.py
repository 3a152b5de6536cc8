"""Whose turn it is, by job and by concurrency key."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


# -- whatever comes


JOBS = [
    job("alone"),
    job("free", overlap=Overlap.ALLOW),
    job("one", concurrency_key="db"),
    job("two", concurrency_key="db"),
    job("both", concurrency_key="db", overlap=Overlap.ALLOW),
]
IN_TURN = {Trigger.CATCH_UP, Trigger.RERUN, Trigger.BACKFILL}


class Watched:
    """Lanes, with a record of what executes and what waits, kept apart from them."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.now = 0.0
        self.executing: list[Entry] = []
        self.between: list[Entry] = []
        self.waiting: list[Entry] = []

    @property
    def under_way(self) -> list[Entry]:
        return [*self.executing, *self.between, *self.waiting]

    def look(self, paused: Collection[str] = ()) -> None:
        for entry in self.lanes.take_ready(self.now, paused):
            assert entry.again_at is None
            assert entry.registered.job.key not in paused or entry.run.trigger is Trigger.MANUAL
            (self.between if entry in self.between else self.waiting).remove(entry)
            self.executing.append(entry)

    def check(self) -> None:
        groups = [entry.registered.job.concurrency_key for entry in self.executing]
        assert groups.count("db") <= 1
        for registered in JOBS:
            key = registered.job.key
            active = [entry for entry in [*self.executing, *self.between] if entry.registered is registered]
            mine = [entry for entry in self.under_way if entry.registered is registered]
            if registered.job.overlap is Overlap.ALLOW:
                assert sum(entry.run.trigger in IN_TURN for entry in active) <= 1
            else:
                assert len(active) <= 1
            standing = self.lanes.standing(registered)
            assert set(standing.active) == set(names(active))
            assert standing.must_wait == (registered.job.concurrency_key is not None and "db" in groups)
            assert self.lanes.is_idle(key) == (not mine)
            assert all(self.lanes.find(entry.run.run_id, key) is entry for entry in mine)
            assert self.lanes.find("nobody", key) is None
        assert sorted(names(list(self.lanes.entries()))) == sorted(names(self.under_way))
        assert self.lanes.has_pending or not (self.waiting or self.between)
        assert self.under_way or not self.lanes.has_pending
        due = [entry.again_at for entry in self.between if entry.again_at is not None and entry.again_at > self.now]
        assert self.lanes.seconds_to_wait(self.now) == (min(due) - self.now if due else None)


@given(data=st.data())
def test_each_run_has_its_turn_and_nothing_executes_beside_what_it_must_not(data: st.DataObject) -> None:
    watched = Watched()
    lanes, seen = watched.lanes, 0
    for number in range(data.draw(st.integers(1, 25))):
        registered = data.draw(st.sampled_from(JOBS))
        entry = data.draw(st.sampled_from(watched.under_way)) if watched.under_way else None
        match data.draw(st.sampled_from(["admit", "admit", "look", "fail", "end"])):
            case "admit":
                added = run(registered, f"r{number}", data.draw(st.sampled_from(Trigger)))
                if lanes.standing(registered) is IDLE and data.draw(st.booleans()):
                    watched.executing.append(lanes.start(registered, added))
                else:
                    watched.waiting.append(lanes.wait(registered, added))
                seen += 1
            case "look":
                watched.look(data.draw(st.sets(st.sampled_from([one.job.key for one in JOBS]))))
            case "fail" if entry is not None and entry in watched.executing:
                lanes.wait_again(entry, watched.now + data.draw(st.sampled_from([0.0, 1.0, 5.0])))
                watched.executing.remove(entry)
                watched.between.append(entry)
            case "end" if entry is not None:
                lanes.end(entry)
                for some in (watched.executing, watched.between, watched.waiting):
                    if entry in some:
                        some.remove(entry)
                        seen -= 1
            case _:
                watched.now += 1.0
        watched.check()

    ended = 0
    watched.now += 10.0
    while watched.under_way:
        watched.look()
        assert watched.executing
        ended += len(watched.executing)
        while watched.executing:
            lanes.end(watched.executing.pop())
        watched.check()
    assert ended == seen


# -- one thing at a time


def test_a_job_of_which_nothing_is_under_way_is_idle(lanes: Lanes) -> None:
    assert lanes.standing(job("a")) is IDLE
    assert lanes.is_idle("a")
    assert lanes.find("r1", "a") is None


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


def test_what_makes_up_for_the_past_starts_beside_others_where_overlap_is_allowed(lanes: Lanes) -> None:
    a = job("a", overlap=Overlap.ALLOW)
    entry = lanes.start(a, run(a, "r1"))
    lanes.wait(a, run(a, "c1", Trigger.CATCH_UP))
    lanes.wait(a, run(a, "c2", Trigger.CATCH_UP))
    lanes.wait_again(entry, 0.0)

    assert sorted(names(lanes.take_ready(0, ()))) == ["c1", "r1"]
    assert lanes.take_ready(0, ()) == []


def test_what_makes_up_for_the_past_waits_even_where_overlap_is_allowed(lanes: Lanes) -> None:
    a = job("a", overlap=Overlap.ALLOW)
    lanes.start(a, run(a, "r1", Trigger.CATCH_UP))
    lanes.wait(a, run(a, "r2", Trigger.CATCH_UP))

    assert lanes.take_ready(0, ()) == []


def test_jobs_of_one_concurrency_key_have_their_turns_one_at_a_time(lanes: Lanes) -> None:
    a, b = job("a", concurrency_key="db"), job("b", concurrency_key="db")
    first = lanes.start(b, run(b, "b1"))

    assert lanes.standing(a) == Standing(must_wait=True)
    lanes.wait(a, run(a, "a1"))
    assert lanes.standing(a) == Standing((), ("a1",), ("a1",), must_wait=True)
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


def test_of_those_of_one_job_the_first_admitted_goes_first(lanes: Lanes) -> None:
    a, b = job("a", concurrency_key="db", overlap=Overlap.ALLOW), job("b", concurrency_key="db")
    lanes.wait_again(lanes.start(a, run(a, "a1")), 5.0)
    executing = lanes.start(b, run(b, "b1"))
    lanes.wait(a, run(a, "a2"))
    lanes.wait(a, run(a, "a3", Trigger.CATCH_UP))
    lanes.end(executing)

    assert names(lanes.take_ready(0, ())) == ["a2"]


def test_those_admitted_earlier_go_before_a_smaller_key(lanes: Lanes) -> None:
    a, b, c, d = (job(key, concurrency_key="db") for key in "abcd")
    executing = lanes.start(d, run(d, "d"))
    for registered in (c, b, a):
        lanes.wait(registered, run(registered, registered.job.key))
        lanes.take_ready(0, ())
    lanes.end(executing)

    turns = []
    while ready := lanes.take_ready(0, ()):
        turns += names(ready)
        lanes.end(*ready)
    assert turns == ["c", "b", "a"]


def test_what_is_taken_away_leaves_the_concurrency_key_to_whom_it_belongs(lanes: Lanes) -> None:
    a, b, c = (job(key, concurrency_key="db") for key in "abc")
    executing = lanes.start(b, run(b, "b1"))
    lanes.end(lanes.wait(a, run(a, "a1")))

    assert lanes.standing(c).must_wait
    lanes.wait_again(executing, 10.0)
    assert lanes.standing(c) is IDLE
    lanes.end(executing)
    assert lanes.is_idle("b")


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
