"""What every store must do with the operator's word, and the clock."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from attrs import evolve

from rapua_scheduler.errors import UnknownJobError
from rapua_scheduler.run import (
    Decision,
    Gap,
    Outcome,
    RunStatus,
    Trigger,
    Window,
    WindowKind,
)
from rapua_scheduler.store.port import NO_JOB, Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    finish,
    job_of,
    not_to_run,
    run_of,
    some_gap,
    some_job,
    some_run,
    start,
    to_queue,
    to_run,
    waiting,
)


class Words:
    """Tests of the operator's word, and the clock."""

    # -- pausing

    def test_a_job_is_paused_until_it_is_resumed(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        instant = START + timedelta(microseconds=1)

        assert store.pause("sweep", instant, "rats\0", "ann\0")
        window = Window("sweep", WindowKind.PAUSED, instant, None, "rats\\x00", "ann\\x00")
        assert store.windows() == [window]
        assert store.resume("sweep", START + HOUR)

        assert store.windows() == [evolve(window, until=START + HOUR)]

    def test_a_job_is_paused_once_and_resumed_once(self, store: Store) -> None:
        store.declare([some_job()], START)
        assert not store.resume("sweep", START)
        store.pause("sweep", START, "rats", "ann")

        assert not store.pause("sweep", START + HOUR, "mice", "bob")

        assert [(window.reason, window.by) for window in store.windows()] == [("rats", "ann")]
        assert store.resume("sweep", START + 2 * HOUR)
        assert not store.resume("sweep", START + 3 * HOUR)
        assert store.pause("sweep", START + 4 * HOUR, "mice", "bob")
        assert [window.until for window in store.windows()] == [START + 2 * HOUR, None]

    def test_a_job_that_was_never_declared_is_not_paused(self, store: Store) -> None:
        store.claim(some_run(1, trigger=Trigger.MANUAL))

        with pytest.raises(UnknownJobError):
            store.pause("sweep", START, "rats", "ann")
        with pytest.raises(UnknownJobError):
            store.resume("sweep", START)

        assert list(store.windows()) == []

    def test_pausing_stops_neither_claims_nor_declarations(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.pause("sweep", START, "rats", "ann")

        store.declare([some_job()], START + HOUR)

        assert store.decide([to_run(1)]) == [True]
        assert [window.until for window in store.windows()] == [None]

    def test_a_window_that_began_by_a_clock_that_was_ahead_never_was(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.pause("sweep", START + 9 * HOUR, "rats", "ann")

        store.resume("sweep", START + HOUR)

        assert [(window.since, window.until) for window in store.windows()] == [(START + HOUR, START + HOUR)]

    # -- the clock

    def test_everything_is_held_until_it_is_released(self, store: Store) -> None:
        store.hold(START, "the clock shows 2100")
        store.hold(START + HOUR, "still")
        window = Window("", WindowKind.HELD, START, None, "the clock shows 2100", "host")
        assert store.windows() == [window]

        assert list(store.release(START + 2 * HOUR)) == []

        assert store.windows() == [evolve(window, until=START + 2 * HOUR)]
        store.hold(START + 3 * HOUR, "again")
        assert len(store.windows()) == 2

    def test_releasing_lowers_the_marks_that_are_later(self, store: Store) -> None:
        store.declare([some_job("air"), some_job("mop"), some_job("sweep")], START)
        store.decide([not_to_run(9, job_key="air"), not_to_run(2, job_key="mop"), to_run(5)])

        lowered = store.release(START + 3 * HOUR)

        assert list(lowered) == ["air", "sweep"]
        assert {job.key: job.mark - START for job in store.jobs()} == {
            "air": 3 * HOUR,
            "mop": 2 * HOUR,
            "sweep": 3 * HOUR,
        }
        assert {job.key: job.next_fire_time for job in store.jobs()} == {
            "air": None,
            "mop": START + 3 * HOUR,
            "sweep": None,
        }

    def test_releasing_one_job_lowers_no_other_mark(self, store: Store) -> None:
        store.declare([some_job("air"), some_job("sweep")], START)
        store.decide([not_to_run(9, job_key="air"), not_to_run(9)])
        store.hold(START, "the clock shows 2100")

        assert list(store.release(START + HOUR, "sweep")) == ["sweep"]

        assert job_of(store, "air").mark == START + 9 * HOUR
        assert [window.until for window in store.windows()] == [START + HOUR]
        assert list(store.release(START + HOUR, "nobody")) == []
        store.hold(START, "again")
        assert list(store.release(START + 2 * HOUR, NO_JOB)) == []
        assert job_of(store, "air").mark == START + 9 * HOUR
        assert [window.until for window in store.windows()] == [START + HOUR, START + 2 * HOUR]

    def test_releasing_lowers_no_mark_that_a_host_moves_meanwhile(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(5)])
        a_moment = timedelta(seconds=5)

        assert list(store.release(START + 5 * HOUR - a_moment)) == []

        assert job_of(store).mark == START + 5 * HOUR
        assert list(store.release(START + 5 * HOUR - a_moment - timedelta(microseconds=1))) == ["sweep"]

    def test_a_claim_keeps_its_fire_time_when_the_mark_is_lowered(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(5)])
        store.release(START)
        again = evolve(some_run(5), run_id="again")

        assert store.decide([Decision("sweep", again.fire_time, None, (again,))]) == [False]

        assert store.decide([to_run(4)]) == [True]
        assert store.decide([not_to_run(6)]) == [True]

    def test_gaps_of_what_is_decided_on_anew_are_taken_back(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        gaps = (some_gap(1, 2, detail="a"), some_gap(3, 6, detail="b"), some_gap(7, 8, detail="c"))
        store.decide([not_to_run(8, *gaps), not_to_run(8, some_gap(8, job_key="mop"), job_key="mop")])

        store.release(START + 4 * HOUR, "sweep")

        cut = evolve(some_gap(3, 4, detail="b"), count=None)
        assert store.gaps() == [some_gap(8, job_key="mop"), cut, some_gap(1, 2, detail="a")]

    def test_only_what_of_a_gap_is_later_than_the_lowered_mark_is_taken_back(self, store: Store) -> None:
        store.declare([some_job("mop"), some_job("sweep")], START)
        gaps = (some_gap(1, 4, detail="a"), some_gap(5, 6, detail="b"))
        store.decide([not_to_run(6, *gaps), not_to_run(6, some_gap(4, 6, "mop"), job_key="mop")])

        store.release(START + 4 * HOUR)

        assert store.gaps() == [evolve(some_gap(4, job_key="mop"), count=None), gaps[0]]

    def test_the_part_of_a_gap_that_is_left_is_what_the_caller_says(self, store: Store) -> None:
        job = some_job()
        store.declare([job], START)
        gap = some_gap(3, 6)
        store.decide([not_to_run(8, gap)])
        asked: list[tuple[str, Gap, datetime]] = []

        def part_until(fingerprint: str, gap: Gap, until: datetime) -> Gap:
            asked.append((fingerprint, gap, until))
            return some_gap(3)

        store.release(START + 4 * HOUR, part_until=part_until)

        assert asked == [(job.fingerprint, gap, START + 4 * HOUR)]
        assert store.gaps() == [some_gap(3)]

    def test_what_is_claimed_ahead_of_a_lowered_mark_is_known_until_the_mark_is_there(self, store: Store) -> None:
        store.declare([some_job("mop"), some_job("sweep")], START)
        store.decide([to_run(3), to_run(2, job_key="mop")])
        store.decide([to_run(5)])
        store.claim(evolve(some_run(9), run_id="by-hand", trigger=Trigger.MANUAL))
        assert store.claims_ahead() == {}

        store.release(START + HOUR, "sweep")

        assert store.claims_ahead() == {"sweep": [START + 3 * HOUR, START + 5 * HOUR]}
        store.decide([not_to_run(4)])
        assert store.claims_ahead() == {"sweep": [START + 5 * HOUR]}
        store.release(START + 2 * HOUR)
        assert store.claims_ahead() == {"sweep": [START + 3 * HOUR, START + 5 * HOUR]}
        for hour in (3, 4):
            store.decide([not_to_run(hour)])
            assert store.claims_ahead() == {"sweep": [START + 5 * HOUR]}
        store.decide([not_to_run(5)])
        assert store.claims_ahead() == {}
        store.decide([to_run(7)])
        store.release(START + 6 * HOUR)
        assert store.claims_ahead() == {"sweep": [START + 7 * HOUR]}

    def test_no_gap_grows_over_what_is_claimed_ahead_of_a_lowered_mark(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(2)])
        store.decide([to_run(4)])
        store.release(START)

        store.decide([not_to_run(3, some_gap(1), some_gap(3))])
        store.decide([Decision("sweep", START + 4 * HOUR, START + 5 * HOUR)])
        store.decide([not_to_run(5)])
        store.decide([not_to_run(6)])

        assert store.gaps() == [some_gap(5, 6), some_gap(3), some_gap(1)]

    def test_what_a_clock_ahead_has_told_of_changes_is_taken_back(self, store: Store) -> None:
        store.declare([some_job("sweep", hours=1), some_job("mop", hours=1)], START)
        store.declare([some_job("sweep", hours=2), some_job("mop", hours=2)], START + 3 * HOUR)

        store.release(START + 4 * HOUR)
        store.release(START + HOUR, "sweep")
        store.release(START, NO_JOB)

        assert [former.until for former in job_of(store).formers] == [START + HOUR]
        assert [former.until for former in job_of(store, "mop").formers] == [START + 3 * HOUR]

    def test_a_sign_of_life_is_kept(self, store: Store) -> None:
        assert store.alive() is None

        store.note_alive(START)
        assert store.alive() == START
        store.note_alive(START - HOUR)
        assert store.alive() == START - HOUR
        store.release(START - 2 * HOUR)
        assert store.alive() == START - 2 * HOUR

    def test_the_host_is_known(self, store: Store) -> None:
        store.release(START)
        assert store.host() is None

        store.become_host()

        host = store.host()
        assert host is not None
        assert host.is_active
        assert (host.pid, host.host_name) == (os.getpid(), socket.gethostname())
        assert host.alive_at is None
        store.note_alive(START + HOUR)
        assert store.host() == evolve(host, alive_at=START + HOUR)

    # -- cancelling

    def test_a_run_that_is_to_be_cancelled_is_known_with_who_asked(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1), to_queue(2), to_run(3)])

        assert store.request_cancel(some_run(1).run_id, "ann\0")
        assert store.request_cancel(some_run(2).run_id, "bob")
        assert store.request_cancel(some_run(1).run_id, "bob")

        assert store.cancel_requests() == {some_run(1).run_id: "ann\\x00", some_run(2).run_id: "bob"}
        finish(store, some_run(1).run_id, status=RunStatus.CANCELLED)
        assert store.cancel_requests() == {some_run(2).run_id: "bob"}

    def test_a_run_that_has_ended_is_not_cancelled(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        finish(store, some_run(1).run_id)

        assert not store.request_cancel(some_run(1).run_id, "ann")
        assert not store.request_cancel("nobody", "ann")

        assert store.cancel_requests() == {}

    def test_what_is_nobodys_yet_is_cancelled_by_who_takes_it(self, store: Store) -> None:
        by_hand = waiting(1, trigger=Trigger.MANUAL)
        store.enqueue([by_hand])
        assert store.request_cancel(by_hand.run_id, "ann")
        assert store.cancel_requests() == {}

        store.take_queued()

        assert store.cancel_requests() == {by_hand.run_id: "ann"}

    def test_a_run_that_is_to_be_cancelled_is_so_however_its_host_ends(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        store.request_cancel(some_run(1).run_id, "ann")

        finish(store, some_run(1).run_id, status=RunStatus.INTERRUPTED)

        assert run_of(store, some_run(1).run_id).status is RunStatus.CANCELLED
        assert store.unanswered() == []
        assert store.rerun(some_run(1).run_id) is None

    @pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT])
    def test_a_run_that_comes_to_its_end_before_it_is_cancelled_has_that_end(
        self, store: Store, status: RunStatus
    ) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        store.request_cancel(some_run(1).run_id, "ann")

        finish(store, some_run(1).run_id, status=status)

        assert run_of(store, some_run(1).run_id).status is status

    def test_a_run_that_ended_unfinished_can_still_be_cancelled(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1), to_run(1, "mop")])
        for key in ("sweep", "mop"):
            finish(store, some_run(1, key).run_id, status=RunStatus.INTERRUPTED)
        before = store.word()

        assert store.request_cancel(some_run(1).run_id, "ann")

        assert (run_of(store, some_run(1).run_id).status, run_of(store, some_run(1).run_id).error) == (
            RunStatus.CANCELLED,
            "cancelled by ann",
        )
        assert [run.job_key for run in store.unanswered()] == ["mop"]
        assert store.word() != before
        assert not store.request_cancel(some_run(1).run_id, "bob")

    def test_a_queued_run_that_is_to_be_cancelled_does_not_begin(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_queue(1)])
        store.request_cancel(some_run(1).run_id, "ann")

        assert not start(store, some_run(1).run_id)

        assert run_of(store, some_run(1).run_id).status is RunStatus.QUEUED
        assert store.cancel_requests() == {some_run(1).run_id: "ann"}
        assert store.drop(some_run(1).run_id, Outcome(RunStatus.CANCELLED, START))

    def test_releases_are_counted(self, store: Store) -> None:
        before = store.releases()
        store.note_alive(START)
        store.hold(START, "no")
        assert store.releases() == before

        store.release(START)
        store.release(START, NO_JOB)

        assert store.releases() == before + 2

    def test_a_run_that_is_opened_again_is_not_to_be_cancelled(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        store.request_cancel(some_run(1).run_id, "ann")
        finish(store, some_run(1).run_id, status=RunStatus.CANCELLED)

        store.reopen("sweep", some_run(1).fire_key)

        assert store.cancel_requests() == {}

    # -- that something was said

    def test_the_word_is_another_one_when_an_operator_has_said_something(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        said: list[Callable[[], object]] = [
            lambda: store.enqueue([waiting(2, trigger=Trigger.MANUAL)]),
            lambda: store.pause("sweep", START, "rats", "ann"),
            lambda: store.resume("sweep", START),
            lambda: store.hold(START, "the clock"),
            lambda: store.release(START),
            lambda: store.release(START, "sweep"),
            lambda: store.request_cancel(some_run(1).run_id, "ann"),
        ]
        words = [store.word()]

        for say in said:
            say()
            words.append(store.word())

        assert len(set(words)) == len(words)

    def test_the_word_stays_when_nobody_has_said_anything(self, store: Store) -> None:
        store.declare([some_job()], START)
        word = store.word()

        store.decide([to_run(1)])
        store.note_alive(START)
        store.resume("sweep", START)
        store.request_cancel("nobody", "ann")
        store.enqueue([])
        store.take_queued()
        store.set_absent({"sweep": (WindowKind.ABSENT, "")}, START)
        finish(store, some_run(1).run_id)

        assert store.word() == word
