"""What every store must do with runs that consume no fire time."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import pytest
from attrs import evolve

from rapua_scheduler.errors import StoreError, UnknownJobError
from rapua_scheduler.run import Outcome, Run, RunStatus, Trigger
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    job_of,
    some_job,
    some_run,
    start,
    to_queue,
    to_run,
    waiting,
)


class ByHand:
    """Tests of runs that consume no fire time."""

    @pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.BACKFILL])
    def test_a_run_by_hand_consumes_no_fire_time(self, store: Store, trigger: Trigger) -> None:
        store.declare([some_job()], START)
        by_hand = some_run(1, trigger=trigger)

        store.claim(by_hand)
        store.claim(evolve(by_hand, run_id="another"))

        assert job_of(store).mark == START
        assert store.decide([to_run(1)]) == [True]
        assert store.run(by_hand.run_id) == evolve(by_hand, status=RunStatus.RUNNING)

    def test_a_job_that_was_never_declared_can_be_run_by_hand(self, store: Store) -> None:
        by_hand = some_run(1, trigger=Trigger.MANUAL)

        store.claim(by_hand)

        expected = evolve(by_hand, status=RunStatus.RUNNING)
        assert (store.runs(job_key="sweep"), store.last_runs()) == ([expected], {"sweep": expected})
        assert store.jobs() == []

    def test_a_job_run_by_hand_before_it_was_declared_has_nothing_to_catch_up(self, store: Store) -> None:
        store.claim(some_run(1, trigger=Trigger.MANUAL))
        with pytest.raises(UnknownJobError):
            store.decide([to_run(2)])

        stored = store.declare([some_job()], START + 5 * HOUR)["sweep"]

        assert (stored.mark, stored.first_seen_at) == (START + 5 * HOUR, START + 5 * HOUR)
        assert stored.formers == ()
        assert len(store.runs(job_key="sweep")) == 1

    def test_a_run_by_hand_whose_id_is_taken_is_refused(self, store: Store) -> None:
        by_hand = some_run(1, trigger=Trigger.MANUAL)
        store.claim(by_hand)

        with pytest.raises(StoreError):
            store.claim(evolve(by_hand, job_key="mop"))

        assert [run.job_key for run in store.runs()] == ["sweep"]

    def test_a_scheduled_run_cannot_be_claimed_by_hand(self, store: Store) -> None:
        with pytest.raises(ValueError, match="decide"):
            store.claim(some_run(1))

        assert store.runs() == []

    def test_a_run_that_is_enqueued_is_queued_and_consumes_no_fire_time(self, store: Store) -> None:
        store.declare([some_job()], START)
        by_hand = evolve(waiting(1, trigger=Trigger.BACKFILL), asked_by="ann")

        store.enqueue([by_hand, waiting(2, "never-declared", trigger=Trigger.MANUAL)])

        assert store.runs() == [waiting(2, "never-declared", trigger=Trigger.MANUAL), by_hand]
        assert store.last_runs()["sweep"] == by_hand
        assert [job.key for job in store.jobs()] == ["sweep"]
        assert job_of(store).mark == START
        assert store.decide([to_run(1)]) == [True]

    def test_runs_of_one_job_that_are_enqueued_together_are_all_in_its_history(self, store: Store) -> None:
        store.enqueue([waiting(hour, trigger=Trigger.BACKFILL) for hour in (3, 1, 2)])
        store.enqueue([waiting(9, trigger=Trigger.BACKFILL)])

        assert [run.fire_time for run in store.runs(job_key="sweep")] == [START + hour * HOUR for hour in (9, 2, 1, 3)]

    def test_enqueuing_nothing_is_no_trouble(self, store: Store) -> None:
        store.enqueue([])

        assert store.runs() == []

    @pytest.mark.parametrize("is_first", [True, False])
    def test_nothing_is_enqueued_when_an_id_is_taken(self, store: Store, is_first: bool) -> None:
        if is_first:
            store.claim(some_run(1, "mop", trigger=Trigger.MANUAL, run_id="taken"))
        taken = waiting(1, trigger=Trigger.MANUAL, run_id="taken")

        with pytest.raises(StoreError):
            store.enqueue([waiting(2, trigger=Trigger.MANUAL), taken, *([] if is_first else [taken])])

        assert store.runs(job_key="sweep") == []
        assert store.take_queued() == []

    @pytest.mark.parametrize(
        "run", [waiting(1), some_run(1, trigger=Trigger.MANUAL)], ids=["consumes a fire time", "is running"]
    )
    def test_only_queued_runs_that_consume_no_fire_time_are_enqueued(self, store: Store, run: Run) -> None:
        with pytest.raises(ValueError, match=r"decide|queued"):
            store.enqueue([run])

        assert store.runs() == []

    def test_what_is_enqueued_is_nobodys_until_it_is_taken(self, store: Store) -> None:
        by_hand = waiting(1, trigger=Trigger.MANUAL)
        store.enqueue([by_hand])

        assert not start(store, by_hand.run_id)
        assert store.take_queued() == [by_hand]
        assert start(store, by_hand.run_id)

    def test_what_is_taken_is_taken_once_oldest_claim_first(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.enqueue([waiting(5, trigger=Trigger.MANUAL)])
        store.enqueue([waiting(3, "mop", trigger=Trigger.MANUAL), waiting(4, trigger=Trigger.MANUAL)])
        store.decide([to_queue(1)])

        taken = store.take_queued()

        assert [run.fire_time for run in taken] == [START + hour * HOUR for hour in (5, 3, 4)]
        assert store.take_queued() == []

    def test_a_host_takes_what_is_nobodys(self, store: Store) -> None:
        by_hand = waiting(1, trigger=Trigger.MANUAL)
        store.become_host()
        store.enqueue([by_hand])

        assert store.take_queued() == [by_hand]

    def test_what_is_dropped_before_it_was_taken_is_not_taken(self, store: Store) -> None:
        by_hand = waiting(1, trigger=Trigger.MANUAL)
        store.enqueue([by_hand])

        assert store.drop(by_hand.run_id, Outcome(RunStatus.CANCELLED, START))

        assert store.take_queued() == []
