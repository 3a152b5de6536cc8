"""What every store must do with runs that did not come to their end."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import pytest
from attrs import evolve

from rapua_scheduler.run import (
    Decision,
    Outcome,
    PastAttempt,
    RunStatus,
    Trigger,
)
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    finish,
    run_of,
    some_job,
    some_run,
    start,
    to_queue,
    to_run,
    waiting,
)


class Unfinished:
    """Tests of runs that did not come to their end."""

    @pytest.mark.parametrize("status", [RunStatus.INTERRUPTED, RunStatus.LOST])
    @pytest.mark.parametrize("trigger", [Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.RERUN])
    def test_an_unfinished_run_of_a_fire_time_is_unanswered(
        self, store: Store, status: RunStatus, trigger: Trigger
    ) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1, trigger=trigger)])

        finish(store, some_run(1, trigger=trigger).run_id, status=status)

        assert [run.run_id for run in store.unanswered()] == [some_run(1, trigger=trigger).run_id]

    def test_an_unfinished_backfill_is_unanswered_and_a_manual_run_is_not(self, store: Store) -> None:
        for trigger in (Trigger.MANUAL, Trigger.BACKFILL):
            store.claim(some_run(1, trigger=trigger))
            finish(store, some_run(1, trigger=trigger).run_id, status=RunStatus.INTERRUPTED)

        assert [run.trigger for run in store.unanswered()] == [Trigger.BACKFILL]
        assert store.rerun(some_run(1, trigger=Trigger.MANUAL).run_id) is None

    @pytest.mark.parametrize(
        "status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED]
    )
    def test_a_run_that_came_to_its_end_needs_no_answer(self, store: Store, status: RunStatus) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1), to_run(2), to_queue(3)])

        finish(store, some_run(1).run_id, status=status)

        assert list(store.unanswered()) == []
        for hour in (1, 2, 3):
            assert store.rerun(some_run(hour).run_id) is None
        assert store.rerun("nobody") is None
        assert run_of(store, some_run(1).run_id).status is status

    def test_a_run_that_was_dropped_as_interrupted_is_unanswered(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_queue(1)])
        store.drop(some_run(1).run_id, Outcome(RunStatus.INTERRUPTED, START + HOUR))

        again = store.rerun(some_run(1).run_id)

        assert again == evolve(waiting(1), trigger=Trigger.RERUN)
        assert list(store.attempts(some_run(1).run_id)) == []

    def test_unanswered_runs_come_oldest_claim_first(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(3), to_run(1, "mop"), to_run(4)])
        for run in store.runs():
            finish(store, run.run_id, status=RunStatus.INTERRUPTED)

        ids = [run.run_id for run in store.unanswered()]

        assert ids == [some_run(3).run_id, some_run(1, "mop").run_id, some_run(4).run_id]

    def test_an_unfinished_run_is_run_again_under_the_same_fire_key(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        run = some_run(1)
        finish(store, run.run_id, status=RunStatus.INTERRUPTED, at=START + 2 * HOUR, error="stopped")

        again = store.rerun(run.run_id)

        assert again == evolve(run, status=RunStatus.QUEUED, trigger=Trigger.RERUN)
        assert store.runs(job_key="sweep") == [again]
        assert store.attempts(run.run_id) == [
            PastAttempt(1, RunStatus.INTERRUPTED, run.started_at, START + 2 * HOUR, "stopped")
        ]
        assert list(store.unanswered()) == []
        assert store.rerun(run.run_id) is None
        assert start(store, run.run_id, 2, START + 3 * HOUR)
        assert not finish(store, run.run_id, 1)
        assert finish(store, run.run_id, 2, at=START + 4 * HOUR)
        assert run_of(store, run.run_id).status is RunStatus.SUCCEEDED
        assert store.decide([Decision("sweep", START + 5 * HOUR, None, (evolve(run, run_id="x"),))]) == [False]

    def test_a_run_may_be_run_again_time_and_again(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        run_id = some_run(1).run_id
        for attempt in (1, 2, 3):
            finish(store, run_id, attempt, RunStatus.INTERRUPTED)
            store.rerun(run_id)
            start(store, run_id, attempt + 1)

        finish(store, run_id, 4, RunStatus.INTERRUPTED)

        assert [attempt.attempt for attempt in store.attempts(run_id)] == [1, 2, 3]
        assert [run.attempt for run in store.unanswered()] == [4]

    def test_a_run_that_was_interrupted_between_attempts_keeps_the_one_that_failed(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        run_id = some_run(1).run_id
        finish(store, run_id, status=RunStatus.FAILED, error="no", again=True)
        store.drop(run_id, Outcome(RunStatus.INTERRUPTED, START + 9 * HOUR))

        again = store.rerun(run_id)

        assert again is not None
        assert (again.failures, again.attempt) == (1, 1)
        assert [(attempt.status, attempt.error) for attempt in store.attempts(run_id)] == [(RunStatus.FAILED, "no")]

    def test_a_backfill_that_is_run_again_stays_one(self, store: Store) -> None:
        store.claim(some_run(1, trigger=Trigger.BACKFILL))
        finish(store, some_run(1, trigger=Trigger.BACKFILL).run_id, status=RunStatus.INTERRUPTED)

        again = store.rerun(some_run(1, trigger=Trigger.BACKFILL).run_id)

        assert again is not None
        assert again.trigger is Trigger.BACKFILL

    def test_a_run_that_is_left_stays_as_it_is(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1), to_run(2), to_run(3), to_run(4)])
        for hour in (1, 2, 4):
            finish(store, some_run(hour).run_id, status=RunStatus.INTERRUPTED)

        store.leave([some_run(1).run_id, some_run(3).run_id, "nobody", some_run(4).run_id])
        store.leave([])

        assert [run.run_id for run in store.unanswered()] == [some_run(2).run_id]
        assert store.rerun(some_run(1).run_id) is None
        assert run_of(store, some_run(1).run_id).status is RunStatus.INTERRUPTED
        assert run_of(store, some_run(3).run_id).status is RunStatus.RUNNING
        finish(store, some_run(3).run_id, status=RunStatus.INTERRUPTED)
        assert [run.run_id for run in store.unanswered()] == [some_run(2).run_id, some_run(3).run_id]

    # -- opening again what has ended

    @pytest.mark.parametrize("status", [status for status in RunStatus if status.is_final])
    def test_a_run_whose_effect_is_not_there_is_run_again_however_it_ended(
        self, store: Store, status: RunStatus
    ) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1), to_run(2)])
        run = some_run(1)
        finish(store, run.run_id, status=status, at=START + 2 * HOUR, result={"a": 1}, error="e")

        again = store.reopen("sweep", run.fire_key)

        assert again == evolve(run, status=RunStatus.QUEUED, trigger=Trigger.RERUN)
        assert store.run(run.run_id) == again
        assert store.attempts(run.run_id) == [PastAttempt(1, status, run.started_at, START + 2 * HOUR, "e")]
        assert list(store.unanswered()) == []
        assert start(store, run.run_id, 2)

    def test_only_what_has_ended_and_consumes_the_fire_time_is_opened_again(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.claim(some_run(1, trigger=Trigger.MANUAL))
        finish(store, some_run(1, trigger=Trigger.MANUAL).run_id)
        store.decide([to_run(2), to_queue(3), to_run(5)])
        finish(store, some_run(5).run_id)

        for hour in (1, 2, 3, 4):
            assert store.reopen("sweep", some_run(hour).fire_key) is None
        for key in ("mop", "nobody"):
            assert store.reopen(key, some_run(5).fire_key) is None

    def test_a_run_that_was_left_and_opened_again_needs_an_answer_anew(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        run = some_run(1)
        finish(store, run.run_id, status=RunStatus.INTERRUPTED)
        store.leave([run.run_id])
        store.reopen("sweep", run.fire_key)
        start(store, run.run_id, 2)

        finish(store, run.run_id, 2, RunStatus.INTERRUPTED)

        assert [run.attempt for run in store.unanswered()] == [2]
