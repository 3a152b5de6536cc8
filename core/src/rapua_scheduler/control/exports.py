"""A store told as JSON lines: everything there is of it, or everything since a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo

from rapua_scheduler.control.fields import gap_fields, record_fields, window_fields
from rapua_scheduler.control.instants import iso
from rapua_scheduler.control.records import RunRecord
from rapua_scheduler.store.maintenance.snapshots import Snapshot
from rapua_scheduler.store.port import StoredJob


def export(snapshot: Snapshot, zone: tzinfo, *, at: datetime, since: datetime | None) -> Iterator[Mapping[str, object]]:
    """Yield the store itself, its jobs, windows, gaps and runs, each oldest first, under the names of `--json`.

    Each has its kind as `type`.

    Args:
        snapshot: Is read as this goes on.
        zone: The zone that times are told in.
        at: The current time.
        since: Only gaps, windows and runs since this; None for all.
    """
    yield {
        "type": "store",
        "store_id": snapshot.store_id,
        "schema": snapshot.schema,
        "exported_at": iso(at, zone),
        "since": iso(since, zone),
    }
    for job in snapshot.jobs():
        yield {"type": "job", **stored_fields(job, zone)}
    for window in snapshot.windows(since=since):
        yield {"type": "window", **window_fields(window, zone)}
    for gap in snapshot.each_gap(since):
        yield {"type": "gap", **gap_fields(gap, zone)}
    for run in snapshot.each_run(since):
        record = RunRecord(run, tuple(snapshot.attempts(run.run_id)), tuple(snapshot.log_lines(run.run_id)))
        yield {"type": "run", **record_fields(record, zone)}


def stored_fields(job: StoredJob, zone: tzinfo) -> Mapping[str, object]:
    """Return what a store knows of a job under its names."""
    return {
        "key": job.key,
        "name": job.name,
        "plugin": job.plugin,
        "distribution": job.distribution,
        "version": job.version,
        "schedule": job.schedule,
        "mark": iso(job.mark, zone),
        "next_fire_time": iso(job.next_fire_time, zone),
        "first_seen_at": iso(job.first_seen_at, zone),
        "last_seen_at": iso(job.last_seen_at, zone),
    }
