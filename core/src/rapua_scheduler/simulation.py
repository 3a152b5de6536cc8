"""What would run, and what not: the real engine and policies on a clock that is moved, with jobs that do nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import count

from attrs import evolve, frozen

from rapua_scheduler.fire_times import part_until
from rapua_scheduler.job import Job
from rapua_scheduler.policy import Isolation
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Gap, Run, Window
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing import ManualClock, VirtualScheduler

_TICK = timedelta(microseconds=1)
_A_DAY = timedelta(days=1)


@frozen
class Downtime:
    """A stretch in which no host is up; half-open, `[since, until)`.

    Attributes:
        since: When the host is told to stop, aware.
        until: When the next one is started.
    """

    since: datetime
    until: datetime


@frozen
class Simulated:
    """What a simulation has recorded.

    Attributes:
        runs: The runs, oldest fire time first.
        gaps: The fire times that were not run, oldest first.
        holds: The times at which a host would have started nothing more until it was released; here it
            was at once.
        until: Where it ended, in UTC: earlier than was asked for if there were too many runs.
    """

    runs: tuple[Run, ...]
    gaps: tuple[Gap, ...]
    holds: tuple[Window, ...]
    until: datetime


def simulate(
    jobs: Iterable[RegisteredJob],
    store: Store,
    *,
    start: datetime,
    end: datetime,
    zone: tzinfo,
    downtimes: Sequence[Downtime] = (),
    takes: timedelta = timedelta(0),
    most_runs: int,
    reopen: Callable[[Store], Store] = lambda store: store,
) -> Simulated:
    """Let the time from *start* up to, but not at, *end* pass for a host with these jobs.

    Their schedules and policies are real; of their functions only next functions are called.

    Args:
        jobs: The jobs; the host first sees them just before *start*.
        store: Where to record; an empty one, which keeps all.
        start: The first instant, aware.
        end: The first instant that is too late, aware.
        zone: The zone in which days and months begin.
        downtimes: When no host is up; oldest first, and apart from each other.
        takes: How long each run takes.
        most_runs: After so many it is enough; looked at once a day.
        reopen: Gives the store that the next host finds, of the one that the last host had.
    """
    clock = ManualClock(start.astimezone(UTC) - _TICK)
    last = end.astimezone(UTC) - _TICK
    stubs = [evolve(registered, job=_stub(registered)) for registered in jobs]
    numbers = count(1)

    def new_scheduler(store: Store) -> VirtualScheduler:
        scheduler = VirtualScheduler(
            store,
            start=clock.now(),
            timezone=zone,
            clock=clock,
            takes=lambda _: takes,
            new_run_id=lambda _: f"simulated-{next(numbers)}",
        )
        scheduler.add(stubs)
        if any(window.until is None for window in store.windows()):
            store.release(clock.now(), part_until=partial(part_until, zone=zone))
            scheduler.heed()
        return scheduler

    scheduler = new_scheduler(store)
    for downtime in downtimes:
        since, until = downtime.since.astimezone(UTC) - _TICK, downtime.until.astimezone(UTC)
        if since >= last or not _advance(scheduler, since, most_runs):
            break
        scheduler.stop()
        clock.advance(min(until, last) - clock.now())
        if until > last:
            return _recorded(store, clock.now() + _TICK)
        store = reopen(store)
        scheduler = new_scheduler(store)
    _advance(scheduler, last, most_runs)
    return _recorded(store, clock.now() + _TICK)


def _recorded(store: Store, until: datetime) -> Simulated:
    runs = sorted(store.runs(), key=lambda run: (run.fire_time, run.job_key))
    gaps = sorted(store.gaps(), key=lambda gap: (gap.first, gap.job_key))
    return Simulated(tuple(runs), tuple(gaps), tuple(store.windows()), until)


def _advance(scheduler: VirtualScheduler, until: datetime, most_runs: int) -> bool:
    """Let time pass until an instant; False if there were too many runs before."""
    while (left := until - scheduler.clock.now()) > timedelta(0):
        if len(scheduler.store.runs(limit=most_runs)) >= most_runs:
            return False
        scheduler.advance(min(left, _A_DAY))
    return True


def _stub(registered: RegisteredJob) -> Job:
    return evolve(registered.job, run=_do_nothing, isolation=Isolation.THREAD, check=None, is_done=None)


def _do_nothing(_: object) -> None:
    """Stand in for a job."""
