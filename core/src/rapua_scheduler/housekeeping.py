"""Forget old runs, in a thread of its own and in small steps, so that the store's file stays bounded."""

from __future__ import annotations

import threading
from datetime import timedelta

from attrs import frozen

from rapua_scheduler.clock import Clock
from rapua_scheduler.errors import StoreError
from rapua_scheduler.logs import get_logger
from rapua_scheduler.store.port import Store

LOOK_EVERY = 60.0
"""Seconds between two looks at what may be forgotten."""

MOST_AT_ONCE = 500
"""Runs and gaps that go in one transaction, so that claims wait for it a few milliseconds at most."""

_PAUSE = 0.05
_log = get_logger("rapua_scheduler.housekeeping")


@frozen
class Retention:
    """How long what has ended is kept.

    Attributes:
        age: Runs and gaps that ended longer ago are forgotten.
        runs: So many runs of each job are kept at most.
    """

    age: timedelta = timedelta(days=400)
    runs: int = 10_000


class Housekeeping:
    """Prunes a store for as long as its host lives."""

    def __init__(self, store: Store, clock: Clock, retention: Retention) -> None:
        """Prepare; `start` starts the thread."""
        self._store = store
        self._clock = clock
        self._retention = retention
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="rapua-scheduler-housekeeping", daemon=True)

    def start(self) -> None:
        """Look now, and then every minute."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the step at hand."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                self.tidy()
            except StoreError as error:
                _log.warning("Old runs not forgotten", problem=str(error))
            self._clock.wait(self._stop, LOOK_EVERY)

    def tidy(self) -> int:
        """Forget what may be forgotten now, and return how many runs and gaps those were.

        Raises:
            StoreError: The store cannot be used; what was forgotten before is gone.
        """
        forgotten = 0
        while not self._stop.is_set():
            before = self._clock.now() - self._retention.age
            number = self._store.prune(before, self._retention.runs, most=MOST_AT_ONCE)
            forgotten += number
            if number < MOST_AT_ONCE:
                break
            self._clock.wait(self._stop, _PAUSE)
        if forgotten:
            _log.debug("Old runs forgotten", number=forgotten)
        return forgotten
