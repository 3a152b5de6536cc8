"""The two stores, asked the same, answer the same."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from rapua_scheduler.errors import StoreError, UnknownJobError
from rapua_scheduler.run import Decision, Gap, GapReason, LogLine, Outcome, Run, RunStatus, Start, Trigger, WindowKind
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import Store
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import PATIENCE, settle, some_job

START = datetime(2026, 11, 1, tzinfo=UTC)
KEYS = ["air", "mop", "sweep"]

keys = st.sampled_from(KEYS)
minutes = st.integers(-2, 40)
instants = minutes.map(lambda minute: at(minute))
scheduled = st.sampled_from([Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.RERUN])
by_hand = st.sampled_from([Trigger.MANUAL, Trigger.BACKFILL])
claimed_as = st.sampled_from([RunStatus.RUNNING, RunStatus.QUEUED])
ends = st.sampled_from([status for status in RunStatus if status.is_final])
texts = st.text(max_size=5) | st.sampled_from(["", "\udc80", "nul\0"])
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts
outcomes = st.builds(
    Outcome, ends, instants, st.none() | st.dictionaries(texts, scalars, max_size=3), st.none() | texts
)
logs = st.lists(st.builds(LogLine, instants, st.integers(1, 3), texts, texts), max_size=3)
counts = st.none() | st.integers(0, 9)


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


def everything(store: Store) -> object:
    """Return all that can be read of a store, but for who has it open."""
    runs = store.runs()
    return {
        "jobs": store.jobs(),
        "runs": runs,
        "gaps": store.gaps(),
        "last runs": store.last_runs(),
        "windows": store.windows(),
        "unanswered": store.unanswered(),
        "to be cancelled": store.cancel_requests(),
        "word": store.word(),
        "alive": store.alive(),
        "attempts": {run.run_id: store.attempts(run.run_id) for run in runs},
        "logs": {run.run_id: store.log_lines(run.run_id) for run in runs},
        "by job": {key: (store.last_success(key), store.runs(job_key=key), store.gaps(job_key=key)) for key in KEYS},
    }


class Agreement(RuleBasedStateMachine):
    @initialize()
    def open_both(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="agreement-"))
        self.stores: tuple[Store, Store] = (self.open(), MemoryStore(keep_runs=10**6))
        self.run_ids: list[str] = []
        self.claimed: dict[str, int] = {}

    def open(self) -> SqliteStore:
        return SqliteStore.open(self.folder / "store.db", create=True)

    def both(self, ask: Callable[[Store], object]) -> object:
        answers: list[object] = []
        for store in self.stores:
            try:
                answers.append(ask(store))
            except (StoreError, UnknownJobError, ValueError) as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[1]

    def new_run_id(self, data: st.DataObject) -> str:
        if self.run_ids and data.draw(st.integers(0, 9)) == 0:
            return str(data.draw(st.sampled_from(self.run_ids)))
        self.run_ids.append(f"run-{len(self.run_ids)}")
        return self.run_ids[-1]

    def some_run_id(self, data: st.DataObject, *statuses: RunStatus) -> str:
        """Choose a run, most often one with one of the statuses."""
        fitting = [run.run_id for run in self.stores[1].runs(statuses=statuses)]
        if data.draw(st.integers(0, 9)) == 0 or not fitting:
            fitting = [*self.run_ids, "nobody"]
        return data.draw(st.sampled_from(fitting))

    def some_attempt(self, data: st.DataObject, run_id: str) -> int:
        run = self.stores[1].run(run_id)
        current = 1 if run is None else run.attempt
        return data.draw(st.sampled_from([current, current, current, current + 1]))

    # -- jobs

    @rule(
        chosen=st.sets(keys, min_size=1),
        minute=minutes,
        name=texts,
        hours=st.integers(1, 3),
        formerly=st.just([]) | st.lists(st.sampled_from([*KEYS, "older"]), max_size=3),
        adopt_from=st.none() | instants,
    )
    def declare(
        self,
        chosen: set[str],
        minute: int,
        name: str,
        hours: int,
        formerly: list[str],
        adopt_from: datetime | None,
    ) -> None:
        jobs = [some_job(key, name=f"Job {name}", hours=hours, formerly=tuple(formerly)) for key in sorted(chosen)]
        self.both(lambda store: dict(store.declare(jobs, at(minute), adopt_from=adopt_from)))

    @rule(next_fire_times=st.dictionaries(keys, st.none() | instants))
    def set_next(self, next_fire_times: dict[str, datetime | None]) -> None:
        self.both(lambda store: store.set_next(next_fire_times))

    # -- runs

    @rule(data=st.data())
    def decide(self, data: st.DataObject) -> None:
        decisions = []
        for key in data.draw(st.lists(keys, max_size=4)):
            mark = data.draw(minutes)
            runs: list[Run] = []
            for fire_time in sorted(data.draw(st.lists(st.integers(mark - 3, mark), max_size=3))):
                fire_key = str(data.draw(st.just(fire_time) | minutes))
                trigger, status = data.draw(scheduled), data.draw(claimed_as)
                started_at = data.draw(st.none() | st.just(at(mark)))
                runs.append(
                    Run(self.new_run_id(data), key, at(fire_time), fire_key, trigger, status, started_at=started_at)
                )
            next_fire_time = data.draw(st.none() | instants)
            decisions.append(Decision(key, at(mark), next_fire_time, tuple(runs), data.draw(gaps_of(key))))
        self.both(lambda store: list(store.decide(decisions)))

    @rule(data=st.data(), key=keys, minute=minutes, trigger=by_hand)
    def claim(self, data: st.DataObject, key: str, minute: int, trigger: Trigger) -> None:
        run = Run(self.new_run_id(data), key, at(minute), str(minute), trigger, started_at=at(minute))
        self.both(lambda store: store.claim(run))

    @rule(data=st.data(), wanted=st.lists(st.tuples(keys, minutes, by_hand, texts), max_size=3))
    def enqueue(self, data: st.DataObject, wanted: list[tuple[str, int, Trigger, str]]) -> None:
        runs = [
            Run(self.new_run_id(data), key, at(minute), str(minute), trigger, asked_by=asked_by)
            for key, minute, trigger, asked_by in wanted
        ]
        self.both(lambda store: store.enqueue(runs))

    @rule()
    def take_queued(self) -> None:
        self.both(lambda store: list(store.take_queued()))

    @rule(data=st.data(), count=st.integers(0, 3), at_=instants)
    def begin(self, data: st.DataObject, count: int, at_: datetime) -> None:
        run_ids = [self.some_run_id(data, RunStatus.QUEUED) for _ in range(count)]
        starts = [Start(run_id, self.some_attempt(data, run_id), at_) for run_id in run_ids]
        self.both(lambda store: list(store.begin(starts)))

    @rule(data=st.data(), outcome=outcomes)
    def drop(self, data: st.DataObject, outcome: Outcome) -> None:
        run_id = self.some_run_id(data, RunStatus.QUEUED)
        self.both(lambda store: store.drop(run_id, outcome))

    @rule(data=st.data(), outcome=outcomes, again=st.booleans(), log=logs)
    def finish(self, data: st.DataObject, outcome: Outcome, again: bool, log: list[LogLine]) -> None:
        run_id = self.some_run_id(data, RunStatus.RUNNING)
        attempt = self.some_attempt(data, run_id)

        def finish_in(store: Store) -> object:
            told = threading.Event()
            answers: list[object] = []

            def then(error: Exception | None, is_recorded: bool) -> None:
                answers.append((error, is_recorded))
                told.set()

            store.finish(run_id, attempt, outcome, then, again=again, log=log)
            assert told.wait(PATIENCE)
            return answers

        self.both(finish_in)

    @rule(data=st.data(), reported=st.lists(st.tuples(counts, counts, logs), min_size=1, max_size=3))
    def report(self, data: st.DataObject, reported: list[tuple[int | None, int | None, list[LogLine]]]) -> None:
        run_ids = [self.some_run_id(data, RunStatus.RUNNING) for _ in reported]
        attempts = [self.some_attempt(data, run_id) for run_id in run_ids]

        def report_to(store: Store) -> None:
            for run_id, attempt, (done, total, log) in zip(run_ids, attempts, reported, strict=True):
                store.report(run_id, attempt, done=done, total=total, log=log)
            settle(store)

        self.both(report_to)

    @rule(data=st.data())
    def rerun(self, data: st.DataObject) -> None:
        run_id = self.some_run_id(data, RunStatus.INTERRUPTED, RunStatus.LOST)
        self.both(lambda store: store.rerun(run_id))

    @rule(data=st.data(), key=keys, minute=minutes)
    def reopen(self, data: st.DataObject, key: str, minute: int) -> None:
        run = self.stores[1].run(self.some_run_id(data, *(status for status in RunStatus if status.is_final)))
        fire_key = str(minute) if run is None else run.fire_key
        self.both(lambda store: store.reopen(key if run is None else run.job_key, fire_key))

    @rule(data=st.data(), count=st.integers(0, 2))
    def leave(self, data: st.DataObject, count: int) -> None:
        run_ids = [self.some_run_id(data, RunStatus.INTERRUPTED, RunStatus.LOST) for _ in range(count)]
        self.both(lambda store: store.leave(run_ids))

    @rule(minute=minutes)
    def mark_lost(self, minute: int) -> None:
        self.both(lambda store: list(store.mark_lost(at(minute))))

    # -- the operator's word

    @rule(key=keys, at_=instants, text=texts)
    def pause(self, key: str, at_: datetime, text: str) -> None:
        self.both(lambda store: store.pause(key, at_, text, text))

    @rule(key=keys, at_=instants)
    def resume(self, key: str, at_: datetime) -> None:
        self.both(lambda store: store.resume(key, at_))

    @rule(at_=instants, reason=texts)
    def hold(self, at_: datetime, reason: str) -> None:
        self.both(lambda store: store.hold(at_, reason))

    @rule(at_=instants, key=st.none() | keys)
    def release(self, at_: datetime, key: str | None) -> None:
        self.both(lambda store: list(store.release(at_, key)))
        self.both(lambda store: store.claims_ahead())

    @rule(
        jobs=st.dictionaries(keys, st.tuples(st.sampled_from([WindowKind.ABSENT, WindowKind.FAILED]), texts)),
        at_=instants,
    )
    def set_absent(self, jobs: dict[str, tuple[WindowKind, str]], at_: datetime) -> None:
        self.both(lambda store: store.set_absent(jobs, at_))

    @rule(data=st.data(), by=texts)
    def request_cancel(self, data: st.DataObject, by: str) -> None:
        run_id = self.some_run_id(data, RunStatus.RUNNING, RunStatus.QUEUED)
        self.both(lambda store: store.request_cancel(run_id, by))

    @rule(at_=instants)
    def note_alive(self, at_: datetime) -> None:
        self.both(lambda store: store.note_alive(at_))

    # -- the store

    @rule(before=instants, keep_runs=st.integers(0, 6))
    def prune(self, before: datetime, keep_runs: int) -> None:
        self.both(lambda store: store.prune(before, keep_runs))

    @rule(before=instants, keep_runs=st.integers(0, 6), most=st.integers(1, 3))
    def prune_in_steps(self, before: datetime, keep_runs: int, most: int) -> None:
        while self.both(lambda store: store.prune(before, keep_runs, most=most)) == most:
            pass

    @rule()
    def open_again(self) -> None:
        """Open the store on disk anew, and take over what its former opening had, which the other still has."""
        for run in self.stores[1].runs(statuses=[RunStatus.RUNNING]):
            for store in self.stores:
                store.finish(run.run_id, run.attempt, Outcome(RunStatus.LOST, at(0)), lambda *_: None)
        self.both(settle)
        self.stores[0].close()
        self.stores = (self.open(), self.stores[1])
        for store in self.stores:
            store.take_queued()

    # -- looking

    @rule(key=st.none() | keys, since=st.none() | instants, limit=st.none() | st.integers(0, 5), data=st.data())
    def look(self, key: str | None, since: datetime | None, limit: int | None, data: st.DataObject) -> None:
        statuses = data.draw(st.none() | st.sets(st.sampled_from(list(RunStatus))))
        self.both(lambda store: store.runs(job_key=key, since=since, statuses=statuses, limit=limit))
        self.both(lambda store: store.gaps(job_key=key, since=since, limit=limit))
        self.both(lambda store: store.windows(job_key=key, since=since))

    @rule(key=keys, at_=instants)
    def look_at(self, key: str, at_: datetime) -> None:
        self.both(lambda store: store.run_at(key, at_))

    @invariant()
    def are_equal(self) -> None:
        self.both(everything)

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


@pytest.mark.timeout(60)
def test_the_stores_agree() -> None:
    explore(settings().max_examples * 2 // 5, 25)  # 40, or what there is time for with each mutant


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_stores_agree_for_longer() -> None:
    explore(150, 80)
