"""The real engine on a clock that a test moves: days of a job's life in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from rapua_scheduler.clock_watch import ClockWatch
from rapua_scheduler.engine import Engine
from rapua_scheduler.events import Event
from rapua_scheduler.executors.inline import InlineExecutor
from rapua_scheduler.executors.port import Work
from rapua_scheduler.executors.timed import TimedExecutor
from rapua_scheduler.job import Job, NextFunction, RunFunction
from rapua_scheduler.lookahead import Lookahead
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run
from rapua_scheduler.run_ids import RunIds
from rapua_scheduler.runner import Runner
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import Store, StoredJob
from rapua_scheduler.testing.clock import ManualClock

_A_DAY = 86_400.0


class _Publish:
    def __init__(self, observe: Callable[[Event], object] | None) -> None:
        self._observe = observe

    @property
    def is_heard(self) -> bool:
        return self._observe is not None

    def __call__(self, event: Event) -> None:
        if self._observe is not None:
            self._observe(event)


class VirtualScheduler:
    """Runs jobs as a `Scheduler` does, but in the caller's thread, as far as the test lets time pass.

    Planner, engine, runner and store are the real ones; only the clock and the threads are not.

    ```python
    scheduler = VirtualScheduler(start=datetime(2026, 11, 1, tzinfo=UTC))
    scheduler.add_job("Count", count, every(hours=6))
    scheduler.advance(timedelta(days=1))
    assert len(scheduler.store.runs()) == 4
    ```

    Attributes:
        store: Where runs and gaps are recorded.
        clock: The clock; use `advance` of the scheduler to let time pass with jobs running, and
            `clock.advance` or `clock.step` to let it pass as if the host were down or its clock wrong.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        start: datetime,
        timezone: tzinfo = UTC,
        observe: Callable[[Event], object] | None = None,
        clock: ManualClock | None = None,
        takes: Callable[[Run], timedelta] = lambda _: timedelta(0),
        new_run_id: Callable[[datetime], str] | None = None,
    ) -> None:
        """Make a scheduler without jobs.

        Args:
            store: Where to record; in memory by default. One that stays from one scheduler to the next
                is what a host finds when it starts again.
            start: What the clock shows, aware; of no meaning if there is a *clock*.
            timezone: The zone in which days and months begin.
            observe: Called with every event.
            clock: The clock to go by; by default one of its own.
            takes: How long a run takes; no time by default. A job is called when its run starts, and its
                run ends that much later.
            new_run_id: Makes the id of a run; give one that is not drawn to have the same ids each time.
        """
        self.store: Store = store if store is not None else MemoryStore()
        self.clock = clock if clock is not None else ManualClock(start)
        helper = InlineExecutor()
        self._executor = TimedExecutor(self.clock, lambda work: takes(_run_of(work)))
        publish = _Publish(observe)
        self._runner = Runner(self.store, self.clock, lambda _: self._executor, zone=timezone, publish=publish)
        self._engine = Engine(
            self.store,
            self.clock,
            self._runner,
            zone=timezone,
            publish=publish,
            lookahead=lambda deliver: Lookahead(self.clock, timezone, lambda _: helper, deliver),
            new_run_id=new_run_id or RunIds().new,
            clock_watch=ClockWatch(self.store, self.clock, earliest=None),
            look_every=_A_DAY,
        )

    def add_job(self, name: str, run: RunFunction, next: NextFunction, **policies: Any) -> Job:  # noqa: A002
        """Add a job; see `Scheduler.add_job`."""
        job = Job(name, run, next, **policies)
        self.add([RegisteredJob(job)])
        return job

    def add(self, jobs: Iterable[RegisteredJob]) -> None:
        """Add jobs with the plugin that brought each; they are recorded at the clock's time."""
        self._engine.add(jobs)
        self._settle()

    def add_absent(self, jobs: Iterable[StoredJob]) -> None:
        """Add jobs whose plugins are not there; see `Scheduler.add_absent`."""
        self._engine.add_absent(jobs)
        self._settle()

    def advance(self, duration: timedelta) -> None:
        """Let *duration* pass; every job runs at its fire times, before the clock goes on."""
        end = self.clock.passed + duration
        wait = self._settle()
        while (left := end - self.clock.passed) > timedelta(0):
            self.clock.advance(min(max(timedelta(seconds=min(wait, _A_DAY)), timedelta.resolution), left))
            wait = self._settle()

    def heed(self) -> None:
        """Do what has been said through the store, such as a pause, as a host does within a second."""
        self._settle()

    def stop(self) -> None:
        """Stop as a host does that is told to: what is running is cancelled, and recorded as interrupted."""
        self._engine.stop()
        self._runner.stop(timedelta(0))

    def crash(self) -> None:
        """Leave everything as it is; what is running never comes to its end."""
        self._executor.close()

    def _settle(self) -> float:
        while True:
            self._executor.end_what_is_over()
            wait = self._engine.tick()
            self._runner.wait_for_store()
            if wait > 0 and not self._engine.is_woken:
                break
        until_end = self._executor.seconds_to_wait()
        return wait if until_end is None else min(wait, until_end)


def _run_of(work: Work) -> Run:
    assignment = work.assignment
    if assignment is None:
        raise TypeError("only attempts at runs take time")
    return assignment.run
