"""The executors of a host: for each plugin its threads, its event loop, and its helper."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from rapua_scheduler.executors.loops import LoopExecutor
from rapua_scheduler.executors.port import Executor
from rapua_scheduler.executors.threads import ThreadExecutor
from rapua_scheduler.job import is_async
from rapua_scheduler.registry import RegisteredJob

THREADS_PER_PLUGIN = 10
"""How many plain jobs of one plugin execute at a time."""

_NO_PLUGIN = "jobs"


class ExecutorPools:
    """Makes each plugin's executors at their first use; no plugin can take another's room."""

    def __init__(self) -> None:
        self._threads: dict[str, ThreadExecutor] = {}
        self._loops: dict[str, LoopExecutor] = {}
        self._helpers: dict[str, ThreadExecutor] = {}
        self._plain_jobs: Counter[str] = Counter()
        self._making = threading.Lock()

    def prepare(self, jobs: Iterable[RegisteredJob]) -> None:
        """Start the threads that plain *jobs* will want, so that none waits for one at its fire time."""
        added = Counter(registered.plugin or _NO_PLUGIN for registered in jobs if not is_async(registered.job.run))
        self._plain_jobs += added
        for plugin in added:
            self._threads_of(plugin).prepare(self._plain_jobs[plugin])

    def of_job(self, registered: RegisteredJob) -> Executor:
        """Return where the attempts of a job execute."""
        plugin = registered.plugin or _NO_PLUGIN
        if not is_async(registered.job.run):
            return self._threads_of(plugin)
        executor = self._loops.get(plugin)
        if executor is None:
            executor = self._loops[plugin] = LoopExecutor(f"{plugin}-loop")
        return executor

    def helper_of(self, registered: RegisteredJob) -> Executor:
        """Return where the next functions of a job's plugin are asked, one at a time."""
        plugin = registered.plugin or _NO_PLUGIN
        executor = self._helpers.get(plugin)
        if executor is None:
            executor = self._helpers[plugin] = ThreadExecutor(f"{plugin}-next", 1)
        return executor

    def _threads_of(self, plugin: str) -> ThreadExecutor:
        executor = self._threads.get(plugin)
        if executor is None:
            with self._making:  # jobs may be added while others start
                executor = self._threads.get(plugin)
                if executor is None:
                    executor = self._threads[plugin] = ThreadExecutor(plugin, THREADS_PER_PLUGIN)
        return executor

    def close(self) -> None:
        """Execute nothing more."""
        executors: list[Executor] = [*self._threads.values(), *self._loops.values(), *self._helpers.values()]
        for executor in executors:
            executor.close()
