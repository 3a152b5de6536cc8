"""Values under the names that `--json` promises; times are ISO 8601 with the offset of a zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo

from rapua_scheduler.control.condition import Condition
from rapua_scheduler.control.explanations import Explanation
from rapua_scheduler.control.instants import iso
from rapua_scheduler.control.listings import JobListing
from rapua_scheduler.control.records import RunRecord
from rapua_scheduler.control.words import Backfill
from rapua_scheduler.run import Gap, LogLine, PastAttempt, Run, Window


def run_fields(run: Run, zone: tzinfo) -> Mapping[str, object]:
    """Return a run under its names."""
    return {
        "run_id": run.run_id,
        "job": run.job_key,
        "fire_time": iso(run.fire_time, zone),
        "fire_key": run.fire_key,
        "trigger": run.trigger.value,
        "status": run.status.value,
        "attempt": run.attempt,
        "started_at": iso(run.started_at, zone),
        "finished_at": iso(run.finished_at, zone),
        "result": dict(run.result) if run.result is not None else None,
        "error": run.error,
        "failures": run.failures,
        "losses": run.losses,
        "asked_by": run.asked_by or None,
        "progress": {"done": run.done, "total": run.total} if run.done is not None else None,
    }


def record_fields(record: RunRecord, zone: tzinfo) -> Mapping[str, object]:
    """Return everything about a run: its own names, its past attempts and its log."""
    return {
        **run_fields(record.run, zone),
        "attempts": [attempt_fields(attempt, zone) for attempt in record.attempts],
        "log": [line_fields(line, zone) for line in record.log],
    }


def attempt_fields(attempt: PastAttempt, zone: tzinfo) -> Mapping[str, object]:
    """Return a past attempt under its names."""
    return {
        "attempt": attempt.attempt,
        "status": attempt.status.value,
        "started_at": iso(attempt.started_at, zone),
        "finished_at": iso(attempt.finished_at, zone),
        "error": attempt.error,
    }


def line_fields(line: LogLine, zone: tzinfo) -> Mapping[str, object]:
    """Return a line of a run's log under its names."""
    return {"at": iso(line.at, zone), "attempt": line.attempt, "level": line.level, "text": line.text}


def gap_fields(gap: Gap, zone: tzinfo) -> Mapping[str, object]:
    """Return a gap under the names of a run, its reason as the status, and three names of its own."""
    return {
        "run_id": None,
        "job": gap.job_key,
        "fire_time": iso(gap.first, zone),
        "fire_key": None,
        "trigger": None,
        "status": gap.reason.value,
        "attempt": None,
        "started_at": None,
        "finished_at": None,
        "result": None,
        "error": None,
        "failures": None,
        "losses": None,
        "asked_by": None,
        "progress": None,
        "last_fire_time": iso(gap.last, zone),
        "count": gap.count,
        "detail": gap.detail,
    }


def window_fields(window: Window, zone: tzinfo) -> Mapping[str, object]:
    """Return a window under its names."""
    return {
        "job": window.job_key or None,
        "kind": window.kind.value,
        "since": iso(window.since, zone),
        "until": iso(window.until, zone),
        "reason": window.reason,
        "by": window.by or None,
    }


def job_fields(listing: JobListing, zone: tzinfo) -> Mapping[str, object]:
    """Return a job under its names."""
    pause = listing.pause
    return {
        "key": listing.key,
        "name": listing.name,
        "plugin": listing.plugin,
        "distribution": listing.distribution,
        "version": listing.version,
        "schedule": listing.schedule,
        "next_fire_time": iso(listing.next_fire_time, zone),
        "state": listing.state.value,
        "paused": pause is not None,
        "paused_reason": pause.reason if pause is not None else None,
        "paused_by": pause.by or None if pause is not None else None,
        "paused_since": iso(pause.since, zone) if pause is not None else None,
        "orphaned": listing.is_orphaned,
        "problem": listing.problem or None,
        "last_run": run_fields(listing.last_run, zone) if listing.last_run is not None else None,
    }


def explanation_fields(explanation: Explanation, zone: tzinfo) -> Mapping[str, object]:
    """Return the answer to `why` under its names."""
    run, gap = explanation.run, explanation.gap
    return {
        "job": explanation.job_key,
        "at": iso(explanation.at, zone),
        "answer": explanation.answer.value,
        "lines": list(explanation.lines),
        "run": run_fields(run, zone) if run is not None else None,
        "attempts": [attempt_fields(attempt, zone) for attempt in explanation.attempts],
        "gap": gap_fields(gap, zone) if gap is not None else None,
        "windows": [window_fields(window, zone) for window in explanation.windows],
        "previous_fire_time": iso(explanation.previous_fire_time, zone),
        "next_fire_time": iso(explanation.next_fire_time, zone),
    }


def backfill_fields(plan: Backfill, zone: tzinfo, *, is_dry_run: bool) -> Mapping[str, object]:
    """Return what a backfill does, or would do, under its names."""
    return {
        "dry_run": is_dry_run,
        "queued": [run_fields(run, zone) for run in plan.runs],
        "left_out": [
            {"fire_time": iso(left_out.fire_time, zone), "run": run_fields(left_out.run, zone)}
            for left_out in plan.skipped
        ],
        "rest_from": iso(plan.rest_from, zone),
    }


def condition_fields(condition: Condition, zone: tzinfo) -> Mapping[str, object]:
    """Return the condition of host and jobs under its names; what is known of the store's file comes beside it."""
    host = condition.host
    return {
        "well": condition.is_well,
        "host": None
        if host is None
        else {
            "active": host.is_active,
            "pid": host.pid,
            "machine": host.host_name,
            "since": iso(host.started_at, zone),
            "alive_at": iso(host.alive_at, zone),
        },
        "clock": {
            "now": iso(condition.now, zone),
            "timezone": str(zone),
            "last_seen": iso(condition.alive_at, zone),
            "held": window_fields(condition.held, zone) if condition.held is not None else None,
        },
        "jobs": condition.jobs,
        "running": condition.running,
        "queued": condition.queued,
        "plugins": [
            {
                "name": plugin.name,
                "installed": [str(package) for package in plugin.installed],
                "running": str(plugin.running) if plugin.running is not None else None,
            }
            for plugin in condition.plugins
        ],
        "remarks": [
            {"weight": remark.weight.value, "subject": remark.subject, "text": remark.text}
            for remark in condition.remarks
        ],
        "errors": [run_fields(run, zone) for run in condition.errors],
    }
