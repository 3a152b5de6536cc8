"""Which fire times of a job have come, and what they met with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo

from attrs import evolve

from rapua_scheduler.controls import Controls
from rapua_scheduler.fire_times import Stretch, Survey, first_after, only, survey
from rapua_scheduler.job import takes_after
from rapua_scheduler.job_states import TICK, Former, JobState, broken, first_of_formers
from rapua_scheduler.lookahead import Lookahead
from rapua_scheduler.planner import kept_by
from rapua_scheduler.schedules import BuiltInSchedule

_WHY_UNKNOWN = "by a next function that the job does not have any more: nobody can tell which fire times there were"


class Surveyor:
    """Looks at a job that is due, or lets its plugin be asked; belongs to the timing thread."""

    def __init__(self, controls: Controls, lookahead: Lookahead, zone: tzinfo) -> None:
        self._controls = controls
        self._lookahead = lookahead
        self._zone = zone

    def look(self, state: JobState, due: datetime, now: datetime) -> Survey | None:
        """Return the fire times of a job from *due* up to *now*; None if its plugin was asked for them.

        Raises:
            BrokenNextError: The schedule is somebody's own subclass, and misbehaves.
        """
        job = state.job
        if isinstance(job.next, BuiltInSchedule):
            try:
                return self._surveyed(state, job.next, due, now)
            except Exception as error:
                raise broken(error) from error
        if state.formers:
            return Survey(self._of_formers(state, now), first_of_formers(state.formers, now, self._zone))
        if not takes_after(job.next):
            return self.lone(state, due)
        state.question = self._lookahead.ask_survey(
            state.registered,
            due,
            now,
            keep=kept_by(job.catch_up),
            circumstances=self._controls.circumstances_of(job.key),
        )
        return None

    def lone(self, state: JobState, due: datetime) -> Survey:
        """Return the survey of a fire time that has come, of which it is not known what comes after."""
        return only(due, self._controls.circumstances_of(state.job.key))

    def _surveyed(self, state: JobState, schedule: BuiltInSchedule, due: datetime, now: datetime) -> Survey:
        if not state.formers:
            return self._survey(state, schedule, due, now - state.lag)
        before = self._of_formers(state, now)
        if (still := first_of_formers(state.formers, now, self._zone)) is not None:
            return Survey(before, still)
        first = first_after(schedule, state.formers[-1].until, self._zone)
        if first is None or first > now - state.lag:
            return Survey(before, first)
        since = self._survey(state, schedule, first, now - state.lag)
        return evolve(since, stretches=(*before, *since.stretches))

    def _survey(self, state: JobState, schedule: BuiltInSchedule, due: datetime, until: datetime) -> Survey:
        circumstances = self._controls.circumstances_of(state.job.key)
        keep = kept_by(state.job.catch_up)
        return survey(schedule, due, until, self._zone, keep=keep, circumstances=circumstances)

    def _of_formers(self, state: JobState, now: datetime) -> tuple[Stretch, ...]:
        """Return the stretches of fire times up to *now* that a job had by its former schedules."""
        stretches: list[Stretch] = []
        after = state.mark
        for former in state.formers:
            until = min(now, former.until)
            if after < until:
                stretches += self._of_former(state, former, after, until)
                after = until
        return tuple(stretches)

    def _of_former(self, state: JobState, former: Former, after: datetime, until: datetime) -> Iterator[Stretch]:
        if former.schedule is not None:
            first = first_after(former.schedule, after, self._zone)
            if first is not None and first <= until:
                yield from self._survey(state, former.schedule, first, until).stretches
            return
        if former.pending is not None and after < former.pending <= until:
            yield from self.lone(state, former.pending).stretches
            after = former.pending
        if after < until:
            yield Stretch(after + TICK, (), earlier=None, until=until, unknown=_WHY_UNKNOWN)
