"""Find zones by name, and the instants at which the offset of one changes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from rapua_scheduler.errors import InvalidScheduleError

SECOND = timedelta(seconds=1)
_NONE = timedelta(0)

# Two changes of one zone are nowhere closer than 95 hours (Africa/Freetown, September 1939), so
# that steps of this length see each of them. Source: tz database 2025b and 2026f.
_STEP = timedelta(days=2)


def find_zone(tz: str | ZoneInfo | None, expression: str) -> ZoneInfo | None:
    """Return the zone that *tz* names; None if it is None.

    Args:
        tz: A name of the tz database, such as "Pacific/Auckland", or the zone itself.
        expression: The schedule as it was written, for the error.

    Raises:
        InvalidScheduleError: There is no such zone, or it has no name.
    """
    if isinstance(tz, str):
        try:
            return ZoneInfo(tz)
        except (KeyError, ValueError, OSError):  # OSError: the name of a folder of zones
            problem = f'no time zone is called {tz!r}; write it like "Pacific/Auckland"'
            raise InvalidScheduleError(expression, problem) from None
    if tz is not None and getattr(tz, "key", None) is None:
        problem = f'tz must be the name of a time zone, such as "Pacific/Auckland", not {tz!r}'
        raise InvalidScheduleError(expression, problem)
    return tz


def first_offset_change(zone: tzinfo, start: datetime, end: datetime) -> datetime | None:
    """Return the first instant in `(start, end]` at which *zone* changes its offset; all in UTC."""
    offset = _offset(zone, start)
    while start < end:
        probe = min(start + _STEP, end)
        if _offset(zone, probe) != offset:
            return only_offset_change(zone, start, probe)
        start = probe
    return None


def last_offset_change(zone: tzinfo, start: datetime, end: datetime) -> datetime | None:
    """Return the last instant in `(start, end]` at which *zone* changes its offset; all in UTC."""
    offset = _offset(zone, end)
    while start < end:
        probe = max(end - _STEP, start)
        if _offset(zone, probe) != offset:
            return only_offset_change(zone, probe, end)
        end = probe
    return None


def spans_of_one_offset(zone: tzinfo, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Cut `[start, end)` where *zone* changes its offset.

    Args:
        zone: The zone.
        start: The first instant, in UTC.
        end: The first instant that is too late, in UTC.

    Yields:
        Start, end and offset of each part, half-open as well, oldest first.
    """
    while start < end:
        change = first_offset_change(zone, start, end) or end
        yield start, change, _offset(zone, start)
        start = change


def only_offset_change(zone: tzinfo, start: datetime, end: datetime) -> datetime:
    """Return the instant in `(start, end]` at which *zone* changes its offset, once; all in UTC."""
    start = start.replace(microsecond=0)  # offsets change at whole seconds
    offset = _offset(zone, end)

    def has_changed(seconds: int) -> bool:
        return _offset(zone, start + SECOND * seconds) == offset

    return start + SECOND * bisect_left(range((end - start) // SECOND), True, key=has_changed)


def _offset(zone: tzinfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or _NONE
