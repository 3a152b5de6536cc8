"""Decide what starts, record it, and hand it on: the loop that carries what the planner decides."""

from __future__ import annotations

import heapq
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import partial

from rapua_scheduler.clock import Clock
from rapua_scheduler.errors import BrokenNextError, StoreError
from rapua_scheduler.events import FireTimesNotRun, JobBroken
from rapua_scheduler.job import takes_after
from rapua_scheduler.logs import get_logger
from rapua_scheduler.lookahead import Answer, Lookahead
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.planner import ON_TIME, Stretch, decide, fire_key, first_after, survey
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Decision, Gap
from rapua_scheduler.runner import Publish, Runner
from rapua_scheduler.schedules import BuiltInSchedule
from rapua_scheduler.store.port import Store, StoredJob

LONGEST_WAIT = 30.0
"""Seconds that the loop sleeps at most, so that steps of the clock and suspends are noticed."""

MOST_CLAIMS = 250
"""Runs that are claimed in one transaction at most, so that the first of many start early."""

_MOST_TAKEN_IN = 1000
_SHORTEST_BACKOFF = 1.0
_LONGEST_BACKOFF = 300.0
_log = get_logger("rapua_scheduler.engine")
_level = logging.getLogger("rapua_scheduler.engine")


class _Timer:
    """What the engine keeps in mind of one job."""

    __slots__ = ("due", "failures", "mark", "question", "registered", "running")

    def __init__(self, registered: RegisteredJob, mark: datetime) -> None:
        self.registered = registered
        self.mark = mark
        self.due: datetime | None = None
        self.running: str | None = None
        self.question = 0
        self.failures = 0

    def __lt__(self, other: _Timer) -> bool:
        """Leave the order of equal heap entries open."""
        return False


class Engine:
    """Starts the runs of its jobs at their fire times.

    One thread at a time calls `tick`, or `run`, which loops; everything else that is public may be
    called from any thread.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        runner: Runner,
        *,
        zone: tzinfo,
        publish: Publish,
        lookahead: Callable[[Callable[[Answer], None]], Lookahead],
        new_run_id: Callable[[datetime], str],
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        """Make an engine without jobs.

        Args:
            store: Where decisions are recorded before anything starts.
            clock: Tells when a job is due.
            runner: Executes what is claimed.
            zone: The zone in which next functions are asked.
            publish: Tells observers.
            lookahead: Makes what asks the next functions that are not built in, given where its
                answers go.
            new_run_id: Makes the id of a run that is started at an instant.
            longest_wait: Seconds that `tick` asks to wait for at most.
        """
        self._store = store
        self._clock = clock
        self._runner = runner
        self._zone = zone
        self._publish = publish
        self._lookahead = lookahead(self._answered)
        self._new_run_id = new_run_id
        self._longest_wait = longest_wait
        self._timers: dict[str, _Timer] = {}
        self._heap: list[tuple[datetime, str, _Timer]] = []
        self._ask_again: list[tuple[float, str, _Timer]] = []
        self._added: deque[RegisteredJob] = deque()
        self._ended: deque[str] = deque()
        self._answers: deque[Answer] = deque()
        self._wakeup = threading.Event()
        self._stopping = False
        self._store_failures = 0
        self._store_again_at = 0.0
        runner.wake = self._wakeup.set

    def add(self, jobs: Iterable[RegisteredJob]) -> None:
        """Take in jobs at the next tick; their keys must not be taken."""
        self._added.extend(jobs)
        self._wakeup.set()

    def stop(self) -> None:
        """Claim nothing more, and let `run` end."""
        self._stopping = True
        self._wakeup.set()

    def run(self, grace: timedelta) -> None:
        """Tick until stopped; then cancel what is running and wait for it, at most *grace*.

        Raises:
            Exception: The engine itself failed; what is running is stopped, and nothing starts any more.
        """
        try:
            while not self._stopping:
                self._clock.wait(self._wakeup, self.tick())
        finally:
            self._runner.stop(grace)
        for timer in self._timers.values():
            self._say("Job stopped", timer)
        _log.info("Scheduler stopped", jobs=len(self._timers))

    def tick(self) -> float:
        """Do everything that is due.

        Returns:
            Seconds until the next tick is needed, at most 30; zero if something came in meanwhile.
        """
        self._wakeup.clear()
        self.take_in()
        self._note_ends()
        self._note_answers()
        run_wait = self._runner.tick()
        # the lookahead last, as the two before it ask questions
        waits = [run_wait, self._decide_due(), self._ask_broken_again(), self._lookahead.tick()]
        wait = min(seconds for seconds in waits if seconds is not None)
        return 0.0 if self._stopping or self._wakeup.is_set() else wait

    # -- jobs come in

    def take_in(self) -> None:
        """Record the jobs that were added, and find out when each is due; a tick does so too."""
        while self._added and self._clock.monotonic() >= self._store_again_at:
            jobs = [self._added.popleft() for _ in range(min(len(self._added), _MOST_TAKEN_IN))]
            try:
                stored = self._store.declare(jobs, self._clock.now())
            except StoreError as error:
                self._added.extendleft(reversed(jobs))
                self._store_failed(error)
                return
            found: dict[str, datetime | None] = {}
            for registered in jobs:
                self._set_up(registered, stored[registered.job.key], found)
            self._remember_next(found)

    def _set_up(self, registered: RegisteredJob, known: StoredJob, found: dict[str, datetime | None]) -> None:
        job = registered.job
        timer = self._timers[job.key] = _Timer(registered, known.mark)
        self._say("Starting job", timer)
        if isinstance(job.next, BuiltInSchedule):
            try:
                timer.due = found[job.key] = first_after(job.next, known.mark, self._zone)
            except Exception as error:  # a subclass of somebody's own
                self._set_aside(timer, _broken(error))
        elif known.next_fire_time is not None and not takes_after(job.next):
            timer.due = known.next_fire_time
        else:
            timer.question = self._lookahead.ask_next(registered, known.mark)
        self._push(timer)
        self._say_next(timer)

    # -- facts come back

    def _run_ended(self, job_key: str) -> None:
        self._ended.append(job_key)
        timer = self._timers.get(job_key)
        if timer is not None and timer.due is None:
            self._wakeup.set()

    def _note_ends(self) -> None:
        while self._ended:
            timer = self._timers[self._ended.popleft()]
            timer.running = None
            if timer.due is None and not timer.question and not takes_after(timer.registered.job.next):
                timer.question = self._lookahead.ask_next(timer.registered, timer.mark)

    def _answered(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._wakeup.set()

    def _note_answers(self) -> None:
        now = self._clock.now()
        surveyed: list[tuple[_Timer, Stretch]] = []
        found: dict[str, datetime | None] = {}
        broken: list[tuple[_Timer, BrokenNextError]] = []
        while self._answers:
            answer = self._answers.popleft()
            timer = self._timers[answer.job_key]
            if timer.question != answer.question:
                continue
            timer.question = 0
            if answer.error is not None:
                broken.append((timer, answer.error))
                if timer.due is not None:  # its fire time has come; what comes after is not known
                    surveyed.append((timer, _only(timer.due)))
            elif answer.stretch is not None:
                timer.failures = 0
                surveyed.append((timer, answer.stretch))
            else:
                timer.failures = 0
                timer.due = found[answer.job_key] = answer.next
                self._push(timer)
                self._say_next(timer)
        self._remember_next(found)
        self._carry_out(surveyed, now)
        for timer, error in broken:
            self._set_aside(timer, error)

    # -- fire times come

    def _decide_due(self) -> float:
        if self._clock.monotonic() < self._store_again_at:
            return self._store_again_at - self._clock.monotonic()
        if self._stopping:
            return 0.0
        now = self._clock.now()
        batch: list[tuple[_Timer, Stretch]] = []
        while self._heap and self._heap[0][0] <= now and len(batch) < MOST_CLAIMS:
            due, _, timer = heapq.heappop(self._heap)
            job = timer.registered.job
            if isinstance(job.next, BuiltInSchedule):
                batch.append((timer, self._surveyed(timer, due, now)))
            elif takes_after(job.next):
                timer.question = self._lookahead.ask_stretch(timer.registered, due, now)
            else:
                batch.append((timer, _only(due)))
        if not self._carry_out(batch, now):
            return self._store_again_at - self._clock.monotonic()
        if not self._heap:
            return self._longest_wait
        seconds = (self._heap[0][0] - self._clock.now()).total_seconds()
        return min(max(0.0, seconds), self._longest_wait)

    def _surveyed(self, timer: _Timer, due: datetime, now: datetime) -> Stretch:
        try:
            return survey(timer.registered.job.next, due, now, self._zone)
        except Exception as error:  # a subclass of somebody's own
            self._set_aside(timer, _broken(error))
            return _only(due)

    def _carry_out(self, batch: Sequence[tuple[_Timer, Stretch]], now: datetime) -> bool:
        if not batch:
            return True
        decisions = [self._decision(timer, stretch, now) for timer, stretch in batch]
        try:
            accepted = self._store.decide(decisions)
        except StoreError as error:
            for timer, _ in batch:
                self._push(timer)
            self._store_failed(error)
            return False
        self._store_failures = 0
        for (timer, _), decision, is_recorded in zip(batch, decisions, accepted, strict=True):
            timer.mark, timer.due = decision.mark, decision.next_fire_time
            if is_recorded:
                self._act_on(timer, decision, now)
            else:
                _log.warning(
                    "Fire time decided elsewhere",
                    job=timer.registered.job.name,
                    job_key=decision.job_key,
                    fire_time=decision.mark.astimezone(self._zone).isoformat(),
                )
            if timer.due is not None:
                self._push(timer)
                self._say_next(timer)
            elif timer.running is None and not takes_after(timer.registered.job.next):
                timer.question = self._lookahead.ask_next(timer.registered, timer.mark)
        return True

    def _decision(self, timer: _Timer, stretch: Stretch, now: datetime) -> Decision:
        job = timer.registered.job
        return decide(
            job.key,
            stretch,
            now,
            identify=partial(fire_key, job.next, zone=self._zone),
            run_id=self._new_run_id(now),
            running=timer.running,
        )

    def _act_on(self, timer: _Timer, decision: Decision, now: datetime) -> None:
        for gap in decision.gaps:
            self._say_gap(timer, gap, now)
        if decision.run is not None:
            timer.running = decision.run.run_id
            self._runner.start(timer.registered, decision.run, self._run_ended)

    # -- what goes wrong

    def _set_aside(self, timer: _Timer, error: BrokenNextError) -> None:
        timer.failures += 1
        seconds = _backoff(timer.failures, _LONGEST_BACKOFF)
        job = timer.registered.job
        heapq.heappush(self._ask_again, (self._clock.monotonic() + seconds, job.key, timer))
        _log.error("Next function failed", job=job.name, job_key=job.key, problem=error.problem, ask_again_s=seconds)
        if self._publish.is_heard:
            self._publish(JobBroken(job.key, error.problem))

    def _ask_broken_again(self) -> float | None:
        now = self._clock.monotonic()
        while self._ask_again and self._ask_again[0][0] <= now:
            timer = heapq.heappop(self._ask_again)[2]
            if timer.due is None and not timer.question:
                timer.question = self._lookahead.ask_next(timer.registered, timer.mark)
        return self._ask_again[0][0] - now if self._ask_again else None

    def _store_failed(self, error: StoreError) -> None:
        self._store_failures += 1
        seconds = _backoff(self._store_failures, LONGEST_WAIT)
        self._store_again_at = self._clock.monotonic() + seconds
        _log.error("Store failed; nothing starts until it works", problem=str(error), again_s=seconds)

    # -- small things

    def _push(self, timer: _Timer) -> None:
        if timer.due is not None:  # jobs due at one instant go by key
            heapq.heappush(self._heap, (timer.due, timer.registered.job.key, timer))

    def _remember_next(self, next_fire_times: dict[str, datetime | None]) -> None:
        if not next_fire_times:
            return
        try:
            self._store.set_next(next_fire_times)
        except StoreError as error:  # they are worked out again at the next start
            _log.error("Next fire times not recorded", problem=str(error), jobs=len(next_fire_times))

    def _say(self, event: str, timer: _Timer) -> None:
        if _level.isEnabledFor(logging.INFO):
            _log.info(event, job=timer.registered.job.name, job_key=timer.registered.job.key)

    def _say_next(self, timer: _Timer) -> None:
        if timer.due is not None and _level.isEnabledFor(logging.INFO):
            job = timer.registered.job
            _log.info(
                "Next run scheduled",
                job=job.name,
                job_key=job.key,
                nextRun=timer.due.astimezone(self._zone).isoformat(),
            )

    def _say_gap(self, timer: _Timer, gap: Gap, now: datetime) -> None:
        job = timer.registered.job
        level = logging.INFO if now - gap.first <= ON_TIME else logging.WARNING
        if _level.isEnabledFor(level):
            _log.log(
                level,
                "Fire times not run",
                job=job.name,
                job_key=job.key,
                reason=gap.reason.value,
                first=gap.first.astimezone(self._zone).isoformat(),
                last=gap.last.astimezone(self._zone).isoformat(),
                count=gap.count,
                detail=gap.detail,
            )
        if self._publish.is_heard:
            self._publish(FireTimesNotRun(gap))


def _backoff(failures: int, longest: float) -> float:
    """Return the seconds to wait after so many failures in a row, from 1."""
    return min(_SHORTEST_BACKOFF * 2.0 ** min(failures - 1, 20), longest)  # 2.0**1024 is no float


def _broken(error: Exception) -> BrokenNextError:
    if isinstance(error, BrokenNextError):
        return error
    return BrokenNextError(f"the next function raised {summarize_error(error)}")


def _only(due: datetime) -> Stretch:
    return Stretch(due, due, None, 0, None)
