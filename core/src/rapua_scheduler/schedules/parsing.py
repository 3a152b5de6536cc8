"""Read a schedule from the text of a configuration."""

from __future__ import annotations

import re
from datetime import timedelta

from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.schedules.base import BuiltInSchedule
from rapua_scheduler.schedules.cron import cron
from rapua_scheduler.schedules.intervals import every

_EVERY = re.compile(
    r"every\s+(?=\d)(?:(?P<weeks>\d+)w\s*)?(?:(?P<days>\d+)d\s*)?(?:(?P<hours>\d+)h\s*)?"
    r"(?:(?P<minutes>\d+)m(?!s)\s*)?(?:(?P<seconds>\d+)s\s*)?(?:(?P<milliseconds>\d+)ms)?",
    re.ASCII | re.IGNORECASE,
)


def parse_schedule(text: str) -> BuiltInSchedule:
    """Return the schedule that an operator wrote as *text*.

    Args:
        text: A cron expression of five fields, a nickname such as "@daily", or "every" and a duration
            in w, d, h, m, s and ms: "every 6h", "every 1h30m".

    Raises:
        InvalidScheduleError: The text is none of these, or a schedule that can never fire.
    """
    if not isinstance(text, str):
        raise InvalidScheduleError(repr(text), 'write it as text, such as "0 3 * * *" or "every 6h"')
    stripped = text.strip()
    if stripped.lower().startswith("every"):
        match = _EVERY.fullmatch(stripped)
        if match is None:
            raise InvalidScheduleError(text, 'write "every" and a duration, such as "every 1h30m"')
        try:
            interval = timedelta(**{unit: int(number) for unit, number in match.groupdict("0").items()})
        except (OverflowError, ValueError):  # ValueError: a number of thousands of digits
            raise InvalidScheduleError(text, "is longer than the calendar") from None
        return every(interval)
    return cron(stripped)
