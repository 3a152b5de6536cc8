"""When a job that has just come is due, by what the store knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo

from rapua_scheduler.errors import StoreError
from rapua_scheduler.fire_times import fire_key, first_after
from rapua_scheduler.job import Job, takes_after
from rapua_scheduler.job_states import AbsentJob, Former, JobState, broken, first_of_formers, lag
from rapua_scheduler.lookahead import Lookahead
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.schedules import BuiltInSchedule, from_fingerprint
from rapua_scheduler.store.port import Store, StoredJob


class Intake:
    """Finds out where a job stands; belongs to the timing thread."""

    def __init__(self, store: Store, lookahead: Lookahead, zone: tzinfo) -> None:
        self._store = store
        self._lookahead = lookahead
        self._zone = zone

    def find_due(self, state: JobState, known: StoredJob) -> bool:
        """Find out, or ask its plugin, when a job is due.

        Returns:
            Whether that is worth recording: it follows from the schedule.

        Raises:
            BrokenNextError: The schedule is somebody's own subclass, and misbehaves; what was due by former
                ones is due.
        """
        job, since = state.job, max([known.mark, *(former.until for former in known.formers)])
        formers = tuple(_formers(known))
        state.due = first_of_formers(formers, known.mark, self._zone)
        state.formers = formers if state.due is not None else ()
        if isinstance(job.next, BuiltInSchedule):
            try:
                if job.jitter is not None:
                    state.lag = lag(job.key, job.next, job.jitter, since, self._zone)
                state.due = state.due or self._first_undecided(job.next, known, since)
            except Exception as error:
                raise broken(error) from error
            return True
        if state.due is not None:
            return False
        if known.next_fire_time is not None and not takes_after(job.next):
            state.due = known.next_fire_time
        else:
            state.question = self._lookahead.ask_next(state.registered, since)
        return False

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

    def absent(self, known: StoredJob) -> AbsentJob | None:
        """Return a job whose plugin is not there; None if nobody knows its schedule without that."""
        schedule = from_fingerprint(known.fingerprint)
        if schedule is None:
            return None
        job = Job(known.name or known.key, _never, schedule, key=known.key, catch_up="none")
        return AbsentJob(RegisteredJob(job, known.plugin, known.distribution, known.version), known.mark)


def _formers(known: StoredJob) -> Iterator[Former]:
    """Give the schedules that a job had before, as far as they may have fire times that are not decided on."""
    after = known.mark
    for former in known.formers:
        if former.until <= after:
            continue
        schedule = from_fingerprint(former.fingerprint)
        following = known.next_fire_time
        if schedule is not None:
            yield Former(former.until, schedule)
        elif following is not None and after < following <= former.until:
            yield Former(former.until, pending=following)
        elif former is not known.formers[-1]:  # of the last one it is known that nothing was pending
            yield Former(former.until)
        after = former.until


def _never(_: object) -> None:
    """Stand in for the run function of a job whose plugin is not there."""
