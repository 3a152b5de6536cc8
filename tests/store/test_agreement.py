"""The two stores, asked the same, answer the same."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from rapua_scheduler.errors import StoreError, UnknownJobError
from rapua_scheduler.run import Decision, Gap, GapReason, Outcome, Run, RunStatus, Trigger
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import Store
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import PATIENCE, some_job

START = datetime(2026, 11, 1, tzinfo=UTC)
KEYS = ["air", "mop", "sweep"]

keys = st.sampled_from(KEYS)
minutes = st.integers(-2, 40)
scheduled = st.sampled_from([Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.RERUN])
ends = st.sampled_from([status for status in RunStatus if status.is_final])
texts = st.text(max_size=5) | st.sampled_from(["", "\udc80", "nul\0"])
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


@st.composite
def gaps_of(draw: st.DrawFn, key: str) -> tuple[Gap, ...]:
    edges = sorted(draw(st.lists(minutes, max_size=6, unique=True)))
    return tuple(
        Gap(
            key,
            at(first),
            at(last),
            draw(st.none() | st.just(last - first + 1)),
            draw(st.sampled_from([GapReason.SKIPPED, GapReason.MISSED])),
            draw(st.sampled_from(["", "a\0b"])),
        )
        for first, last in zip(edges[::2], edges[1::2], strict=False)
    )


def last_success(store: Store, job_key: str) -> datetime | None:
    return store.last_success(job_key)


def runs_of(store: Store, job_key: str) -> object:
    return store.runs(job_key=job_key)


class Agreement(RuleBasedStateMachine):
    @initialize()
    def open_both(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="agreement-"))
        self.stores: tuple[Store, Store] = (self.open(), MemoryStore(keep_runs=10**6))
        self.run_ids: list[str] = []
        self.seen: list[tuple[Run, ...]] = []

    def open(self) -> SqliteStore:
        return SqliteStore.open(self.folder / "store.db", create=True)

    def both(self, ask: Callable[[Store], object]) -> None:
        answers: list[object] = []
        for store in self.stores:
            try:
                answers.append(ask(store))
            except (StoreError, UnknownJobError, ValueError) as error:
                answers.append(type(error))
        assert answers[0] == answers[1]

    def new_run_id(self, data: st.DataObject) -> str:
        if self.run_ids and data.draw(st.integers(0, 9)) == 0:
            return data.draw(st.sampled_from(self.run_ids))
        self.run_ids.append(f"run-{len(self.run_ids)}")
        return self.run_ids[-1]

    @rule(chosen=st.sets(keys, min_size=1), minute=minutes, name=texts, hours=st.integers(1, 3))
    def declare(self, chosen: set[str], minute: int, name: str, hours: int) -> None:
        jobs = [some_job(key, name=f"Job {name}", hours=hours) for key in sorted(chosen)]
        self.both(lambda store: dict(store.declare(jobs, at(minute))))

    @rule(next_fire_times=st.dictionaries(keys, st.none() | minutes.map(at)))
    def set_next(self, next_fire_times: dict[str, datetime | None]) -> None:
        self.both(lambda store: store.set_next(next_fire_times))

    @rule(data=st.data())
    def decide(self, data: st.DataObject) -> None:
        decisions = []
        for key in data.draw(st.lists(keys, max_size=4)):
            mark = data.draw(minutes)
            runs: tuple[Run, ...] = ()
            if data.draw(st.booleans()):
                fire_time = data.draw(st.integers(mark - 3, mark))
                fire_key = str(data.draw(st.just(fire_time) | minutes))
                status = data.draw(st.sampled_from([RunStatus.RUNNING, RunStatus.QUEUED]))
                trigger = data.draw(scheduled)
                runs = (Run(self.new_run_id(data), key, at(fire_time), fire_key, trigger, status, started_at=at(mark)),)
            next_fire_time = data.draw(st.none() | minutes.map(at))
            decisions.append(Decision(key, at(mark), next_fire_time, runs, data.draw(gaps_of(key))))
        self.both(lambda store: list(store.decide(decisions)))

    @rule(data=st.data(), key=keys, minute=minutes, trigger=st.sampled_from([Trigger.MANUAL, Trigger.BACKFILL]))
    def claim(self, data: st.DataObject, key: str, minute: int, trigger: Trigger) -> None:
        run = Run(self.new_run_id(data), key, at(minute), str(minute), trigger, started_at=at(minute))
        self.both(lambda store: store.claim(run))

    @rule(
        data=st.data(),
        attempt=st.sampled_from([1, 1, 1, 2]),
        outcome=st.builds(
            Outcome, ends, minutes.map(at), st.none() | st.dictionaries(texts, scalars, max_size=3), st.none() | texts
        ),
    )
    def finish(self, data: st.DataObject, attempt: int, outcome: Outcome) -> None:
        run_id = data.draw(st.sampled_from([*self.run_ids, "nobody"]))

        def finish_in(store: Store) -> object:
            told = threading.Event()
            answers: list[object] = []

            def then(error: Exception | None, is_recorded: bool) -> None:
                answers.append((error, is_recorded))
                told.set()

            store.finish(run_id, attempt, outcome, then)
            assert told.wait(PATIENCE)
            return answers

        self.both(finish_in)

    @rule()
    def open_again(self) -> None:
        self.stores[0].close()
        self.stores = (self.open(), self.stores[1])

    @rule(key=st.none() | keys, since=st.none() | minutes.map(at), limit=st.none() | st.integers(0, 5), data=st.data())
    def look(self, key: str | None, since: datetime | None, limit: int | None, data: st.DataObject) -> None:
        statuses = data.draw(st.none() | st.sets(st.sampled_from(list(RunStatus))))
        self.both(lambda store: store.runs(job_key=key, since=since, statuses=statuses, limit=limit))
        self.both(lambda store: store.gaps(job_key=key, since=since, limit=limit))

    @invariant()
    def are_equal(self) -> None:
        self.both(lambda store: store.jobs())
        self.both(lambda store: store.runs())
        self.both(lambda store: store.gaps())
        self.both(lambda store: store.last_runs())
        for key in KEYS:
            self.both(partial(last_success, job_key=key))
            self.both(partial(runs_of, job_key=key))

    @invariant()
    def a_fire_key_has_one_scheduled_run(self) -> None:
        runs = [run.run_key for run in self.stores[0].runs() if run.trigger.consumes_fire_time]
        assert len(set(runs)) == len(runs)

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder)


def explore(examples: int, steps: int) -> None:
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Agreement,
        settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=quiet),
    )


def test_the_stores_agree() -> None:
    explore(30, 20)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_stores_agree_for_longer() -> None:
    explore(120, 60)
