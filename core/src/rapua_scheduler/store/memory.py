"""The store that forgets: for embedding, dry runs and tests."""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice

from attrs import evolve

from rapua_scheduler.errors import StoreError, UnknownJobError
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, Gap, Outcome, Run, RunStatus
from rapua_scheduler.store.port import StoredJob
from rapua_scheduler.store.rules import check_decisions, check_manual, check_outcome, fold_gaps
from rapua_scheduler.store.texts import storable, storable_error


class _NumberedGap:
    __slots__ = ("after_run", "gap", "number")

    def __init__(self, number: int, gap: Gap, after_run: str | None) -> None:
        self.number = number
        self.gap = gap
        self.after_run = after_run  # the job's newest claim when the gap was recorded


class _History:
    """What became of one job's fire times; made when the first thing did."""

    __slots__ = ("fire_keys", "gaps", "run_ids", "unfinished")

    def __init__(self) -> None:
        self.run_ids: list[str] = []  # oldest claim first
        self.unfinished = 0
        self.fire_keys: set[str] = set()  # claimed ones
        self.gaps: list[_NumberedGap] = []  # oldest first


class _Record:
    """One declared job; a `StoredJob` is made of it when one is asked for."""

    __slots__ = ("first_seen_at", "last_seen_at", "mark", "next_fire_time", "registered")

    def __init__(self, registered: RegisteredJob, at: datetime) -> None:
        self.registered = registered
        self.mark = at
        self.next_fire_time: datetime | None = None
        self.first_seen_at = at
        self.last_seen_at = at

    def stored(self) -> StoredJob:
        registered = self.registered
        return StoredJob(
            registered.job.key,
            storable(registered.job.name),
            storable(registered.plugin),
            storable(registered.distribution),
            storable(registered.version),
            storable(registered.schedule),
            storable(registered.fingerprint),
            self.mark,
            self.next_fire_time,
            self.first_seen_at,
            self.last_seen_at,
        )


class _StoredJobs(Mapping[str, StoredJob]):
    """Makes each `StoredJob` when it is looked at; thousands at once would stay in memory for good."""

    __slots__ = ("_keys", "_records")

    def __init__(self, records: Mapping[str, _Record], keys: Collection[str]) -> None:
        self._records = records
        self._keys = keys

    def __getitem__(self, key: str) -> StoredJob:
        if key not in self._keys:
            raise KeyError(key)
        return self._records[key].stored()

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class MemoryStore:
    """A store in memory; see `Store` for what it promises, for as long as the process lives.

    Of each job it keeps the newest finished runs and gaps only. It has one owner, which lives.
    """

    def __init__(self, *, keep_runs: int = 100) -> None:
        """Make an empty store.

        Args:
            keep_runs: Finished runs kept of each job, and gaps as many; at least 1.
        """
        if keep_runs < 1:
            raise ValueError(f"keep_runs must be at least 1, not {keep_runs}")
        self._keep = keep_runs
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}
        self._histories: dict[str, _History] = {}
        self._runs: dict[str, Run] = {}  # oldest claim first
        self._gaps_recorded = 0
        self._is_closed = False

    def become_host(self) -> None:
        """See `Store.become_host`."""
        with self._open():
            pass

    def declare(self, jobs: Sequence[RegisteredJob], at: datetime) -> Mapping[str, StoredJob]:
        """See `Store.declare`."""
        at = _utc(at)
        with self._open():
            for registered in jobs:
                record = self._records.get(registered.job.key)
                if record is None:
                    self._records[registered.job.key] = _Record(registered, at)
                else:
                    record.registered = registered
                    record.last_seen_at = at
        return _StoredJobs(self._records, dict.fromkeys(registered.job.key for registered in jobs))

    def set_next(self, next_fire_times: Mapping[str, datetime | None]) -> None:
        """See `Store.set_next`."""
        with self._open():
            self._refuse_undeclared(next_fire_times)
            for key, next_fire_time in next_fire_times.items():
                self._records[key].next_fire_time = _optional_utc(next_fire_time)

    def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
        """See `Store.decide`."""
        check_decisions(decisions)
        with self._open():
            self._refuse_undeclared(decision.job_key for decision in decisions)
            return [self._record(decision) for decision in decisions]

    def claim(self, run: Run) -> None:
        """See `Store.claim`."""
        check_manual(run)
        with self._open():
            if run.run_id in self._runs:
                raise StoreError(_PATH, f"has a run {run.run_id} already")
            self._add(self._history(run.job_key), _claimed(run, run.attempt))

    def finish(
        self, run_id: str, attempt: int, outcome: Outcome, then: Callable[[Exception | None, bool], None]
    ) -> None:
        """See `Store.finish`; *then* is called at once."""
        check_outcome(run_id, outcome)
        try:
            with self._open():
                is_recorded = self._finish(run_id, attempt, outcome)
        except StoreError as error:
            then(error, False)
        else:
            then(None, is_recorded)

    def mark_lost(self, at: datetime) -> Sequence[Run]:
        """See `Store.mark_lost`; the one owner lives, so nothing is ever lost."""
        with self._open():
            return []

    def jobs(self) -> Sequence[StoredJob]:
        """See `Store.jobs`."""
        with self._open():
            return [self._records[key].stored() for key in sorted(self._records)]

    def run(self, run_id: str) -> Run | None:
        """See `Store.run`."""
        with self._open():
            return self._runs.get(run_id)

    def runs(
        self,
        *,
        job_key: str | None = None,
        since: datetime | None = None,
        statuses: Collection[RunStatus] | None = None,
        limit: int | None = None,
    ) -> Sequence[Run]:
        """See `Store.runs`."""
        with self._open():
            candidates = self._newest_first(job_key)
            found = (
                run
                for run in candidates
                if (since is None or (run.started_at is not None and run.started_at >= since))
                and (statuses is None or run.status in statuses)
            )
            return list(islice(found, limit))

    def last_runs(self) -> Mapping[str, Run]:
        """See `Store.last_runs`."""
        with self._open():
            return {
                key: self._runs[history.run_ids[-1]]
                for key, history in sorted(self._histories.items())
                if history.run_ids
            }

    def last_success(self, job_key: str) -> datetime | None:
        """See `Store.last_success`."""
        with self._open():
            runs = self._newest_first(job_key)
            return next((run.fire_time for run in runs if run.status is RunStatus.SUCCEEDED), None)

    def gaps(
        self, *, job_key: str | None = None, since: datetime | None = None, limit: int | None = None
    ) -> Sequence[Gap]:
        """See `Store.gaps`."""
        with self._open():
            histories = self._histories.values() if job_key is None else [self._histories.get(job_key, _History())]
            found = [
                numbered
                for history in histories
                for numbered in history.gaps
                if since is None or numbered.gap.last >= since
            ]
        found.sort(key=_age, reverse=True)
        return [numbered.gap for numbered in found[:limit]]

    def close(self) -> None:
        """See `Store.close`; what was recorded is forgotten."""
        with self._lock:
            self._is_closed = True

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._is_closed:
                raise StoreError(_PATH, "is closed; make another one")
            yield

    def _refuse_undeclared(self, job_keys: Iterable[str]) -> None:
        for key in job_keys:
            if key not in self._records:
                raise UnknownJobError(key, tuple(self._records))

    def _record(self, decision: Decision) -> bool:
        record, run = self._records[decision.job_key], decision.run
        if (decision.mark if run is None else run.fire_time) <= record.mark:
            return False
        if run is not None or decision.gaps:
            history = self._history(decision.job_key)
            if run is not None and (run.fire_key in history.fire_keys or run.run_id in self._runs):
                return False
            if decision.gaps:
                self._add_gaps(history, decision.gaps, None if run is None else run.fire_time)
            if run is not None:
                history.fire_keys.add(run.fire_key)
                self._add(history, _claimed(run, 1))
        record.mark = _utc(decision.mark)
        record.next_fire_time = _optional_utc(decision.next_fire_time)
        return True

    def _history(self, job_key: str) -> _History:
        history = self._histories.get(job_key)
        if history is None:
            history = self._histories[job_key] = _History()
        return history

    def _add(self, history: _History, run: Run) -> None:
        self._runs[run.run_id] = run
        history.run_ids.append(run.run_id)
        history.unfinished += 1

    def _add_gaps(self, history: _History, gaps: Sequence[Gap], claimed: datetime | None) -> None:
        last_run = history.run_ids[-1] if history.run_ids else None
        newest = history.gaps[-1] if history.gaps and history.gaps[-1].after_run == last_run else None
        folded = fold_gaps(None if newest is None else newest.gap, gaps, claimed)
        if newest is not None:
            newest.gap = folded.pop(0)
        for gap in folded:
            self._gaps_recorded += 1
            gap = evolve(gap, first=_utc(gap.first), last=_utc(gap.last), detail=storable(gap.detail))
            insort(history.gaps, _NumberedGap(self._gaps_recorded, gap, last_run), key=_age)
        del history.gaps[: -self._keep]

    def _finish(self, run_id: str, attempt: int, outcome: Outcome) -> bool:
        run = self._runs.get(run_id)
        if run is None or run.attempt != attempt or run.status is not RunStatus.RUNNING:
            return False
        self._runs[run_id] = Run(
            run_id,
            run.job_key,
            run.fire_time,
            run.fire_key,
            run.trigger,
            outcome.status,
            attempt,
            run.started_at,
            _utc(outcome.finished_at),
            None if outcome.result is None else dict(outcome.result),
            None if outcome.error is None else storable_error(outcome.error),
        )
        history = self._histories[run.job_key]
        history.unfinished -= 1
        if len(history.run_ids) - history.unfinished > self._keep:
            self._forget_oldest(history)
        return True

    def _forget_oldest(self, history: _History) -> None:
        for position, run_id in enumerate(history.run_ids):
            run = self._runs[run_id]
            if run.status.is_final:
                del history.run_ids[position], self._runs[run_id]
                if run.trigger.consumes_fire_time:
                    history.fire_keys.discard(run.fire_key)
                return

    def _newest_first(self, job_key: str | None) -> Iterable[Run]:
        if job_key is None:
            return reversed(self._runs.values())
        history = self._histories.get(job_key)
        return () if history is None else (self._runs[run_id] for run_id in reversed(history.run_ids))


_PATH = "in memory"


def _age(numbered: _NumberedGap) -> tuple[datetime, int]:
    return numbered.gap.last, numbered.number


def _claimed(run: Run, attempt: int) -> Run:
    started_at = _optional_utc(run.started_at)
    return Run(
        run.run_id,
        run.job_key,
        _utc(run.fire_time),
        run.fire_key,
        run.trigger,
        RunStatus.RUNNING,
        attempt,
        started_at,
    )


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is UTC:
        return instant
    if instant.tzinfo is None:
        raise TypeError(f"{instant!r} is naive; give it a zone")
    return instant.astimezone(UTC)


def _optional_utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else _utc(instant)
