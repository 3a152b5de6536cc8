"""The built-in schedules: values that tell when a job is due, without a clock or a memory."""

from __future__ import annotations

from rapua_scheduler.schedules.base import BuiltInSchedule, Schedule, instant_key
from rapua_scheduler.schedules.calendar_days import daily, monthly, weekly
from rapua_scheduler.schedules.cron import cron
from rapua_scheduler.schedules.fingerprints import from_fingerprint
from rapua_scheduler.schedules.intervals import every
from rapua_scheduler.schedules.once import once
from rapua_scheduler.schedules.original import next_daily, next_first_of_month
from rapua_scheduler.schedules.parsing import parse_schedule

__all__ = [
    "BuiltInSchedule",
    "Schedule",
    "cron",
    "daily",
    "every",
    "from_fingerprint",
    "instant_key",
    "monthly",
    "next_daily",
    "next_first_of_month",
    "once",
    "parse_schedule",
    "weekly",
]
