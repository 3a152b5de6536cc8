"""Instants as texts: for programs, and for people."""

from __future__ import annotations

from datetime import datetime, tzinfo


def iso(instant: datetime | None, zone: tzinfo) -> str | None:
    """Return *instant* as ISO 8601 with the offset of *zone*."""
    return None if instant is None else instant.astimezone(zone).isoformat()


def moment(instant: datetime | None, zone: tzinfo) -> str:
    """Return *instant* for a person, in *zone*; "-" for None."""
    if instant is None:
        return "-"
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")
