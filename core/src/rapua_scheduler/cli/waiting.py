"""Wait for a host that works in another process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rapua_scheduler.clock import Clock
from rapua_scheduler.run import Run
from rapua_scheduler.store.port import Store

_LOOK_EVERY = 0.1


def wait_for_end(
    store: Store,
    run: Run,
    clock: Clock,
    seconds: float | None = None,
    on_change: Callable[[Run], None] = lambda _: None,
) -> Run:
    """Return *run* as it is when it has ended, or when *seconds* have passed.

    Args:
        store: Where it is recorded.
        run: The run.
        clock: Measures the wait.
        seconds: Longest wait; None is without end.
        on_change: Called when the run has come further.
    """
    deadline = None if seconds is None else clock.monotonic() + seconds
    never = threading.Event()
    while not run.status.is_final and (deadline is None or clock.monotonic() < deadline):
        clock.wait(never, _LOOK_EVERY)
        now = store.run(run.run_id) or run
        if now != run:
            on_change(now)
        run = now
    return run
