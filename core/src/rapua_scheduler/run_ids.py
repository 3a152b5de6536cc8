"""Ids of runs: unique over all stores, and in the order of time."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


class RunIds:
    """Makes the run ids of one process.

    An id tells the second its run was started in, the process that started it, and its number there:
    `20261101T000000-3fa9c1d2-1`. As text, ids sort by the second.
    """

    def __init__(self) -> None:
        self._process = secrets.token_hex(4)
        self._made = 0
        self._second: datetime | None = None
        self._prefix = ""

    def new(self, now: datetime) -> str:
        """Return the id of a run that is started at *now* (aware)."""
        second = now.replace(microsecond=0)
        if second != self._second:
            self._second = second
            self._prefix = f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{self._process}-"
        self._made += 1
        return f"{self._prefix}{self._made}"
