"""Execution in the caller's own thread, for simulations and tests."""

from __future__ import annotations

from rapua_scheduler.executors.calls import called
from rapua_scheduler.executors.port import Work


class InlineExecutor:
    """Executes work at once, before `submit` returns."""

    def submit(self, work: Work) -> None:
        """Execute *work*."""
        if work.begin():
            work.end(*called(work))

    def cancel(self, work: Work) -> None:
        """Do nothing: nothing executes between two calls."""

    def write_off(self, work: Work) -> None:
        """Do nothing: nothing executes between two calls."""

    def close(self) -> None:
        """Do nothing."""
