"""The executors of a host: for each plugin its threads, its event loop, its processes, and its helper."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from rapua_scheduler.errors import InvalidJobError
from rapua_scheduler.executors.children import Children
from rapua_scheduler.executors.loops import LoopExecutor
from rapua_scheduler.executors.port import Executor, LookAfter, leave_alone
from rapua_scheduler.executors.processes import ProcessExecutor
from rapua_scheduler.executors.threads import ThreadExecutor
from rapua_scheduler.executors.watchdog import Watchdog
from rapua_scheduler.executors.wire import ChildSetup
from rapua_scheduler.job import is_async
from rapua_scheduler.policy import Isolation
from rapua_scheduler.registry import RegisteredJob

E = TypeVar("E", bound=Executor)

THREADS_PER_PLUGIN = 10
"""How many plain jobs of one plugin execute at a time."""

PROCESSES_PER_PLUGIN = 4
"""How many jobs of one plugin execute in processes of their own at a time."""

_NO_PLUGIN = "jobs"


class ExecutorPools:
    """Makes each plugin's executors at their first use; no plugin can take another's room."""

    def __init__(self, child_setup: ChildSetup | None = None, look_after: LookAfter = leave_alone) -> None:
        """Make pools that start nothing yet.

        Args:
            child_setup: How the processes of jobs are made; None if there can be none.
            look_after: Called with work whose job has returned or raised in this process.
        """
        self._look_after = look_after
        self._child_setup = child_setup
        self._threads: dict[str, ThreadExecutor] = {}
        self._loops: dict[str, LoopExecutor] = {}
        self._processes: dict[str, ProcessExecutor] = {}
        self._helpers: dict[str, ThreadExecutor] = {}
        self._children: Children | None = None
        self._watchdog = Watchdog()
        self._plain_jobs: Counter[str] = Counter()
        self._making = threading.Lock()

    def prepare(self, jobs: Iterable[RegisteredJob]) -> None:
        """Start the threads that plain *jobs* will want, so that none waits for one at its fire time."""
        added = Counter(_plugin_of(registered) for registered in jobs if _wants_a_thread(registered))
        self._plain_jobs += added
        for plugin in added:
            self._threads_of(plugin).prepare(self._plain_jobs[plugin])

    def of_job(self, registered: RegisteredJob) -> Executor:
        """Return where the attempts of a job execute.

        Raises:
            InvalidJobError: It wants a process of its own, and no process would find it.
        """
        plugin = _plugin_of(registered)
        if registered.job.isolation is Isolation.PROCESS:
            return self._processes_of(registered)
        if not is_async(registered.job.run):
            return self._threads_of(plugin)
        return self._get(self._loops, plugin, lambda: LoopExecutor(f"{plugin}-loop", self._watchdog, self._look_after))

    def helper_of(self, registered: RegisteredJob) -> Executor:
        """Return where the next functions of a job's plugin are asked, one at a time."""
        plugin = _plugin_of(registered)
        return self._get(self._helpers, plugin, lambda: ThreadExecutor(f"{plugin}-next", 1))

    def close(self) -> None:
        """Execute nothing more, and kill the processes that do."""
        for executors in (self._threads, self._loops, self._processes, self._helpers):
            for executor in executors.values():
                executor.close()
        if self._children is not None:
            self._children.close()
        self._watchdog.close()

    def _threads_of(self, plugin: str) -> ThreadExecutor:
        return self._get(self._threads, plugin, lambda: ThreadExecutor(plugin, THREADS_PER_PLUGIN, self._look_after))

    def refuse_unreachable(self, registered: RegisteredJob) -> None:
        """Refuse a job that wants a process of its own, and that no process would find.

        Raises:
            InvalidJobError: It is one.
        """
        is_found = self._child_setup is not None and registered.plugin
        if registered.job.isolation is Isolation.PROCESS and not is_found:
            raise InvalidJobError("isolation", '"process" needs a job that an installed plugin brings, in a host')

    def _processes_of(self, registered: RegisteredJob) -> ProcessExecutor:
        self.refuse_unreachable(registered)
        setup = self._child_setup

        def make() -> ProcessExecutor:
            if setup is None:
                raise AssertionError("a job that no process would find is refused")
            if self._children is None:
                self._children = Children()
            return ProcessExecutor(self._children, setup, PROCESSES_PER_PLUGIN)

        return self._get(self._processes, registered.plugin, make)

    def _get(self, executors: dict[str, E], plugin: str, make: Callable[[], E]) -> E:
        executor = executors.get(plugin)
        if executor is None:
            with self._making:  # jobs may be added while others start
                executor = executors.get(plugin)
                if executor is None:
                    executor = executors[plugin] = make()
        return executor


def _plugin_of(registered: RegisteredJob) -> str:
    return registered.plugin or _NO_PLUGIN


def _wants_a_thread(registered: RegisteredJob) -> bool:
    return registered.job.isolation is Isolation.THREAD and not is_async(registered.job.run)
