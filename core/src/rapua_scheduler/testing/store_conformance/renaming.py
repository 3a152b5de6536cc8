"""What every store must do with jobs that had another key before."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

from attrs import evolve

from rapua_scheduler.run import (
    Decision,
    RunStatus,
    Trigger,
)
from rapua_scheduler.store.port import FormerSchedule, Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    finish,
    job_of,
    not_to_run,
    some_gap,
    some_job,
    some_run,
    start,
    to_queue,
    to_run,
)


class Renaming:
    """Tests of jobs that had another key before."""

    def test_a_renamed_job_takes_its_history_over(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop", hours=2)], START)
        store.declare([some_job("mop")], START)
        store.decide([to_run(1), not_to_run(2), to_run(3), not_to_run(2, job_key="mop"), to_run(3, "mop")])
        finish(store, some_run(1).run_id)
        store.pause("mop", START + HOUR, "mice", "ann")
        store.resume("mop", START + 2 * HOUR)
        store.pause("sweep", START + 2 * HOUR, "rats", "ann")
        store.resume("sweep", START + 3 * HOUR)
        store.pause("sweep", START + 4 * HOUR, "rats", "ann")
        before, other = job_of(store), job_of(store, "mop")

        stored = store.declare([some_job("brush", formerly=("sweep",))], START + 9 * HOUR)

        assert stored["brush"] == evolve(before, key="brush", last_seen_at=START + 9 * HOUR)
        assert list(store.jobs()) == [stored["brush"], other]
        assert [run.run_id for run in store.runs(job_key="brush")] == [some_run(3).run_id, some_run(1).run_id]
        assert {run.job_key for run in store.runs()} == {"brush", "mop"}
        assert store.gaps(job_key="brush") == [some_gap(2, job_key="brush")]
        assert store.gaps(job_key="mop") == [some_gap(2, job_key="mop")]
        assert store.last_success("brush") == START + HOUR
        assert store.last_runs()["brush"].run_id == some_run(3).run_id
        assert [(window.job_key, window.until) for window in store.windows()] == [
            ("mop", START + 2 * HOUR),
            ("brush", START + 3 * HOUR),
            ("brush", None),
        ]
        assert store.runs(job_key="sweep") == []
        assert store.gaps(job_key="sweep") == []

    def test_a_renamed_job_does_not_claim_its_fire_times_again(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        store.declare([some_job("brush", formerly=("sweep",))], START)
        store.release(START)
        again = evolve(some_run(1, "brush"), run_id="again")

        assert store.decide([Decision("brush", again.fire_time, None, (again,))]) == [False]

        assert store.decide([to_run(2, "brush")]) == [True]

    def test_a_renamed_job_goes_on_with_its_unfinished_runs(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_queue(1), to_run(2)])

        store.declare([some_job("brush", formerly=("sweep",))], START)

        assert start(store, some_run(1).run_id)
        assert finish(store, some_run(2).run_id)
        assert {run.job_key for run in store.runs()} == {"brush"}

    def test_a_renamed_job_whose_schedule_is_another_one_has_changed(self, store: Store) -> None:
        store.declare([some_job(hours=1)], START)

        stored = store.declare([some_job("brush", hours=2, formerly=("sweep",))], START + HOUR)["brush"]

        assert stored.formers == (FormerSchedule(some_job(hours=1).fingerprint, START + HOUR),)

    def test_a_renamed_job_keeps_a_change_that_is_pending(self, store: Store) -> None:
        store.declare([some_job(hours=1)], START)
        store.declare([some_job(hours=2)], START + HOUR)

        stored = store.declare([some_job("brush", hours=2, formerly=("sweep",))], START + 2 * HOUR)["brush"]

        assert stored.formers == (FormerSchedule(some_job(hours=1).fingerprint, START + HOUR),)

    def test_a_renamed_job_that_was_run_by_hand_before_has_both_histories(self, store: Store) -> None:
        store.declare([some_job("sweep")], START)
        store.decide([to_run(1)])
        store.claim(some_run(7, "brush", trigger=Trigger.MANUAL))
        store.decide([to_run(2)])
        store.claim(some_run(8, "brush", trigger=Trigger.MANUAL))
        finish(store, some_run(7, "brush", trigger=Trigger.MANUAL).run_id)

        stored = store.declare([some_job("brush", formerly=("sweep",))], START)["brush"]

        assert stored.mark == START + 2 * HOUR
        assert [run.fire_time - START for run in store.runs(job_key="brush")] == [8 * HOUR, 2 * HOUR, 7 * HOUR, HOUR]
        assert store.last_runs()["brush"].fire_time == START + 8 * HOUR
        assert store.last_success("brush") == START + 7 * HOUR

    def test_both_histories_of_a_renamed_job_are_too_many_together(self, store: Store) -> None:
        store.declare([some_job("sweep")], START)
        store.decide([to_run(1), to_run(2)])
        store.claim(some_run(7, "brush", trigger=Trigger.MANUAL))
        for run in store.runs():
            finish(store, run.run_id, status=RunStatus.FAILED)
        store.declare([some_job("brush", formerly=("sweep",))], START)

        assert store.prune(START - HOUR, 2) == 1

        assert [run.fire_time - START for run in store.runs(job_key="brush")] == [7 * HOUR, 2 * HOUR]

    def test_a_job_that_is_known_under_its_key_takes_nothing_over(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("brush")], START)
        store.decide([to_run(1)])

        store.declare([some_job("brush", formerly=("sweep",))], START + HOUR)

        assert [job.key for job in store.jobs()] == ["brush", "sweep"]
        assert store.runs(job_key="brush") == []

    def test_nothing_is_taken_from_a_job_that_is_still_there(self, store: Store) -> None:
        store.declare([some_job("sweep")], START)
        store.decide([to_run(1)])

        stored = store.declare([some_job("brush", formerly=("sweep",)), some_job("sweep")], START + HOUR)

        assert (stored["brush"].mark, stored["sweep"].mark) == (START + HOUR, START + HOUR)
        assert store.runs(job_key="brush") == []

    def test_the_first_of_two_jobs_that_had_one_key_takes_it_over(self, store: Store) -> None:
        store.declare([some_job("sweep")], START)
        store.claim(some_run(1, "broom", trigger=Trigger.MANUAL))

        stored = store.declare(
            [some_job("brush", formerly=("sweep",)), some_job("broom", formerly=("sweep",))], START + HOUR
        )

        assert (stored["brush"].first_seen_at, stored["broom"].first_seen_at) == (START, START + HOUR)
        assert len(store.runs(job_key="broom")) == 1

    def test_the_first_former_key_that_is_known_is_taken_over(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1, "mop")])

        store.declare([some_job("brush", formerly=("never", "mop", "sweep"))], START + HOUR)

        assert [job.key for job in store.jobs()] == ["brush", "sweep"]
        assert len(store.runs(job_key="brush")) == 1

    def test_a_job_whose_former_key_nobody_knows_is_new(self, store: Store) -> None:
        store.claim(some_run(1, "sweep", trigger=Trigger.MANUAL))

        stored = store.declare([some_job("brush", formerly=("sweep", "never"))], START)["brush"]

        assert stored.first_seen_at == START
        assert store.runs(job_key="brush") == []
