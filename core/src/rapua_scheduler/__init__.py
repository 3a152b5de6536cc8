"""rapua-scheduler: a host for periodic background jobs.

Everything that a plugin's author, or an application that embeds the scheduler, needs is here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers; at run time each name is imported at its first use
    from rapua_scheduler.context import JobContext
    from rapua_scheduler.errors import (
        AnotherHostError,
        ConfigurationError,
        ContextClosedError,
        DuplicateJobError,
        InvalidJobError,
        InvalidScheduleError,
        JobCancelled,
        PluginError,
        RapuaSchedulerError,
        SiteError,
        StoreError,
        UnknownJobError,
    )
    from rapua_scheduler.events import (
        Event,
        FireTimesNotRun,
        HostStarted,
        HostStopping,
        JobBroken,
        JobPaused,
        RunFinished,
        RunStarted,
    )
    from rapua_scheduler.hookspecs import hookimpl
    from rapua_scheduler.housekeeping import Retention
    from rapua_scheduler.job import Job
    from rapua_scheduler.policy import CatchUp, IfUnfinished, Isolation, Overlap, Retry, parse_duration
    from rapua_scheduler.run import Gap, GapReason, Outcome, Run, RunStatus, Trigger
    from rapua_scheduler.scheduler import Scheduler
    from rapua_scheduler.schedules import (
        cron,
        daily,
        every,
        monthly,
        next_daily,
        next_first_of_month,
        once,
        weekly,
    )
    from rapua_scheduler.site import Site, format_time, is_busy, parse_time

_HOME = {
    "AnotherHostError": "errors",
    "CatchUp": "policy",
    "ConfigurationError": "errors",
    "ContextClosedError": "errors",
    "DuplicateJobError": "errors",
    "Event": "events",
    "FireTimesNotRun": "events",
    "Gap": "run",
    "GapReason": "run",
    "HostStarted": "events",
    "HostStopping": "events",
    "IfUnfinished": "policy",
    "InvalidJobError": "errors",
    "InvalidScheduleError": "errors",
    "Isolation": "policy",
    "Job": "job",
    "JobBroken": "events",
    "JobCancelled": "errors",
    "JobContext": "context",
    "JobPaused": "events",
    "Outcome": "run",
    "Overlap": "policy",
    "PluginError": "errors",
    "RapuaSchedulerError": "errors",
    "Retention": "housekeeping",
    "Retry": "policy",
    "Run": "run",
    "RunFinished": "events",
    "RunStarted": "events",
    "RunStatus": "run",
    "Scheduler": "scheduler",
    "Site": "site",
    "SiteError": "errors",
    "StoreError": "errors",
    "Trigger": "run",
    "UnknownJobError": "errors",
    "cron": "schedules",
    "daily": "schedules",
    "every": "schedules",
    "format_time": "site",
    "hookimpl": "hookspecs",
    "is_busy": "site",
    "monthly": "schedules",
    "next_daily": "schedules",
    "next_first_of_month": "schedules",
    "once": "schedules",
    "parse_duration": "policy",
    "parse_time": "site",
    "weekly": "schedules",
}

__all__ = [
    "AnotherHostError",
    "CatchUp",
    "ConfigurationError",
    "ContextClosedError",
    "DuplicateJobError",
    "Event",
    "FireTimesNotRun",
    "Gap",
    "GapReason",
    "HostStarted",
    "HostStopping",
    "IfUnfinished",
    "InvalidJobError",
    "InvalidScheduleError",
    "Isolation",
    "Job",
    "JobBroken",
    "JobCancelled",
    "JobContext",
    "JobPaused",
    "Outcome",
    "Overlap",
    "PluginError",
    "RapuaSchedulerError",
    "Retention",
    "Retry",
    "Run",
    "RunFinished",
    "RunStarted",
    "RunStatus",
    "Scheduler",
    "Site",
    "SiteError",
    "StoreError",
    "Trigger",
    "UnknownJobError",
    "cron",
    "daily",
    "every",
    "format_time",
    "hookimpl",
    "is_busy",
    "monthly",
    "next_daily",
    "next_first_of_month",
    "once",
    "parse_duration",
    "parse_time",
    "weekly",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
