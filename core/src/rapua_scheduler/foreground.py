"""Run one job here and now: a manual run, in the foreground of a command."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo

from attrs import evolve

from rapua_scheduler.clock import Clock
from rapua_scheduler.control.words import manual_run
from rapua_scheduler.errors import RapuaSchedulerError, RunNotEndedError, StoreError
from rapua_scheduler.executors.pools import ExecutorPools
from rapua_scheduler.executors.wire import ChildSetup
from rapua_scheduler.observers import Observers
from rapua_scheduler.policy import Overlap
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run, RunStatus
from rapua_scheduler.run_ids import RunIds
from rapua_scheduler.runner import Attempt, Runner
from rapua_scheduler.store.port import Store

_LOOK_EVERY = 1.0


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
        self._word: int | None = None

    def request_stop(self) -> None:
        """Cancel the run; asked again, wait for it no longer.

        May be called from any thread, but not from a signal handler, which may have interrupted the very lock
        that this needs: let it start a thread.
        """
        if self._stop_asked:
            self._runner.cut_grace()
        self._stop_asked = True
        self._wakeup.set()

    def execute(
        self,
        registered: RegisteredJob,
        fire_time: datetime | None,
        *,
        by: str = "",
        neighbours: Collection[str] = (),
        dry_run: bool = False,
        grace: timedelta = timedelta(seconds=30),
    ) -> Run:
        """Run a job and wait for its end.

        Args:
            registered: The job.
            fire_time: The instant to run it for, aware; now, if None.
            by: Who asks for it.
            neighbours: Keys of jobs that it must not run beside, as they share its concurrency key.
            dry_run: Whether the job must stop short of every effect.
            grace: How long to wait for it after a request to stop.

        Returns:
            The run, ended.

        Raises:
            RunNotEndedError: A run has not ended that it must not run beside; nothing was started.
            StoreError: It could not be recorded before its start; nothing was started.
        """
        now = self._clock.now()
        self._look_for_others(registered, neighbours, now)
        job = registered.job
        queued = manual_run(job.key, job.next, fire_time, run_id=RunIds().new(now), now=now, zone=self._zone, by=by)
        run = evolve(queued, status=RunStatus.RUNNING, started_at=now)
        self._store.claim(run)
        self._runner.start(registered, run, self._end, dry_run=dry_run)
        while not self._ended and not self._stop_asked:
            self._wakeup.clear()
            seconds = self._runner.tick()
            self._heed()
            if self._ended or self._stop_asked:
                break
            self._clock.wait(self._wakeup, _LOOK_EVERY if seconds is None else min(seconds, _LOOK_EVERY))
        if not self._ended:
            self._runner.stop(grace)
        self._pools.close()
        return self._recorded(run)

    def _look_for_others(self, registered: RegisteredJob, neighbours: Collection[str], now: datetime) -> None:
        self._store.mark_lost(now)  # what a dead process has left does not run
        own = () if registered.job.overlap is Overlap.ALLOW else (registered.job.key,)
        for job_key in (*own, *neighbours):
            for run in self._store.runs(job_key=job_key, statuses={RunStatus.RUNNING}, limit=1):
                raise RunNotEndedError(registered.job.key, (run.run_id, job_key))

    def _end(self, _: Attempt) -> None:
        self._ended = True
        self._wakeup.set()

    def _heed(self) -> None:
        """Cancel the run if an operator has said so."""
        with suppress(StoreError):  # busy: it is looked at again
            word = self._store.word()
            if word == self._word:
                return
            for run_id, by in self._store.cancel_requests().items():
                self._runner.cancel(run_id, f"cancelled by {by}")
            self._word = word

    def _recorded(self, run: Run) -> Run:
        recorded = self._store.run(run.run_id)
        if recorded is None:
            raise RapuaSchedulerError(f"run {run.run_id} has ended, but the store does not know it")
        return recorded
