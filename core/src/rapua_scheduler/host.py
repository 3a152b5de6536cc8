"""The host process: configuration, store, plugins and scheduler, from start to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from rapua_scheduler.clock import Clock, SystemClock
from rapua_scheduler.config import Config
from rapua_scheduler.errors import AnotherHostError, ConfigurationError, RapuaSchedulerError
from rapua_scheduler.events import Event
from rapua_scheduler.executors.wire import ChildSetup
from rapua_scheduler.housekeeping import Retention
from rapua_scheduler.logs import get_logger
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.plugin_loader import KnownProviders, LoadedPlugins, absences, load_plugins
from rapua_scheduler.process_state import LOOK_EVERY, ProcessState
from rapua_scheduler.run import WindowKind
from rapua_scheduler.scheduler import Scheduler
from rapua_scheduler.store.port import StoredJob
from rapua_scheduler.store.sqlite import SqliteStore

_STANDBY_LOOKS_EVERY = 0.5
_log = get_logger("rapua_scheduler.host")


def child_setup(config: Config) -> ChildSetup:
    """Return how the processes of jobs are made by a program that was started with *config*."""
    return ChildSetup(config=config.path, site=config.site_folder, cwd=Path.cwd(), grace=config.shutdown_grace)


class Host:
    """Runs the jobs of all installed plugins until it is told to stop."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        safe_mode: bool = False,
        standby: bool = False,
        adopt_from: datetime | None = None,
        observers: Mapping[str, Callable[[Event], object]] | None = None,
        after_loading: Callable[[], None] = lambda: None,
    ) -> None:
        """Make a host; nothing is opened or imported yet.

        Args:
            config: The configuration.
            clock: Where the time comes from; by default the machine.
            safe_mode: Import no plugin.
            standby: Wait while another host is active, and take over when it has gone.
            adopt_from: From when on to make up the fire times of jobs that the store does not know,
                aware; None for nothing to make up.
            observers: Called with every event, beside those that plugins bring.
            after_loading: Called once the plugins are imported, to set right what of the process's
                signals and logging they may have changed.
        """
        self._config = config
        self._clock: Clock = clock or SystemClock()
        self._safe_mode = safe_mode
        self._standby = standby
        self._adopt_from = adopt_from
        self._observers = dict(observers or {})
        self._after_loading = after_loading
        self._stop_asked = threading.Event()
        self._scheduler: Scheduler | None = None
        self._failure: BaseException | None = None

    def request_stop(self) -> None:
        """Ask `run` to return; asked again, it waits no longer for what is running.

        May be called from any thread, but not from a signal handler, which may have interrupted the
        very lock that this needs: let it start a thread.
        """
        if self._stop_asked.is_set() and self._scheduler is not None:
            self._scheduler.cut_grace()
        self._stop_asked.set()

    @property
    def is_serving(self) -> bool:
        """Whether the plugins are loaded, and the jobs run."""
        return self._scheduler is not None

    def run(self) -> None:
        """Run the jobs until asked to stop; blocks.

        Raises:
            StoreError: The store cannot be used.
            AnotherHostError: Another host is active on the store, and this one is no standby.
            ConfigurationError: A plugin that the configuration requires cannot be used.
            RapuaSchedulerError: The scheduler itself failed; start the host again.
        """
        store = SqliteStore.open(self._config.state, create=True, clock=self._clock)
        try:
            if not self._become_host(store):
                return
            _log.info(
                "Host started",
                config=str(self._config.path) if self._config.path else None,
                state=str(self._config.state),
                timezone=str(self._config.timezone),
                clock=self._clock.now().astimezone(self._config.timezone).isoformat(timespec="seconds"),
            )
            for run in store.mark_lost(self._clock.now()):
                fire_time = run.fire_time.astimezone(self._config.timezone).isoformat()
                _log.warning("Run lost", job_key=run.job_key, run_id=run.run_id, fire_time=fire_time)
            loaded = load_plugins(self._config, KnownProviders.from_stored(store.jobs()), safe_mode=self._safe_mode)
            self._after_loading()
            self._check_required(loaded)
            known = store.jobs()
            not_there = absences(known, loaded)
            store.set_absent(not_there, self._clock.now())
            absent = {key for key, (kind, _) in not_there.items() if kind is WindowKind.ABSENT}
            self._serve(store, loaded, [job for job in known if job.key in absent])
        finally:
            store.close()

    def _become_host(self, store: SqliteStore) -> bool:
        """Become the active host; a standby waits for that, and returns False if it is asked to stop before."""
        active = ""
        while True:
            try:
                store.become_host()
            except AnotherHostError as error:
                if not self._standby:
                    raise
                if error.holder != active:
                    active = error.holder
                    _log.info("Standing by", active=active)
            else:
                if active:
                    _log.info("Took over", before=active)
                return True
            if self._clock.wait(self._stop_asked, _STANDBY_LOOKS_EVERY):
                return False

    def _check_required(self, loaded: LoadedPlugins) -> None:
        if loaded.unmet_requirements and not self._safe_mode:
            raise ConfigurationError(loaded.unmet_requirements)

    def _serve(self, store: SqliteStore, loaded: LoadedPlugins, absent: Iterable[StoredJob]) -> None:
        if self._stop_asked.is_set():
            return
        process_state = ProcessState(self._clock)
        self._scheduler = Scheduler(
            store,
            clock=self._clock,
            timezone=self._config.timezone,
            shutdown_grace=self._config.shutdown_grace,
            observers={**loaded.observers, **self._observers},
            on_failure=self._fail,
            adopt_from=self._adopt_from,
            retention=Retention(self._config.retention, self._config.keep_runs),
            child_setup=child_setup(self._config),
            process_state=process_state,
        )
        self._scheduler.add(loaded.registry.values())
        self._scheduler.add_absent(absent)
        if not loaded.registry:
            _log.warning("No job to run", hint="see `rapua-scheduler plugins`")
        try:
            self._scheduler.start()
            while not self._clock.wait(self._stop_asked, LOOK_EVERY):
                process_state.look()
        finally:  # whatever happens, it ends before its store is closed
            self._scheduler.stop()
            process_state.close()
        if self._failure is not None:
            raise RapuaSchedulerError(
                f"the scheduler itself failed ({summarize_error(self._failure)}); what it had recorded is safe, "
                "start the host again"
            ) from self._failure

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop_asked.set()
