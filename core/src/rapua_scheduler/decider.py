"""Decide what becomes of fire times that have come, and have it recorded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from attrs import evolve, frozen

from rapua_scheduler.announcer import Announcer
from rapua_scheduler.dispatcher import Dispatcher
from rapua_scheduler.errors import StoreError
from rapua_scheduler.fire_times import Survey
from rapua_scheduler.job_states import JobState
from rapua_scheduler.planner import ON_TIME, Verdict, decide, piece_by_piece
from rapua_scheduler.run import RunStatus
from rapua_scheduler.store.port import Store

_LATE = 2 * ON_TIME  # nothing is on time for a job that is not there
_WHY_ABSENT = "its plugin was not there when a host was up again"


@frozen
class Decided:
    """What came of a look at some jobs.

    Attributes:
        verdicts: What is recorded now, of each job: all that was decided, or what nobody else had claimed.
        unrecorded: The jobs on which nothing was recorded, since the store failed.
        error: How it failed.
        is_all_ours: Whether nothing was claimed by somebody else.
    """

    verdicts: Sequence[tuple[JobState, Verdict]]
    unrecorded: Sequence[JobState] = ()
    error: StoreError | None = None
    is_all_ours: bool = True


class Decider:
    """Carries what the planner decides to the store; belongs to the timing thread."""

    def __init__(
        self, store: Store, dispatcher: Dispatcher, announce: Announcer, *, new_run_id: Callable[[datetime], str]
    ) -> None:
        """Make a decider.

        Args:
            store: Where decisions are recorded, and runs claimed.
            dispatcher: Knows what is under way.
            announce: Says what somebody else has claimed.
            new_run_id: Makes the id of a run that is started at an instant.
        """
        self._store = store
        self._dispatcher = dispatcher
        self._announce = announce
        self._new_run_id = new_run_id

    def decide(self, batch: Sequence[tuple[JobState, Survey]], now: datetime, paused: Collection[str] = ()) -> Decided:
        """Decide on jobs, each once, and record it in one transaction.

        Args:
            batch: The jobs, each with its fire times that have come.
            now: The current time, in UTC.
            paused: Keys of the jobs of which nothing starts: what is run of them waits.
        """
        verdicts = self._verdicts(batch, now, paused)
        try:
            accepted = self._store.decide([verdict.decision for _, verdict in verdicts])
        except StoreError as error:
            return Decided((), [state for state, _ in batch], error)
        return Decided(verdicts) if all(accepted) else self._decide_rest(verdicts, accepted)

    def _verdicts(
        self, batch: Sequence[tuple[JobState, Survey]], now: datetime, paused: Collection[str]
    ) -> Sequence[tuple[JobState, Verdict]]:
        taken: set[str] = set()
        verdicts: list[tuple[JobState, Verdict]] = []
        if any(state.job.concurrency_key is not None for state, _ in batch):
            batch = sorted(batch, key=lambda pair: pair[0].job.key)
        for state, surveyed in batch:
            job = state.job
            standing = self._dispatcher.standing(state.registered)
            if job.concurrency_key in taken or job.key in paused:
                standing = evolve(standing, must_wait=True)
            verdict = decide(
                job.key,
                surveyed,
                now + _LATE if state.is_absent else now - state.lag,
                catch_up=job.catch_up,
                overlap=job.overlap,
                standing=standing,
                new_run_id=lambda: self._new_run_id(now),
                started_at=now,
            )
            if state.is_absent:
                verdict = _explained(verdict)
            if job.concurrency_key is not None and any(
                run.status is RunStatus.RUNNING for run in verdict.decision.runs
            ):
                taken.add(job.concurrency_key)
            verdicts.append((state, verdict))
        return verdicts

    def _decide_rest(self, verdicts: Sequence[tuple[JobState, Verdict]], accepted: Sequence[bool]) -> Decided:
        """Record, of the verdicts that were refused, what nobody else has decided on.

        A claim that is held already, as by the rules that the zone had before, must not take the fire times
        beside it along.
        """
        recorded: list[tuple[JobState, Verdict]] = []
        unrecorded: list[JobState] = []
        last_error: StoreError | None = None
        for (state, verdict), is_recorded in zip(verdicts, accepted, strict=True):
            try:
                recorded.append((state, verdict if is_recorded else self._decide_pieces(state, verdict)))
            except StoreError as error:
                unrecorded.append(state)
                last_error = error
        return Decided(recorded, unrecorded, last_error, is_all_ours=False)

    def _decide_pieces(self, state: JobState, verdict: Verdict) -> Verdict:
        pieces = piece_by_piece(verdict.decision)
        are_ours = self._store.decide(pieces)
        ours = [piece for piece, is_ours in zip(pieces, are_ours, strict=True) if is_ours]
        runs = tuple(run for piece in ours for run in piece.runs)
        for run in verdict.decision.runs:
            if run not in runs:
                self._announce.decided_elsewhere(state, run.fire_time)
        decision = evolve(verdict.decision, runs=runs, gaps=tuple(gap for piece in ours for gap in piece.gaps))
        is_newest_ours = runs[-1:] == verdict.decision.runs[-1:]
        return evolve(verdict, decision=decision) if is_newest_ours else Verdict(decision)


def _explained(verdict: Verdict) -> Verdict:
    """Return a verdict on a job that is not there, each of its gaps with the reason."""
    gaps = tuple(evolve(gap, detail=gap.detail or _WHY_ABSENT) for gap in verdict.decision.gaps)
    return evolve(verdict, decision=evolve(verdict.decision, gaps=gaps))
