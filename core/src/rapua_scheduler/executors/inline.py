"""Execution in the caller's own thread, for simulations and tests."""

from __future__ import annotations

import asyncio
import inspect

from rapua_scheduler.executors.port import Work


class InlineExecutor:
    """Executes work at once, before `submit` returns."""

    def submit(self, work: Work) -> None:
        """Execute *work*."""
        if not work.begin():
            return
        try:
            returned = work.call()
            if inspect.iscoroutine(returned):
                returned = asyncio.run(returned)
        except BaseException as error:
            work.end(None, error)
        else:
            work.end(returned, None)

    def cancel(self, work: Work) -> None:
        """Do nothing: nothing executes between two calls."""

    def write_off(self, work: Work) -> None:
        """Do nothing: nothing executes between two calls."""

    def close(self) -> None:
        """Do nothing."""
