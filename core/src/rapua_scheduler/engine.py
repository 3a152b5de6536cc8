"""Decide what starts, record it, and hand it on: the loop that carries what the planner decides."""

from __future__ import annotations

import heapq
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

from attrs import evolve

from rapua_scheduler.clock import Clock
from rapua_scheduler.clock_watch import ClockWatch, Trust
from rapua_scheduler.controls import Controls
from rapua_scheduler.dispatcher import Dispatcher
from rapua_scheduler.errors import BrokenNextError, StoreError
from rapua_scheduler.events import FireTimesNotRun, JobBroken
from rapua_scheduler.fire_times import Survey, fire_key, first_after, only, survey
from rapua_scheduler.job import Job, takes_after
from rapua_scheduler.job_states import Former, JobState, lag
from rapua_scheduler.logs import get_logger
from rapua_scheduler.lookahead import Answer, Lookahead
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.planner import ON_TIME, Verdict, decide, kept_by, piece_by_piece
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Gap, RunStatus
from rapua_scheduler.runner import Publish, Runner
from rapua_scheduler.schedules import BuiltInSchedule, from_fingerprint
from rapua_scheduler.store.port import NO_JOB, Store, StoredJob
from rapua_scheduler.takeover import TakeOver

LONGEST_WAIT = 30.0
"""Seconds that the loop sleeps at most, so that steps of the clock and suspends are noticed."""

LOOK_EVERY = 1.0
"""Seconds after which the store is asked at the latest whether an operator has said something."""

MOST_CLAIMS = 250
"""Runs that are claimed in one transaction at most, so that the first of many start early."""

_MOST_TAKEN_IN = 1000
_SHORTEST_BACKOFF = 1.0
_LONGEST_BACKOFF = 300.0
_log = get_logger("rapua_scheduler.engine")
_stdlib_log = logging.getLogger("rapua_scheduler.engine")


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
        clock_watch: ClockWatch,
        longest_wait: float = LONGEST_WAIT,
        look_every: float = LOOK_EVERY,
        adopt_from: datetime | None = None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make an engine without jobs.

        Args:
            store: Where decisions are recorded before anything starts.
            clock: Tells when a job is due.
            runner: Executes what is claimed.
            zone: The zone in which next functions are asked.
            publish: Tells observers.
            lookahead: Makes what asks the functions of plugins, given where its answers go.
            new_run_id: Makes the id of a run that is started at an instant.
            clock_watch: Tells whether the clock can be trusted.
            longest_wait: Seconds that `tick` asks to wait for at most.
            look_every: Seconds after which the store is asked at the latest whether an operator has said
                something.
            adopt_from: From when on to make up the fire times of a job that is seen for the first time,
                in UTC; None for nothing to make up.
            has_room: Whether the process has what it takes to start something; what is due waits for it.
        """
        self._store = store
        self._clock = clock
        self._runner = runner
        self._zone = zone
        self._publish = publish
        self._lookahead = lookahead(self._answered)
        self._new_run_id = new_run_id
        self._watch = clock_watch
        self._longest_wait = longest_wait
        self._look_every = look_every
        self._adopt_from = None if adopt_from is None else adopt_from - _TICK  # becomes a mark: decided on
        self._has_room = has_room
        self._states: dict[str, JobState] = {}
        self._lags: dict[str, timedelta] = {}
        self._formers: dict[str, Former] = {}
        self._heap: list[tuple[datetime, str, JobState]] = []
        self._ask_again: list[tuple[float, str, JobState]] = []
        self._controls = Controls(store)
        self._dispatcher = Dispatcher(store, clock, runner, publish=publish)
        self._take_over = TakeOver(store, self._dispatcher, self._lookahead, zone)
        self._added: deque[RegisteredJob] = deque()
        self._absent: deque[StoredJob] = deque()
        self._not_taken_over: deque[RegisteredJob] = deque()
        self._answers: deque[Answer] = deque()
        self._wakeup = threading.Event()
        self._stopping = False
        self._store_failures = 0
        self._store_again_at = 0.0
        self._latest_mark: datetime | None = None
        self._waiting_said = False
        runner.wake = self._wakeup.set

    def add(self, jobs: Iterable[RegisteredJob]) -> None:
        """Take in jobs at the next tick; their keys must not be taken."""
        self._added.extend(jobs)
        self._wakeup.set()

    def add_absent(self, jobs: Iterable[StoredJob]) -> None:
        """Record the fire times of jobs whose plugins are not there, as far as their schedules are known.

        Each must have an `absent` window in the store.
        """
        self._absent.extend(jobs)
        self._wakeup.set()

    def wake(self) -> None:
        """Look at once whether an operator has said something."""
        self._wakeup.set()

    @property
    def is_woken(self) -> bool:
        """Whether something has come in since the last tick began."""
        return self._wakeup.is_set()

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
        for state in self._states.values():
            self._say("Job stopped", state)
        _log.info("Scheduler stopped", jobs=len(self._states))

    def tick(self) -> float:
        """Do everything that is due.

        Returns:
            Seconds until the next tick is needed, at most 30; zero if something came in meanwhile.
        """
        self._wakeup.clear()
        self.take_in()
        self._note_ends()
        waits = [self._runner.tick(), self._start_what_is_due(), self._ask_broken_again(), self._lookahead.tick()]
        wait = min(seconds for seconds in waits if seconds is not None)
        return 0.0 if self._stopping or self._wakeup.is_set() else wait

    # -- jobs come in

    def take_in(self) -> None:
        """Record the jobs that were added, and find out when each is due; a tick does so too.

        Those of a host whose clock has not been set come later: a job must not be known since 1970.
        """
        if not self._watch.is_set(self._clock.now()):
            return
        while self._added and self._clock.monotonic() >= self._store_again_at:
            jobs = [self._added.popleft() for _ in range(min(len(self._added), _MOST_TAKEN_IN))]
            try:
                stored = self._store.declare(jobs, self._clock.now(), adopt_from=self._adopt_from)
            except StoreError as error:
                self._added.extendleft(reversed(jobs))
                self._store_failed(error)
                return
            found: dict[str, datetime | None] = {}
            for registered in jobs:
                self._set_up(registered, stored[registered.job.key], found)
            self._remember_next(found)
        while self._absent:
            self._set_up_absent(self._absent.popleft())

    def _set_up(self, registered: RegisteredJob, known: StoredJob, found: dict[str, datetime | None]) -> None:
        job = registered.job
        state = self._states[job.key] = JobState(registered, known.mark)
        self._note_mark(known.mark)
        self._say("Starting job", state)
        since = known.mark
        if known.changed_at is not None and known.changed_at > known.mark:
            since = known.changed_at
            self._remember_former(known, known.changed_at)
        if isinstance(job.next, BuiltInSchedule):
            try:
                if job.jitter is not None:
                    self._lags[job.key] = lag(job.key, job.next, job.jitter, since, self._zone)
                state.due = found[job.key] = self._first_undecided(job.next, known, since)
            except Exception as error:  # a subclass of somebody's own
                self._set_aside(state, _broken(error))
        elif known.next_fire_time is not None and not takes_after(job.next):
            state.due = known.next_fire_time
        else:
            state.question = self._lookahead.ask_next(registered, since)
        former = self._formers.get(job.key)
        if former is not None:  # the store keeps what was pending until it is decided on
            state.due = former.pending
            found.pop(job.key, None)
        self._push(state)
        self._say_next(state)
        self._not_taken_over.append(registered)

    def _first_undecided(self, schedule: BuiltInSchedule, known: StoredJob, since: datetime) -> datetime | None:
        """Return the first fire time of a job after *since* that was not decided on under another instant."""
        due = first_after(schedule, since, self._zone)
        if known.next_fire_time in {None, due} or since != known.mark:
            return due
        # The rules of the zone, or the zone, have changed: what is decided on may come again, at another instant.
        try:
            decided = self._store.run_at(known.key, known.mark)
        except StoreError:  # the store refuses it a second time in any case
            return due
        while decided is not None and due is not None and fire_key(schedule, due, self._zone) <= decided.fire_key:
            due = first_after(schedule, due, self._zone)
        return due

    def _remember_former(self, known: StoredJob, until: datetime) -> None:
        schedule = from_fingerprint(known.former_fingerprint)
        pending = known.next_fire_time if schedule is None else first_after(schedule, known.mark, self._zone)
        if pending is not None and known.mark < pending <= until:
            self._formers[known.key] = Former(schedule, pending, until)

    def _set_up_absent(self, known: StoredJob) -> None:
        schedule = from_fingerprint(known.fingerprint)
        if schedule is None or known.key in self._states:
            return
        job = Job(known.name or known.key, _never, schedule, key=known.key, catch_up="none")
        state = self._states[known.key] = JobState(
            RegisteredJob(job, known.plugin, known.distribution, known.version), known.mark
        )
        state.due = first_after(schedule, known.mark, self._zone)
        self._push(state)

    # -- facts come back

    def _note_ends(self) -> None:
        for attempt in self._dispatcher.take_ended():
            state = self._states[attempt.run.job_key]
            if state.due is None and not state.question and state.registered.asks_after_each_run:
                state.question = self._lookahead.ask_next(state.registered, state.mark)
            try:
                self._dispatcher.pause_after_failures(attempt)
            except StoreError as error:
                self._store_failed(error)

    def _answered(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._wakeup.set()

    def _note_answers(self, now: datetime) -> None:
        surveyed: list[tuple[JobState, Survey]] = []
        found: dict[str, datetime | None] = {}
        broken: list[tuple[JobState, BrokenNextError]] = []
        for _ in range(len(self._answers)):
            answer = self._answers.popleft()
            state = self._states[answer.job_key]
            if self._is_about_effect(state, answer):
                continue
            if state.question != answer.question:
                continue
            state.question = 0
            if answer.error is not None:
                broken.append((state, answer.error))
                if state.due is not None:  # its fire time has come; what comes after is not known
                    surveyed.append((state, only(state.due, self._controls.circumstances_of(answer.job_key))))
            elif answer.survey is not None:
                state.failures = 0
                surveyed.append((state, answer.survey))
            else:
                state.failures = 0
                if answer.job_key in self._formers:
                    continue
                state.due = found[answer.job_key] = answer.next
                self._push(state)
                self._say_next(state)
        self._remember_next(found)
        self._carry_out(surveyed, now)
        for state, error in broken:
            self._set_aside(state, error)

    def _is_about_effect(self, state: JobState, answer: Answer) -> bool:
        try:
            return self._take_over.take_answer(state.registered, answer)
        except StoreError as error:
            self._store_failed(error)
            self._answers.append(answer)
            return True

    # -- what may start, and when

    def _start_what_is_due(self) -> float:
        """Decide on what is due and start whose turn it is, if the clock, the operator and the store let it."""
        if self._stopping:
            return 0.0
        if (rest := self._seconds_to_rest()) > 0:
            return rest
        now = self._clock.now()  # what is trusted, and nothing later, is what is decided by
        try:
            if not self._may_start(now):
                return self._look_every
            if self._not_taken_over:
                self._take_over_jobs()
            self._note_answers(now)
            if (rest := self._seconds_to_rest()) > 0:
                return rest
            self._dispatcher.start_ready(self._controls.paused)
        except StoreError as error:
            self._store_failed(error)
            return self._seconds_to_rest()
        wait = self._decide_due(now)
        backoff = self._dispatcher.seconds_to_wait()
        return wait if backoff is None else min(wait, backoff)

    def _may_start(self, now: datetime) -> bool:
        """Heed what operators have said, and tell whether *now* can be trusted and the process has room."""
        trust = self._watch.look(now)
        if self._controls.has_news():
            if self._watch.heed_release():
                self._lower_marks()
                trust = self._watch.look(now)
            self._heed()
        if trust is Trust.TOO_FAR_AHEAD and not self._controls.is_held:
            reason = self._watch.reason(now)
            self._store.hold(now, reason)
            self._read_controls()
            _log.error("Held: nothing starts", reason=reason, hint="set the clock, or: rapua-scheduler release")
        elif trust is Trust.FINE and self._controls.is_held:
            _log.warning("Clock is right again; released")
            self._store.release(now, NO_JOB)
        return trust is Trust.FINE and self._has_room()

    def _take_over_jobs(self) -> None:
        """Answer what a former host left of the jobs that have come; what is queued comes after it."""
        while self._not_taken_over:
            self._take_over.take_over(self._not_taken_over[0])
            self._not_taken_over.popleft()
        self._dispatcher.take_queued(self._find_job)

    def _heed(self) -> None:
        """Do what operators have said since it was last looked."""
        self._read_controls()
        if not self._not_taken_over:
            self._dispatcher.take_queued(self._find_job)
        for run_id, by in self._store.cancel_requests().items():
            self._dispatcher.cancel(run_id, f"cancelled by {by}")

    def _read_controls(self) -> None:
        oldest = min((state.mark for state in self._states.values()), default=self._clock.now())
        self._controls.read(oldest)

    def _lower_marks(self) -> None:
        stored = {job.key: job.mark for job in self._store.jobs()}
        for key, state in self._states.items():
            mark = stored.get(key, state.mark)
            if mark < state.mark:
                state.mark, state.due = mark, None
                state.question = self._lookahead.ask_next(state.registered, mark)
        self._latest_mark = max((state.mark for state in self._states.values()), default=None)

    def _find_job(self, job_key: str) -> RegisteredJob | None:
        """Return a job; None if it, or its plugin, is not there."""
        state = self._states.get(job_key)
        return None if state is None or state.registered.job.run is _never else state.registered

    # -- fire times come

    def _decide_due(self, now: datetime) -> float:
        self._say_if_waiting(now)
        batch: list[tuple[JobState, Survey]] = []
        while self._heap and self._heap[0][0] <= now and len(batch) < MOST_CLAIMS:
            at, key, state = heapq.heappop(self._heap)
            if state.due is None or at != self._start_of(state.due, key):
                continue  # it is due at another time by now
            job = state.registered.job
            if isinstance(job.next, BuiltInSchedule):
                batch.append((state, self._surveyed(state, state.due, now)))
            elif key in self._formers:
                batch.append((state, self._former_part(state, now)))
            elif takes_after(job.next):
                state.question = self._lookahead.ask_survey(
                    state.registered,
                    state.due,
                    now,
                    keep=kept_by(job.catch_up),
                    circumstances=self._controls.circumstances_of(key),
                )
            else:
                batch.append((state, only(state.due, self._controls.circumstances_of(key))))
        if not self._carry_out(batch, now):
            return self._seconds_to_rest()
        longest = min(self._longest_wait, self._look_every)
        if not self._heap:
            return longest
        seconds = (self._heap[0][0] - self._clock.now()).total_seconds()
        return min(max(0.0, seconds), longest)

    def _surveyed(self, state: JobState, due: datetime, now: datetime) -> Survey:
        job = state.registered.job
        circumstances = self._controls.circumstances_of(job.key)
        keep = kept_by(job.catch_up)
        now -= self._lags.get(job.key, _NO_LAG)
        former = self._formers.get(job.key)
        try:
            if former is None:
                return survey(job.next, due, now, self._zone, keep=keep, circumstances=circumstances)
            before = self._former_part(state, now)
            first = first_after(job.next, former.until, self._zone)
            if first is None or first > now:
                return evolve(before, next=first)
            since = survey(job.next, first, now, self._zone, keep=keep, circumstances=circumstances)
            return evolve(since, stretches=(*before.stretches, *since.stretches))
        except Exception as error:  # a subclass of somebody's own
            self._set_aside(state, _broken(error))
            return only(due, circumstances)

    def _former_part(self, state: JobState, now: datetime) -> Survey:
        """Return the survey of the fire times that a job had by its former schedule."""
        job = state.registered.job
        former = self._formers[job.key]
        circumstances = self._controls.circumstances_of(job.key)
        if former.schedule is None:
            return only(former.pending, circumstances)
        until = min(now, former.until)
        keep = kept_by(job.catch_up)
        found = survey(former.schedule, former.pending, until, self._zone, keep=keep, circumstances=circumstances)
        return evolve(found, next=None)

    def _carry_out(self, batch: Sequence[tuple[JobState, Survey]], now: datetime) -> bool:
        if not batch:
            return True
        verdicts = self._verdicts(batch, now)
        try:
            accepted = self._store.decide([verdict.decision for _, verdict in verdicts])
        except StoreError as error:
            for state, _ in batch:
                self._push(state)
            self._store_failed(error)
            return False
        self._store_failures = 0
        settled = self._with_what_is_left(verdicts, accepted)
        too_fast = {state.registered.job.key for state, surveyed in batch if surveyed.is_too_fast}
        for state, verdict in settled:
            self._settle(state, verdict, now, is_too_fast=state.registered.job.key in too_fast)
        return len(settled) == len(verdicts)

    def _with_what_is_left(
        self, verdicts: Sequence[tuple[JobState, Verdict]], accepted: Sequence[bool]
    ) -> Sequence[tuple[JobState, Verdict]]:
        """Return *verdicts*, of one that was refused only what nobody else has decided on.

        A claim that is held already, as after a release or by the rules that the zone had before, must not take
        the fire times beside it along. What the store fails to record comes again later, and is left out.
        """
        if all(accepted):
            return verdicts
        left: list[tuple[JobState, Verdict]] = []
        for (state, verdict), is_recorded in zip(verdicts, accepted, strict=True):
            if is_recorded:
                left.append((state, verdict))
                continue
            pieces = piece_by_piece(verdict.decision)
            try:
                recorded = self._store.decide(pieces)
            except StoreError as error:
                self._push(state)
                self._store_failed(error)
                continue
            ours = [piece for piece, is_ours in zip(pieces, recorded, strict=True) if is_ours]
            runs = tuple(run for piece in ours for run in piece.runs)
            for run in verdict.decision.runs:
                if run not in runs:
                    self._say_decided_elsewhere(state, run.fire_time)
            decision = evolve(verdict.decision, runs=runs, gaps=tuple(gap for piece in ours for gap in piece.gaps))
            is_newest_ours = runs[-1:] == verdict.decision.runs[-1:]
            left.append((state, evolve(verdict, decision=decision) if is_newest_ours else Verdict(decision)))
            if runs:  # they may wait for one that is not ours
                self._wakeup.set()
        return left

    def _verdicts(self, batch: Sequence[tuple[JobState, Survey]], now: datetime) -> Sequence[tuple[JobState, Verdict]]:
        taken: set[str] = set()
        verdicts: list[tuple[JobState, Verdict]] = []
        if any(state.registered.job.concurrency_key is not None for state, _ in batch):
            batch = sorted(batch, key=lambda pair: pair[0].registered.job.key)
        for state, surveyed in batch:
            job = state.registered.job
            standing = self._dispatcher.standing(state.registered)
            if job.concurrency_key in taken:
                standing = evolve(standing, is_group_busy=True)
            verdict = decide(
                job.key,
                surveyed,
                now - self._lags.get(job.key, _NO_LAG) if job.run is not _never else now + _LATE,
                catch_up=job.catch_up,
                overlap=job.overlap,
                standing=standing,
                new_run_id=lambda: self._new_run_id(now),
                started_at=now,
            )
            if job.concurrency_key is not None and any(
                run.status is RunStatus.RUNNING for run in verdict.decision.runs
            ):
                taken.add(job.concurrency_key)
            verdicts.append((state, verdict))
        return verdicts

    def _settle(self, state: JobState, verdict: Verdict, now: datetime, *, is_too_fast: bool) -> None:
        """Act on what was decided on a job, and find out when it is due again."""
        decision = verdict.decision
        job = state.registered.job
        former = self._formers.pop(job.key, None)
        state.mark, state.due = decision.mark, decision.next_fire_time
        self._note_mark(decision.mark)
        self._act_on(state, verdict, now)
        if state.due is not None and is_too_fast:
            self._set_aside(state, BrokenNextError("the next function gives more fire times than can be looked at"))
        elif state.due is not None:
            self._push(state)
            self._say_next(state)
        elif former is not None and not isinstance(job.next, BuiltInSchedule):
            state.question = self._lookahead.ask_next(state.registered, former.until)
        elif state.registered.asks_after_each_run and self._dispatcher.is_idle(job.key):
            state.question = self._lookahead.ask_next(state.registered, state.mark)

    def _act_on(self, state: JobState, verdict: Verdict, now: datetime) -> None:
        for gap in verdict.decision.gaps:
            self._say_gap(state, gap, now)
        try:
            self._dispatcher.carry_out(state.registered, verdict)
        except StoreError as error:
            self._store_failed(error)

    # -- what goes wrong

    def _set_aside(self, state: JobState, error: BrokenNextError) -> None:
        state.failures += 1
        seconds = _backoff(state.failures, _LONGEST_BACKOFF)
        job = state.registered.job
        state.due = None
        heapq.heappush(self._ask_again, (self._clock.monotonic() + seconds, job.key, state))
        _log.error("Next function failed", job=job.name, job_key=job.key, problem=error.problem, ask_again_s=seconds)
        if self._publish.is_heard:
            self._publish(JobBroken(job.key, error.problem))

    def _ask_broken_again(self) -> float | None:
        now = self._clock.monotonic()
        while self._ask_again and self._ask_again[0][0] <= now:
            state = heapq.heappop(self._ask_again)[2]
            if state.due is None and not state.question:
                state.question = self._lookahead.ask_next(state.registered, state.mark)
        return self._ask_again[0][0] - now if self._ask_again else None

    def _seconds_to_rest(self) -> float:
        """Return in how many seconds the store may be asked again; none if it works."""
        return max(0.0, self._store_again_at - self._clock.monotonic())

    def _store_failed(self, error: StoreError) -> None:
        self._store_failures += 1
        seconds = _backoff(self._store_failures, LONGEST_WAIT)
        self._store_again_at = self._clock.monotonic() + seconds
        _log.error("Store failed; nothing starts until it works", problem=str(error), again_s=seconds)

    # -- small things

    def _push(self, state: JobState) -> None:
        if state.due is not None:  # jobs due at one instant go by key
            key = state.registered.job.key
            heapq.heappush(self._heap, (self._start_of(state.due, key), key, state))

    def _start_of(self, fire_time: datetime, job_key: str) -> datetime:
        """Return when a job starts that is due at *fire_time*: the same object, unless it lags behind."""
        job_lag = self._lags.get(job_key)
        return fire_time if job_lag is None else fire_time + job_lag

    def _remember_next(self, next_fire_times: Mapping[str, datetime | None]) -> None:
        if not next_fire_times:
            return
        try:
            self._store.set_next(next_fire_times)
        except StoreError as error:  # they are worked out again at the next start
            _log.error("Next fire times not recorded", problem=str(error), jobs=len(next_fire_times))

    def _iso(self, instant: datetime) -> str:
        return instant.astimezone(self._zone).isoformat()

    def _note_mark(self, mark: datetime) -> None:
        if self._latest_mark is None or mark > self._latest_mark:
            self._latest_mark = mark

    def _say_if_waiting(self, now: datetime) -> None:
        """Say once that the clock is behind what was decided on, and that nothing is repeated."""
        is_waiting = self._latest_mark is not None and self._latest_mark - now > _CLOCK_MAY_DIFFER
        if is_waiting and not self._waiting_said:
            ahead = {key: state.mark for key, state in self._states.items() if state.mark - now > _CLOCK_MAY_DIFFER}
            furthest = max(ahead, key=lambda key: ahead[key])
            _log.warning(
                "Waiting for clock",
                clock=self._iso(now),
                until=self._iso(ahead[furthest]),
                job_key=furthest,
                jobs=len(ahead),
                problem="it is behind what has been decided on, which is not repeated",
            )
        self._waiting_said = is_waiting

    def _say(self, event: str, state: JobState) -> None:
        if _stdlib_log.isEnabledFor(logging.INFO):
            _log.info(event, job=state.registered.job.name, job_key=state.registered.job.key)

    def _say_next(self, state: JobState) -> None:
        job = state.registered.job
        if state.due is not None and job.run is not _never and _stdlib_log.isEnabledFor(logging.INFO):
            _log.info("Next run scheduled", job=job.name, job_key=job.key, nextRun=self._iso(state.due))

    def _say_decided_elsewhere(self, state: JobState, fire_time: datetime) -> None:
        job = state.registered.job
        _log.warning("Fire time decided elsewhere", job=job.name, job_key=job.key, fire_time=self._iso(fire_time))

    def _say_gap(self, state: JobState, gap: Gap, now: datetime) -> None:
        job = state.registered.job
        level = logging.INFO if now - gap.first <= ON_TIME else logging.WARNING
        if _stdlib_log.isEnabledFor(level):
            _log.log(
                level,
                "Fire times not run",
                job=job.name,
                job_key=job.key,
                reason=gap.reason.value,
                first=self._iso(gap.first),
                last=self._iso(gap.last),
                count=gap.count,
                detail=gap.detail,
            )
        if self._publish.is_heard:
            self._publish(FireTimesNotRun(gap))


_NO_LAG = timedelta(0)
_TICK = timedelta(microseconds=1)
_LATE = 2 * ON_TIME  # nothing is on time for a job that is not there
_CLOCK_MAY_DIFFER = timedelta(seconds=5)


def _never(_: object) -> None:
    """Stand in for the run function of a job whose plugin is not there."""


def _backoff(failures: int, longest: float) -> float:
    """Return the seconds to wait after so many failures in a row, from 1."""
    return min(_SHORTEST_BACKOFF * 2.0 ** min(failures - 1, 20), longest)  # 2.0**1024 is no float


def _broken(error: Exception) -> BrokenNextError:
    if isinstance(error, BrokenNextError):
        return error
    return BrokenNextError(f"the next function raised {summarize_error(error)}")
