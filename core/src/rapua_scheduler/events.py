"""What observers are told, after it is stored."""

from __future__ import annotations

from attrs import frozen

from rapua_scheduler.run import Gap, Run


@frozen
class HostStarted:
    """The host has loaded its plugins and starts to run jobs.

    Attributes:
        jobs: The keys of its jobs.
    """

    jobs: tuple[str, ...]


@frozen
class HostStopping:
    """The host claims nothing more and waits for what is running."""


@frozen
class RunStarted:
    """A run is claimed, and its attempt is about to execute."""

    run: Run


@frozen
class RunFinished:
    """An attempt has ended, and its outcome is stored."""

    run: Run


@frozen
class FireTimesNotRun:
    """A stretch of fire times was decided against."""

    gap: Gap


@frozen
class JobBroken:
    """A job's next function misbehaved; the job is set aside and asked again later.

    Attributes:
        job_key: The job.
        problem: What the function did.
    """

    job_key: str
    problem: str


@frozen
class JobPaused:
    """The host has paused a job by itself; an operator resumes it.

    Attributes:
        job_key: The job.
        reason: Why.
    """

    job_key: str
    reason: str


Event = HostStarted | HostStopping | RunStarted | RunFinished | FireTimesNotRun | JobBroken | JobPaused
"""Anything that `on_event` may be handed; more kinds may come."""
