"""Asynchronous jobs: one event loop, in a daemon thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, cast

from rapua_scheduler.executors.port import Work
from rapua_scheduler.logs import get_logger

_log = get_logger("rapua_scheduler.executors")


class LoopExecutor:
    """Executes coroutines on one event loop; one that blocks it delays only its own plugin's."""

    def __init__(self, name: str) -> None:
        """Make an executor; *name* is its thread's."""
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[Work, asyncio.Task[None]] = {}
        self._not_entered: set[Work] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Execute *work* as a task of the loop."""
        self._loop.call_soon_threadsafe(self._begin, work)

    def cancel(self, work: Work) -> None:
        """Cancel the task of *work*."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel, work)

    def write_off(self, work: Work) -> None:
        """Cancel the task of *work*; it takes no room from others."""
        self.cancel(work)

    def close(self) -> None:
        """Stop the loop once it comes to it; tasks that still execute are left where they are."""
        self._closed = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._closed:
            try:
                self._loop.run_forever()
            except BaseException as error:
                _log.error("Event loop went on", problem=type(error).__name__, thread=self._thread.name)
        for task in asyncio.all_tasks(self._loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._loop.close()

    def _begin(self, work: Work) -> None:
        if work.begin():
            task = self._loop.create_task(self._execute(work))
            self._tasks[work] = task
            self._not_entered.add(work)
            task.add_done_callback(lambda _: self._note_end(work))

    def _note_end(self, work: Work) -> None:
        self._tasks.pop(work, None)
        if work in self._not_entered:  # cancelled before its first step
            self._not_entered.discard(work)
            work.end(None, asyncio.CancelledError())

    def _cancel(self, work: Work) -> None:
        task = self._tasks.get(work)
        if task is not None:
            task.cancel()

    async def _execute(self, work: Work) -> None:
        self._not_entered.discard(work)
        try:
            returned = await cast("Coroutine[Any, Any, object]", work.call())
        except BaseException as error:
            work.end(None, error)
        else:
            work.end(returned, None)
