"""Tell whether the wall clock can be trusted: nothing may start by one that cannot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from rapua_scheduler.clock import Clock
from rapua_scheduler.errors import StoreError
from rapua_scheduler.logs import get_logger
from rapua_scheduler.store.port import Store

RELEASED = datetime(2026, 1, 1, tzinfo=UTC)
"""There was no such program before; a clock that shows less has not been set yet."""

FARTHEST_AHEAD = timedelta(days=45)
"""How far the clock may be ahead of the host's last sign of life."""

SIGN_OF_LIFE_EVERY = 60.0
"""Seconds between two signs of life."""

_A_STEP = 2.0
_SAY_AGAIN_AFTER = 600.0
_log = get_logger("rapua_scheduler.clock")


class Trust(StrEnum):
    """What may be done by the clock."""

    FINE = "fine"
    NOT_SET = "not_set"
    TOO_FAR_AHEAD = "too_far_ahead"


class ClockWatch:
    """Looks at the clock at each tick; belongs to the timing thread."""

    def __init__(self, store: Store, clock: Clock, *, earliest: datetime | None = RELEASED) -> None:
        """Make a watch.

        Args:
            store: Where signs of life are kept.
            clock: The clock to watch.
            earliest: What it shows at least if it has been set; None to take any time.
        """
        self._store = store
        self._clock = clock
        self._earliest = earliest
        self._alive: datetime | None = None
        self._releases = 0
        self._is_alive_known = False
        self._sign_due = 0.0
        self._say_due = 0.0
        self._offset: float | None = None

    def is_set(self, now: datetime) -> bool:
        """Tell whether *now* is a time that a clock shows that has been set."""
        return self._earliest is None or now >= self._earliest

    def look(self, now: datetime) -> Trust:
        """Tell whether *now*, which the clock has just shown, can be trusted, and leave a sign of life if so.

        Raises:
            StoreError: What the last sign of life was cannot be told.
        """
        monotonic = self._clock.monotonic()
        self._note_step(now, monotonic)
        if not self.is_set(now):
            if monotonic >= self._say_due:
                self._say_due = monotonic + _SAY_AGAIN_AFTER
                _log.warning("Waiting for clock", clock=now.isoformat(), problem="it has not been set")
            return Trust.NOT_SET
        if not self._is_alive_known:
            self._releases = self._store.releases()
            self._alive = self._store.alive()
            self._is_alive_known = True
        if self._alive is not None and now - self._alive > FARTHEST_AHEAD:
            return Trust.TOO_FAR_AHEAD
        if self._alive is None or now > self._alive:  # the clock of a machine without a battery may start in the past
            self._alive = now
            if monotonic >= self._sign_due:
                self._sign_due = monotonic + SIGN_OF_LIFE_EVERY
                self._leave_sign(now)
        return Trust.FINE

    def heed_release(self, take_back: Callable[[], None]) -> None:
        """Believe an operator who has said that the clock is right.

        Args:
            take_back: Called first, if anything was released since the last time; again if it has raised.

        Raises:
            StoreError: That cannot be told, or *take_back* has raised it.
        """
        if not self._is_alive_known:
            return
        releases = self._store.releases()
        if releases != self._releases:
            take_back()
            self._alive = self._store.alive()
            self._releases = releases

    def reason(self, now: datetime) -> str:
        """Say, for a person, why *now* is not trusted."""
        alive = "never" if self._alive is None else self._alive.isoformat(timespec="seconds")
        return (
            f"the clock shows {now.isoformat(timespec='seconds')}, more than {FARTHEST_AHEAD.days} days after the "
            f"host's last sign of life ({alive})"
        )

    def _leave_sign(self, now: datetime) -> None:
        try:
            self._store.note_alive(now)
        except StoreError as error:  # whatever starts next will say it louder
            _log.warning("Sign of life not recorded", problem=str(error))

    def _note_step(self, now: datetime, monotonic: float) -> None:
        offset = now.timestamp() - monotonic
        before, self._offset = self._offset, offset
        if before is not None and abs(offset - before) > _A_STEP:
            _log.warning("Clock was set, or the machine slept", seconds=round(offset - before, 1))
