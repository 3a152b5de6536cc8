"""What a host says of its jobs: log lines for people, events for observers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo

from rapua_scheduler.events import FireTimesNotRun, JobBroken
from rapua_scheduler.job_states import JobState
from rapua_scheduler.logs import get_logger
from rapua_scheduler.planner import ON_TIME
from rapua_scheduler.run import Gap
from rapua_scheduler.runner import Publish

_CLOCK_MAY_DIFFER = timedelta(seconds=5)
_log = get_logger("rapua_scheduler.engine")
_stdlib_log = logging.getLogger("rapua_scheduler.engine")


class Announcer:
    """Says what becomes of jobs; belongs to the timing thread."""

    def __init__(self, zone: tzinfo, publish: Publish) -> None:
        """Make an announcer.

        Args:
            zone: The zone in which times are told.
            publish: Tells observers.
        """
        self._zone = zone
        self._publish = publish
        self._is_waiting_said = False

    def starting(self, state: JobState) -> None:
        """Say that a job has come."""
        self._say("Starting job", state)

    def stopped(self, state: JobState) -> None:
        """Say that a job is not scheduled any more."""
        self._say("Job stopped", state)

    def next_run(self, state: JobState) -> None:
        """Say when a job is due, if that is known."""
        if state.due is not None and not state.is_absent and _stdlib_log.isEnabledFor(logging.INFO):
            job = state.job
            _log.info("Next run scheduled", job=job.name, job_key=job.key, nextRun=self._iso(state.due))

    def broken(self, state: JobState, problem: str, ask_again_s: float) -> None:
        """Say that a job's next function misbehaves."""
        job = state.job
        _log.error("Next function failed", job=job.name, job_key=job.key, problem=problem, ask_again_s=ask_again_s)
        if self._publish.is_heard:
            self._publish(JobBroken(job.key, problem))

    def decided_elsewhere(self, state: JobState, fire_time: datetime) -> None:
        """Say that somebody else has claimed a fire time."""
        job = state.job
        _log.warning("Fire time decided elsewhere", job=job.name, job_key=job.key, fire_time=self._iso(fire_time))

    def not_run(self, state: JobState, gap: Gap, now: datetime) -> None:
        """Say that fire times were not run, and why."""
        job = state.job
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

    def waiting_for_clock(self, states: Iterable[JobState], latest_mark: datetime | None, now: datetime) -> None:
        """Say once that the clock is behind what was decided on, if it is, and that nothing is repeated."""
        is_waiting = latest_mark is not None and latest_mark - now > _CLOCK_MAY_DIFFER
        if is_waiting and not self._is_waiting_said:
            ahead = [state for state in states if state.mark - now > _CLOCK_MAY_DIFFER]
            furthest = max(ahead, key=lambda state: state.mark)
            _log.warning(
                "Waiting for clock",
                clock=self._iso(now),
                until=self._iso(furthest.mark),
                job_key=furthest.job.key,
                jobs=len(ahead),
                problem="it is behind what has been decided on, which is not repeated",
            )
        self._is_waiting_said = is_waiting

    def _say(self, event: str, state: JobState) -> None:
        if _stdlib_log.isEnabledFor(logging.INFO):
            _log.info(event, job=state.job.name, job_key=state.job.key)

    def _iso(self, instant: datetime) -> str:
        return instant.astimezone(self._zone).isoformat()
