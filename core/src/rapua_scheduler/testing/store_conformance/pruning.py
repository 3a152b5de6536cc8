"""What every store must do with what is forgotten."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from rapua_scheduler.run import (
    Decision,
    LogLine,
    Outcome,
    RunStatus,
    Trigger,
)
from rapua_scheduler.store.port import Store
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
    waiting,
)


class Pruning:
    """Tests of what is forgotten."""

    def test_how_far_records_were_pruned_is_known(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1), to_run(2, job_key="mop")])
        finish(store, some_run(1).run_id)
        store.decide([not_to_run(3)])
        store.decide([to_run(4)])
        finish(store, some_run(4).run_id)
        assert store.forgotten_until("sweep") is None

        store.prune(START - 999 * HOUR, 1)
        assert store.forgotten_until("sweep") == START + HOUR
        store.prune(START + 999 * HOUR, 10)

        assert store.forgotten_until("sweep") == START + 3 * HOUR
        assert store.forgotten_until("mop") is None
        assert store.forgotten_until("nobody") is None

    def test_what_ended_long_ago_is_forgotten(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in (1, 2, 3, 4, 5):
            store.decide([to_run(hour)])
            finish(store, some_run(hour).run_id, at=START + hour * HOUR + timedelta(minutes=1), log=[_LINE])

        gone = store.prune(START + 3 * HOUR + timedelta(minutes=1), 100)

        assert gone == 2
        assert [run.run_id for run in store.runs()] == [some_run(hour).run_id for hour in (5, 4, 3)]
        assert store.runs(job_key="sweep") == store.runs()
        assert store.run(some_run(1).run_id) is None
        assert list(store.log_lines(some_run(1).run_id)) == []
        assert store.log_lines(some_run(3).run_id) == [_LINE]
        assert store.prune(START + 3 * HOUR, 100) == 0

    def test_the_oldest_of_too_many_runs_are_forgotten(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        for hour in (1, 2, 3, 4, 5):
            store.decide([to_run(hour)])
            finish(store, some_run(hour).run_id)
        store.decide([to_run(1, "mop")])
        finish(store, some_run(1, "mop").run_id)

        gone = store.prune(START - HOUR, 2)

        assert gone == 3
        assert [run.run_id for run in store.runs(job_key="sweep")] == [some_run(5).run_id, some_run(4).run_id]
        assert len(store.runs(job_key="mop")) == 1

    def test_the_oldest_of_too_many_runs_by_hand_are_forgotten(self, store: Store) -> None:
        store.enqueue([waiting(hour, trigger=Trigger.MANUAL) for hour in (1, 2, 3)])
        for run in store.take_queued():
            store.drop(run.run_id, Outcome(RunStatus.CANCELLED, START))

        assert store.prune(START - HOUR, 2) == 1

        assert [run.fire_time - START for run in store.runs(job_key="sweep")] == [3 * HOUR, 2 * HOUR]

    def test_runs_by_hand_and_others_are_too_many_together(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in (1, 2, 3):
            store.decide([to_run(hour)])
            finish(store, some_run(hour).run_id)
        store.claim(some_run(4, trigger=Trigger.MANUAL))
        store.claim(some_run(5, trigger=Trigger.MANUAL))

        assert store.prune(START - HOUR, 3) == 2

        assert [run.fire_time - START for run in store.runs(job_key="sweep")] == [5 * HOUR, 4 * HOUR, 3 * HOUR]

    def test_the_oldest_is_forgotten_first(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in (1, 2, 3, 4):
            store.decide([to_run(hour)])
            finish(store, some_run(hour).run_id)

        assert store.prune(START - HOUR, 1, most=1) == 1

        assert [run.fire_time - START for run in store.runs(job_key="sweep")] == [4 * HOUR, 3 * HOUR, 2 * HOUR]

    def test_what_was_dropped_long_ago_before_it_began_is_forgotten(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_queue(1, 2)])
        for hour in (1, 2):
            store.drop(some_run(hour).run_id, Outcome(RunStatus.CANCELLED, START + hour * HOUR))

        assert store.prune(START + 9 * HOUR, 100) == 1

        assert [run.fire_time - START for run in store.runs()] == [2 * HOUR]

    def test_what_began_no_longer_ago_than_that_stays_though_it_ended_before(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1), to_run(2)])
        began_at = some_run(1).started_at
        assert began_at is not None
        finish(store, some_run(1).run_id, at=began_at - HOUR)  # the clock was put back
        finish(store, some_run(2).run_id)

        assert store.prune(began_at, 100) == 0
        assert store.prune(began_at + timedelta(microseconds=1), 100) == 1

    def test_past_attempts_are_forgotten_with_their_run(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1), to_run(2)])
        finish(store, some_run(1).run_id, status=RunStatus.FAILED, again=True)
        start(store, some_run(1).run_id, 2)
        finish(store, some_run(1).run_id, 2)
        finish(store, some_run(2).run_id)

        assert store.prune(START - HOUR, 1) == 1

        assert list(store.attempts(some_run(1).run_id)) == []

    def test_what_goes_on_or_is_not_answered_stays(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1), to_queue(2), to_run(3), to_run(4), to_run(5), to_run(6)])
        finish(store, some_run(3).run_id, status=RunStatus.INTERRUPTED, at=START + 3 * HOUR)
        finish(store, some_run(4).run_id, status=RunStatus.INTERRUPTED, at=START + 4 * HOUR)
        finish(store, some_run(5).run_id, status=RunStatus.FAILED, at=START + 5 * HOUR)
        store.leave([some_run(4).run_id])

        assert store.prune(START + 99 * HOUR, 0) == 2

        assert [run.fire_time - START for run in store.runs(job_key="sweep")] == [6 * HOUR, 3 * HOUR, 2 * HOUR, HOUR]
        assert store.runs() == store.runs(job_key="sweep")

    def test_the_newest_run_and_the_newest_success_stay(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in range(1, 8):
            store.decide([to_run(hour)])
            finish(
                store,
                some_run(hour).run_id,
                status=RunStatus.SUCCEEDED if hour < 4 else RunStatus.FAILED,
                at=START + hour * HOUR + timedelta(minutes=1),
            )

        assert store.prune(START + 99 * HOUR, 0) == 5

        assert [run.fire_time - START for run in store.runs(job_key="sweep")] == [7 * HOUR, 3 * HOUR]
        assert store.last_success("sweep") == START + 3 * HOUR
        assert store.last_runs()["sweep"].fire_time == START + 7 * HOUR

    def test_a_history_goes_on_after_it_was_pruned(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in range(1, 6):
            store.decide([to_run(hour)])
            finish(store, some_run(hour).run_id, status=RunStatus.SUCCEEDED if hour == 2 else RunStatus.FAILED)
        store.prune(START - HOUR, 1)

        store.decide([to_run(6)])
        finish(store, some_run(6).run_id)
        store.decide([to_run(7)])

        assert [run.fire_time - START for run in store.runs(job_key="sweep")] == [hour * HOUR for hour in (7, 6, 5, 2)]
        assert store.prune(START - HOUR, 1) == 2
        assert [run.fire_time - START for run in store.runs(job_key="sweep")] == [7 * HOUR, 6 * HOUR]

    def test_a_run_that_is_forgotten_is_not_claimed_again(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in (1, 2, 3):
            store.decide([to_run(hour)])
            finish(store, some_run(hour).run_id)
        store.prune(START - HOUR, 1)

        assert list(store.release(START)) == ["sweep"]

        assert job_of(store).mark == START + 2 * HOUR
        again = [evolve(some_run(hour), run_id=f"again-{hour}") for hour in (1, 2, 3)]
        assert store.decide([Decision("sweep", run.fire_time, None, (run,)) for run in again]) == [False] * 3

    def test_how_far_was_forgotten_never_becomes_less(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in (1, 2, 3):
            store.decide([to_run(hour)])
            status = RunStatus.INTERRUPTED if hour == 1 else RunStatus.FAILED
            finish(store, some_run(hour).run_id, status=status)
        for hour in (4, 5):
            store.claim(some_run(hour, trigger=Trigger.MANUAL))
        finish(store, some_run(4, trigger=Trigger.MANUAL).run_id, status=RunStatus.FAILED)

        forgotten = []
        for keep_runs in (3, 3, 2, 1):
            assert store.prune(START - HOUR, keep_runs) == 1
            forgotten.append(store.forgotten_until("sweep"))
            store.leave([some_run(1).run_id])

        assert forgotten == [START + 2 * HOUR, START + 2 * HOUR, START + 3 * HOUR, START + 3 * HOUR]
        assert list(store.release(START)) == []
        assert job_of(store).mark == START + 3 * HOUR

    def test_no_mark_is_lowered_further_than_asked_for_what_is_forgotten(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in (1, 2, 6):
            store.decide([to_run(hour)])
            finish(store, some_run(hour).run_id)
        assert store.prune(START - HOUR, 1) == 2

        store.release(START + 4 * HOUR)

        assert job_of(store).mark == START + 4 * HOUR

    def test_no_mark_is_lowered_to_where_it_is(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        finish(store, some_run(1).run_id, status=RunStatus.FAILED)
        store.claim(some_run(8, trigger=Trigger.MANUAL))
        assert store.prune(START - HOUR, 1) == 1

        assert list(store.release(START)) == []

        assert job_of(store).next_fire_time == START + 2 * HOUR

    def test_a_fire_key_whose_run_is_forgotten_may_come_again(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in (1, 2):
            store.decide([to_run(hour)])
            finish(store, some_run(hour).run_id)
        store.prune(START - HOUR, 1)
        same_key = evolve(some_run(3), fire_key=some_run(1).fire_key)

        assert store.decide([Decision("sweep", same_key.fire_time, None, (same_key,))]) == [True]

    def test_a_run_by_hand_that_is_forgotten_keeps_no_mark_up(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.claim(some_run(8, trigger=Trigger.MANUAL))
        finish(store, some_run(8, trigger=Trigger.MANUAL).run_id)
        store.decide([to_run(1)])
        finish(store, some_run(1).run_id)
        store.prune(START - HOUR, 1)
        store.decide([not_to_run(9)])

        store.release(START + 2 * HOUR)

        assert job_of(store).mark == START + 2 * HOUR

    def test_a_claim_that_alone_guards_its_fire_time_stays(self, store: Store) -> None:
        store.declare([some_job()], START)
        for hour in (1, 2, 3):
            store.decide([to_run(hour)])
            finish(store, some_run(hour).run_id)
        store.claim(some_run(1, trigger=Trigger.MANUAL))
        store.release(START + HOUR)

        assert store.prune(START + 999 * HOUR, 0) == 1

        again = evolve(some_run(2), run_id="again")
        assert store.decide([Decision("sweep", again.fire_time, None, (again,))]) == [False]

    def test_gaps_of_long_ago_and_the_oldest_of_too_many_are_forgotten(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        for hour in range(1, 7):
            store.decide([not_to_run(hour, some_gap(hour, detail=str(hour)))])
            store.decide([not_to_run(hour, some_gap(hour, job_key="mop", detail=str(hour)), job_key="mop")])

        assert store.prune(START + 3 * HOUR, 100) == 4
        assert [gap.detail for gap in store.gaps(job_key="mop")] == ["6", "5", "4", "3"]
        assert store.prune(START, 1) == 6
        assert [gap.detail for gap in store.gaps()] == ["6", "6"]

    def test_windows_of_long_ago_are_forgotten(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        for hour in (1, 3, 5):
            store.pause("sweep", START + hour * HOUR, str(hour), "ann")
            if hour < 5:
                store.resume("sweep", START + (hour + 1) * HOUR)
        store.hold(START, "held")
        store.release(START + HOUR)
        store.decide([not_to_run(9), not_to_run(9, job_key="mop")])

        assert store.prune(START + 4 * HOUR, 100) == 0

        assert [window.reason for window in store.windows()] == ["3", "5"]

    def test_a_window_of_all_jobs_is_forgotten_where_there_are_none(self, store: Store) -> None:
        store.hold(START, "held")
        store.release(START + HOUR)

        store.prune(START + 9 * HOUR, 100)

        assert list(store.windows()) == []

    def test_a_window_that_a_mark_is_not_past_stays(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        for key in ("sweep", "mop"):
            store.pause(key, START + HOUR, "rats", "ann")
            store.resume(key, START + 2 * HOUR)
        store.hold(START + HOUR, "held")
        store.release(START + 2 * HOUR)
        store.decide([not_to_run(2)])

        store.prune(START + 99 * HOUR, 100)
        assert [window.job_key for window in store.windows()] == ["", "mop"]
        store.decide([not_to_run(2, job_key="mop")])
        store.prune(START + 99 * HOUR, 100)
        assert list(store.windows()) == []

    def test_one_step_forgets_no_more_than_it_is_told(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        for hour in range(1, 11):
            store.decide(
                [to_run(hour), not_to_run(hour, some_gap(hour, job_key="mop", detail=str(hour)), job_key="mop")]
            )
            finish(store, some_run(hour).run_id, at=START + hour * HOUR + timedelta(minutes=1))

        steps = [store.prune(START + 6 * HOUR, 3, most=4) for _ in range(6)]

        assert steps == [4, 4, 4, 2, 0, 0]
        assert (len(store.runs()), len(store.gaps())) == (3, 3)

    def test_one_step_forgets_no_more_though_some_are_old_and_others_too_many(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        for hour in range(1, 7):
            store.decide([to_run(hour), to_run(hour, "mop")])
            for key, days in (("sweep", 0), ("mop", 9)):
                finish(store, some_run(hour, key).run_id, at=START + timedelta(days=days, hours=hour))

        assert store.prune(START + timedelta(days=1), 3, most=7) == 7

        assert (len(store.runs(job_key="sweep")), len(store.runs(job_key="mop"))) == (1, 4)

    def test_pruning_an_empty_store_is_no_trouble(self, store: Store) -> None:
        assert store.prune(START, 1) == 0


_LINE = LogLine(START, 1, "info", "swept")
