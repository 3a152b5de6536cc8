"""Everything that is known of one job, to explain it by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from attrs import frozen

from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.listings import is_embedded, open_windows
from rapua_scheduler.control.previews import ask_next
from rapua_scheduler.control.wording import describe_window
from rapua_scheduler.errors import BrokenNextError, UnknownJobError
from rapua_scheduler.fire_times import is_fire_time
from rapua_scheduler.job import takes_after
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.run import Gap, Run, Window, WindowKind
from rapua_scheduler.schedules import BuiltInSchedule, from_fingerprint
from rapua_scheduler.store.port import HostRecord, Store, StoredJob

_TICK = timedelta(microseconds=1)
_ABSENCES = {WindowKind.ABSENT, WindowKind.FAILED}

AskNext = Callable[..., Any]
"""What tells the fire times of a job."""


@frozen(kw_only=True)
class Case:
    """One job, as store and registry know it at one moment.

    Attributes:
        job_key: The job.
        now: The current time, in UTC.
        zone: The zone that schedules are asked in, and that times are told in.
        retention: How long records are kept.
        store: Where everything is recorded.
        stored: What the store knows of it; None if no host has ever had it.
        registered: The job as it is installed; None if it is not.
        absence: Why it is not installed.
        host: The host that is, or was last, active.
        windows: What keeps it from running now.
    """

    job_key: str
    now: datetime
    zone: tzinfo
    retention: timedelta
    store: Store
    stored: StoredJob | None
    registered: RegisteredJob | None
    absence: str
    host: HostRecord | None
    windows: Sequence[Window]

    @classmethod
    def of(
        cls,
        store: Store,
        job_key: str,
        *,
        registry: Registry,
        absences: Mapping[str, str],
        now: datetime,
        zone: tzinfo,
        retention: timedelta,
    ) -> Case:
        """Read what is known of a job.

        Args:
            store: Where everything is recorded.
            job_key: The job.
            registry: The jobs that are installed.
            absences: Why jobs that the store knows are not installed, by key.
            now: The current time, aware.
            zone: The site's zone.
            retention: How long records are kept.

        Raises:
            UnknownJobError: Neither the store nor the registry knows the job.
        """
        jobs = {job.key: job for job in store.jobs()}
        if job_key not in jobs and job_key not in registry:
            raise UnknownJobError(job_key, tuple({*jobs, *registry}))
        return cls(
            job_key=job_key,
            now=now.astimezone(UTC),
            zone=zone,
            retention=retention,
            store=store,
            stored=jobs.get(job_key),
            registered=registry.get(job_key),
            absence=absences.get(job_key, "no plugin brings it"),
            host=store.host(),
            windows=open_windows(store, now, job_key),
        )

    def when(self, instant: datetime | None) -> str:
        """Return an instant for a person."""
        return moment(instant, self.zone)

    def next_function(self, at: datetime) -> AskNext | None:
        """Return what tells, or told, the fire times around *at*; None if that is not known any more.

        What the host goes by counts before what is installed by now.
        """
        stored = self.stored
        former = next((former for former in stored.formers if at <= former.until), None) if stored else None
        if former is not None:
            return from_fingerprint(former.fingerprint)
        known = from_fingerprint(stored.fingerprint) if stored is not None else None
        if known is not None or self.registered is None:
            return known
        return self.registered.job.next

    def schedule(self, next_function: AskNext | None) -> str:
        """Return the schedule in words."""
        if isinstance(next_function, BuiltInSchedule):
            return str(next_function)
        return self.registered.schedule if self.registered is not None else "a schedule that is not known any more"

    def is_fire_time(self, next_function: AskNext | None, at: datetime) -> bool | None:
        """Tell whether *at* is a fire time by *next_function*; None if it cannot be told."""
        if isinstance(next_function, BuiltInSchedule):
            return is_fire_time(next_function, at, self.zone)
        if next_function is None or not takes_after(next_function):
            return None
        try:
            return ask_next(next_function, at - _TICK, self.zone) == at
        except BrokenNextError:
            return None

    def is_counted_by(self, next_function: AskNext | None, gap: Gap) -> bool:
        """Tell whether a gap has as many fire times by *next_function*, so that it was decided on by that."""
        if not isinstance(next_function, BuiltInSchedule):
            return True
        if not all(is_fire_time(next_function, end, self.zone) for end in (gap.first, gap.last)):
            return False
        further = next_function.count(gap.first.astimezone(self.zone), gap.last.astimezone(self.zone))
        return gap.count is None or further == gap.count - 1

    def around(self, next_function: AskNext | None, at: datetime) -> tuple[datetime | None, datetime | None]:
        """Return the nearest fire times before and after *at*, as far as they are known."""
        if isinstance(next_function, BuiltInSchedule):
            latest = next_function.latest((at - _TICK).astimezone(self.zone))
            previous = None if latest is None else latest.astimezone(UTC)
        else:
            previous = max((run.fire_time for run in self.scheduled_runs() if run.fire_time < at), default=None)
        following = None
        if next_function is not None and takes_after(next_function):
            try:
                following = ask_next(next_function, at, self.zone)
            except BrokenNextError:
                following = None
        return previous, following

    def scheduled_runs(self) -> Iterator[Run]:
        """Yield the runs that have consumed a fire time, newest first."""
        return (run for run in self.store.runs(job_key=self.job_key) if run.trigger.consumes_fire_time)

    def obstacles(self) -> list[str]:
        """Return what keeps the job from running now, the most important first."""
        of_kinds = [
            [describe_window(window, self.zone) for window in self.windows if window.kind in kinds]
            for kinds in (_ABSENCES, {WindowKind.HELD}, {WindowKind.PAUSED})
        ]
        is_missing = self.registered is None and not (self.stored and is_embedded(self.host, self.stored))
        if is_missing and not of_kinds[0]:
            of_kinds[0] = [f"not installed: {self.absence}"]
        return [line for lines in of_kinds for line in lines] + self._of_clock() + self._of_host()

    def _of_clock(self) -> list[str]:
        if self.stored is None or self.stored.mark <= self.now:
            return []
        until = self.when(self.stored.mark)
        text = f"waiting for the clock: it shows {self.when(self.now)}, and up to {until} all is decided on"
        return [text, f"if the clock is right: `rapua-scheduler release {self.job_key}`"]

    def _of_host(self) -> list[str]:
        stored, host, registered = self.stored, self.host, self.registered
        if host is None:
            return ["no host has ever been active on this store"]
        if not host.is_active:
            return [f"no host is active: the last one was alive at {self.when(host.alive_at or host.started_at)}"]
        if registered is None or any(window.kind is WindowKind.HELD for window in self.windows):
            return []
        if stored is None or stored.last_seen_at < host.started_at:
            return [f"the active host (process {host.pid}) does not have the job; start it anew"]
        if (registered.fingerprint, registered.version) != (stored.fingerprint, stored.version):
            installed = f"{registered.distribution} {registered.version} ({registered.schedule})"
            running = f"{stored.distribution} {stored.version} ({stored.schedule})"
            return [f"the active host runs {running}, and {installed} is installed; start it anew"]
        return []
