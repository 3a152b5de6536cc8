"""Ask what plugins know - next functions, what is done - in threads of their own, so that none delays the host."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo

from attrs import evolve, frozen

from rapua_scheduler.clock import Clock
from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.executors.port import Executor
from rapua_scheduler.fire_times import Circumstances, Survey, first_after, first_pending, survey
from rapua_scheduler.job import takes_after
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.registry import RegisteredJob

PATIENCE = 5.0
"""Seconds that a next function, or a survey of many fire times, may take."""

_LOOK_EVERY = 1.0
_Look = Callable[[Callable[[], bool]], "Answer"]


@frozen
class Answer:
    """What a job's function said.

    Attributes:
        job_key: The job.
        question: The number that `ask` gave the question.
        next: The next fire time in UTC, when that was the question.
        survey: The fire times that have come, when those were the question.
        is_done: Whether the effect is complete, when that was the question; None if that is not known.
        error: Why there is no answer.
    """

    job_key: str
    question: int = 0
    next: datetime | None = None
    survey: Survey | None = None
    is_done: bool | None = None
    error: BrokenNextError | None = None


class Lookahead:
    """Asks next functions in one helper thread per plugin, and replaces a helper that hangs."""

    def __init__(
        self,
        clock: Clock,
        zone: tzinfo,
        find_helper: Callable[[RegisteredJob], Executor],
        deliver: Callable[[Answer], None],
    ) -> None:
        """Make a lookahead.

        Args:
            clock: Measures how long a function takes.
            zone: The zone that functions are asked in.
            find_helper: Gives the one-thread executor of a job's plugin.
            deliver: Called with each answer, from a helper thread, or from the caller's when it is late.
        """
        self._clock = clock
        self._zone = zone
        self._find_helper = find_helper
        self._deliver = deliver
        self._open: dict[int, _Question] = {}
        self._executing: set[_Question] = set()
        self._hanging: set[tuple[str, str]] = set()
        self._asked = 0

    def ask_next(self, registered: RegisteredJob, after: datetime) -> int:
        """Ask for the first fire time later than *after*; a function without argument gets none."""
        job = registered.job
        if takes_after(job.next):
            return self._ask(registered, lambda _: Answer(job.key, next=first_after(job.next, after, self._zone)))
        return self._ask(registered, lambda _: Answer(job.key, next=first_pending(job.next, self._clock.now())))

    def ask_survey(
        self, registered: RegisteredJob, due: datetime, now: datetime, *, keep: int, circumstances: Circumstances
    ) -> int:
        """Ask for the fire times from *due* up to *now*."""
        job = registered.job

        def look(enough: Callable[[], bool]) -> Answer:
            found = survey(job.next, due, now, self._zone, keep=keep, circumstances=circumstances, enough=enough)
            return Answer(job.key, survey=found)

        return self._ask(registered, look)

    def ask_is_done(self, registered: RegisteredJob, fire_time: datetime) -> int:
        """Ask whether the effect of a fire time is complete."""
        job = registered.job

        def look(_: Callable[[], bool]) -> Answer:
            said = None if job.is_done is None else job.is_done(fire_time.astimezone(self._zone))
            return Answer(job.key, is_done=None if said is None else bool(said))

        return self._ask(registered, look, subject="is_done")

    def tick(self) -> float | None:
        """Give up on functions that take too long.

        Returns:
            Seconds until the next look is due; None if nothing is being asked.
        """
        now = self._clock.monotonic()
        for question in [question for question in list(self._executing) if now >= question.deadline]:
            self._hanging.add(question.place)
            question.executor.write_off(question)
            question.fail(f"{question.subject} had not returned after {PATIENCE:g} s; it must be quick and pure")
        return _LOOK_EVERY if self._open else None

    def _ask(self, registered: RegisteredJob, look: _Look, subject: str = "the next function") -> int:
        self._asked += 1
        question = _Question(self, self._find_helper(registered), registered.job.key, self._asked, look, subject)
        self._open[question.number] = question
        if question.place in self._hanging:  # one thread is enough to wait for it
            question.fail(f"{question.subject} has still not returned")
            return question.number
        try:
            question.executor.submit(question)
        except Exception as error:  # the system has no thread left; the question is asked again later
            question.fail(f"{question.subject} could not be asked: {summarize_error(error)}")
        return question.number

    def begin(self, question: _Question) -> None:
        """Start the clock of *question*; called in its helper thread."""
        question.deadline = self._clock.monotonic() + PATIENCE
        self._executing.add(question)

    def is_half_over(self, question: _Question) -> bool:
        """Tell whether half of the time that *question* may take has passed."""
        return self._clock.monotonic() > question.deadline - PATIENCE / 2

    def note_end(self, question: _Question) -> None:
        """Note that the function has returned, in time or not; called in its helper thread."""
        self._hanging.discard(question.place)

    def close(self, question: _Question, answer: Answer) -> None:
        """Deliver *answer*, unless the question has had one."""
        self._executing.discard(question)
        if self._open.pop(question.number, None) is not None:
            self._deliver(answer)


class _Question:
    """One call of a job's function, as work for an executor."""

    __slots__ = ("_look", "_lookahead", "deadline", "executor", "job_key", "number", "subject")

    def __init__(
        self, lookahead: Lookahead, executor: Executor, job_key: str, number: int, look: _Look, subject: str
    ) -> None:
        self.subject = subject
        self._lookahead = lookahead
        self._look = look
        self.executor = executor
        self.job_key = job_key
        self.number = number
        self.deadline = 0.0

    @property
    def assignment(self) -> None:
        return None

    @property
    def place(self) -> tuple[str, str]:
        return self.job_key, self.subject

    def begin(self) -> bool:
        self._lookahead.begin(self)
        return True

    def call(self) -> Answer:
        return evolve(self._look(lambda: self._lookahead.is_half_over(self)), question=self.number)

    def end(self, returned: object, error: BaseException | None) -> None:
        self._lookahead.note_end(self)
        if isinstance(returned, Answer):
            self._lookahead.close(self, returned)
        elif isinstance(error, BrokenNextError):
            self.fail(error.problem)
        elif error is not None:
            self.fail(f"{self.subject} raised {summarize_error(error)}")

    def fail(self, problem: str) -> None:
        self._lookahead.close(self, Answer(self.job_key, self.number, error=BrokenNextError(problem)))
