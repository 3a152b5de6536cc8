"""What the store in memory does beyond what every store must: it forgets, and it is lean."""

from __future__ import annotations

import gc
import os
import socket
import tracemalloc

import pytest
from attrs import evolve

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import LogLine, RunStatus, Trigger
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import HostRecord
from rapua_scheduler.testing.clock import ManualClock
from rapua_scheduler.testing.store_conformance import (
    HOUR,
    START,
    finish,
    not_to_run,
    some_gap,
    some_job,
    some_run,
    start,
    to_run,
)


def test_the_newest_finished_runs_of_each_job_are_kept() -> None:
    store = MemoryStore(keep_runs=3)
    store.declare([some_job("sweep"), some_job("mop")], START)
    store.decide([to_run(1, "mop")])
    finish(store, some_run(1, "mop").run_id)

    for hour in range(1, 10):
        store.decide([to_run(hour)])
        finish(store, some_run(hour).run_id)

    assert [run.run_id for run in store.runs(job_key="sweep")] == [f"sweep-schedule-{hour}" for hour in (9, 8, 7)]
    assert len(store.runs(job_key="mop")) == 1
    assert store.run("sweep-schedule-1") is None


def test_runs_that_go_on_are_kept_however_old() -> None:
    store = MemoryStore(keep_runs=1)
    store.declare([some_job()], START)
    for hour in range(1, 6):
        store.decide([to_run(hour)])

    for hour in (5, 4, 3):
        finish(store, some_run(hour).run_id)

    assert [(run.run_id[-1], run.status) for run in store.runs()] == [
        ("5", RunStatus.SUCCEEDED),
        ("2", RunStatus.RUNNING),
        ("1", RunStatus.RUNNING),
    ]


def test_a_claim_whose_run_is_forgotten_is_still_not_given_again() -> None:
    store = MemoryStore(keep_runs=1)
    store.declare([some_job()], START)
    for hour in range(1, 5):
        store.decide([to_run(hour)])
        finish(store, some_run(hour).run_id)

    again = [evolve(to_run(hour), runs=(evolve(some_run(hour), run_id=f"again-{hour}"),)) for hour in range(1, 5)]

    assert store.decide(again) == [False] * 4


def test_a_forgotten_run_by_hand_leaves_the_claim_of_its_fire_key() -> None:
    store = MemoryStore(keep_runs=1)
    store.declare([some_job()], START)
    store.claim(some_run(1, trigger=Trigger.MANUAL))
    store.decide([to_run(1)])
    finish(store, some_run(1, trigger=Trigger.MANUAL).run_id)
    finish(store, some_run(1).run_id)

    same_key_later = evolve(some_run(2), fire_key=some_run(1).fire_key)

    assert store.decide([evolve(to_run(2), runs=(same_key_later,))]) == [False]


def test_the_newest_success_is_kept_however_old() -> None:
    store = MemoryStore(keep_runs=2)
    store.declare([some_job()], START)
    for hour in range(1, 8):
        store.decide([to_run(hour)])
        finish(store, some_run(hour).run_id, status=RunStatus.SUCCEEDED if hour == 2 else RunStatus.FAILED)

    assert store.last_success("sweep") == START + 2 * HOUR
    assert [run.run_id[-1] for run in store.runs()] == ["7", "2"]


def test_what_is_not_answered_is_kept_however_old() -> None:
    store = MemoryStore(keep_runs=1)
    store.declare([some_job()], START)
    store.decide([to_run(hour) for hour in range(1, 5)])
    finish(store, some_run(1).run_id, status=RunStatus.INTERRUPTED)

    for hour in (2, 3, 4):
        finish(store, some_run(hour).run_id)

    assert [run.run_id[-1] for run in store.unanswered()] == ["1"]


def test_a_claim_that_alone_guards_its_fire_time_is_kept() -> None:
    store = MemoryStore(keep_runs=1)
    store.declare([some_job()], START)
    store.decide([to_run(1), to_run(2), to_run(3)])
    store.release(START)
    for hour in (1, 2, 3):
        finish(store, some_run(hour).run_id)

    assert len(store.runs()) == 3


def test_no_mark_is_lowered_below_a_claim_that_is_forgotten() -> None:
    store = MemoryStore(keep_runs=1)
    store.declare([some_job()], START)
    for hour in (1, 2, 3, 4):
        store.decide([to_run(hour)])
        finish(store, some_run(hour).run_id)

    store.release(START)

    assert [job.mark for job in store.jobs()] == [START + 3 * HOUR]


def test_what_is_forgotten_of_a_run_is_all_of_it() -> None:
    store = MemoryStore(keep_runs=1)
    store.declare([some_job()], START)
    line = LogLine(START, 1, "info", "swept")
    for hour in (1, 2):
        store.decide([to_run(hour)])
        finish(store, some_run(hour).run_id, status=RunStatus.FAILED, again=True, log=[line])
        start(store, some_run(hour).run_id, 2)
        finish(store, some_run(hour).run_id, 2)

    assert (store.attempts("sweep-schedule-1"), store.log_lines("sweep-schedule-1")) == ([], [])
    assert store.log_lines("sweep-schedule-2") == [line]


def test_a_run_that_is_run_again_is_finished_once() -> None:
    store = MemoryStore(keep_runs=2)
    store.declare([some_job()], START)
    store.decide([to_run(1), to_run(2)])
    for hour in (1, 2):
        finish(store, some_run(hour).run_id)

    store.reopen("sweep", some_run(1).fire_key)
    start(store, some_run(1).run_id, 2)
    finish(store, some_run(1).run_id, 2)

    assert len(store.runs()) == 2


def test_a_run_that_is_run_again_is_not_finished_meanwhile() -> None:
    store = MemoryStore(keep_runs=1)
    store.declare([some_job()], START)
    store.decide([to_run(1), to_run(2), to_run(3)])
    finish(store, some_run(1).run_id, status=RunStatus.FAILED)

    store.reopen("sweep", some_run(1).fire_key)
    start(store, some_run(1).run_id, 2)
    finish(store, some_run(1).run_id, 2, RunStatus.FAILED)

    assert len(store.runs()) == 3
    finish(store, some_run(2).run_id, status=RunStatus.FAILED)
    assert [run.run_id[-1] for run in store.runs()] == ["3", "2"]


def test_a_renamed_job_keeps_as_many_finished_runs_as_any() -> None:
    store = MemoryStore(keep_runs=2)
    store.declare([some_job("sweep")], START)
    store.decide([to_run(1)])
    finish(store, some_run(1).run_id)
    store.claim(some_run(9, "brush", trigger=Trigger.MANUAL))
    store.declare([some_job("brush", formerly=("sweep",))], START)

    store.decide([to_run(2, "brush")])
    finish(store, some_run(2, "brush").run_id)

    assert len(store.runs()) == 3
    finish(store, some_run(9, "brush", trigger=Trigger.MANUAL).run_id)
    assert len(store.runs()) == 2


def test_what_a_renamed_job_has_unfinished_is_no_more_finished_than_before() -> None:
    store = MemoryStore(keep_runs=2)
    store.declare([some_job("sweep")], START)
    store.decide([to_run(1), to_run(2)])
    finish(store, some_run(1).run_id, status=RunStatus.FAILED)
    store.claim(some_run(9, "brush", trigger=Trigger.MANUAL))

    store.declare([some_job("brush", formerly=("sweep",))], START)
    store.decide([to_run(3, "brush")])
    finish(store, some_run(2).run_id, status=RunStatus.FAILED)

    assert [run.run_id for run in store.runs()] == [
        "brush-schedule-3",
        "brush-manual-9",
        "sweep-schedule-2",
        "sweep-schedule-1",
    ]


def test_the_host_is_this_process_since_the_store_was_made() -> None:
    store = MemoryStore(clock=ManualClock(START))

    store.become_host()

    assert store.host() == HostRecord(os.getpid(), socket.gethostname(), START, None, is_active=True)


def test_the_newest_gaps_of_each_job_are_kept() -> None:
    store = MemoryStore(keep_runs=2)
    store.declare([some_job()], START)

    for hour in range(1, 6):
        store.decide([not_to_run(hour, some_gap(hour, detail=str(hour)))])

    assert [gap.detail for gap in store.gaps()] == ["5", "4"]


def test_an_error_says_that_the_store_is_in_memory() -> None:
    store = MemoryStore()
    by_hand = some_run(1, trigger=Trigger.MANUAL)
    store.claim(by_hand)

    with pytest.raises(StoreError, match=f"store in memory: has a run {by_hand.run_id} already"):
        store.claim(by_hand)
    store.close()
    with pytest.raises(StoreError, match="store in memory: is closed; make another one"):
        store.runs()


def test_nothing_is_not_enough_to_keep() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        MemoryStore(keep_runs=0)


def test_a_registered_job_costs_little() -> None:
    jobs = [some_job(f"job-{number}") for number in range(10_000)]
    store = MemoryStore()
    tracemalloc.start()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()

    stored = store.declare(jobs, START)
    marks = {stored[job.job.key].mark for job in jobs}

    gc.collect()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert marks == {START}
    assert (after - before) / 10_000 < 250
    assert (peak - before) / 10_000 < 400
