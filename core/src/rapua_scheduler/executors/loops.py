"""Asynchronous jobs: the event loop of a plugin, and what takes its place when it is blocked."""

from __future__ import annotations

import threading

from rapua_scheduler.executors.job_loop import JobLoop
from rapua_scheduler.executors.port import LookAfter, Work, leave_alone
from rapua_scheduler.executors.watchdog import Watchdog
from rapua_scheduler.logs import get_logger

_log = get_logger("rapua_scheduler.executors")


class LoopExecutor:
    """Executes coroutines on one event loop; one that blocks it delays only its own plugin's.

    A loop that is blocked while work on it was written off is replaced: what comes from then on, and what
    had not begun, executes on a new one. What had begun stays where it is.
    """

    def __init__(self, name: str, watchdog: Watchdog, look_after: LookAfter = leave_alone) -> None:
        """Make an executor.

        Args:
            name: Its thread's.
            watchdog: Looks after its loop.
            look_after: Called with work whose job has returned or raised, before that is told.

        Raises:
            RuntimeError: The system has no thread left.
            OSError: It has no descriptor left.
        """
        self._name = name
        self._watchdog = watchdog
        self._look_after = look_after
        self._lock = threading.Lock()
        self._made = 0
        self._closed = False
        self._loop = self._make_loop()
        self._former: list[JobLoop] = []

    def submit(self, work: Work) -> None:
        """Execute *work* as a task of the loop."""
        with self._lock:
            self._loop.submit(work)
        self._watchdog.wake()

    def cancel(self, work: Work) -> None:
        """Cancel the task of *work*."""
        for loop in [self._loop, *self._former]:
            loop.cancel(work)

    def write_off(self, work: Work) -> None:
        """Cancel the task of *work*; it takes no room from others, unless it blocks the loop."""
        for loop in [self._loop, *self._former]:
            loop.write_off(work)

    def close(self) -> None:
        """Stop the loop once it comes to it; tasks that still execute are left where they are."""
        with self._lock:
            self._closed = True
        for loop in [self._loop, *self._former]:
            loop.stop()
            self._watchdog.unwatch(loop)

    def _make_loop(self) -> JobLoop:
        self._made += 1
        name = self._name if self._made == 1 else f"{self._name}-{self._made}"
        loop = JobLoop(name, self._replace, self._look_after)
        self._watchdog.watch(loop)
        return loop

    def _replace(self, blocked: JobLoop) -> None:
        with self._lock:
            if self._closed or blocked is not self._loop:
                return
            try:
                self._loop = self._make_loop()
            except (RuntimeError, OSError) as error:
                _log.error("Event loop not replaced", thread=blocked.thread.name, problem=str(error))
                return
            for former in [former for former in self._former if former.is_stopped]:
                self._former.remove(former)
                self._watchdog.unwatch(former)
            self._former.append(blocked)
            for work in blocked.retire():
                self._loop.submit(work)
        _log.warning("Event loop replaced", thread=blocked.thread.name, by=self._loop.thread.name)
