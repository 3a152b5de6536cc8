"""The scheduler for embedding: wires store, engine, runner and executors together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rapua_scheduler.clock import Clock, SystemClock
from rapua_scheduler.clock_watch import ClockWatch
from rapua_scheduler.control.words import manual_run
from rapua_scheduler.engine import Engine
from rapua_scheduler.errors import UnknownJobError
from rapua_scheduler.events import Event, HostStarted, HostStopping
from rapua_scheduler.executors.pools import ExecutorPools
from rapua_scheduler.executors.wire import ChildSetup
from rapua_scheduler.fire_times import part_until
from rapua_scheduler.housekeeping import Housekeeping, Retention
from rapua_scheduler.job import Job, NextFunction, RunFunction
from rapua_scheduler.logs import get_logger
from rapua_scheduler.lookahead import Answer, Lookahead
from rapua_scheduler.observers import Observers
from rapua_scheduler.outcomes import describe_error, summarize_error
from rapua_scheduler.process_state import ProcessState
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.run_ids import RunIds
from rapua_scheduler.runner import Runner
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import Store, StoredJob
from rapua_scheduler.store.sqlite import SqliteStore

_OBSERVERS_GRACE = 2.0
_log = get_logger("rapua_scheduler.scheduler")


class Scheduler:
    """Runs jobs inside an application, in threads of its own.

    ```python
    scheduler = Scheduler()
    scheduler.add_job("Say hello", lambda ctx: print("hello"), every(seconds=10))
    scheduler.start()
    ...
    scheduler.stop()
    ```

    It also is a context manager: started on entry, stopped on exit. Its threads do not keep the
    program from ending: whatever else the program does has to last. It is silent until the
    application configures the standard library's `logging`.
    """

    def __init__(
        self,
        store: Store | Path | str | None = None,
        *,
        clock: Clock | None = None,
        timezone: tzinfo | str | None = None,
        shutdown_grace: timedelta = timedelta(seconds=30),
        observers: Mapping[str, Callable[[Event], object]] | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
        adopt_from: datetime | None = None,
        retention: Retention | None = None,
        child_setup: ChildSetup | None = None,
        process_state: ProcessState | None = None,
    ) -> None:
        """Make a scheduler without jobs.

        Args:
            store: Where decisions and runs are recorded: the path of a file, which is created if need
                be, is this scheduler's alone while it is open, and is closed by `stop`; or a store
                that the application opens and closes. By default in memory, and forgotten when the
                application ends.
            clock: Where the time comes from; by default the machine.
            timezone: The zone in which days and months begin, or its name; by default the system's.
            shutdown_grace: How long `stop` waits for jobs that are running.
            observers: Called with every `Event`, by a name of your choice.
            on_failure: Called, in the scheduler's thread, if the scheduler itself fails, which is a
                defect of it and not of a job; nothing starts any more. Logged in any case.
            adopt_from: From when on to make up the fire times of a job that is seen for the first time,
                aware; by default there is nothing to make up for one.
            retention: How long what has ended is kept in the store; by default 400 days, and 10,000 runs
                of each job.
            child_setup: How a host makes the processes of jobs that want one; in an application no job
                can have one.
            process_state: How a host keeps its process as it is, whatever jobs do to it; an application's
                is left alone.

        Raises:
            ValueError: No zone has that name.
            StoreError: The file cannot be used as a store.
            AnotherHostError: Another scheduler, or a host, is active on it.
        """
        self._on_failure = on_failure
        self._clock: Clock = clock or SystemClock()
        self._zone = _zone(timezone)
        self._own_store = self._open(store) if isinstance(store, (str, Path)) else None
        self._store: Store = self._own_store or (MemoryStore() if isinstance(store, (str, Path, NoneType)) else store)
        self._grace = shutdown_grace
        self._registry = Registry()
        self._observers = Observers(observers or {})
        self._pools = (
            ExecutorPools(child_setup)
            if process_state is None
            else ExecutorPools(child_setup, process_state.look_after)
        )
        self._run_ids = RunIds()
        self._runner = Runner(self._store, self._clock, self._pools.of_job, zone=self._zone, publish=self._observers)
        self._engine = Engine(
            self._store,
            self._clock,
            self._runner,
            zone=self._zone,
            publish=self._observers,
            lookahead=self._make_lookahead,
            new_run_id=self._run_ids.new,
            clock_watch=ClockWatch(self._store, self._clock),
            adopt_from=adopt_from,
            has_room=lambda: process_state is None or process_state.has_room,
        )
        self._housekeeping = Housekeeping(self._store, self._clock, retention or Retention())
        self._thread: threading.Thread | None = None
        self._stopped = False

    def add_job(self, name: str, run: RunFunction, next: NextFunction, **policies: Any) -> Job:  # noqa: A002
        """Add a job, before or after the start.

        Args:
            name: Free text, for people; the key is made from it unless given.
            run: Called with a `JobContext` at each fire time; plain or `async def`.
            next: A schedule, or a function that gives the next fire time.
            policies: Further fields of `Job`.

        Returns:
            The job.

        Raises:
            InvalidJobError: One of the values is not one that a job can have; or it wants a process of its
                own, which only the jobs of plugins can have.
            DuplicateJobError: Its key is taken.
            RuntimeError: The scheduler has been stopped.
        """
        job = Job(name, run, next, **policies)
        self.add([RegisteredJob(job)])
        return job

    def add(self, jobs: Iterable[Job | RegisteredJob]) -> None:
        """Add jobs, with the plugin that brought each if one did.

        Raises:
            DuplicateJobError: A key is taken; the jobs before it are added.
            InvalidJobError: A job wants a process of its own, and none would find it; likewise.
            RuntimeError: The scheduler has been stopped.
        """
        self._refuse_if_stopped()
        added: list[RegisteredJob] = []
        try:
            for job in jobs:
                registered = job if isinstance(job, RegisteredJob) else RegisteredJob(job)
                self._pools.refuse_unreachable(registered)
                self._registry.add(registered)
                added.append(registered)
        finally:
            self._engine.add(added)
            if self._thread is not None:
                self._pools.prepare(added)

    def add_absent(self, jobs: Iterable[StoredJob]) -> None:
        """Record the fire times of jobs that the store knows, and whose plugins are not there."""
        self._engine.add_absent(jobs)

    def trigger(self, job_key: str) -> str:
        """Run a job now, as soon as it is its turn; it consumes no fire time.

        Returns:
            The id of the run.

        Raises:
            UnknownJobError: No job has this key.
            StoreError: It could not be recorded; it will not run.
            RuntimeError: The scheduler has been stopped.
        """
        self._refuse_if_stopped()
        next_function = self._registry.find(job_key).job.next
        now = self._clock.now()
        run = manual_run(job_key, next_function, None, run_id=self._run_ids.new(now), now=now, zone=self._zone, by="")
        self._store.enqueue([run])
        self._engine.wake()
        return run.run_id

    def cancel(self, run_id: str) -> bool:
        """Cancel a run, whether it executes or waits; False if it has ended, or does not exist."""
        is_asked = self._store.request_cancel(run_id, "the application")
        self._engine.wake()
        return is_asked

    def pause(self, job_key: str, reason: str) -> bool:
        """Start no more scheduled runs of a job; False if it is paused already.

        Raises:
            UnknownJobError: No such job was ever started.
            RuntimeError: It was added, and is not recorded yet: `start` does that, or comes to it within a
                second.
        """
        with self._noticing_unstarted(job_key):
            is_new = self._store.pause(job_key, self._clock.now(), reason, "the application")
        self._engine.wake()
        return is_new

    def resume(self, job_key: str) -> bool:
        """Let a paused job run again, from its next fire time on; False if it is not paused.

        Raises:
            UnknownJobError: No such job was ever started.
            RuntimeError: It was added, and is not recorded yet, as for `pause`.
        """
        with self._noticing_unstarted(job_key):
            was_paused = self._store.resume(job_key, self._clock.now())
        self._engine.wake()
        return was_paused

    def release(self) -> None:
        """Say that the clock is right, after everything was held because it had jumped ahead."""
        self._store.release(self._clock.now(), part_until=partial(part_until, zone=self._zone))
        self._engine.wake()

    def start(self) -> None:
        """Record the jobs and start to run them, in threads.

        Raises:
            RuntimeError: It was started before; make another one.
        """
        if self._thread is not None or self._stopped:
            raise RuntimeError("a scheduler starts once; make another one")
        if self._observers.is_heard:
            self._observers(HostStarted(tuple(self._registry)))
        self._pools.prepare(self._registry.values())
        self._engine.take_in()
        thread = threading.Thread(target=self._run, name="rapua-scheduler", daemon=True)
        thread.start()
        self._thread = thread  # one that could not be started is not waited for
        self._housekeeping.start()

    def stop(self) -> None:
        """Start nothing more, cancel what is running, and wait for it; calling it again does nothing.

        What does not end within the grace period is recorded as interrupted.
        """
        if self._stopped:
            return
        self._stopped = True
        if self._observers.is_heard:
            self._observers(HostStopping())
        self._engine.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._housekeeping.stop()
        self._pools.close()
        self._observers.close(_OBSERVERS_GRACE)
        if self._own_store is not None:
            self._own_store.close()

    def cut_grace(self) -> None:
        """End the grace period of a `stop` that waits in another thread."""
        self._runner.cut_grace()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _refuse_if_stopped(self) -> None:
        if self._stopped:
            raise RuntimeError("this scheduler has been stopped; make another one")

    @contextmanager
    def _noticing_unstarted(self, job_key: str) -> Iterator[None]:
        """Say of a job that the store does not know whether it is merely too early to speak of it."""
        try:
            yield
        except UnknownJobError as error:
            if job_key not in self._registry:
                raise
            raise RuntimeError(
                f"job {job_key!r} is not recorded yet: that is done by `start`, or within a second after it"
            ) from error

    def _run(self) -> None:
        try:
            self._engine.run(self._grace)
        except BaseException as error:
            _log.critical("Scheduler failed", problem=summarize_error(error), exception=describe_error(error))
            if self._on_failure is not None:
                self._on_failure(error)

    def _open(self, path: str | Path) -> SqliteStore:
        store = SqliteStore.open(path, create=True, clock=self._clock)
        try:
            store.become_host()
            store.mark_lost(self._clock.now())
        except BaseException:
            store.close()
            raise
        return store

    def _make_lookahead(self, deliver: Callable[[Answer], None]) -> Lookahead:
        return Lookahead(self._clock, self._zone, self._pools.helper_of, deliver)


def _zone(zone: tzinfo | str | None) -> tzinfo:
    if isinstance(zone, tzinfo):
        return zone
    if zone is not None:
        try:
            return ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f'no time zone is called {zone!r}; write it like "Pacific/Auckland"') from None
    from tzlocal import get_localzone  # noqa: PLC0415  costs start-up time, and is needed here only

    return get_localzone()
