"""The schedule that fires a single time."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from attrs import frozen

from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.schedules.base import BuiltInSchedule, instant_key, is_aware


@frozen(eq=False)
class Once(BuiltInSchedule):
    """Fire at one instant and never again.

    Attributes:
        at: The instant, in UTC.
    """

    at: datetime

    def _first_after(self, start: datetime, zone: tzinfo) -> datetime | None:
        return self.at if self.at > start else None

    def _newest_until(self, end: datetime, zone: tzinfo) -> datetime | None:
        return self.at if self.at <= end else None

    def _count_between(self, start: datetime, end: datetime, zone: tzinfo) -> int:
        return int(start < self.at <= end)

    @property
    def fingerprint(self) -> str:
        """Text that is the same exactly as long as the schedule is: `once 2026-11-01T04:00:00Z`."""
        return f"once {instant_key(self.at)}"

    def __str__(self) -> str:
        return f"once at {instant_key(self.at)}"


def once(at: datetime | str) -> Once:
    """Return a schedule that fires at *at* and never again.

    Args:
        at: An aware datetime, or ISO 8601 text with an offset: "2026-11-01T17:00+13:00".

    Raises:
        InvalidScheduleError: *at* cannot be read, or does not say in which zone it is.
    """
    expression = f"once({at!r})"
    try:
        instant = datetime.fromisoformat(at) if isinstance(at, str) else at
        if is_aware(instant):
            return Once(instant.astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise InvalidScheduleError(expression, f"is not an instant: {error}") from None
    problem = 'must be an aware datetime, or text with an offset such as "2026-11-01T17:00+13:00"'
    raise InvalidScheduleError(expression, problem)
