"""What every store must do with queued runs, and attempts after the first."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import pytest
from attrs import evolve

from rapua_scheduler.run import (
    LogLine,
    Outcome,
    PastAttempt,
    RunStatus,
    Start,
)
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    finish,
    run_of,
    settle,
    some_job,
    some_run,
    start,
    to_queue,
    to_run,
    waiting,
)


class Attempts:
    """Tests of queued runs, and attempts after the first."""

    def test_a_queued_run_executes_once_it_has_begun(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_queue(1)])

        assert start(store, some_run(1).run_id, 1, START + 2 * HOUR)

        expected = evolve(waiting(1), status=RunStatus.RUNNING, started_at=START + 2 * HOUR)
        assert store.runs(since=START) == [expected]
        assert finish(store, expected.run_id)

    def test_a_queued_run_does_not_end_before_it_has_begun(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_queue(1)])

        assert not finish(store, some_run(1).run_id)

        assert store.runs() == [waiting(1)]

    def test_only_what_is_queued_begins(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_queue(1), to_run(2), to_run(3)])
        finish(store, some_run(3).run_id)
        starts = [Start(some_run(hour).run_id, 5, START) for hour in (1, 2, 3)]

        begun = store.begin([*starts, starts[0], Start("nobody", 1, START)])

        assert list(begun) == [True, False, False, False, False]
        assert [run.attempt for run in store.runs()] == [1, 1, 5]

    def test_many_queued_runs_begin_at_once(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_queue(1, 2, 3, 4)])

        begun = store.begin([Start(some_run(hour).run_id, 1, START + hour * HOUR) for hour in (1, 2, 3, 4)])

        assert list(begun) == [True] * 4
        assert [run.started_at for run in store.runs()] == [START + hour * HOUR for hour in (4, 3, 2, 1)]
        assert list(store.begin([])) == []

    def test_an_attempt_that_is_followed_by_another_is_kept(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        run = some_run(1)

        recorded = finish(
            store, run.run_id, status=RunStatus.FAILED, at=START + 2 * HOUR, error="ValueError: no\0", again=True
        )

        assert recorded
        assert store.run(run.run_id) == evolve(run, status=RunStatus.QUEUED, failures=1)
        first = PastAttempt(1, RunStatus.FAILED, run.started_at, START + 2 * HOUR, "ValueError: no\\x00")
        assert store.attempts(run.run_id) == [first]
        assert start(store, run.run_id, 2, START + 3 * HOUR)
        assert finish(store, run.run_id, 2, RunStatus.TIMED_OUT, at=START + 4 * HOUR, again=True)
        assert start(store, run.run_id, 3, START + 5 * HOUR)
        assert finish(store, run.run_id, 3, at=START + 6 * HOUR)
        assert store.attempts(run.run_id) == [
            first,
            PastAttempt(2, RunStatus.TIMED_OUT, START + 3 * HOUR, START + 4 * HOUR),
        ]
        assert store.run(run.run_id) == evolve(
            run,
            status=RunStatus.SUCCEEDED,
            attempt=3,
            failures=2,
            started_at=START + 5 * HOUR,
            finished_at=START + 6 * HOUR,
        )

    def test_a_past_attempt_ends_no_more(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        finish(store, some_run(1).run_id, status=RunStatus.FAILED, again=True)
        assert not finish(store, some_run(1).run_id)
        start(store, some_run(1).run_id, 2)

        assert not finish(store, some_run(1).run_id, 1)
        assert not finish(store, some_run(1).run_id, 1, RunStatus.FAILED, again=True)

        assert run_of(store, some_run(1).run_id).status is RunStatus.RUNNING
        assert len(store.attempts(some_run(1).run_id)) == 1

    def test_a_run_of_one_attempt_has_no_past_ones(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        finish(store, some_run(1).run_id)

        assert list(store.attempts(some_run(1).run_id)) == []
        assert list(store.attempts("nobody")) == []

    def test_ends_of_all_kinds_are_recorded_in_their_order(self, store: Store) -> None:
        keys = [f"job-{number}" for number in range(40)]
        store.declare([some_job(key) for key in keys], START)
        store.decide([to_run(1, key) for key in keys])
        answers: list[tuple[int, bool]] = []
        for number, key in enumerate(keys):
            store.report(some_run(1, key).run_id, 1, done=number, total=None, log=[])

            def then(error: Exception | None, is_recorded: bool, number: int = number) -> None:
                answers.append((number, is_recorded))

            outcome = Outcome(RunStatus.FAILED, START)
            line = LogLine(START, 1, "info", key)
            for again in (number % 2 == 0, False):
                store.finish(some_run(1, key).run_id, 1, outcome, then, again=again, log=[line])
        settle(store)

        assert answers == [(number, is_first) for number in range(40) for is_first in (True, False)]
        for number, key in enumerate(keys):
            run = run_of(store, some_run(1, key).run_id)
            is_again = number % 2 == 0
            assert (run.status, run.done) == (RunStatus.QUEUED if is_again else RunStatus.FAILED, number)
            assert [line.text for line in store.log_lines(run.run_id)] == [key]

    # -- dropping

    def test_a_queued_run_that_is_dropped_has_ended(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_queue(1)])
        outcome = Outcome(RunStatus.CANCELLED, START + HOUR, {"a": 1}, "cancelled by ann\0")

        assert store.drop(some_run(1).run_id, outcome)

        expected = evolve(
            waiting(1),
            status=RunStatus.CANCELLED,
            finished_at=START + HOUR,
            result={"a": 1},
            error="cancelled by ann\\x00",
        )
        assert store.runs() == [expected]
        assert not start(store, some_run(1).run_id)
        assert not store.drop(some_run(1).run_id, outcome)

    def test_a_run_that_waits_for_its_next_attempt_can_be_dropped(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        finish(store, some_run(1).run_id, status=RunStatus.FAILED, again=True)

        assert store.drop(some_run(1).run_id, Outcome(RunStatus.CANCELLED, START + HOUR))

        assert run_of(store, some_run(1).run_id).status is RunStatus.CANCELLED
        assert [attempt.status for attempt in store.attempts(some_run(1).run_id)] == [RunStatus.FAILED]

    def test_a_run_that_executes_is_not_dropped(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])

        assert not store.drop(some_run(1).run_id, Outcome(RunStatus.CANCELLED, START))
        assert not store.drop("nobody", Outcome(RunStatus.CANCELLED, START))

        assert store.runs() == [some_run(1)]

    def test_nothing_is_dropped_as_queued(self, store: Store) -> None:
        with pytest.raises(ValueError, match="run nobody cannot end as queued"):
            store.drop("nobody", Outcome(RunStatus.QUEUED, START))
