"""An event loop in a daemon thread of its own, and the work on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from rapua_scheduler.executors.forks import leave_if_forked
from rapua_scheduler.executors.port import LookAfter, Work
from rapua_scheduler.logs import get_logger

_log = get_logger("rapua_scheduler.executors")
_loops: weakref.WeakSet[JobLoop] = weakref.WeakSet()


class JobLoop:
    """Executes coroutines; may be told from any thread what to do.

    Attributes:
        thread: The thread that it runs in.
        beats: How often it has come round to answer `ask`.
    """

    def __init__(self, name: str, replace: Callable[[JobLoop], None], look_after: LookAfter) -> None:
        """Start a loop.

        Args:
            name: Its thread's.
            replace: Called, from any thread, if it is blocked and work on it was written off.
            look_after: Called with work whose job has returned or raised, before that is told.

        Raises:
            RuntimeError: The system has no thread left.
            OSError: It has no descriptor left.
        """
        self._home = os.getpid()
        self._replace = replace
        self._look_after = look_after
        self._submitted: dict[Work, None] = {}
        self._tasks: dict[Work, asyncio.Task[None]] = {}
        self._not_entered: set[Work] = set()
        self._written_off: set[Work] = set()
        self._is_retired = False
        self._is_stopped = False
        self.beats = 0
        self._loop = asyncio.SelectorEventLoop()  # whatever policy somebody has set
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        try:
            self.thread.start()
        except RuntimeError:
            self._loop.close()
            raise
        _loops.add(self)

    def submit(self, work: Work) -> None:
        """Execute *work* as a task.

        Raises:
            RuntimeError: The loop has been closed.
        """
        self._submitted[work] = None
        self._loop.call_soon_threadsafe(self._begin, work)

    def cancel(self, work: Work) -> None:
        """Cancel the task of *work*, if it has one here."""
        self._call(self._cancel, work)

    def write_off(self, work: Work) -> None:
        """Cancel the task of *work*; if it blocks the loop meanwhile, that is to be replaced."""
        if work in self._tasks:
            self._written_off.add(work)
            self.cancel(work)

    def stop(self) -> None:
        """Stop once the loop comes round; tasks that still execute are left where they are."""
        self._is_stopped = True
        self._call(self._loop.stop)

    def retire(self) -> Sequence[Work]:
        """Stop once what has begun has ended, and return what has not, oldest first."""
        self._is_retired = True
        self._call(self._stop_if_done)
        not_begun = []
        for work in list(self._submitted):
            if self._take(work):
                not_begun.append(work)
        return not_begun

    @property
    def is_stopped(self) -> bool:
        """Whether nothing executes any more, and nothing will."""
        return self._loop.is_closed()

    # -- for the watchdog

    @property
    def is_busy(self) -> bool:
        """Whether there is work, which could block the loop."""
        return bool(self._tasks or self._submitted)

    def ask(self) -> None:
        """Have one added to `beats` as soon as the loop comes round."""
        self._call(self._beat)

    def executing(self) -> Sequence[Work]:
        """Return the work whose task takes a step right now; if that cannot be told, all that has begun."""
        current = asyncio.current_task(self._loop)
        return [work for work, task in list(self._tasks.items()) if task is current] or list(self._tasks)

    def note_blocked(self) -> None:
        """Have the loop replaced, if it is blocked while work on it was written off."""
        if self._written_off and not self._is_retired:
            self._replace(self)

    # -- in its thread

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._is_stopped:
            try:
                self._loop.run_forever()
            except BaseException as error:
                self.leave_if_forked()
                _log.error("Event loop went on", problem=type(error).__name__, thread=self.thread.name)
            self.leave_if_forked()
        for task in asyncio.all_tasks(self._loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._loop.close()

    def leave_if_forked(self) -> None:
        """End this process, if it is a fork of the loop's."""
        leave_if_forked(self._home, RuntimeError("a fork of an asynchronous job cannot await: the loop is its host's"))

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed, or closes at this moment
            self._loop.call_soon_threadsafe(function, *arguments)

    def _beat(self) -> None:
        self.beats += 1

    def _take(self, work: Work) -> bool:
        """Tell whether *work* has waited here for its begin; it does no longer."""
        return self._submitted.pop(work, work) is None

    def _begin(self, work: Work) -> None:
        if self._take(work) and work.begin():
            task = self._loop.create_task(self._execute(work))
            self._tasks[work] = task
            self._not_entered.add(work)
            task.add_done_callback(lambda _: self._note_end(work))

    def _note_end(self, work: Work) -> None:
        self._tasks.pop(work, None)
        self._written_off.discard(work)
        if work in self._not_entered:  # cancelled before its first step
            self._not_entered.discard(work)
            work.end(None, asyncio.CancelledError())
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._is_retired and not self._tasks:
            self._is_stopped = True
            self._loop.stop()

    def _cancel(self, work: Work) -> None:
        task = self._tasks.get(work)
        if task is not None:
            task.cancel()

    async def _execute(self, work: Work) -> None:
        self._not_entered.discard(work)
        try:
            returned = await cast("Coroutine[Any, Any, object]", work.call())
        except BaseException as error:
            leave_if_forked(self._home, error)
            self._look_after(work)
            work.end(None, error)
        else:
            leave_if_forked(self._home, None)
            self._look_after(work)
            work.end(returned, None)

    def stop_in_a_fork(self) -> None:
        """Have the loop take no further turn, in a process that was forked off the loop's."""
        self._loop._ready = _NobodysTurn(self)  # type: ignore[attr-defined]
        self._loop.stop()


class _NobodysTurn(deque[object]):
    """Takes the place of what waits for its turn on a loop: that is the host's, and not its fork's."""

    def __init__(self, loop: JobLoop) -> None:
        super().__init__()
        self._loop = loop

    def popleft(self) -> object:
        self._loop.leave_if_forked()
        return super().popleft()


def _stop_in_a_fork() -> None:
    for loop in list(_loops):
        loop.stop_in_a_fork()


os.register_at_fork(after_in_child=_stop_in_a_fork)
