"""What every store must do with the ends of attempts."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import threading

import pytest
from attrs import evolve

from rapua_scheduler.run import Outcome, RunStatus, Scalar, Trigger
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    PATIENCE,
    START,
    finish,
    some_job,
    some_run,
    to_run,
)


class Ends:
    """Tests of the ends of attempts."""

    def test_a_finished_run_keeps_its_outcome(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        result: dict[str, Scalar] = {"text": "ž\0\udcff", "none": None, "yes": True, "pi": 3.25, "n": -(2**63), "": 0}

        is_recorded = finish(store, some_run(1).run_id, at=START + 2 * HOUR, result=result)

        run = store.run(some_run(1).run_id)
        assert is_recorded
        assert run == evolve(some_run(1), status=RunStatus.SUCCEEDED, finished_at=START + 2 * HOUR, result=result)
        assert run is not None
        assert run.result is not None
        assert run.result["yes"] is True

    @pytest.mark.parametrize(
        "status", [RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED, RunStatus.INTERRUPTED]
    )
    def test_a_run_ends_in_any_final_status(self, store: Store, status: RunStatus) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])

        assert finish(store, some_run(1).run_id, status=status, error="ValueError: no")

        run = store.run(some_run(1).run_id)
        assert run is not None
        assert (run.status, run.error, run.result) == (status, "ValueError: no", None)

    def test_a_run_ends_once(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        finish(store, some_run(1).run_id, at=START + 2 * HOUR)

        assert not finish(store, some_run(1).run_id, status=RunStatus.FAILED)

        run = store.run(some_run(1).run_id)
        assert run is not None
        assert (run.status, run.finished_at) == (RunStatus.SUCCEEDED, START + 2 * HOUR)

    @pytest.mark.parametrize("attempt", [0, 2])
    def test_only_the_running_attempt_ends_a_run(self, store: Store, attempt: int) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])

        assert not finish(store, some_run(1).run_id, attempt)

        assert [run.status for run in store.runs()] == [RunStatus.RUNNING]

    def test_a_run_that_is_not_there_does_not_end(self, store: Store) -> None:
        assert not finish(store, "nobody")

        assert store.runs() == []

    def test_an_end_that_is_none_is_an_error(self, store: Store) -> None:
        with pytest.raises(ValueError, match="run nobody cannot end as running"):
            finish(store, "nobody", status=RunStatus.RUNNING)

    def test_an_error_that_no_database_takes_is_escaped(self, store: Store) -> None:
        store.claim(some_run(1, trigger=Trigger.MANUAL, run_id="it"))

        finish(store, "it", status=RunStatus.FAILED, error="file b\udcffd\0name ž")

        run = store.run("it")
        assert run is not None
        assert run.error == "file b\\udcffd\\x00name ž"

    def test_a_long_error_is_cut_and_says_so(self, store: Store) -> None:
        store.claim(some_run(1, trigger=Trigger.MANUAL, run_id="it"))

        finish(store, "it", status=RunStatus.FAILED, error="ž🧹" * 40_000)

        run = store.run("it")
        assert run is not None
        assert run.error is not None
        assert len(run.error.encode()) <= 64 * 1024
        assert run.error.startswith("ž🧹" * 10_000)
        assert run.error.endswith("(cut; it had 240000 bytes)")

    def test_ends_from_many_threads_are_all_recorded(self, store: Store) -> None:
        keys = [f"job-{number}" for number in range(200)]
        store.declare([some_job(key) for key in keys], START)
        store.decide([to_run(1, key) for key in keys])
        told = threading.Semaphore(0)
        answers: list[tuple[str, Exception | None, bool]] = []

        def end_every_tenth(offset: int) -> None:
            for key in keys[offset::10]:
                for _ in range(2):
                    outcome = Outcome(RunStatus.SUCCEEDED, START, {"offset": offset})

                    def then(error: Exception | None, is_recorded: bool, key: str = key) -> None:
                        answers.append((key, error, is_recorded))
                        told.release()

                    store.finish(some_run(1, key).run_id, 1, outcome, then)

        threads = [threading.Thread(target=end_every_tenth, args=(offset,)) for offset in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        for _ in range(400):
            assert told.acquire(timeout=PATIENCE)

        assert {error for _, error, _ in answers} == {None}
        assert sorted(key for key, _, is_recorded in answers if is_recorded) == sorted(keys)
        assert len(store.runs(statuses={RunStatus.SUCCEEDED})) == 200

    def test_runs_of_living_owners_are_not_lost(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])

        assert list(store.mark_lost(START + 2 * HOUR)) == []

        assert [run.status for run in store.runs()] == [RunStatus.RUNNING]
