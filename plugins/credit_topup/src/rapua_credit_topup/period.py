"""The month that a top-up is for."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from attrs import frozen

from rapua_scheduler import next_first_of_month


@frozen
class Period:
    """One calendar month of the site's zone, half-open.

    It begins when the clock first shows or passes midnight of the 1st, which is when the job is
    due; so a clock that is put back a minute after that midnight does not end it again.

    Attributes:
        name: Year and month, such as "2026-11"; sorts in order of time.
        begins_at: Its first instant, in UTC.
        ends_at: The first instant of the next one, in UTC.
    """

    name: str
    begins_at: datetime
    ends_at: datetime

    @classmethod
    def containing(cls, instant: datetime, zone: tzinfo) -> Period:
        """Return the month of *zone* that *instant* (aware) lies in.

        Raises:
            ValueError: The instant lies at an end of the calendar.
        """
        first = next_first_of_month.latest(instant.astimezone(zone))
        following = next_first_of_month(first) if first is not None else None
        if first is None or following is None:
            raise ValueError(f"{instant} lies outside of the calendar")
        return cls(f"{first.year:04}-{first.month:02}", first.astimezone(UTC), following.astimezone(UTC))

    def __contains__(self, instant: datetime) -> bool:
        return self.begins_at <= instant < self.ends_at
