"""The two next functions of the original scheduler, which can also be called without an argument."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from attrs import frozen

from rapua_scheduler.schedules.calendar_days import Daily, Monthly


class SystemZone(tzinfo):
    """The zone of the operating system, with all of its rules, whatever it is called."""

    __slots__ = ()

    def utcoffset(self, dt: datetime | None, /) -> timedelta | None:
        """Return the system's offset at the wall time *dt*."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None, /) -> timedelta | None:
        """Return None: the system does not tell."""
        return None

    def tzname(self, dt: datetime | None, /) -> str | None:
        """Return the system's abbreviation at the wall time *dt*."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime, /) -> datetime:
        """Return the wall time at *dt*, which is in UTC but for its label."""
        offset = dt.replace(tzinfo=UTC).astimezone().utcoffset()
        wall = dt + offset if offset is not None else dt
        return wall if wall.utcoffset() == offset else wall.replace(fold=1)

    def __repr__(self) -> str:
        return "SystemZone()"


SYSTEM_ZONE: Final = SystemZone()


def _current_time() -> datetime:
    # The one place where a schedule looks at the clock: the original's functions take no argument,
    # and people call them by hand. The host always passes the last fire time.
    return datetime.now(UTC).astimezone(SYSTEM_ZONE)  # noqa: TID251


@frozen(eq=False, repr=False)
class NextDaily(Daily):
    """Midnight of every day, as in the original."""

    def __call__(self, after: datetime | None = None) -> datetime | None:
        """Return the first midnight strictly later than *after*.

        Args:
            after: An aware instant; by default the current time in the system's zone.

        Raises:
            InvalidScheduleError: *after* has no zone.
        """
        return super().__call__(_current_time() if after is None else after)

    def __repr__(self) -> str:
        return "next_daily"


@frozen(eq=False, repr=False)
class NextFirstOfMonth(Monthly):
    """Midnight of every first day of a month, as in the original."""

    def __call__(self, after: datetime | None = None) -> datetime | None:
        """Return the first midnight of a month's first day strictly later than *after*.

        Args:
            after: An aware instant; by default the current time in the system's zone.

        Raises:
            InvalidScheduleError: *after* has no zone.
        """
        return super().__call__(_current_time() if after is None else after)

    def __repr__(self) -> str:
        return "next_first_of_month"


next_daily: Final = NextDaily(time())
"""Fires at 00:00 on every date that exists; equal to `daily()`."""

next_first_of_month: Final = NextFirstOfMonth(1, time())
"""Fires at 00:00 on the 1st of every month; equal to `monthly()`."""
