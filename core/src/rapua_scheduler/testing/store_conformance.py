"""What every store must do, as tests: derive a class from `StoreConformance` and give it a `store` fixture.

```python
class TestMyStore(StoreConformance):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = MyStore()
        yield store
        store.close()
```

Needs pytest, which nothing else in this package imports.
"""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest
from attrs import evolve

from rapua_scheduler.errors import StoreError, UnknownJobError
from rapua_scheduler.job import Job
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, Gap, GapReason, Outcome, Run, RunStatus, Scalar, Trigger
from rapua_scheduler.schedules import every
from rapua_scheduler.store.port import Store, StoredJob

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PATIENCE = 30.0

_NOT_UTC = timezone(timedelta(hours=13, minutes=45))


def some_job(key: str = "sweep", *, name: str = "Sweep", hours: int = 1, version: str = "1.0") -> RegisteredJob:
    """Return a job that is declared by a plugin."""
    job = Job(name=name, key=key, run=lambda ctx: None, next=every(hours=hours))
    return RegisteredJob(job, plugin="cleaning", distribution="acme-cleaning", version=version)


def some_run(hour: int, job_key: str = "sweep", *, trigger: Trigger = Trigger.SCHEDULE, run_id: str = "") -> Run:
    """Return the run of a job at a number of hours after the start, to be claimed as running."""
    fire_time = START + hour * HOUR
    return Run(
        run_id or f"{job_key}-{trigger}-{hour}",
        job_key,
        fire_time,
        fire_time.isoformat(),
        trigger,
        RunStatus.RUNNING,
        started_at=fire_time + timedelta(seconds=1),
    )


def some_gap(first: int, last: int | None = None, job_key: str = "sweep", *, detail: str = "") -> Gap:
    """Return a stretch of skipped fire times, one an hour."""
    last = first if last is None else last
    return Gap(job_key, START + first * HOUR, START + last * HOUR, last - first + 1, GapReason.SKIPPED, detail)


def to_run(hour: int, job_key: str = "sweep", *gaps: Gap, trigger: Trigger = Trigger.SCHEDULE) -> Decision:
    """Return the decision to run a job at an hour."""
    run = some_run(hour, job_key, trigger=trigger)
    return Decision(job_key, run.fire_time, run.fire_time + HOUR, (run,), gaps)


def not_to_run(hour: int, *gaps: Gap, job_key: str = "sweep") -> Decision:
    """Return the decision that an hour is not run."""
    return Decision(job_key, START + hour * HOUR, START + (hour + 1) * HOUR, (), gaps or (some_gap(hour),))


def finish(
    store: Store,
    run_id: str,
    attempt: int = 1,
    status: RunStatus = RunStatus.SUCCEEDED,
    *,
    at: datetime = START + 99 * HOUR,
    result: Mapping[str, Scalar] | None = None,
    error: str | None = None,
) -> bool:
    """Finish an attempt, wait for that, and return whether it was the running one."""
    told: list[tuple[Exception | None, bool]] = []
    is_told = threading.Event()

    def then(problem: Exception | None, is_recorded: bool) -> None:
        told.append((problem, is_recorded))
        is_told.set()

    store.finish(run_id, attempt, Outcome(status, at, result, error), then)
    assert is_told.wait(PATIENCE), "the store never called back"
    ((problem, is_recorded),) = told
    assert problem is None
    return is_recorded


def job_of(store: Store, key: str = "sweep") -> StoredJob:
    """Return what is stored of a job."""
    return next(job for job in store.jobs() if job.key == key)


class StoreConformance:
    """Tests that every store passes."""

    # -- declaring

    def test_a_new_job_has_nothing_to_catch_up(self, store: Store) -> None:
        registered = some_job()

        stored = store.declare([registered], START)["sweep"]

        assert stored == StoredJob(
            key="sweep",
            name="Sweep",
            plugin="cleaning",
            distribution="acme-cleaning",
            version="1.0",
            schedule=registered.schedule,
            fingerprint=registered.fingerprint,
            mark=START,
            next_fire_time=None,
            first_seen_at=START,
            last_seen_at=START,
        )

    def test_a_known_job_keeps_its_mark_when_declared_anew(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        renewed = some_job(name="Sweep well", hours=2, version="2.0")

        stored = store.declare([renewed], START + 5 * HOUR)["sweep"]

        assert (stored.mark, stored.first_seen_at, stored.last_seen_at) == (START + HOUR, START, START + 5 * HOUR)
        assert (stored.name, stored.version, stored.schedule) == ("Sweep well", "2.0", renewed.schedule)
        assert stored.fingerprint == renewed.fingerprint

    def test_declaring_leaves_other_jobs_as_they_are(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        before = job_of(store, "mop")

        returned = store.declare([some_job("sweep")], START + HOUR)

        assert list(returned) == ["sweep"]
        assert job_of(store, "mop") == before

    def test_jobs_come_by_key(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("air"), some_job("mop")], START)

        assert [job.key for job in store.jobs()] == ["air", "mop", "sweep"]

    def test_a_name_that_no_database_takes_is_escaped(self, store: Store) -> None:
        store.declare([some_job(name="Swe\udcffep\0 · čistě 🧹")], START)

        assert job_of(store).name == "Swe\\udcffep\\x00 · čistě 🧹"

    def test_next_fire_times_are_kept_and_marks_stay(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)

        store.set_next({"sweep": START + 3 * HOUR, "mop": None})

        assert (job_of(store).next_fire_time, job_of(store).mark) == (START + 3 * HOUR, START)
        assert job_of(store, "mop").next_fire_time is None

    def test_no_next_fire_time_is_recorded_when_one_of_the_jobs_is_unknown(self, store: Store) -> None:
        store.declare([some_job()], START)

        with pytest.raises(UnknownJobError):
            store.set_next({"sweep": START + HOUR, "mop": START + HOUR})

        assert job_of(store).next_fire_time is None

    # -- deciding

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

        with pytest.raises(UnknownJobError):
            store.decide([to_run(1), to_run(1, "mop")])

        assert (store.runs(), job_of(store).mark) == ([], START)

    @pytest.mark.parametrize(
        "contradiction",
        [
            Decision("sweep", START + HOUR, None, (some_run(2),)),
            Decision("sweep", START + HOUR, None, (some_run(1, trigger=Trigger.MANUAL),)),
            Decision("sweep", START + HOUR, None, (some_run(1, "mop"),)),
            Decision("sweep", START + HOUR, None, (), (some_gap(1, job_key="mop"),)),
        ],
        ids=["a run after the mark", "a manual run", "another job's run", "another job's gap"],
    )
    def test_a_decision_that_contradicts_itself_is_an_error(self, store: Store, contradiction: Decision) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)

        with pytest.raises(ValueError, match=r"mop|mark|claim"):
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

    # -- gaps

    def test_gaps_that_follow_each_other_become_one(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1)])
        store.decide([not_to_run(3, some_gap(2), some_gap(3))])

        assert store.gaps() == [some_gap(1, 3)]

    def test_a_gap_of_unknown_count_makes_the_count_of_the_whole_unknown(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([not_to_run(1)])

        store.decide([not_to_run(9, evolve(some_gap(2, 9), count=None)), not_to_run(10)])

        assert store.gaps() == [evolve(some_gap(1, 10), count=None)]

    @pytest.mark.parametrize(
        "other",
        [some_gap(2, detail="run 7 was going on"), evolve(some_gap(2), reason=GapReason.MISSED)],
        ids=["detail", "reason"],
    )
    def test_gaps_that_differ_stay_two(self, store: Store, other: Gap) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1), not_to_run(2, other)])

        assert store.gaps() == [other, some_gap(1)]

    def test_gaps_of_two_jobs_stay_two(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)

        store.decide([not_to_run(1), not_to_run(2, some_gap(2, job_key="mop"), job_key="mop")])

        assert store.gaps() == [some_gap(2, job_key="mop"), some_gap(1)]

    def test_a_claim_keeps_the_gaps_around_it_apart(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1)])
        store.decide([to_run(2)])
        store.decide([not_to_run(3)])

        assert store.gaps() == [some_gap(3), some_gap(1)]

    def test_a_claim_by_hand_keeps_the_gaps_around_it_apart(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1)])
        store.claim(some_run(2, trigger=Trigger.MANUAL))
        store.decide([not_to_run(2)])

        assert store.gaps() == [some_gap(2), some_gap(1)]

    def test_a_run_of_the_same_decision_keeps_the_gaps_around_it_apart(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([not_to_run(1)])

        store.decide([Decision("sweep", START + 4 * HOUR, None, (some_run(3),), (some_gap(2), some_gap(4)))])
        store.decide([not_to_run(5)])

        assert store.gaps() == [some_gap(5), some_gap(4), some_gap(1, 2)]

    def test_gaps_are_filtered_by_job_and_time_newest_first(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([not_to_run(2, some_gap(1, detail="a"), some_gap(2, detail="b"))])
        store.decide([not_to_run(3, some_gap(3, job_key="mop"), job_key="mop")])

        assert [gap.last for gap in store.gaps()] == [START + 3 * HOUR, START + 2 * HOUR, START + HOUR]
        assert [gap.detail for gap in store.gaps(job_key="sweep")] == ["b", "a"]
        assert [gap.detail for gap in store.gaps(job_key="sweep", since=START + 2 * HOUR)] == ["b"]
        assert [gap.job_key for gap in store.gaps(limit=1)] == ["mop"]
        assert store.gaps(job_key="nobody") == []

    # -- runs by hand

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

    # -- ends

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
        with pytest.raises(ValueError, match="running"):
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

    # -- looking

    def test_runs_come_newest_claim_first(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(3)])
        store.decide([to_run(1, "mop")])
        store.claim(some_run(0, trigger=Trigger.MANUAL))
        store.decide([to_run(4)])

        ids = [run.run_id for run in store.runs()]

        assert ids == ["sweep-schedule-4", "sweep-manual-0", "mop-schedule-1", "sweep-schedule-3"]
        assert [run.run_id for run in store.runs(job_key="sweep")] == [ids[0], ids[1], ids[3]]
        assert [run.run_id for run in store.runs(job_key="sweep", limit=2)] == [ids[0], ids[1]]
        assert [run.run_id for run in store.runs(limit=3)] == ids[:3]
        assert store.runs(limit=0) == []
        assert store.runs(job_key="nobody") == []

    def test_runs_are_filtered_by_start_and_status(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1), to_run(2), to_run(3, "mop")])
        finish(store, some_run(2).run_id, status=RunStatus.FAILED)
        started_at = START + 2 * HOUR + timedelta(seconds=1)

        assert [run.fire_time for run in store.runs(since=started_at)] == [START + 3 * HOUR, START + 2 * HOUR]
        assert [run.fire_time for run in store.runs(since=started_at, job_key="sweep")] == [START + 2 * HOUR]
        assert [run.fire_time for run in store.runs(since=started_at + timedelta(microseconds=1))] == [START + 3 * HOUR]
        assert [run.fire_time for run in store.runs(statuses={RunStatus.FAILED})] == [START + 2 * HOUR]
        assert len(store.runs(statuses={RunStatus.RUNNING, RunStatus.QUEUED})) == 2
        assert len(store.runs(statuses={RunStatus.RUNNING}, job_key="mop")) == 1
        assert len(store.runs(statuses=set(RunStatus), limit=2)) == 2
        assert store.runs(statuses=set()) == []

    def test_a_run_without_a_start_is_in_no_stretch_of_time(self, store: Store) -> None:
        store.claim(evolve(some_run(1, trigger=Trigger.MANUAL), started_at=None))

        assert store.runs(since=START - 999 * HOUR) == []
        assert len(store.runs()) == 1

    def test_the_last_run_of_each_job_is_the_newest_claim(self, store: Store) -> None:
        store.declare([some_job("air"), some_job("mop"), some_job("sweep")], START)
        store.decide([to_run(1), to_run(2), to_run(3, "mop")])
        store.claim(some_run(-5, "mop", trigger=Trigger.MANUAL))

        last = store.last_runs()

        assert {key: run.run_id for key, run in last.items()} == {"mop": "mop-manual--5", "sweep": "sweep-schedule-2"}

    def test_the_last_success_is_that_of_the_newest_claim_that_succeeded(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1), to_run(2), to_run(3), to_run(4), to_run(9, "mop")])
        finish(store, some_run(2).run_id)
        finish(store, some_run(1).run_id)
        finish(store, some_run(3).run_id, status=RunStatus.FAILED)

        assert store.last_success("sweep") == START + 2 * HOUR
        assert store.last_success("mop") is None
        assert store.last_success("nobody") is None

    def test_a_run_that_is_not_there_is_none(self, store: Store) -> None:
        assert store.run("nobody") is None

    # -- times

    @pytest.mark.parametrize(
        "instant",
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2038, 1, 19, 3, 14, 8, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        ],
        ids=str,
    )
    def test_times_come_back_to_the_microsecond(self, store: Store, instant: datetime) -> None:
        store.claim(evolve(some_run(1, trigger=Trigger.MANUAL), run_id="it", fire_time=instant, started_at=instant))

        finish(store, "it", at=instant)

        run = store.run("it")
        assert run is not None
        assert (run.fire_time, run.started_at, run.finished_at) == (instant, instant, instant)

    def test_times_of_another_zone_come_back_in_utc(self, store: Store) -> None:
        store.declare([some_job()], START.astimezone(_NOT_UTC))
        there = (START + HOUR).astimezone(_NOT_UTC)
        run = evolve(some_run(1), fire_time=there, started_at=there)
        gap = evolve(some_gap(1), first=there, last=there, detail="elsewhere")

        store.decide([Decision("sweep", there, there, (run,), (gap,))])
        finish(store, run.run_id, at=there)

        (stored,) = store.runs()
        job = job_of(store)
        times = [stored.fire_time, stored.started_at, stored.finished_at, job.mark, job.next_fire_time]
        times += [store.gaps()[0].first, store.gaps()[0].last]
        assert times == [START + HOUR] * 7
        assert {time and time.tzinfo for time in [*times, job.first_seen_at, job.last_seen_at]} == {UTC}

    # -- opening and closing

    def test_becoming_the_host_twice_is_no_trouble(self, store: Store) -> None:
        store.become_host()
        store.become_host()

        store.declare([some_job()], START)

    def test_closing_twice_is_no_trouble(self, store: Store) -> None:
        store.close()
        store.close()

    def test_a_closed_store_can_do_nothing(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.close()

        with pytest.raises(StoreError, match="closed"):
            store.declare([some_job()], START)
        with pytest.raises(StoreError, match="closed"):
            store.decide([to_run(1)])
        with pytest.raises(StoreError, match="closed"):
            store.claim(some_run(1, trigger=Trigger.MANUAL))
        with pytest.raises(StoreError, match="closed"):
            store.runs()

    def test_an_end_that_comes_after_closing_is_told_so(self, store: Store) -> None:
        store.close()
        told: list[tuple[Exception | None, bool]] = []

        store.finish("it", 1, Outcome(RunStatus.FAILED, START), lambda error, recorded: told.append((error, recorded)))

        ((error, is_recorded),) = told
        assert isinstance(error, StoreError)
        assert not is_recorded
