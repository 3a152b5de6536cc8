"""Carry claimed runs through their attempt: context, executor, timeout, record, report."""

from __future__ import annotations

import heapq
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol

from attrs import evolve

from rapua_scheduler.clock import Clock
from rapua_scheduler.context import Cancellation, JobContext, is_cancellation
from rapua_scheduler.events import Event, RunFinished, RunStarted
from rapua_scheduler.executors.port import Assignment, Executor
from rapua_scheduler.job import call_run
from rapua_scheduler.logs import get_logger
from rapua_scheduler.outcomes import describe_error, plain_result, summarize_error
from rapua_scheduler.planner import retry_delay
from rapua_scheduler.policy import Retry
from rapua_scheduler.recorder import Recorder
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import LogLine, Outcome, Run, RunStatus
from rapua_scheduler.store.port import Store

RECORD_AGAIN_AFTER = 1.0
"""Seconds after which an outcome that the store refused is handed to it again."""

REPORT_EVERY = 1.0
"""Seconds between two looks at what executing attempts say of themselves."""

RECORD_WITHIN = 10.0
"""Seconds that `stop` waits for the store to record the last outcomes."""

_LEVELS = {
    RunStatus.SUCCEEDED: logging.INFO,
    RunStatus.CANCELLED: logging.WARNING,
    RunStatus.INTERRUPTED: logging.WARNING,
}
ONCE = Retry()
"""No attempt but the first."""

_TRIED_AGAIN = {RunStatus.FAILED, RunStatus.TIMED_OUT}
_log = get_logger("rapua_scheduler.runner")
_JOB_LOGGER = "rapua_scheduler.job"
_stdlib_log = logging.getLogger("rapua_scheduler.runner")
_noting = threading.Lock()  # of all attempts, each of which needs it for moments only


class Publish(Protocol):
    """Tells observers of an event; cheap to ask whether there are any."""

    @property
    def is_heard(self) -> bool:
        """Whether anybody observes."""

    def __call__(self, event: Event) -> None:
        """Hand the event over and return at once."""


class FindExecutor(Protocol):
    """Gives the executor that a job's attempts belong on."""

    def __call__(self, registered: RegisteredJob) -> Executor:
        """Return the executor of the job's plugin and kind."""


class Attempt:
    """One try of one run, from the claim to the recorded outcome.

    It comes to its end twice: its outcome is *settled* (the job returned, timed out, or was given
    up at shutdown; the first counts) and its thread or task is *released*. Only when both have
    happened may the job run again.

    Attributes:
        again_in: After how long the run is to be tried again; None if this was its last attempt.
        is_settled: Whether the outcome is settled.
        last_lines: What it has written to its log, and is to be recorded with its outcome.
        recorder: What it has said of itself; None if it has said nothing, as most do.
    """

    __slots__ = (
        "_is_halfway",
        "_runner",
        "again_in",
        "cancel_status",
        "cancellation",
        "context",
        "deadline",
        "dry_run",
        "executor",
        "is_settled",
        "last_lines",
        "on_end",
        "outcome",
        "recorder",
        "registered",
        "retry",
        "run",
    )

    def __init__(
        self,
        runner: Runner,
        registered: RegisteredJob,
        run: Run,
        on_end: Callable[[Attempt], None],
        *,
        retry: Retry,
        dry_run: bool,
    ) -> None:
        self._runner = runner
        self._is_halfway = False
        self.is_settled = False
        self.registered = registered
        self.run = run
        self.executor: Executor | None = None
        self.on_end = on_end
        self.dry_run = dry_run
        self.cancellation = Cancellation()
        self.cancel_status = RunStatus.CANCELLED
        self.context: JobContext | None = None
        self.deadline: float | None = None
        self.outcome: Outcome | None = None
        self.retry = retry
        self.again_in: timedelta | None = None
        self.recorder: Recorder | None = None
        self.last_lines: Sequence[LogLine] = ()

    def settle_once(self) -> bool:
        """Tell whether the caller is the first to settle the outcome."""
        with _noting:
            is_first, self.is_settled = not self.is_settled, True
        return is_first

    def arrive(self) -> None:
        """Note that one of two ends, recorded and released, is reached; the second tells the engine."""
        with _noting:
            is_second, self._is_halfway = self._is_halfway, True
        if is_second:
            self.on_end(self)

    @property
    def assignment(self) -> Assignment:
        """What an executor outside this process needs to know; once the attempt has begun."""
        return self._runner.assignment_of(self)

    def begin(self) -> bool:
        """Make the context and start the clock of the timeout; called by the executor."""
        return self._runner.begin(self)

    def call(self) -> object:
        """Call the job's function; called by the executor."""
        return call_run(self.registered.job.run, self.context)

    def end(self, returned: object, error: BaseException | None) -> None:
        """Settle what the function returned or raised; called by the executor."""
        self._runner.end(self, returned, error)

    # -- called through the context, by the job

    def make_log(self) -> Any:
        """Return the logger of the attempt, whose lines are recorded too."""
        return self._runner.recorder_of(self).logger(_JOB_LOGGER, **self._names())

    def note_line(self, level: str, text: str, event: Mapping[str, Any] | None) -> None:
        """Record and log what the job has logged or printed elsewhere.

        Args:
            level: Such as "info".
            text: What is recorded.
            event: What is logged, if not the text: "event" and the other fields.
        """
        self._runner.recorder_of(self).add(level, text)
        getattr(get_logger(_JOB_LOGGER, **self._names()), level)(**(event or {"event": text}))

    def _names(self) -> dict[str, Any]:
        run, registered = self.run, self.registered
        return {
            "job": registered.job.name,
            "job_key": run.job_key,
            "run_id": run.run_id,
            "plugin": registered.plugin,
        }

    def note_progress(self, done: int, total: int | None) -> None:
        """Note that *done* of *total* items are through."""
        self._runner.recorder_of(self).progress(done, total)

    def find_last_success(self) -> datetime | None:
        """Return the fire time of the newest run of the job that succeeded."""
        return self._runner.last_success_of(self.run.job_key)

    # -- called by the store

    def note_recorded(self, error: Exception | None, accepted: bool) -> None:
        """Take the store's answer to the outcome it was handed."""
        self._runner.note_recorded(self, error, accepted=accepted)


class Runner:
    """Starts claimed runs on their executors, times them out, and records how they ended.

    `start`, `tick` and `stop` belong to the timing thread; the rest happens in executors' threads.
    """

    def __init__(
        self, store: Store, clock: Clock, find_executor: FindExecutor, *, zone: tzinfo, publish: Publish
    ) -> None:
        self._store = store
        self._clock = clock
        self._find_executor = find_executor
        self._zone = zone
        self._publish = publish
        self._active: dict[str, Attempt] = {}
        self._deadlines: list[tuple[float, str, int]] = []  # with run and attempt, which are not to be kept alive
        self._new_deadlines: deque[Attempt] = deque()
        self._unrecorded: deque[Attempt] = deque()
        self._record_again_at = 0.0
        self._report_at = 0.0
        self._all_settled = threading.Event()
        self._is_grace_cut = False
        self._recording: set[Attempt] = set()
        self._all_recorded = threading.Event()
        self._answered = threading.Event()
        self.wake: Callable[[], None] = lambda: None

    def start(
        self,
        registered: RegisteredJob,
        run: Run,
        on_end: Callable[[Attempt], None],
        *,
        retry: Retry = ONCE,
        dry_run: bool = False,
    ) -> None:
        """Execute an attempt at a run, which is recorded as running.

        Args:
            registered: The job.
            run: The run.
            on_end: Called with the attempt, from any thread, once the outcome is recorded and nothing of
                it executes any more.
            retry: Whether there may be another attempt if this one fails.
            dry_run: Whether the job must stop short of every effect.
        """
        attempt = Attempt(self, registered, run, on_end, retry=retry, dry_run=dry_run)
        self._active[run.run_id] = attempt
        if self._publish.is_heard:
            self._publish(RunStarted(run))
        try:
            attempt.executor = self._find_executor(registered)
            attempt.executor.submit(attempt)
        except Exception as error:  # the system has no thread or descriptor left; others may go on
            self._settle(attempt, Outcome(RunStatus.FAILED, self._clock.now(), error=describe_error(error)))
            attempt.arrive()

    def cancel(self, run_id: str, reason: str) -> bool:
        """Tell a run that executes to stop; False if it does not.

        Args:
            run_id: The run.
            reason: Why, for a person.
        """
        attempt = self._active.get(run_id)
        if attempt is None:
            return False
        self._cancel(attempt, RunStatus.CANCELLED, reason)
        return True

    def tick(self) -> float | None:
        """Time out what is over its time, and hand refused outcomes to the store again.

        Returns:
            Seconds until the next such look is due; None if none is.
        """
        now = self._clock.monotonic()
        while self._new_deadlines:
            attempt = self._new_deadlines.popleft()
            heapq.heappush(self._deadlines, (attempt.deadline or now, attempt.run.run_id, attempt.run.attempt))
        while self._deadlines:
            deadline, run_id, number = self._deadlines[0]
            due = self._active.get(run_id)
            is_active = due is not None and due.run.attempt == number and not due.is_settled
            if is_active and deadline > now:
                break
            heapq.heappop(self._deadlines)
            if due is not None and is_active:
                self._time_out(due)
        if self._unrecorded and now >= self._record_again_at:
            self._record_again_at = now + RECORD_AGAIN_AFTER
            self._record_again()
        if now >= self._report_at:
            self._report_at = now + REPORT_EVERY
            self._pass_on()
        waits = [self._deadlines[0][0] - now] if self._deadlines else []
        if self._unrecorded:
            waits.append(self._record_again_at - now)
        return max(0.0, min(waits)) if waits else None

    def stop(self, grace: timedelta) -> None:
        """Cancel what is running, wait for it, and record the rest as interrupted.

        Args:
            grace: How long to wait.
        """
        self._all_settled.clear()
        for attempt in list(self._active.values()):
            is_cancelled = attempt.cancellation.is_set  # by a person, or for another run: that stays so
            self._cancel(attempt, attempt.cancel_status if is_cancelled else RunStatus.INTERRUPTED, "the host stops")
        if self._active and not self._is_grace_cut:
            self._clock.wait(self._all_settled, grace.total_seconds())
        for attempt in list(self._active.values()):
            _log.warning(
                "Job interrupted",
                job=attempt.registered.job.name,
                job_key=attempt.run.job_key,
                run_id=attempt.run.run_id,
                problem="it did not end within the grace period",
            )
            reason = "the host stopped"
            if attempt.cancel_status is not RunStatus.INTERRUPTED:
                reason = f"{attempt.cancellation.reason}; it had not ended when {reason}"
            self._settle(attempt, Outcome(attempt.cancel_status, self._clock.now(), error=reason))
        give_up_at = self._clock.monotonic() + RECORD_WITHIN
        while self._recording and (left := give_up_at - self._clock.monotonic()) > 0:
            self._all_recorded.clear()
            self._record_again()
            if self._recording:
                self._clock.wait(self._all_recorded, min(left, RECORD_AGAIN_AFTER))

    def wait_for_store(self) -> None:
        """Block until the store has answered for every outcome that it was handed."""
        while len(self._recording) > len(self._unrecorded):
            self._answered.wait(RECORD_AGAIN_AFTER)
            self._answered.clear()

    def cut_grace(self) -> None:
        """End the wait of `stop` at once; may be called from any thread."""
        self._is_grace_cut = True
        self._all_settled.set()

    # -- called by attempts, in executors' threads

    def assignment_of(self, attempt: Attempt) -> Assignment:
        """Return what *attempt* is, for an executor that has it carried out elsewhere."""
        now = self._clock.monotonic()
        return Assignment(
            attempt.registered,
            attempt.run,
            attempt.dry_run,
            self._clock.now(),
            None if attempt.deadline is None else max(0.0, attempt.deadline - now),
            attempt.cancellation,
            attempt.find_last_success,
            attempt.note_progress,
            attempt.note_line,
        )

    def recorder_of(self, attempt: Attempt) -> Recorder:
        """Return what keeps what *attempt* says of itself; made when it says something."""
        with _noting:
            if attempt.recorder is None:
                attempt.recorder = Recorder(self._clock, attempt.run.attempt)
            return attempt.recorder

    def last_success_of(self, job_key: str) -> datetime | None:
        """Return the fire time of the newest run of a job that succeeded."""
        return self._store.last_success(job_key)

    def begin(self, attempt: Attempt) -> bool:
        """Prepare *attempt* for execution; False if it was settled or cancelled while it waited for its turn."""
        if attempt.cancellation.is_set:
            self._settle(attempt, Outcome(attempt.cancel_status, self._clock.now(), error=attempt.cancellation.reason))
        if attempt.is_settled:
            attempt.arrive()
            return False
        job, run = attempt.registered.job, attempt.run
        if job.timeout is not None:
            attempt.deadline = self._clock.monotonic() + job.timeout.total_seconds()
            self._new_deadlines.append(attempt)
            self.wake()
        attempt.context = JobContext(
            run,
            fire_time=run.fire_time.astimezone(self._zone),
            clock=self._clock,
            cancellation=attempt.cancellation,
            make_log=attempt.make_log,
            find_last_success=attempt.find_last_success,
            deadline=attempt.deadline,
            dry_run=attempt.dry_run,
            on_progress=attempt.note_progress,
        )
        if _stdlib_log.isEnabledFor(logging.INFO):
            with suppress(Exception):  # a log must not keep a job from running
                _log.info("Executing job", job=job.name, job_key=run.job_key, run_id=run.run_id, attempt=run.attempt)
        return True

    def end(self, attempt: Attempt, returned: object, error: BaseException | None) -> None:
        """Settle *attempt* with what its function returned or raised, and release it."""
        try:
            if not attempt.is_settled:
                try:
                    outcome = self._outcome(attempt, returned, error)
                except BaseException as odd:  # what it returned cannot even be looked at
                    outcome = Outcome(RunStatus.FAILED, self._clock.now(), error=describe_error(odd))
                self._settle(attempt, outcome)
            if attempt.context is not None:
                attempt.context.close()
                attempt.context = None  # each knows the other: without this, both stay until garbage is collected
        finally:
            attempt.arrive()

    # -- inside

    def _outcome(self, attempt: Attempt, returned: object, error: BaseException | None) -> Outcome:
        at = self._clock.now()
        if error is None:
            return Outcome(RunStatus.SUCCEEDED, at, plain_result(returned))
        if attempt.cancellation.is_set and is_cancellation(error):
            return Outcome(attempt.cancel_status, at, error=attempt.cancellation.reason)
        return Outcome(RunStatus.FAILED, at, error=describe_error(error))

    def _time_out(self, attempt: Attempt) -> None:
        reason = f"timed out after {attempt.registered.job.timeout}"
        if attempt.cancellation.is_set:
            reason = f"{attempt.cancellation.reason}, and {reason}"
        else:
            self._cancel(attempt, RunStatus.TIMED_OUT, reason)
        self._settle(attempt, Outcome(attempt.cancel_status, self._clock.now(), error=reason))
        if attempt.executor is not None:
            attempt.executor.write_off(attempt)

    def _cancel(self, attempt: Attempt, status: RunStatus, reason: str) -> None:
        attempt.cancel_status = status
        attempt.cancellation.cancel(reason)
        if attempt.executor is not None:
            attempt.executor.cancel(attempt)

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        if not attempt.settle_once():
            return
        attempt.outcome = outcome
        if outcome.status in _TRIED_AGAIN and not self._is_cancelled(attempt):
            attempt.again_in = retry_delay(attempt.retry, attempt.run)
        attempt.last_lines = self._last_words(attempt)
        self._record(attempt, outcome)
        self._active.pop(attempt.run.run_id, None)
        if not self._active:
            _set(self._all_settled)
        with suppress(Exception):  # the application's log handlers may raise; the run has ended all the same
            self._report(attempt, outcome)

    def _pass_on(self) -> None:
        """Have the store keep what executing attempts have said of themselves since the last time."""
        for attempt in list(self._active.values()):
            said = None if attempt.recorder is None else attempt.recorder.drain()
            if said is not None:
                lines, done, total = said
                self._store.report(attempt.run.run_id, attempt.run.attempt, done=done, total=total, log=lines)

    def _last_words(self, attempt: Attempt) -> Sequence[LogLine]:
        """Return the lines of an attempt that has ended which are not stored yet; has its progress stored."""
        said = None if attempt.recorder is None else attempt.recorder.drain(is_last=True)
        if said is None:
            return ()
        lines, done, total = said
        if done is not None:
            self._store.report(attempt.run.run_id, attempt.run.attempt, done=done, total=total, log=())
        return lines

    @staticmethod
    def _is_cancelled(attempt: Attempt) -> bool:
        return attempt.cancellation.is_set and attempt.cancel_status is RunStatus.CANCELLED

    def _report(self, attempt: Attempt, outcome: Outcome) -> None:
        succeeded = outcome.status is RunStatus.SUCCEEDED
        level = _LEVELS.get(outcome.status, logging.ERROR)
        if not _stdlib_log.isEnabledFor(level):
            return
        run = attempt.run
        fields: dict[str, object] = {
            "job": attempt.registered.job.name,
            "job_key": run.job_key,
            "run_id": run.run_id,
            "attempt": run.attempt,
            "status": outcome.status.value,
        }
        if succeeded:
            _log.info("Job completed successfully", **fields, result=outcome.result)
        else:
            *_, summary = (outcome.error or "").splitlines() or [""]
            if summary != outcome.error:
                fields["exception"] = outcome.error
            if attempt.again_in is not None:
                fields["again_in_s"] = round(attempt.again_in.total_seconds(), 3)
            _log.log(level, "Job execution", **fields, error=summary)

    def _record_again(self) -> None:
        for _ in range(len(self._unrecorded)):
            attempt = self._unrecorded.popleft()
            if attempt.outcome is not None:
                self._record(attempt, attempt.outcome)

    def _record(self, attempt: Attempt, outcome: Outcome) -> None:
        self._recording.add(attempt)
        self._store.finish(
            attempt.run.run_id,
            attempt.run.attempt,
            outcome,
            attempt.note_recorded,
            again=attempt.again_in is not None,
            log=attempt.last_lines,
        )

    def note_recorded(self, attempt: Attempt, error: Exception | None, *, accepted: bool) -> None:
        """Take the store's answer to the outcome of *attempt*; called from any thread."""
        if error is not None:
            self._unrecorded.append(attempt)
            self._answered.set()
            _log.error("Outcome not recorded", run_id=attempt.run.run_id, problem=summarize_error(error))
            self.wake()
            return
        try:
            self._tell_end(attempt, accepted=accepted)
        finally:
            self._recording.discard(attempt)
            if not self._recording:
                _set(self._all_recorded)
            _set(self._answered)

    def _tell_end(self, attempt: Attempt, *, accepted: bool) -> None:
        outcome = attempt.outcome
        if accepted and outcome is not None and self._publish.is_heard:
            self._publish(
                RunFinished(
                    evolve(
                        attempt.run,
                        status=outcome.status,
                        finished_at=outcome.finished_at,
                        result=outcome.result,
                        error=outcome.error,
                    )
                )
            )
        attempt.arrive()


def _set(event: threading.Event) -> None:
    """Set *event*, which is nearly always set already; that takes a lock."""
    if not event.is_set():
        event.set()
