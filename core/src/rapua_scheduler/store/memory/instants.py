"""Instants as the store in memory keeps them: in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(instant: datetime) -> datetime:
    """Return an aware instant in UTC.

    Raises:
        TypeError: It is naive.
    """
    if instant.tzinfo is UTC:
        return instant
    if instant.tzinfo is None:
        raise TypeError(f"{instant!r} is naive; give it a zone")
    return instant.astimezone(UTC)


def optional_utc(instant: datetime | None) -> datetime | None:
    """Return an aware instant in UTC; None stays."""
    return None if instant is None else utc(instant)
