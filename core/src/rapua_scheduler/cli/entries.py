"""Show runs, and fire times that were not run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo

from rapua_scheduler.cli.render import counts, show_table
from rapua_scheduler.control.fields import gap_fields, run_fields
from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.wording import last_line
from rapua_scheduler.run import Gap, Run

_LONGEST = 100


def entry_fields(entry: Run | Gap, zone: tzinfo) -> Mapping[str, object]:
    """Return a run, or a gap, under the names that `--json` promises."""
    return gap_fields(entry, zone) if isinstance(entry, Gap) else run_fields(entry, zone)


def show_entries(entries: Iterable[Run | Gap], zone: tzinfo, *, empty: str, first: str = "RUN") -> None:
    """Print *entries* as a table.

    Args:
        entries: Runs and gaps, in their order.
        zone: The zone that times are told in.
        empty: What to print if there are none.
        first: The first column: "RUN", or "JOB" to leave the ids out.
    """
    columns = ("RUN", "JOB", "FIRE TIME", "TRIGGER", "STATUS", "STARTED", "RESULT")
    start = columns.index(first)
    rows = (_gap_row(entry, zone) if isinstance(entry, Gap) else _run_row(entry, zone) for entry in entries)
    show_table(columns[start:], (row[start:] for row in rows), empty=empty)


def _run_row(run: Run, zone: tzinfo) -> tuple[str, ...]:
    status = run.status.value if run.attempt == 1 else f"{run.status.value} (attempt {run.attempt})"
    return (
        run.run_id,
        run.job_key,
        moment(run.fire_time, zone),
        run.trigger.value,
        status,
        moment(run.started_at, zone),
        _cut(_said_by(run)),
    )


def _said_by(run: Run) -> str:
    if run.error is not None:
        return last_line(run.error)
    if run.result is None and run.done is not None and not run.status.is_final:
        return f"{run.done} of {'?' if run.total is None else run.total}"
    return counts(run.result)


def _gap_row(gap: Gap, zone: tzinfo) -> tuple[str, ...]:
    text = gap.detail
    if gap.count != 1:
        many = "an unknown number of fire times" if gap.count is None else f"{gap.count} fire times"
        text = f"{many} until {moment(gap.last, zone)} {gap.detail}".rstrip()
    return ("-", gap.job_key, moment(gap.first, zone), "-", gap.reason.value, "-", text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
