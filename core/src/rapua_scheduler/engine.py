"""Decide what starts, record it, and hand it on: the loop that carries what the planner decides."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

from rapua_scheduler.agenda import Agenda
from rapua_scheduler.announcer import Announcer
from rapua_scheduler.backoff import Backoff
from rapua_scheduler.clock import Clock
from rapua_scheduler.clock_watch import ClockWatch, Trust
from rapua_scheduler.controls import Controls
from rapua_scheduler.decider import Decider
from rapua_scheduler.dispatcher import Dispatcher
from rapua_scheduler.errors import BrokenNextError, StoreError
from rapua_scheduler.fire_times import Survey
from rapua_scheduler.intake import Intake
from rapua_scheduler.job_states import TICK, JobState
from rapua_scheduler.logs import get_logger
from rapua_scheduler.lookahead import Answer, Lookahead
from rapua_scheduler.planner import Verdict
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.runner import Publish, Runner
from rapua_scheduler.schedules import BuiltInSchedule
from rapua_scheduler.store.port import NO_JOB, Store, StoredJob
from rapua_scheduler.surveyor import Surveyor
from rapua_scheduler.takeover import TakeOver

LOOK_EVERY = 1.0
"""Seconds that the loop sleeps at most, so that it notices what operators say, steps of the clock and suspends."""

LONGEST_BACKOFF = 30.0
"""Seconds after which a store that fails is asked again at the latest."""

MOST_CLAIMS = 250
"""Runs that are claimed in one transaction at most, so that the first of many start early."""

_MOST_TAKEN_IN = 1000
_log = get_logger("rapua_scheduler.engine")


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
            look_every: Seconds that `tick` asks to wait for at most, to see whether an operator has said something.
            adopt_from: From when on to make up the fire times of a job that is seen for the first time,
                in UTC; None for nothing to make up.
            has_room: Whether the process has what it takes to start something; what is due waits for it.
        """
        self._store = store
        self._clock = clock
        self._runner = runner
        self._lookahead = lookahead(self._answered)
        self._watch = clock_watch
        self._look_every = look_every
        self._adopt_from = None if adopt_from is None else adopt_from - TICK  # becomes a mark: decided on
        self._has_room = has_room
        self._agenda = Agenda(clock)
        self._announce = Announcer(zone, publish)
        self._controls = Controls(store)
        self._intake = Intake(store, self._lookahead, zone)
        self._surveyor = Surveyor(self._controls, self._lookahead, zone)
        self._dispatcher = Dispatcher(store, clock, runner, publish=publish)
        self._decider = Decider(store, self._dispatcher, self._announce, new_run_id=new_run_id)
        self._take_over = TakeOver(store, self._dispatcher, self._lookahead, zone)
        self._added: deque[RegisteredJob] = deque()
        self._absent: deque[StoredJob] = deque()
        self._not_taken_over: deque[RegisteredJob] = deque()
        self._answers: deque[Answer] = deque()
        self._wakeup = threading.Event()
        self._stopping = False
        self._store_backoff = Backoff(clock, LONGEST_BACKOFF)
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
        for state in self._agenda:
            self._announce.stopped(state)
        _log.info("Scheduler stopped", jobs=len(self._agenda))

    def tick(self) -> float:
        """Do everything that is due.

        Returns:
            Seconds until the next tick is needed, at most one; zero if something came in meanwhile.
        """
        self._wakeup.clear()
        self.take_in()
        self._note_ends()
        waits = [self._runner.tick(), self._start_what_is_due(), self._ask_broken_again(), self._lookahead.tick()]
        wait = min(seconds for seconds in waits if seconds is not None)
        return 0.0 if self._stopping or self._wakeup.is_set() else wait

    # -- jobs come in

    def take_in(self) -> None:
        """Record the jobs that were added, and find out when each is due.

        As long as the clock cannot be trusted, none comes in: a job must not be known since 1970, nor have
        changed in 2100.
        """
        if not (self._added or self._absent) or not self._is_clock_right():
            return
        while self._added and not self._store_backoff.seconds_left():
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
            self._controls.forget()  # windows and claims of these may be further back
        while self._absent:
            known = self._absent.popleft()
            state = self._intake.absent(known)
            if state is not None and self._agenda.find(known.key) is None:
                self._agenda.add(state)
                self._find_due(state, known)

    def _is_clock_right(self) -> bool:
        try:
            return self._watch.look(self._clock.now()) is Trust.FINE
        except StoreError as error:
            self._store_failed(error)
            return False

    def _set_up(self, registered: RegisteredJob, known: StoredJob, found: dict[str, datetime | None]) -> None:
        state = JobState(registered, known.mark)
        self._agenda.add(state)
        self._announce.starting(state)
        if self._find_due(state, known):
            found[known.key] = state.due
        self._not_taken_over.append(registered)

    def _find_due(self, state: JobState, known: StoredJob) -> bool:
        """Find out when a job is due, or let its plugin be asked; return whether that is worth recording."""
        is_told = False
        try:
            is_told = self._intake.find_due(state, known)
        except BrokenNextError as error:
            due = state.due
            self._set_aside(state, error)
            state.due = due
        self._agenda.schedule(state)
        self._announce.next_run(state)
        return is_told

    # -- facts come back

    def _note_ends(self) -> None:
        for job_key in self._dispatcher.take_ended():
            state = self._agenda.find(job_key)
            if state is not None and state.due is None and not state.question:
                state.question = self._lookahead.ask_next(state.registered, state.mark)
        try:
            self._dispatcher.pause_after_failures()
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
            state = self._agenda.find(answer.job_key)
            if state is None or self._is_about_effect(state, answer) or state.question != answer.question:
                continue
            state.question = 0
            if answer.error is not None:
                broken.append((state, answer.error))
                if state.due is not None:  # its fire time has come; what comes after is not known
                    surveyed.append((state, self._surveyor.lone(state, state.due)))
            elif answer.survey is not None:
                state.failures = 0
                surveyed.append((state, answer.survey))
            else:
                state.failures = 0
                if state.formers:
                    continue
                state.due = found[answer.job_key] = answer.next
                self._agenda.schedule(state)
                self._announce.next_run(state)
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
        self._heed_news()
        trust = self._watch.look(now)
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
        """Answer what a former host left of the jobs that have come; what is queued comes after it.

        It may pause a job that has killed its hosts, which holds for what is due already, too.
        """
        while self._not_taken_over:
            self._take_over.take_over(self._not_taken_over[0])
            self._not_taken_over.popleft()
        self._dispatcher.take_queued(self._find_job)
        self._heed_news()

    def _heed_news(self) -> None:
        word = self._controls.has_news()
        if word is not None:
            self._heed()
            self._controls.note_heeded(word)

    def _heed(self) -> None:
        """Do what operators have said since it was last looked; doing it twice changes nothing."""
        self._watch.heed_release(self._take_back)
        self._read_controls()
        if not self._not_taken_over:
            self._dispatcher.take_queued(self._find_job)
        for run_id, by in self._store.cancel_requests().items():
            self._dispatcher.cancel(run_id, f"cancelled by {by}")

    def _read_controls(self) -> None:
        now = self._clock.now()
        self._controls.read(min((state.mark for state in self._agenda), default=now), now)

    def _take_back(self) -> None:
        """Find out anew when the jobs are due whose marks a release has lowered, or whose changes it has taken back."""
        if self._added or self._absent:  # they come in with the next tick
            self._wakeup.set()
        stored = {job.key: job for job in self._store.jobs()}
        self._agenda.lower({key: known.mark for key, known in stored.items()})
        for state in self._agenda:
            known = stored.get(state.job.key)
            if known is not None and (state.due is None or state.formers):
                self._find_due(state, known)

    def _find_job(self, job_key: str) -> RegisteredJob | None:
        """Return a job; None if it, or its plugin, is not there."""
        state = self._agenda.find(job_key)
        return None if state is None or state.is_absent else state.registered

    # -- fire times come

    def _decide_due(self, now: datetime) -> float:
        self._announce.waiting_for_clock(self._agenda, self._agenda.latest_mark, now)
        batch: list[tuple[JobState, Survey]] = []
        for state, due in self._agenda.take_due(now):
            try:
                surveyed = self._surveyor.look(state, due, now)
            except BrokenNextError as error:
                surveyed = self._surveyor.lone(state, due)
                self._set_aside(state, error)
            if surveyed is not None:
                batch.append((state, surveyed))
            if len(batch) == MOST_CLAIMS:
                break
        if not self._carry_out(batch, now):
            return self._seconds_to_rest()
        seconds = self._agenda.seconds_to_next()
        return self._look_every if seconds is None else min(seconds, self._look_every)

    def _carry_out(self, batch: Sequence[tuple[JobState, Survey]], now: datetime) -> bool:
        """Decide on jobs, and act on it; False if the store failed."""
        if not batch:
            return True
        decided = self._decider.decide(batch, now, self._controls.paused)
        for state in decided.unrecorded:
            self._agenda.schedule(state)
        if decided.error is None:
            self._store_backoff.note_success()
        else:
            self._store_failed(decided.error)
        too_fast = {state.job.key for state, surveyed in batch if surveyed.is_too_fast}
        for state, verdict in decided.verdicts:
            self._settle(state, verdict, now, is_too_fast=state.job.key in too_fast)
        if not decided.is_all_ours:  # what is ours may wait for something that is not
            self._wakeup.set()
        return decided.error is None

    def _settle(self, state: JobState, verdict: Verdict, now: datetime, *, is_too_fast: bool) -> None:
        """Act on what was decided on a job, and find out when it is due again."""
        decision = verdict.decision
        job, formers = state.job, state.formers
        due = decision.next_fire_time
        state.formers = () if due is None else tuple(former for former in formers if due <= former.until + TICK)
        self._agenda.move(state, decision.mark, decision.next_fire_time)
        self._act_on(state, verdict, now)
        if state.due is not None and is_too_fast:
            self._set_aside(state, BrokenNextError("the next function gives more fire times than can be looked at"))
        elif state.due is not None:
            self._agenda.schedule(state)
            self._announce.next_run(state)
        elif formers and not isinstance(job.next, BuiltInSchedule):
            state.question = self._lookahead.ask_next(state.registered, formers[-1].until)
        elif state.registered.asks_after_each_run and self._dispatcher.is_idle(job.key):
            state.question = self._lookahead.ask_next(state.registered, state.mark)

    def _act_on(self, state: JobState, verdict: Verdict, now: datetime) -> None:
        for gap in verdict.decision.gaps:
            self._announce.not_run(state, gap, now)
        try:
            self._dispatcher.carry_out(state.registered, verdict)
        except StoreError as error:
            self._store_failed(error)

    # -- what goes wrong

    def _set_aside(self, state: JobState, error: BrokenNextError) -> None:
        self._announce.broken(state, error.problem, self._agenda.set_aside(state))

    def _ask_broken_again(self) -> float | None:
        for state in self._agenda.take_broken():
            state.question = self._lookahead.ask_next(state.registered, state.mark)
        return self._agenda.seconds_to_broken()

    def _seconds_to_rest(self) -> float:
        """Return in how many seconds the store may be asked again; none if it works."""
        return self._store_backoff.seconds_left()

    def _store_failed(self, error: StoreError) -> None:
        seconds = self._store_backoff.note_failure()
        _log.error("Store failed; nothing starts until it works", problem=str(error), again_s=seconds)

    def _remember_next(self, next_fire_times: Mapping[str, datetime | None]) -> None:
        if not next_fire_times:
            return
        try:
            self._store.set_next(next_fire_times)
        except StoreError as error:  # they are worked out again at the next start
            _log.error("Next fire times not recorded", problem=str(error), jobs=len(next_fire_times))
