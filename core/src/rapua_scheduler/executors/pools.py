"""The executors of a host: for each plugin its threads, its event loop, and its helper."""

from __future__ import annotations

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

    def of_job(self, registered: RegisteredJob) -> Executor:
        """Return where the attempts of a job execute."""
        plugin = registered.plugin or _NO_PLUGIN
        executor: Executor | None
        if is_async(registered.job.run):
            executor = self._loops.get(plugin)
            if executor is None:
                executor = self._loops[plugin] = LoopExecutor(f"{plugin}-loop")
        else:
            executor = self._threads.get(plugin)
            if executor is None:
                executor = self._threads[plugin] = ThreadExecutor(plugin, THREADS_PER_PLUGIN)
        return executor

    def helper_of(self, registered: RegisteredJob) -> Executor:
        """Return where the next functions of a job's plugin are asked, one at a time."""
        plugin = registered.plugin or _NO_PLUGIN
        executor = self._helpers.get(plugin)
        if executor is None:
            executor = self._helpers[plugin] = ThreadExecutor(f"{plugin}-next", 1)
        return executor

    def close(self) -> None:
        """Execute nothing more."""
        for executor in (*self._threads.values(), *self._loops.values(), *self._helpers.values()):
            executor.close()
