"""Calling work in the caller's own thread."""

from __future__ import annotations

import asyncio
import inspect

from rapua_scheduler.executors.port import Work


def called(work: Work) -> tuple[object, BaseException | None]:
    """Call *work* to its end; return what it returned, and what it raised."""
    try:
        returned = work.call()
        return (asyncio.run(returned) if inspect.iscoroutine(returned) else returned), None
    except BaseException as error:
        return None, error
