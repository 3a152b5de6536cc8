"""The operator's word on jobs, which beats what their plugins declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal

import attrs
from attrs import field, frozen

from rapua_scheduler.job import Job
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.policy import CatchUpMode, IfUnfinished, Isolation, Overlap
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.schedules import BuiltInSchedule
from rapua_scheduler.settings import ByteSize, Where, did_you_mean

_NoMore = Literal["none"]  # what an operator writes to take away what a plugin has set


def _longer_than_zero(_: object, __: object, value: Any) -> None:
    if isinstance(value, timedelta) and value <= timedelta(0):
        raise ValueError("must be longer than zero")


def _longer_than_zero_or_none(_: object, __: object, value: Any) -> None:
    if isinstance(value, timedelta) and value <= timedelta(0):
        raise ValueError('must be longer than zero; write "none" to have none')


def _at_least_one(_: object, __: object, value: Any) -> None:
    if isinstance(value, int) and value < 1:
        raise ValueError("must be at least 1")


def _at_least_one_or_none(_: object, __: object, value: Any) -> None:
    if isinstance(value, int) and value < 1:
        raise ValueError('must be at least 1; write "none" to have none')


def _not_blank(_: object, __: object, value: str | None) -> None:
    if value is not None and not value.strip():
        raise ValueError('must not be blank; write "none" to have none')


def _is_for_a_process(overrides: JobOverrides, _: object, value: ByteSize | None) -> None:
    if value is not None and value < 1:
        raise ValueError('must be at least "1K"')
    if value is not None and overrides.isolation is not Isolation.PROCESS:
        raise ValueError('is for jobs in a process of their own; write isolation = "process" too')


@frozen
class RetryOverrides:
    """What an operator says about retries; what is None is left to the plugin.

    Attributes:
        attempts: Tries in all, the first included.
        delay: Wait before the second attempt.
        cap: Longest wait between two attempts.
    """

    attempts: int | None = field(default=None, validator=_at_least_one)
    delay: timedelta | None = field(default=None, validator=_longer_than_zero)
    cap: timedelta | None = field(default=None, validator=_longer_than_zero)


@frozen(kw_only=True)
class JobOverrides:
    """What an operator says about one job; what is None is left to the plugin.

    Attributes:
        enabled: Whether the job is to run at all.
        schedule: When it fires.
        timeout: Longest duration of one attempt.
        catch_up: Which of the fire times that passed unseen are run afterwards.
        catch_up_within: Fire times that are later than this are not made up.
        overlap: What becomes of a fire time whose job is still running.
        retry: Tries in all, or the parts of a `Retry`.
        isolation: Where attempts execute.
        if_unfinished: What becomes of a run whose host died or was stopped in the middle.
        concurrency_key: Jobs that share one run one at a time.
        pause_after_failures: Pause the job after so many failed runs in a row.
        jitter: Start up to so much later than the fire time.
        memory: Bytes of memory that the job's process may use.
    """

    enabled: bool = True
    schedule: BuiltInSchedule | None = None
    timeout: timedelta | _NoMore | None = field(default=None, validator=_longer_than_zero_or_none)
    catch_up: CatchUpMode | None = None
    catch_up_within: timedelta | _NoMore | None = field(default=None, validator=_longer_than_zero_or_none)
    overlap: Overlap | None = None
    retry: int | RetryOverrides | None = field(default=None, validator=_at_least_one)
    isolation: Isolation | None = None
    if_unfinished: IfUnfinished | None = None
    concurrency_key: str | None = field(default=None, validator=_not_blank)
    pause_after_failures: int | _NoMore | None = field(default=None, validator=_at_least_one_or_none)
    jitter: timedelta | _NoMore | None = field(default=None, validator=_longer_than_zero_or_none)
    memory: ByteSize | None = field(default=None, validator=_is_for_a_process)

    def applied_to(self, registered: RegisteredJob) -> RegisteredJob:
        """Return *registered* as it is to run; jitter is left out if the job cannot have it."""
        job = registered.job
        changes = _said(
            next=self.schedule,
            timeout=self.timeout,
            overlap=self.overlap,
            isolation=self.isolation,
            if_unfinished=self.if_unfinished,
            concurrency_key=self.concurrency_key,
            pause_after_failures=self.pause_after_failures,
            jitter=self.jitter if self.can_jitter(job) else None,
            catch_up=attrs.evolve(job.catch_up, **_said(mode=self.catch_up, within=self.catch_up_within)),
            retry=attrs.evolve(job.retry, **self._retry()),
        )
        return attrs.evolve(registered, job=attrs.evolve(job, **changes), memory_limit=self.memory)

    def can_jitter(self, job: Job) -> bool:
        """Tell whether *job* will have a built-in schedule."""
        return isinstance(self.schedule or job.next, BuiltInSchedule)

    def _retry(self) -> dict[str, Any]:
        if isinstance(self.retry, RetryOverrides):
            return _said(attempts=self.retry.attempts, delay=self.retry.delay, cap=self.retry.cap)
        return _said(attempts=self.retry)


def _said(**values: Any) -> dict[str, Any]:
    """Return what the operator has said something about; "none" has become None."""
    return {name: None if _takes_away(value) else value for name, value in values.items() if value is not None}


def _takes_away(value: object) -> bool:
    return type(value) is str and value == "none"  # CatchUpMode.NONE, which equals it, is a value of its own


@frozen
class DisabledJob:
    """A job that a plugin brings and the host does not run.

    Attributes:
        registered: The job as its plugin declares it.
        reason: Why it does not run, such as "disabled in /etc/rapua-scheduler/config.toml".
    """

    registered: RegisteredJob
    reason: str


@frozen
class Overridden:
    """What has become of the jobs of all plugins once the operator was heard.

    Attributes:
        registry: The jobs to run, as they are to run.
        disabled: The others, by key.
        warnings: What the operator has said without effect, each with file and key.
    """

    registry: Registry
    disabled: Mapping[str, DisabledJob]
    warnings: tuple[str, ...]


def apply_overrides(registry: Registry, jobs: Mapping[str, JobOverrides], where: Where) -> Overridden:
    """Return the jobs of *registry* as the operator wants them.

    A table under a key that a job had formerly is for that job, unless it has one under its own: a job
    that was switched off does not come back under another key. A job that cannot be changed as the
    operator wants does not run.

    Args:
        registry: The jobs as plugins declare them.
        jobs: The operator's tables, by the job's key.
        where: Where these tables are written.
    """
    tables = {key: _table_of(registered.job, jobs, registry) for key, registered in registry.items()}
    kept: list[RegisteredJob] = []
    disabled: dict[str, DisabledJob] = {}
    warnings: list[str] = []
    for key, registered in registry.items():
        table = tables[key]
        if table is None:
            kept.append(registered)
            continue
        overrides = jobs[table]
        if table != key:
            warnings.append(where.problem([table], f"this job has the key {key!r} now; rename the table"))
        if not overrides.enabled:
            disabled[key] = DisabledJob(registered, f"disabled in {where.file}")
            continue
        if overrides.jitter is not None and not overrides.can_jitter(registered.job):
            text = "has no effect: the job has a next function of its own; write a schedule too"
            warnings.append(where.below(table).problem(["jitter"], text))
        try:
            kept.append(overrides.applied_to(registered))
        except Exception as error:  # a subclass of Job with ways of its own
            problem = where.problem([table], f"cannot be applied: {summarize_error(error)}")
            warnings.append(problem)
            disabled[key] = DisabledJob(registered, problem)
    warnings += _stray(jobs, tables, where)
    return Overridden(Registry(kept), disabled, tuple(warnings))


def _table_of(job: Job, jobs: Mapping[str, JobOverrides], registry: Registry) -> str | None:
    if job.key in jobs:
        return job.key
    return next((former for former in job.formerly if former in jobs and former not in registry), None)


def _stray(jobs: Mapping[str, JobOverrides], tables: Mapping[str, str | None], where: Where) -> Iterator[str]:
    if not tables:  # as in safe mode: nothing is known of any job
        return
    for table in [table for table in jobs if table not in tables.values()]:
        yield where.problem([table], f"no plugin brings a job with this key{did_you_mean(table, tables)}")
