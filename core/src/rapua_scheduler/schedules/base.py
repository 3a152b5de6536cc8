"""What every built-in schedule can be asked, and the rules that hold for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol, TypeGuard

from rapua_scheduler.errors import InvalidScheduleError

_CALENDAR_START = datetime.min.replace(tzinfo=UTC)
_CALENDAR_END = datetime.max.replace(tzinfo=UTC)

EARLIEST = _CALENDAR_START + timedelta(days=2)
LATEST = _CALENDAR_END - timedelta(days=2)
"""A schedule fires later than the first, up to the second: all offsets fit between them and the calendar's ends."""


class Schedule(Protocol):
    """When a job is due: what the host asks of a schedule beyond calling it."""

    def __call__(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than *after*; None means never again."""

    def latest(self, until: datetime) -> datetime | None:
        """Return the newest fire time at or before *until*; None if there is none."""

    def count(self, after: datetime, until: datetime) -> int | None:
        """Return how many fire times lie in the half-open `(after, until]`; None if unknown."""

    def fire_key(self, fire_time: datetime) -> str:
        """Return the identity of *fire_time*."""

    @property
    def fingerprint(self) -> str:
        """Text that is the same exactly as long as the schedule is."""


class BuiltInSchedule(ABC):
    """Base of the schedules that ship with the package; the host may trust these to be quick.

    All of them are immutable values: equal if they fire by the same rule in the same zone. Each
    obeys `a <= b < next(a)` implies `next(b) == next(a)`.
    """

    __slots__ = ()

    def __call__(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than *after*; None means never again.

        Args:
            after: An aware instant. Its zone is the schedule's, unless that has one of its own.

        Returns:
            The fire time in that zone.

        Raises:
            InvalidScheduleError: *after* is not an aware datetime.
        """
        start = self._instant(after)
        if start >= LATEST:
            return None
        zone = self._zone(after)
        found = self._first_after(start if start > EARLIEST else EARLIEST, zone)
        return None if found is None or found > LATEST else found.astimezone(zone)

    def latest(self, until: datetime) -> datetime | None:
        """Return the newest fire time at or before *until*; None if there is none.

        Fire times are not enumerated, however long ago the newest one is.

        Args:
            until: An aware instant; see `__call__` for its zone.

        Raises:
            InvalidScheduleError: *until* is not an aware datetime.
        """
        end = self._instant(until)
        if end <= EARLIEST:
            return None
        zone = self._zone(until)
        found = self._newest_until(end if end < LATEST else LATEST, zone)
        return None if found is None or found <= EARLIEST else found.astimezone(zone)

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many fire times lie in the half-open `(after, until]`.

        Fire times are not enumerated, however many they are.

        Args:
            after: An aware instant; see `__call__` for its zone, which is used for both.
            until: An aware instant.

        Raises:
            InvalidScheduleError: One of the two is not an aware datetime.
        """
        start, end = max(self._instant(after), EARLIEST), min(self._instant(until), LATEST)
        return self._count_between(start, end, self._zone(after)) if start < end else 0

    def fire_key(self, fire_time: datetime) -> str:
        """Return the identity of *fire_time*.

        Args:
            fire_time: A fire time of this schedule, aware; see `__call__` for its zone.

        Returns:
            The instant, as `instant_key` writes it, unless the schedule goes by the wall clock.
        """
        return instant_key(self._instant(fire_time))

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Text that is the same exactly as long as the schedule is; stable between versions."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the schedule in words."""

    @abstractmethod
    def _first_after(self, start: datetime, zone: tzinfo) -> datetime | None:
        """Return the first fire time strictly later than *start*; both in UTC."""

    @abstractmethod
    def _newest_until(self, end: datetime, zone: tzinfo) -> datetime | None:
        """Return the newest fire time at or before *end*; both in UTC."""

    @abstractmethod
    def _count_between(self, start: datetime, end: datetime, zone: tzinfo) -> int:
        """Return how many fire times lie in the half-open `(start, end]`, which is not empty; both in UTC."""

    def _zone(self, asked: datetime) -> tzinfo:
        """Return the zone to answer in."""
        return asked.tzinfo or UTC

    def _instant(self, asked: datetime) -> datetime:
        """Return *asked* in UTC, or the nearest instant that UTC can express.

        Raises:
            InvalidScheduleError: It is not an aware datetime.
        """
        if not is_aware(asked):
            problem = f"asked about {asked!r}; pass an aware datetime"
            raise InvalidScheduleError(str(self), problem)
        try:
            return asked.astimezone(UTC)
        except OverflowError:
            return _CALENDAR_START if asked.year == _CALENDAR_START.year else _CALENDAR_END

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BuiltInSchedule):
            return NotImplemented
        return self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def is_aware(value: object) -> TypeGuard[datetime]:
    """Tell whether *value* is a datetime that says where on the line of time it lies."""
    return isinstance(value, datetime) and value.utcoffset() is not None


def instant_key(fire_time: datetime) -> str:
    """Return the identity of a fire time that is an instant: `2026-11-01T04:00:00Z`.

    A fraction of a second follows if there is one. Fire times of schedules that are not built in
    are identified so.

    Args:
        fire_time: An aware datetime.
    """
    return fire_time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
