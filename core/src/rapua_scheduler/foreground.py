"""Run one job here and now: a manual run, in the foreground of a command."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, tzinfo

from rapua_scheduler.clock import Clock
from rapua_scheduler.errors import RapuaSchedulerError
from rapua_scheduler.executors.pools import ExecutorPools
from rapua_scheduler.executors.wire import ChildSetup
from rapua_scheduler.fire_times import fire_key as key_of
from rapua_scheduler.fire_times import is_fire_time
from rapua_scheduler.observers import Observers
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run, RunStatus, Trigger
from rapua_scheduler.run_ids import RunIds
from rapua_scheduler.runner import Attempt, Runner
from rapua_scheduler.schedules import instant_key
from rapua_scheduler.store.port import Store

_LONGEST_WAIT = 30.0


class ForegroundRun:
    """One manual run; it consumes no fire time."""

    def __init__(self, store: Store, clock: Clock, zone: tzinfo, child_setup: ChildSetup | None = None) -> None:
        """Prepare a run.

        Args:
            store: Where it is recorded; a store in memory for a dry run, which leaves no record.
            clock: Where the time comes from.
            zone: The site's zone.
            child_setup: How the process of a job that wants one is made.
        """
        self._store = store
        self._clock = clock
        self._zone = zone
        self._pools = ExecutorPools(child_setup)
        self._runner = Runner(store, clock, self._pools.of_job, zone=zone, publish=Observers({}))
        self._wakeup = threading.Event()
        self._runner.wake = self._wakeup.set
        self._ended = False
        self._stop_asked = False

    def request_stop(self) -> None:
        """Cancel the run; asked again, wait for it no longer. May be called from a signal handler."""
        if self._stop_asked:
            self._runner.cut_grace()
        self._stop_asked = True
        self._wakeup.set()

    def execute(
        self,
        registered: RegisteredJob,
        fire_time: datetime | None,
        *,
        dry_run: bool = False,
        grace: timedelta = timedelta(seconds=30),
    ) -> Run:
        """Run a job and wait for its end.

        Args:
            registered: The job.
            fire_time: The instant to run it for, aware; now, if None.
            dry_run: Whether the job must stop short of every effect.
            grace: How long to wait for it after a request to stop.

        Returns:
            The run, ended.

        Raises:
            StoreError: It could not be recorded before its start; nothing was started.
        """
        now = self._clock.now()
        run = Run(
            RunIds().new(now),
            registered.job.key,
            fire_time or now,
            self._fire_key(registered, fire_time, now),
            Trigger.MANUAL,
            RunStatus.RUNNING,
            started_at=now,
        )
        self._store.claim(run)
        self._runner.start(registered, run, self._end, dry_run=dry_run)
        while not self._ended and not self._stop_asked:
            self._wakeup.clear()
            seconds = self._runner.tick()
            if self._ended or self._stop_asked:
                break
            self._clock.wait(self._wakeup, _LONGEST_WAIT if seconds is None else seconds)
        if not self._ended:
            self._runner.stop(grace)
        self._pools.close()
        return self._recorded(run)

    def _end(self, _: Attempt) -> None:
        self._ended = True
        self._wakeup.set()

    def _fire_key(self, registered: RegisteredJob, fire_time: datetime | None, now: datetime) -> str:
        if fire_time is not None and is_fire_time(registered.job.next, fire_time, self._zone):
            return key_of(registered.job.next, fire_time, self._zone)
        return instant_key(fire_time or now)

    def _recorded(self, run: Run) -> Run:
        recorded = self._store.run(run.run_id)
        if recorded is None:
            raise RapuaSchedulerError(f"run {run.run_id} has ended, but the store does not know it")
        return recorded
