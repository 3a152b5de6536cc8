"""Give claimed runs their turn: start them, try them again, cancel them, and note how they end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from attrs import evolve

from rapua_scheduler.clock import Clock
from rapua_scheduler.errors import StoreError
from rapua_scheduler.events import JobPaused
from rapua_scheduler.lanes import Entry, Lanes
from rapua_scheduler.logs import get_logger
from rapua_scheduler.planner import Standing, Verdict, place_of
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Outcome, Run, RunStatus, Start, Trigger
from rapua_scheduler.runner import Attempt, Publish, Runner
from rapua_scheduler.store.port import Store

_FAILED = {RunStatus.FAILED, RunStatus.TIMED_OUT}
_ENDED = {status for status in RunStatus if status.is_final}
_HOST = "host"
_log = get_logger("rapua_scheduler.dispatcher")


class Dispatcher:
    """Everything that happens to a run between its claim and its end; belongs to the timing thread."""

    def __init__(self, store: Store, clock: Clock, runner: Runner, *, publish: Publish) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._publish = publish
        self._lanes = Lanes()
        self._ended: deque[Attempt] = deque()
        self._to_be_asked: set[str] = set()
        self._failed: deque[Attempt] = deque()
        self._unadmitted: dict[str, list[Run]] = {}

    def standing(self, registered: RegisteredJob) -> Standing:
        """Return what is under way of a job."""
        return self._lanes.standing(registered)

    def is_idle(self, job_key: str) -> bool:
        """Tell whether nothing of a job is under way."""
        return self._lanes.is_idle(job_key)

    # -- runs come in

    def carry_out(self, registered: RegisteredJob, verdict: Verdict) -> None:
        """Start, or let wait, the runs that a recorded decision has claimed.

        Raises:
            StoreError: What they take the place of could not be cancelled; they are in their places.
        """
        for run in verdict.decision.runs:
            if run.status is RunStatus.RUNNING:
                self._execute(self._lanes.start(registered, run))
            else:
                self._let_wait(registered, run)
        if verdict.cancels or verdict.replaces:
            self._make_room(verdict.cancels, verdict.replaces, verdict.decision.runs[-1].run_id)

    def take_queued(self, find_job: Callable[[str], RegisteredJob | None]) -> None:
        """Take the queued runs that are nobody's, or were left by a host that is gone.

        Args:
            find_job: Gives the job of a key, if it may run; what is queued for another one waits until that
                is adopted.

        Raises:
            StoreError: They could not be taken, or one of them not be given its place; the next call goes on.
        """
        for run in self._store.take_queued():
            self._unadmitted.setdefault(run.job_key, []).append(run)
        for job_key in list(self._unadmitted):
            registered = find_job(job_key)
            if registered is not None:
                self.adopt(registered)

    def adopt(self, registered: RegisteredJob) -> None:
        """Let the runs that are queued for a job that has just come have their turn.

        Raises:
            StoreError: One of them could not be given its place; the others wait for the next call.
        """
        waiting = self._unadmitted.get(registered.job.key, [])
        while waiting:
            self.admit(registered, waiting[0])
            waiting.pop(0)
        self._unadmitted.pop(registered.job.key, None)

    def admit(self, registered: RegisteredJob, run: Run) -> None:
        """Give a queued run its place.

        Raises:
            StoreError: What it replaces, or itself if it is skipped, could not be recorded.
        """
        if run.trigger is Trigger.MANUAL and run.started_at is None:
            place = place_of(registered.job.overlap, self._lanes.standing(registered))
            if place.status is None:
                self._skip(registered, run, place.why_skipped)
                return
            self._make_room(place.cancels, place.replaces, run.run_id)
        self._let_wait(registered, run)

    def _let_wait(self, registered: RegisteredJob, run: Run) -> None:
        self._lanes.wait(registered, run)
        if self._ended:  # what it waits for may have ended while nothing waited, and so have told nobody
            self._runner.wake()

    def _skip(self, registered: RegisteredJob, run: Run, why: str) -> None:
        self._store.drop(run.run_id, Outcome(RunStatus.CANCELLED, self._clock.now(), error=f"skipped: {why}"))
        _log.warning("Run skipped", job=registered.job.name, job_key=run.job_key, run_id=run.run_id, reason=why)

    # -- runs get their turn

    def start_ready(self, paused: Collection[str]) -> None:
        """Start the attempts whose turn it is.

        Args:
            paused: Keys of jobs of which nothing starts but what was asked for by hand.

        Raises:
            StoreError: That they start could not be recorded; none did, and their turn comes again.
        """
        entries = self._lanes.take_ready(self._clock.monotonic(), paused)
        if not entries:
            return
        now = self._clock.now()
        runs = [_next_attempt(entry.run, now) for entry in entries]
        try:
            accepted = self._store.begin([Start(run.run_id, run.attempt, now) for run in runs])
        except StoreError:
            for entry in entries:
                self._lanes.wait_again(entry, self._clock.monotonic())
            raise
        for entry, run, is_ours in zip(entries, runs, accepted, strict=True):
            if is_ours:
                entry.run = run
                self._execute(entry)
        refused = [entry for entry, is_ours in zip(entries, accepted, strict=True) if not is_ours]
        if refused:
            self._let_go(refused)

    def _let_go(self, refused: Sequence[Entry]) -> None:
        """Forget runs that must not execute: somebody has asked to cancel them, or has taken them."""
        try:
            asked = self._store.cancel_requests()
            for entry in refused:
                run_id = entry.run.run_id
                if run_id in asked:
                    self.cancel(run_id, f"cancelled by {asked[run_id]}")
                else:
                    _log.warning("Run taken elsewhere", job_key=entry.run.job_key, run_id=run_id)
                    self._end(entry)
        except StoreError:
            for entry in refused:
                self._lanes.wait_again(entry, self._clock.monotonic())
            raise

    def seconds_to_wait(self) -> float | None:
        """Return in how many seconds a further attempt is due; None if none is."""
        return self._lanes.seconds_to_wait(self._clock.monotonic())

    def _execute(self, entry: Entry) -> None:
        self._runner.start(entry.registered, entry.run, self._note_end, retry=entry.registered.job.retry)

    # -- runs end

    def cancel(self, run_id: str, reason: str) -> None:
        """Cancel a run, whether it executes or waits.

        Raises:
            StoreError: The end of one that waits could not be recorded.
        """
        if self._runner.cancel(run_id, reason):
            return
        if self._store.drop(run_id, Outcome(RunStatus.CANCELLED, self._clock.now(), error=reason)):
            _log.warning("Run cancelled before it started", run_id=run_id, reason=reason)
            for entry in self._lanes.entries():
                if entry.run.run_id == run_id:
                    self._end(entry)
            for waiting in self._unadmitted.values():
                waiting[:] = [run for run in waiting if run.run_id != run_id]

    def _make_room(self, cancels: Sequence[str], replaces: Sequence[str], run_id: str) -> None:
        for other in (*replaces, *cancels):
            self.cancel(other, f"run {run_id} takes its place")

    def _note_end(self, attempt: Attempt) -> None:
        """Note that an attempt has ended; called from any thread."""
        self._ended.append(attempt)
        if attempt.again_in is not None or self._lanes.has_pending or _is_watched(attempt.registered):
            self._runner.wake()

    def _end(self, entry: Entry) -> None:
        """Forget a run that is at its end, or that will not be started."""
        self._lanes.end(entry)
        if entry.registered.asks_after_each_run:
            self._to_be_asked.add(entry.run.job_key)
            self._runner.wake()

    def take_ended(self) -> Collection[str]:
        """Note what has ended since the last call; return the jobs that are asked for their next fire time then."""
        while self._ended:
            attempt = self._ended.popleft()
            entry = self._lanes.find(attempt.run.run_id, attempt.run.job_key)
            if entry is None:
                continue
            if attempt.again_in is None:
                self._end(entry)
                if attempt.outcome is not None and attempt.outcome.status in _FAILED:
                    self._failed.append(attempt)
            else:
                entry.run = evolve(entry.run, failures=entry.run.failures + 1)
                self._lanes.wait_again(entry, self._clock.monotonic() + attempt.again_in.total_seconds())
        asked, self._to_be_asked = self._to_be_asked, set()
        return asked

    # -- jobs that had better not run any more

    def pause_after_failures(self) -> None:
        """Pause the jobs of which runs have failed, if they want so after as many in a row.

        Raises:
            StoreError: Runs could not be read, or a pause not be recorded; the next call goes on.
        """
        while self._failed:
            job = self._failed[0].registered.job
            if (most := job.pause_after_failures) is not None:
                newest = self._store.runs(job_key=job.key, statuses=_ENDED, limit=most)
                if len(newest) == most and all(run.status in _FAILED for run in newest):
                    self.pause(job.key, f"{most} runs in a row failed, the last of them {newest[0].run_id}")
            self._failed.popleft()

    def pause(self, job_key: str, reason: str) -> None:
        """Pause a job in the host's own name.

        Raises:
            StoreError: It could not be recorded.
        """
        if self._store.pause(job_key, self._clock.now(), reason, _HOST):
            _log.error("Job paused", job_key=job_key, reason=reason, hint=f"rapua-scheduler resume {job_key}")
            if self._publish.is_heard:
                self._publish(JobPaused(job_key, reason))
            self._runner.wake()


def _is_watched(registered: RegisteredJob) -> bool:
    """Tell whether the engine has something to do when a run of the job ends."""
    return registered.job.pause_after_failures is not None or registered.asks_after_each_run


def _next_attempt(run: Run, now: datetime) -> Run:
    """Return a queued run as it is once its next attempt executes."""
    return evolve(
        run,
        status=RunStatus.RUNNING,
        attempt=run.attempt if run.started_at is None else run.attempt + 1,
        started_at=now.astimezone(UTC),
        finished_at=None,
        result=None,
        error=None,
    )
