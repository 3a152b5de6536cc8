"""What every store must do with listings."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

from datetime import timedelta, timezone

from attrs import evolve

from rapua_scheduler.run import RunStatus, Trigger
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    finish,
    not_to_run,
    some_job,
    some_run,
    to_queue,
    to_run,
    waiting,
)


class Listings:
    """Tests of listings."""

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
        unfinished = store.runs(statuses={RunStatus.RUNNING, RunStatus.QUEUED})
        assert [run.fire_time for run in unfinished] == [START + 3 * HOUR, START + HOUR]
        assert len(store.runs(statuses={RunStatus.RUNNING, RunStatus.FAILED})) == 3
        assert len(store.runs(statuses={RunStatus.RUNNING}, job_key="mop")) == 1
        assert len(store.runs(statuses=set(RunStatus), limit=2)) == 2
        assert store.runs(statuses=set()) == []

    def test_runs_are_found_by_the_beginning_or_the_end_of_their_id(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1), to_run(12), to_run(2, "mop")])

        assert {run.run_id for run in store.runs(id_part="sweep-")} == {"sweep-schedule-1", "sweep-schedule-12"}
        assert [run.run_id for run in store.runs(id_part="-2")] == ["mop-schedule-2"]
        assert [run.run_id for run in store.runs(id_part="2", limit=1)] == ["mop-schedule-2"]
        assert [run.run_id for run in store.runs(id_part="2", job_key="sweep")] == ["sweep-schedule-12"]
        assert [run.run_id for run in store.runs(id_part="2", since=START + 9 * HOUR)] == ["sweep-schedule-12"]
        assert store.runs(id_part="schedule") == []
        assert store.runs(id_part="%") == []

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

    def test_the_run_of_an_instant_is_the_one_that_consumes_it(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1), to_queue(2, 3), not_to_run(4), to_run(1, "mop")])
        store.claim(some_run(4, trigger=Trigger.MANUAL))

        assert store.run_at("sweep", START + HOUR) == some_run(1)
        assert store.run_at("sweep", (START + 2 * HOUR).astimezone(timezone(HOUR))) == waiting(2)
        assert store.run_at("sweep", START + 4 * HOUR) is None
        assert store.run_at("sweep", START + HOUR + timedelta(microseconds=1)) is None
        assert store.run_at("nobody", START + HOUR) is None
