"""Turn a stored fingerprint back into its schedule, so that one that is gone can still be asked."""

from __future__ import annotations

import re
from datetime import timedelta

from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.schedules.base import BuiltInSchedule
from rapua_scheduler.schedules.calendar_days import daily, monthly, weekly
from rapua_scheduler.schedules.cron import cron
from rapua_scheduler.schedules.intervals import every
from rapua_scheduler.schedules.once import once

_EVERY = re.compile(r"every (?P<seconds>\d+)(?:\.(?P<fraction>\d{1,6}))?s from (?P<anchor>\S+)", re.ASCII)
_DAILY = re.compile(r"daily@(?P<at>[\d:]+)", re.ASCII)
_WEEKLY = re.compile(r"weekly (?P<days>[a-z,]+)@(?P<at>[\d:]+)", re.ASCII)
_MONTHLY = re.compile(r"monthly (?P<day>\d+)@(?P<at>[\d:]+)", re.ASCII)


def from_fingerprint(text: str) -> BuiltInSchedule | None:
    """Return the schedule whose `fingerprint` is *text*; None if it is not that of a built-in one.

    A zone that this machine does not know makes it None too.
    """
    try:
        schedule = _schedule(text)
    except (InvalidScheduleError, ValueError, OverflowError):
        return None
    return schedule if schedule is not None and schedule.fingerprint == text else None


def _schedule(text: str) -> BuiltInSchedule | None:
    if text.startswith("once "):
        return once(text.removeprefix("once "))
    if match := _EVERY.fullmatch(text):
        interval = timedelta(seconds=int(match["seconds"]), microseconds=int((match["fraction"] or "0").ljust(6, "0")))
        anchor = once(match["anchor"]).at
        return every(interval, anchor=anchor)
    rule, _, zone = text.partition("|")
    tz = zone or None
    if rule.startswith("cron "):
        return cron(rule.removeprefix("cron "), tz=tz)
    if match := _DAILY.fullmatch(rule):
        return daily(match["at"], tz=tz)
    if match := _WEEKLY.fullmatch(rule):
        return weekly(*match["days"].split(","), at=match["at"], tz=tz)
    if match := _MONTHLY.fullmatch(rule):
        return monthly(int(match["day"]), at=match["at"], tz=tz)
    return None
