"""How a host and its jobs are doing, and what a person should look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from types import MappingProxyType

from attrs import frozen

from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.listings import UNFINISHED, JobListing, JobState, is_had_by, open_windows
from rapua_scheduler.control.records import FAILED
from rapua_scheduler.control.wording import about, counted, describe_window, last_line
from rapua_scheduler.run import Run, RunStatus, Window, WindowKind
from rapua_scheduler.store.port import HostRecord, Store, StoredJob

SILENT_FOR = timedelta(minutes=3)
"""A host that has not said for so long that it is alive is not well; it says so each minute."""

OVERDUE_AFTER = timedelta(seconds=90)
"""A fire time that the active host has not decided on for so long is overdue."""

LONG_QUEUE = 10
"""So many runs of one job that wait are many."""

ERRORS_OF = timedelta(days=7)
"""How far back errors are shown."""

_MOST_ERRORS = 5
_CLOCK_MAY_DIFFER = timedelta(seconds=5)


@frozen
class Package:
    """A package that brings a plugin.

    Attributes:
        distribution: Its name.
        version: Its version.
    """

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()


@frozen
class PluginStanding:
    """One plugin, as it is installed and as the active host has it.

    Attributes:
        name: Name of its entry point.
        installed: The packages that bring it now; more than one is a clash.
        running: The package that the active host has loaded it from; None if it has no job of it.
        problem: Why it is wanted and cannot be loaded now; empty if it can, or is not wanted.
    """

    name: str
    installed: tuple[Package, ...]
    running: Package | None
    problem: str = ""

    @property
    def is_as_installed(self) -> bool:
        """Whether the host runs what is installed, or has no job of it."""
        return self.running is None or self.running in self.installed


class Weight(StrEnum):
    """Whether something needs a look."""

    NOTE = "note"
    PROBLEM = "problem"


@frozen
class Remark:
    """Something that a person may want to know.

    Attributes:
        weight: A `problem` makes the whole unwell, a `note` does not.
        subject: What it is about, such as "host" or "job credit-topup".
        text: What there is to say.
    """

    weight: Weight
    subject: str
    text: str


@frozen(kw_only=True)
class Condition:
    """The condition of a host and its jobs.

    Attributes:
        now: The time of this look, in UTC.
        host: The host that is, or was last, active; None if there never was one.
        alive_at: When a host last said that its clock showed so, in UTC.
        held: The window in which nothing starts; None if there is none.
        jobs: How many jobs the store knows or plugins bring.
        running: How many runs execute.
        queued: How many wait.
        plugins: The plugins, by name.
        remarks: What there is to say, problems first.
        errors: The newest runs that did not succeed, newest first.
    """

    now: datetime
    host: HostRecord | None
    alive_at: datetime | None
    held: Window | None
    jobs: int
    running: int
    queued: int
    plugins: tuple[PluginStanding, ...]
    remarks: tuple[Remark, ...]
    errors: tuple[Run, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing needs a look."""
        return all(remark.weight is not Weight.PROBLEM for remark in self.remarks)


def examine(
    store: Store,
    listings: Sequence[JobListing],
    installed: Mapping[str, Sequence[Package]],
    *,
    broken: Mapping[str, str] = MappingProxyType({}),
    now: datetime,
    zone: tzinfo,
) -> Condition:
    """Look at everything that the store tells.

    Args:
        store: Where everything is recorded.
        listings: The jobs, as `list_jobs` gives them.
        installed: The packages that bring a plugin now, by its name.
        broken: Why plugins that are wanted cannot be loaded now, by name.
        now: The current time, aware.
        zone: The zone that times are told in.
    """
    now = now.astimezone(UTC)
    host, alive_at = store.host(), store.alive()
    stored = store.jobs()
    windows = open_windows(store, now)
    unfinished = store.runs(statuses=UNFINISHED)
    plugins = _plugins(installed, broken, stored, host)
    remarks = [
        *_of_host(host, now, zone),
        *_of_clock(stored, windows, alive_at, now, zone),
        *_of_plugins(plugins),
        *_of_windows(windows, zone),
        *_of_jobs(listings, zone),
        *_of_queues(unfinished),
        *_of_overdue(stored, host, windows, now, zone),
        *_of_lost(store.unanswered()),
    ]
    remarks.sort(key=lambda remark: remark.weight is Weight.NOTE)
    return Condition(
        now=now,
        host=host,
        alive_at=alive_at,
        held=next((window for window in windows if window.kind is WindowKind.HELD), None),
        jobs=len(listings),
        running=sum(run.status is RunStatus.RUNNING for run in unfinished),
        queued=sum(run.status is RunStatus.QUEUED for run in unfinished),
        plugins=plugins,
        remarks=tuple(remarks),
        errors=tuple(store.runs(since=now - ERRORS_OF, statuses=FAILED, limit=_MOST_ERRORS)),
    )


def _plugins(
    installed: Mapping[str, Sequence[Package]],
    broken: Mapping[str, str],
    stored: Iterable[StoredJob],
    host: HostRecord | None,
) -> tuple[PluginStanding, ...]:
    running = {
        job.plugin: Package(job.distribution, job.version) for job in stored if job.plugin and is_had_by(host, job)
    }
    return tuple(
        PluginStanding(name, tuple(installed.get(name, ())), running.get(name), broken.get(name, ""))
        for name in sorted({*installed, *broken, *running})
    )


def _of_host(host: HostRecord | None, now: datetime, zone: tzinfo) -> Iterator[Remark]:
    if host is None:
        yield Remark(Weight.PROBLEM, "host", "none has ever been active; start one with `rapua-scheduler run`")
        return
    alive_at = host.alive_at or host.started_at
    if not host.is_active:
        text = f"none is active; the last one (process {host.pid} on {host.host_name}) was alive at"
        yield Remark(Weight.PROBLEM, "host", f"{text} {moment(alive_at, zone)}")
    elif now - alive_at > SILENT_FOR:
        text = f"process {host.pid} has not said for {about(now - alive_at)} that it is alive: it is stopped, or hangs"
        yield Remark(Weight.PROBLEM, "host", text)


def _of_clock(
    stored: Iterable[StoredJob],
    windows: Iterable[Window],
    alive_at: datetime | None,
    now: datetime,
    zone: tzinfo,
) -> Iterator[Remark]:
    if alive_at is not None and alive_at - now > _CLOCK_MAY_DIFFER:
        text = f"it shows {moment(now, zone)}, and a host has seen {moment(alive_at, zone)}"
        yield Remark(Weight.PROBLEM, "clock", text)
    for window in windows:
        if window.kind is WindowKind.HELD:
            text = f"{describe_window(window, zone)}; if the clock is right: `rapua-scheduler release`"
            yield Remark(Weight.PROBLEM, "clock", text)
    ahead = [job for job in stored if job.mark - now > _CLOCK_MAY_DIFFER]
    if ahead:
        furthest = max(ahead, key=lambda job: job.mark)
        keys = ", ".join(job.key for job in ahead[:3]) + (" …" if len(ahead) > 3 else "")
        wait = "wait" if len(ahead) > 1 else "waits"
        text = (
            f"{counted(len(ahead), 'job')} {wait} for it to reach {moment(furthest.mark, zone)} at the latest ({keys})"
        )
        yield Remark(Weight.PROBLEM, "clock", f"{text}; if it is right: `rapua-scheduler release`")


def _of_plugins(plugins: Iterable[PluginStanding]) -> Iterator[Remark]:
    for plugin in plugins:
        if plugin.problem:
            yield Remark(Weight.PROBLEM, f"plugin {plugin.name}", f"cannot be loaded: {plugin.problem}")
        if plugin.is_as_installed:
            continue
        there = " and ".join(map(str, plugin.installed)) or "nothing of it"
        text = f"the active host runs {plugin.running}, and {there} is installed; start it anew"
        yield Remark(Weight.PROBLEM, f"plugin {plugin.name}", text)


def _of_windows(windows: Iterable[Window], zone: tzinfo) -> Iterator[Remark]:
    for window in windows:
        if window.job_key:
            weight = Weight.NOTE if window.kind is WindowKind.ABSENT else Weight.PROBLEM
            yield Remark(weight, f"job {window.job_key}", describe_window(window, zone))


def _of_jobs(listings: Iterable[JobListing], zone: tzinfo) -> Iterator[Remark]:
    for listing in listings:
        subject, last = f"job {listing.key}", listing.last_run
        if listing.state is JobState.BROKEN:
            yield Remark(Weight.PROBLEM, subject, f"broken: {listing.problem}")
        if last is not None and last.status in FAILED:
            at = moment(last.finished_at or last.started_at, zone)
            weight = Weight.NOTE if listing.is_orphaned else Weight.PROBLEM
            text = f"its last run, {last.run_id}, ended {last.status.value} at {at}: {last_line(last.error)}"
            yield Remark(weight, subject, text.rstrip(": "))


def _of_queues(unfinished: Iterable[Run]) -> Iterator[Remark]:
    waiting: dict[str, int] = {}
    for run in unfinished:
        if run.status is RunStatus.QUEUED:
            waiting[run.job_key] = waiting.get(run.job_key, 0) + 1
    for job_key, number in sorted(waiting.items()):
        if number >= LONG_QUEUE:
            yield Remark(Weight.PROBLEM, f"job {job_key}", f"{number} of its runs wait for their turn")


def _of_overdue(
    stored: Iterable[StoredJob], host: HostRecord | None, windows: Iterable[Window], now: datetime, zone: tzinfo
) -> Iterator[Remark]:
    kept_from_it = {window.job_key for window in windows}
    for job in stored:
        due = job.next_fire_time
        if due is None or now - due <= OVERDUE_AFTER or not is_had_by(host, job):
            continue
        if job.key not in kept_from_it and "" not in kept_from_it:
            text = f"overdue since {moment(due, zone)}: `rapua-scheduler why {job.key}`"
            yield Remark(Weight.PROBLEM, f"job {job.key}", text)


def _of_lost(unanswered: Iterable[Run]) -> Iterator[Remark]:
    for run in unanswered:
        text = f"run {run.run_id} ended {run.status.value}, and is run again once a host has its job"
        yield Remark(Weight.PROBLEM, f"job {run.job_key}", text)
