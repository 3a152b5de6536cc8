"""The store in memory: the port over what it keeps."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import islice

from rapua_scheduler.clock import Clock, SystemClock
from rapua_scheduler.errors import StoreError
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import (
    Decision,
    Gap,
    LogLine,
    Outcome,
    PastAttempt,
    Run,
    RunStatus,
    Start,
    Window,
    WindowKind,
)
from rapua_scheduler.store.memory.declared import Declared, StoredJobs
from rapua_scheduler.store.memory.histories import PATH, Histories
from rapua_scheduler.store.memory.instants import optional_utc, utc
from rapua_scheduler.store.memory.windows import Windows
from rapua_scheduler.store.port import HostRecord, PartUntil, StoredJob, unknown_part
from rapua_scheduler.store.rules import AHEAD, BY_HOST, check_decisions, check_manual, check_outcome, check_queued
from rapua_scheduler.store.texts import storable

_NOT_THERE = {WindowKind.ABSENT, WindowKind.FAILED}


class MemoryStore:
    """A store in memory; see `Store` for what it promises, for as long as the process lives.

    Of each job it keeps the newest finished runs and gaps only. It has one owner, which lives.
    """

    def __init__(self, *, keep_runs: int = 100, clock: Clock | None = None) -> None:
        """Make an empty store.

        Args:
            keep_runs: Finished runs kept of each job, and gaps as many; at least 1.
            clock: Tells when it was made; by default the machine's.
        """
        if keep_runs < 1:
            raise ValueError(f"keep_runs must be at least 1, not {keep_runs}")
        self._lock = threading.Lock()
        self._jobs = Declared()
        self._histories = Histories(keep_runs, self._jobs.mark_of)
        self._windows = Windows()
        self._word = 0
        self._releases = 0
        self._made_at = (clock or SystemClock()).now()
        self._is_host = False
        self._alive_at: datetime | None = None
        self._has_noted = False
        self._is_closed = False

    def become_host(self) -> None:
        """See `Store.become_host`."""
        with self._open():
            self._is_host = True

    def host(self) -> HostRecord | None:
        """See `Store.host`."""
        with self._open():
            if not self._is_host:
                return None
            alive_at = self._alive_at if self._has_noted else None
            return HostRecord(os.getpid(), socket.gethostname(), self._made_at, alive_at, is_active=True)

    def declare(
        self, jobs: Sequence[RegisteredJob], at: datetime, *, adopt_from: datetime | None = None
    ) -> Mapping[str, StoredJob]:
        """See `Store.declare`."""
        at = utc(at)
        mark = at if adopt_from is None else utc(adopt_from)
        keys = dict.fromkeys(registered.job.key for registered in jobs)
        with self._open():
            self._made_at = min(self._made_at, at)  # a clock that was ahead may have told
            for registered in jobs:
                if registered.job.formerly:
                    self._take_over(registered, keys)
            for registered in jobs:
                self._jobs.declare(registered, at, mark)
                for kind in _NOT_THERE:
                    self._windows.end(registered.job.key, kind, at)
        return StoredJobs(self._jobs, keys)

    def set_next(self, next_fire_times: Mapping[str, datetime | None]) -> None:
        """See `Store.set_next`."""
        with self._open():
            self._jobs.refuse_undeclared(next_fire_times)
            for key, next_fire_time in next_fire_times.items():
                self._jobs.find(key).next_fire_time = optional_utc(next_fire_time)

    # -- runs

    def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
        """See `Store.decide`."""
        check_decisions(decisions)
        with self._lock:
            self._refuse_if_closed()
            self._jobs.refuse_undeclared(decision.job_key for decision in decisions)
            return [self._record(decision) for decision in decisions]

    def claim(self, run: Run) -> None:
        """See `Store.claim`."""
        check_manual(run)
        with self._open():
            self._histories.claim(run)

    def enqueue(self, runs: Sequence[Run]) -> None:
        """See `Store.enqueue`."""
        check_queued(runs)
        with self._open():
            self._histories.enqueue(runs)
            self._said(bool(runs))

    def take_queued(self) -> Sequence[Run]:
        """See `Store.take_queued`."""
        with self._open():
            return self._histories.take_queued()

    def begin(self, starts: Sequence[Start]) -> Sequence[bool]:
        """See `Store.begin`."""
        with self._open():
            return [self._histories.begin(start) for start in starts]

    def drop(self, run_id: str, outcome: Outcome) -> bool:
        """See `Store.drop`."""
        check_outcome(run_id, outcome)
        with self._open():
            return self._histories.drop(run_id, outcome)

    def finish(
        self,
        run_id: str,
        attempt: int,
        outcome: Outcome,
        then: Callable[[Exception | None, bool], None],
        *,
        again: bool = False,
        log: Sequence[LogLine] = (),
    ) -> None:
        """See `Store.finish`; *then* is called at once."""
        check_outcome(run_id, outcome)
        try:
            with self._lock:
                self._refuse_if_closed()
                is_recorded = self._histories.finish(run_id, attempt, outcome, again=again, log=log)
        except StoreError as error:
            then(error, False)
        else:
            then(None, is_recorded)

    def report(self, run_id: str, attempt: int, *, done: int | None, total: int | None, log: Sequence[LogLine]) -> None:
        """See `Store.report`."""
        with self._lock:
            if not self._is_closed:
                self._histories.report(run_id, attempt, done=done, total=total, log=log)

    def mark_lost(self, at: datetime) -> Sequence[Run]:
        """See `Store.mark_lost`; the one owner lives, so nothing is ever lost."""
        with self._open():
            return []

    def unanswered(self) -> Sequence[Run]:
        """See `Store.unanswered`."""
        with self._open():
            return self._histories.unanswered()

    def rerun(self, run_id: str) -> Run | None:
        """See `Store.rerun`."""
        with self._open():
            return self._histories.rerun(run_id)

    def reopen(self, job_key: str, fire_key: str) -> Run | None:
        """See `Store.reopen`."""
        with self._open():
            return self._histories.reopen(job_key, fire_key)

    def leave(self, run_ids: Collection[str]) -> None:
        """See `Store.leave`."""
        with self._open():
            self._histories.leave(run_ids)

    # -- the operator's word

    def pause(self, job_key: str, at: datetime, reason: str, by: str) -> bool:
        """See `Store.pause`."""
        with self._open():
            self._jobs.refuse_undeclared([job_key])
            return self._said(self._windows.begin(job_key, WindowKind.PAUSED, utc(at), reason, by))

    def resume(self, job_key: str, at: datetime) -> bool:
        """See `Store.resume`."""
        with self._open():
            self._jobs.refuse_undeclared([job_key])
            return self._said(self._windows.end(job_key, WindowKind.PAUSED, utc(at)))

    def hold(self, at: datetime, reason: str) -> None:
        """See `Store.hold`."""
        with self._open():
            self._said(self._windows.begin("", WindowKind.HELD, utc(at), reason, BY_HOST))

    def release(
        self, at: datetime, job_key: str | None = None, *, part_until: PartUntil = unknown_part
    ) -> Sequence[str]:
        """See `Store.release`."""
        at = utc(at)
        with self._open():
            self._windows.end("", WindowKind.HELD, at)
            self._alive_at = at
            self._releases += 1
            self._said(True)
            said_of = [key for key in self._jobs if job_key in (None, key)]
            for key in said_of:
                self._jobs.end_formers(key, at)
            return [key for key in said_of if self._lower(key, at, part_until)]

    def claims_ahead(self) -> Mapping[str, Sequence[datetime]]:
        """See `Store.claims_ahead`."""
        with self._open():
            ahead = {key: self._histories.claims_after(key, self._jobs.find(key).mark) for key in self._jobs}
            return {key: claims for key, claims in ahead.items() if claims}

    def set_absent(self, jobs: Mapping[str, tuple[WindowKind, str]], at: datetime) -> None:
        """See `Store.set_absent`."""
        at = utc(at)
        with self._open():
            for key, (kind, reason) in jobs.items():
                if key in self._jobs:
                    for other in _NOT_THERE - {kind}:
                        self._windows.end(key, other, at)
                    self._windows.begin(key, kind, at, reason, BY_HOST)

    def windows(self, *, job_key: str | None = None, since: datetime | None = None) -> Sequence[Window]:
        """See `Store.windows`."""
        with self._open():
            return self._windows.listed(job_key, since)

    def request_cancel(self, run_id: str, by: str) -> bool:
        """See `Store.request_cancel`."""
        with self._open():
            return self._said(self._histories.request_cancel(run_id, by))

    def cancel_requests(self) -> Mapping[str, str]:
        """See `Store.cancel_requests`."""
        with self._open():
            return self._histories.cancel_requests()

    def word(self) -> int:
        """See `Store.word`."""
        with self._open():
            return self._word

    def releases(self) -> int:
        """See `Store.releases`."""
        with self._open():
            return self._releases

    def note_alive(self, at: datetime) -> None:
        """See `Store.note_alive`."""
        with self._open():
            self._alive_at = utc(at)
            self._has_noted = True

    def alive(self) -> datetime | None:
        """See `Store.alive`."""
        with self._open():
            return self._alive_at

    # -- listings

    def jobs(self) -> Sequence[StoredJob]:
        """See `Store.jobs`."""
        with self._open():
            return [self._jobs.stored(key) for key in self._jobs]

    def run(self, run_id: str) -> Run | None:
        """See `Store.run`."""
        with self._open():
            return self._histories.run(run_id)

    def runs(
        self,
        *,
        job_key: str | None = None,
        since: datetime | None = None,
        statuses: Collection[RunStatus] | None = None,
        id_part: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Run]:
        """See `Store.runs`."""
        with self._open():
            found = (
                run
                for run in self._histories.newest_first(job_key)
                if (since is None or (run.started_at is not None and run.started_at >= since))
                and (statuses is None or run.status in statuses)
                and (id_part is None or run.run_id.startswith(id_part) or run.run_id.endswith(id_part))
            )
            return list(islice(found, limit))

    def forgotten_until(self, job_key: str) -> datetime | None:
        """See `Store.forgotten_until`."""
        with self._open():
            return self._histories.forgotten_until(job_key)

    def run_at(self, job_key: str, fire_time: datetime) -> Run | None:
        """See `Store.run_at`."""
        with self._open():
            runs = self._histories.newest_first(job_key)
            return next((run for run in runs if run.fire_time == fire_time and run.trigger.consumes_fire_time), None)

    def attempts(self, run_id: str) -> Sequence[PastAttempt]:
        """See `Store.attempts`."""
        with self._open():
            return self._histories.attempts(run_id)

    def log_lines(self, run_id: str) -> Sequence[LogLine]:
        """See `Store.log_lines`."""
        with self._open():
            return self._histories.log_lines(run_id)

    def last_runs(self) -> Mapping[str, Run]:
        """See `Store.last_runs`."""
        with self._open():
            return self._histories.last_runs()

    def last_success(self, job_key: str) -> datetime | None:
        """See `Store.last_success`."""
        with self._open():
            runs = self._histories.newest_first(job_key)
            return next((run.fire_time for run in runs if run.status is RunStatus.SUCCEEDED), None)

    def gaps(
        self, *, job_key: str | None = None, since: datetime | None = None, limit: int | None = None
    ) -> Sequence[Gap]:
        """See `Store.gaps`."""
        with self._open():
            return self._histories.gaps(job_key, since, limit)

    # -- the end

    def prune(self, before: datetime, keep_runs: int, *, most: int = 1000) -> int:
        """See `Store.prune`."""
        before = utc(before)
        with self._open():
            gone = self._histories.prune(before, keep_runs, most)
            marks = [self._jobs.find(key).mark for key in self._jobs]
            self._jobs.forget_formers(utc(before))
            self._windows.forget(before, lambda key: self._jobs.mark_of(key) if key else min(marks, default=None))
            return gone

    def close(self) -> None:
        """See `Store.close`; what was recorded is forgotten."""
        with self._lock:
            self._is_closed = True

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            self._refuse_if_closed()
            yield

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise StoreError(PATH, "is closed; make another one")

    def _take_over(self, registered: RegisteredJob, taken: Collection[str]) -> None:
        former = self._jobs.take_over(registered, taken)
        if former is not None:
            self._histories.rename(former, registered.job.key)
            self._windows.rename(former, registered.job.key)

    def _record(self, decision: Decision) -> bool:
        record = self._jobs.find(decision.job_key)
        if (decision.runs[0].fire_time if decision.runs else decision.mark) <= record.mark:
            return False
        if not self._histories.record(decision):
            return False
        record.mark = utc(decision.mark)
        record.next_fire_time = optional_utc(decision.next_fire_time)
        return True

    def _lower(self, job_key: str, at: datetime, part_until: PartUntil) -> bool:
        lowest = max(at, self._histories.pruned_until(job_key) or at)
        record = self._jobs.find(job_key)
        is_later = record.mark > lowest + AHEAD
        if is_later:
            fingerprint = storable(record.registered.fingerprint)
            self._histories.take_back_gaps(job_key, lowest, record.mark, partial(part_until, fingerprint))
            self._jobs.lower(job_key, lowest)
        return is_later

    def _said(self, is_new: bool) -> bool:
        self._word += is_new
        return is_new
