"""Values as the database holds them, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import (
    Gap,
    GapReason,
    LogLine,
    Outcome,
    PastAttempt,
    Run,
    RunStatus,
    Scalar,
    Trigger,
    Window,
    WindowKind,
)
from rapua_scheduler.store.port import FormerSchedule, StoredJob
from rapua_scheduler.store.texts import storable, storable_error, storable_line

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_RESULT = 1024 * 1024
"""Characters of JSON that a result may take; the runner keeps results far shorter."""

_STATUSES = {status.value: status for status in RunStatus}
_TRIGGERS = {trigger.value: trigger for trigger in Trigger}
_REASONS = {reason.value: reason for reason in GapReason}
_KINDS = {kind.value: kind for kind in WindowKind}
_encode = json.JSONEncoder(separators=(",", ":")).encode
_encode_result = json.JSONEncoder(separators=(",", ":"), default=repr).encode

# -- instants: whole microseconds since the epoch, in UTC; no float on the way, so they come back as they were


def to_micros(instant: datetime) -> int:
    """Return an aware instant as the database holds it.

    Raises:
        TypeError: It is naive.
    """
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(micros: int) -> datetime:
    """Return a stored instant, in UTC."""
    return EPOCH + timedelta(microseconds=micros)


def to_optional_micros(instant: datetime | None) -> int | None:
    """Return an instant as the database holds it; None stays."""
    return None if instant is None else to_micros(instant)


def from_optional_micros(micros: int | None) -> datetime | None:
    """Return a stored instant, in UTC; None stays."""
    return None if micros is None else EPOCH + timedelta(microseconds=micros)


# -- JSON: many rows travel to the database as one text, in one statement


def to_json(value: object) -> str:
    """Return *value* as compact JSON, in ASCII."""
    return _encode(value)


def run_fields(run: Run, status: RunStatus, attempt: int) -> Sequence[object]:
    """Return what is recorded of a run when it is claimed, as `claims` reads it."""
    started_at = None if run.started_at is None else to_micros(run.started_at)
    return (
        run.job_key,
        run.run_id,
        to_micros(run.fire_time),
        run.fire_key,
        run.trigger.value,
        status.value,
        attempt,
        started_at,
        storable(run.asked_by),
    )


def outcome_fields(outcome: Outcome) -> Sequence[object]:
    """Return the end of an attempt as `attempts` reads it."""
    result, error = outcome.result, outcome.error
    return (
        outcome.status.value,
        to_micros(outcome.finished_at),
        None if result is None else _result_text(result),
        None if error is None else storable_error(error),
    )


def log_fields(lines: Sequence[LogLine]) -> Sequence[object]:
    """Return lines of a run's log as `attempts` reads them."""
    return [(to_micros(line.at), line.attempt, storable(line.level), storable_line(line.text)) for line in lines]


def job_fields(registered: RegisteredJob) -> Sequence[object]:
    """Return what is recorded of a declared job."""
    texts = (
        registered.job.key,
        registered.job.name,
        registered.plugin,
        registered.distribution,
        registered.version,
        registered.schedule,
        registered.fingerprint,
    )
    return tuple(storable(text) for text in texts)


def gap_fields(gap: Gap) -> Sequence[object]:
    """Return a gap as the database holds it, in the order of `GAP_COLUMNS`."""
    first, last = to_micros(gap.first), to_micros(gap.last)
    return (gap.job_key, first, last, gap.count, gap.reason.value, storable(gap.detail))


def _result_text(result: Mapping[str, Scalar]) -> str:
    try:
        text = _encode_result(dict(result))
    except Exception as error:  # whatever it holds, the end of the attempt must be recorded
        return _encode({"result": f"<could not be stored: {type(error).__name__}>"})
    if len(text) > LONGEST_RESULT:
        return _encode({"result": f"<too long to be stored: {len(text)} characters>"})
    return text


# -- rows

JOB_COLUMNS = (
    "key, name, plugin, distribution, version, schedule, fingerprint, mark, next_fire_time, first_seen_at, "
    "last_seen_at, (SELECT json_group_array(json_array(fingerprint, until)) FROM ("
    "SELECT schedules.fingerprint, until FROM schedules WHERE job_key = jobs.key ORDER BY id))"
)
RUN_COLUMNS = (
    "run_id, job_key, fire_time, fire_key, trigger, status, attempt, started_at, finished_at, result, error, "
    "failures, losses, asked_by, done, total"
)
GAP_COLUMNS = "job_key, first, last, count, reason, detail"
ATTEMPT_COLUMNS = "attempt, status, started_at, finished_at, error"
LINE_COLUMNS = "number, at, attempt, level, text"
WINDOW_COLUMNS = "job_key, kind, since, until, reason, begun_by"


def to_job(row: Sequence[Any]) -> StoredJob:
    """Return the job of a row of `JOB_COLUMNS`."""
    key, name, plugin, distribution, version, schedule, fingerprint, *instants, formers = row
    mark, next_fire_time, first_seen_at, last_seen_at = instants
    return StoredJob(
        key,
        name,
        plugin,
        distribution,
        version,
        schedule,
        fingerprint,
        from_micros(mark),
        from_optional_micros(next_fire_time),
        from_micros(first_seen_at),
        from_micros(last_seen_at),
        () if formers == "[]" else tuple(FormerSchedule(text, from_micros(at)) for text, at in json.loads(formers)),
    )


def to_run(row: Sequence[Any]) -> Run:
    """Return the run of a row of `RUN_COLUMNS`."""
    run_id, job_key, fire_time, fire_key, trigger, status, attempt, started_at, finished_at, result, error, *more = row
    return Run(
        run_id,
        job_key,
        from_micros(fire_time),
        fire_key,
        _TRIGGERS[trigger],
        _STATUSES[status],
        attempt,
        from_optional_micros(started_at),
        from_optional_micros(finished_at),
        None if result is None else json.loads(result),
        error,
        *more,
    )


def to_gap(row: Sequence[Any]) -> Gap:
    """Return the gap of a row of `GAP_COLUMNS`."""
    job_key, first, last, count, reason, detail = row
    return Gap(job_key, from_micros(first), from_micros(last), count, _REASONS[reason], detail)


def to_attempt(row: Sequence[Any]) -> PastAttempt:
    """Return the attempt of a row of `ATTEMPT_COLUMNS`."""
    attempt, status, started_at, finished_at, error = row
    return PastAttempt(
        attempt, _STATUSES[status], from_optional_micros(started_at), from_optional_micros(finished_at), error
    )


def to_line(row: Sequence[Any]) -> LogLine:
    """Return the line of a row of `LINE_COLUMNS`."""
    _, at, attempt, level, text = row
    return LogLine(from_micros(at), attempt, level, text)


def to_window(row: Sequence[Any]) -> Window:
    """Return the window of a row of `WINDOW_COLUMNS`."""
    job_key, kind, since, until, reason, begun_by = row
    return Window(job_key, _KINDS[kind], from_micros(since), from_optional_micros(until), reason, begun_by)
