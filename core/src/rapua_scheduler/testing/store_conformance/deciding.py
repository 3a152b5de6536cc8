"""What every store must do with decisions and their claims."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest
from attrs import evolve

from rapua_scheduler.errors import UnknownJobError
from rapua_scheduler.run import Decision, RunStatus, Trigger
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    PATIENCE,
    START,
    finish,
    job_of,
    not_to_run,
    run_of,
    some_gap,
    some_job,
    some_run,
    to_queue,
    to_run,
    waiting,
)


class Deciding:
    """Tests of decisions and their claims."""

    def test_a_decided_run_is_running(self, store: Store) -> None:
        store.declare([some_job()], START)

        recorded = store.decide([to_run(1, trigger=Trigger.CATCH_UP)])

        assert recorded == [True]
        expected = evolve(some_run(1, trigger=Trigger.CATCH_UP), status=RunStatus.RUNNING, attempt=1)
        assert store.runs() == [expected]
        assert store.run(expected.run_id) == expected

    def test_deciding_moves_mark_and_next_fire_time(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([Decision("sweep", START + 3 * HOUR, START + 7 * HOUR, (some_run(2),))])

        assert (job_of(store).mark, job_of(store).next_fire_time) == (START + 3 * HOUR, START + 7 * HOUR)

    def test_a_job_may_have_no_next_fire_time(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.set_next({"sweep": START + HOUR})

        store.decide([Decision("sweep", START + HOUR, None, (some_run(1),))])

        assert job_of(store).next_fire_time is None

    def test_a_fire_time_is_claimed_once(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        finish(store, some_run(1).run_id)
        again = evolve(some_run(1), run_id="again")

        recorded = store.decide([Decision("sweep", again.fire_time, START + 5 * HOUR, (again,), (some_gap(1),))])

        assert recorded == [False]
        assert [run.run_id for run in store.runs()] == [some_run(1).run_id]
        assert store.gaps() == []
        assert job_of(store).next_fire_time == START + 2 * HOUR

    def test_a_fire_key_is_claimed_once_though_its_instant_has_moved(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        moved = evolve(some_run(2), fire_key=some_run(1).fire_key)

        recorded = store.decide([Decision("sweep", moved.fire_time, None, (moved,))])

        assert recorded == [False]
        assert job_of(store).mark == START + HOUR

    def test_a_fire_key_belongs_to_its_job(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1)])

        assert store.decide([to_run(1, "mop")]) == [True]

    @pytest.mark.parametrize("hour", [0, -1])
    def test_a_fire_time_that_is_not_later_than_the_mark_is_not_claimed(self, store: Store, hour: int) -> None:
        store.declare([some_job()], START)

        recorded = store.decide([Decision("sweep", START + 4 * HOUR, START + 5 * HOUR, (some_run(hour),))])

        assert recorded == [False]
        assert (store.runs(), job_of(store).mark) == ([], START)

    def test_gaps_up_to_the_mark_are_not_recorded_again(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([not_to_run(2)])

        recorded = store.decide(
            [not_to_run(2, some_gap(2, detail="again")), not_to_run(1, some_gap(1, detail="again"))]
        )

        assert recorded == [False, False]
        assert store.gaps() == [some_gap(2)]
        assert job_of(store).mark == START + 2 * HOUR

    def test_one_refused_decision_leaves_the_others(self, store: Store) -> None:
        store.declare([some_job("air"), some_job("mop"), some_job("sweep")], START)
        store.decide([to_run(1, "mop")])

        recorded = store.decide(
            [to_run(1, "air"), to_run(1, "mop", some_gap(1, job_key="mop")), not_to_run(1, job_key="sweep")]
        )

        assert recorded == [True, False, True]
        assert {run.job_key for run in store.runs()} == {"air", "mop"}
        assert [gap.job_key for gap in store.gaps()] == ["sweep"]

    def test_decisions_on_one_job_are_recorded_in_their_order(self, store: Store) -> None:
        store.declare([some_job()], START)

        recorded = store.decide([to_run(1), to_run(2), to_run(2), not_to_run(3)])

        assert recorded == [True, True, False, True]
        assert [run.fire_time for run in store.runs(job_key="sweep")] == [START + 2 * HOUR, START + HOUR]
        assert job_of(store).mark == START + 3 * HOUR

    def test_no_decisions_are_no_trouble(self, store: Store) -> None:
        assert list(store.decide([])) == []

    def test_a_run_id_is_taken_once(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1)])
        same_id = evolve(some_run(1, "mop"), run_id=some_run(1).run_id)

        recorded = store.decide([Decision("mop", same_id.fire_time, None, (same_id,))])

        assert recorded == [False]
        assert job_of(store, "mop").mark == START

    def test_nothing_is_decided_when_one_of_the_jobs_is_unknown(self, store: Store) -> None:
        store.declare([some_job()], START)

        with pytest.raises(UnknownJobError, match="'mop'"):
            store.decide([to_run(1), to_run(1, "mop")])

        assert (store.runs(), job_of(store).mark) == ([], START)

    @pytest.mark.parametrize(
        "contradiction",
        [
            Decision("sweep", START + HOUR, None, (some_run(2),)),
            Decision("sweep", START + HOUR, None, (some_run(1, trigger=Trigger.MANUAL),)),
            Decision("sweep", START + HOUR, None, (some_run(1, "mop"),)),
            Decision("sweep", START + HOUR, None, (), (some_gap(1, job_key="mop"),)),
            Decision("sweep", START + 2 * HOUR, None, (some_run(1), some_run(2, trigger=Trigger.BACKFILL))),
            Decision("sweep", START + 2 * HOUR, None, (some_run(2), some_run(1))),
            Decision("sweep", START + HOUR, None, (evolve(some_run(1), status=RunStatus.SUCCEEDED),)),
        ],
        ids=[
            "a run after the mark",
            "a manual run",
            "another job's run",
            "another job's gap",
            "a backfill behind a run",
            "the newest run first",
            "a run that has ended",
        ],
    )
    def test_a_decision_that_contradicts_itself_is_an_error(self, store: Store, contradiction: Decision) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)

        with pytest.raises(ValueError, match=r"mop|mark|claim|earlier"):
            store.decide([to_run(1, "mop"), contradiction])

        assert store.runs() == []

    def test_a_naive_time_is_an_error(self, store: Store) -> None:
        store.declare([some_job()], START)

        with pytest.raises(TypeError):
            store.decide([Decision("sweep", datetime(2026, 11, 2), None)])  # noqa: DTZ001

        assert job_of(store).mark == START

    def test_threads_that_decide_at_once_claim_each_fire_time_once(self, store: Store) -> None:
        keys = [f"job-{number}" for number in range(40)]
        store.declare([some_job(key) for key in keys], START)
        barrier = threading.Barrier(8)
        claimed: list[str] = []

        def decide_all(number: int) -> None:
            barrier.wait()
            for hour in (1, 2):
                decisions = [to_run(hour, key) for key in keys]
                mine = [
                    evolve(each, runs=(evolve(some_run(hour, each.job_key), run_id=f"{number}-{hour}-{each.job_key}"),))
                    for each in decisions
                ]
                for each, is_recorded in zip(mine, store.decide(mine), strict=True):
                    if is_recorded:
                        claimed.append(each.runs[0].run_id)

        threads = [threading.Thread(target=decide_all, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

        runs = store.runs()
        assert sorted(claimed) == sorted(run.run_id for run in runs)
        assert len({run.run_key for run in runs}) == len(runs) == 80

    def test_a_decision_may_queue_runs(self, store: Store) -> None:
        store.declare([some_job()], START)

        recorded = store.decide([to_queue(1, 2, 3)])

        assert recorded == [True]
        assert store.runs() == [waiting(3), waiting(2), waiting(1)]
        assert (job_of(store).mark, job_of(store).next_fire_time) == (START + 3 * HOUR, START + 4 * HOUR)

    def test_a_decision_may_start_one_run_and_queue_others(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([Decision("sweep", START + 3 * HOUR, None, (some_run(1), waiting(2), waiting(3)))])

        assert store.runs(job_key="sweep") == [waiting(3), waiting(2), some_run(1)]
        assert store.last_runs() == {"sweep": waiting(3)}

    def test_a_run_is_claimed_with_its_first_attempt(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([Decision("sweep", START + HOUR, None, (evolve(some_run(1), attempt=7, done=3, failures=2),))])

        assert store.runs() == [some_run(1)]

    @pytest.mark.parametrize(
        "more",
        [
            {"attempt": 7},
            {"finished_at": START},
            {"result": {"swept": 1}},
            {"error": "no"},
            {"failures": 1},
            {"losses": 1},
            {"done": 0},
            {"total": 0},
        ],
        ids=lambda more: next(iter(more)),
    )
    def test_a_run_is_claimed_without_what_it_can_only_have_later(self, store: Store, more: dict[str, Any]) -> None:
        store.declare([some_job()], START)

        store.decide([Decision("sweep", START + HOUR, None, (evolve(some_run(1), **more),))])

        assert store.runs() == [some_run(1)]

    @pytest.mark.parametrize("hours", [(1, 2), (2, 3)], ids=["the first is taken", "the last is taken"])
    def test_all_runs_of_a_decision_are_claimed_or_none(self, store: Store, hours: tuple[int, int]) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(2)])
        runs = tuple(
            evolve(waiting(hour), run_id=f"again-{hour}", fire_time=START + (5 + hour) * HOUR) for hour in hours
        )

        recorded = store.decide([Decision("sweep", START + 9 * HOUR, None, runs, (some_gap(4),))])

        assert recorded == [False]
        assert store.runs() == [some_run(2)]
        assert store.gaps() == []
        assert job_of(store).mark == START + 2 * HOUR

    def test_runs_of_which_the_oldest_is_not_later_than_the_mark_are_not_claimed(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([not_to_run(2)])

        assert store.decide([to_queue(2, 3)]) == [False]

        assert store.runs() == []

    def test_two_fire_keys_of_one_instant_are_both_claimed(self, store: Store) -> None:
        store.declare([some_job()], START)
        other = evolve(waiting(1), run_id="other", fire_key="other")

        assert store.decide([Decision("sweep", START + HOUR, None, (waiting(1), other))]) == [True]

        assert store.runs(job_key="sweep") == [other, waiting(1)]

    def test_one_fire_key_twice_in_a_decision_is_not_claimed(self, store: Store) -> None:
        store.declare([some_job()], START)
        twice = (waiting(1), evolve(waiting(2), fire_key=waiting(1).fire_key))

        assert store.decide([Decision("sweep", START + 2 * HOUR, None, twice)]) == [False]

        assert store.runs() == []

    def test_queued_and_running_runs_of_many_jobs_are_claimed_at_once(self, store: Store) -> None:
        keys = [f"job-{number:02}" for number in range(30)]
        store.declare([some_job(key) for key in keys], START)
        decisions = [to_queue(1, 2, job_key=key) if number % 2 else to_run(1, key) for number, key in enumerate(keys)]

        assert store.decide(decisions) == [True] * 30

        assert len(store.runs(statuses={RunStatus.QUEUED})) == 30
        assert len(store.runs(statuses={RunStatus.RUNNING})) == 15
        assert [run.fire_time for run in store.runs(job_key="job-07")] == [START + 2 * HOUR, START + HOUR]

    def test_who_asked_for_a_run_is_kept(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([Decision("sweep", START + HOUR, None, (evolve(some_run(1), asked_by="ann\0"),))])

        assert run_of(store, some_run(1).run_id).asked_by == "ann\\x00"

    def test_a_decision_of_nothing_moves_the_mark(self, store: Store) -> None:
        store.declare([some_job()], START)

        assert store.decide([Decision("sweep", START + HOUR, START + 2 * HOUR)]) == [True]

        assert (job_of(store).mark, job_of(store).next_fire_time) == (START + HOUR, START + 2 * HOUR)
        assert store.runs() == []
        assert store.gaps() == []
