"""Which fire times of a job have come, and what they met with."""

from __future__ import annotations

from datetime import datetime, tzinfo

from attrs import evolve

from rapua_scheduler.controls import Controls
from rapua_scheduler.fire_times import Survey, first_after, only, survey
from rapua_scheduler.job import takes_after
from rapua_scheduler.job_states import Former, JobState, broken
from rapua_scheduler.lookahead import Lookahead
from rapua_scheduler.planner import kept_by
from rapua_scheduler.schedules import BuiltInSchedule


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
                return self._surveyed(state, job.next, due, now - state.lag)
            except Exception as error:
                raise broken(error) from error
        if state.former is not None:
            return self._of_former(state, state.former, now)
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
        job, former = state.job, state.former
        circumstances = self._controls.circumstances_of(job.key)
        keep = kept_by(job.catch_up)
        if former is None:
            return survey(schedule, due, now, self._zone, keep=keep, circumstances=circumstances)
        before = self._of_former(state, former, now)
        first = first_after(schedule, former.until, self._zone)
        if first is None or first > now:
            return evolve(before, next=first)
        since = survey(schedule, first, now, self._zone, keep=keep, circumstances=circumstances)
        return evolve(since, stretches=(*before.stretches, *since.stretches))

    def _of_former(self, state: JobState, former: Former, now: datetime) -> Survey:
        """Return the survey of the fire times that a job had by its former schedule."""
        if former.schedule is None:
            return self.lone(state, former.pending)
        job = state.job
        circumstances = self._controls.circumstances_of(job.key)
        until = min(now, former.until)
        keep = kept_by(job.catch_up)
        found = survey(former.schedule, former.pending, until, self._zone, keep=keep, circumstances=circumstances)
        return evolve(found, next=None)
