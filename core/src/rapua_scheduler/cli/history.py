"""`history`: past runs, and fire times that were not run."""

from __future__ import annotations

from datetime import tzinfo

import click

from rapua_scheduler.cli.render import counts, json_option, moment, one_line, show_json, show_table
from rapua_scheduler.cli.session import open_session, parse_instant
from rapua_scheduler.control import gap_fields, history, run_fields
from rapua_scheduler.run import Gap, Run
from rapua_scheduler.store.memory import MemoryStore


@click.command("history")
@click.argument("job", required=False)
@click.option("--since", metavar="T", help="Only from this time on.")
@click.option("--failed", is_flag=True, help="Only runs that did not succeed.")
@click.option(
    "--count", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many, the newest."
)
@json_option
@click.pass_context
def command(
    context: click.Context, *, job: str | None, since: str | None, failed: bool, count: int, as_json: bool
) -> None:
    """List past runs, and fire times that were not run, newest first.

    An entry without a run id is a stretch of fire times that were not run; its status is the reason.
    """
    with open_session(context) as session:
        zone = session.config.timezone
        entries = history(
            session.store if session.store is not None else MemoryStore(),
            tuple(session.plugins.registry),
            job_key=job,
            since=parse_instant(since, session.config) if since else None,
            failed=failed,
            limit=count,
        )
        if as_json:
            show_json(
                [gap_fields(entry, zone) if isinstance(entry, Gap) else run_fields(entry, zone) for entry in entries]
            )
            return
        show_table(
            ("RUN", "JOB", "FIRE TIME", "TRIGGER", "STATUS", "STARTED", "RESULT"),
            (_row(entry, zone) for entry in entries),
            empty="nothing has run yet",
        )


def _row(entry: Run | Gap, zone: tzinfo) -> tuple[str, ...]:
    if isinstance(entry, Gap):
        many = "an unknown number of fire times" if entry.count is None else f"{entry.count} fire times"
        if entry.count == 1:
            return _gap_row(entry, zone, entry.detail)
        return _gap_row(entry, zone, f"{many} until {moment(entry.last, zone)} {entry.detail}".rstrip())
    return (
        entry.run_id,
        entry.job_key,
        moment(entry.fire_time, zone),
        entry.trigger.value,
        entry.status.value,
        moment(entry.started_at, zone),
        one_line(entry.error) or counts(entry.result),
    )


def _gap_row(gap: Gap, zone: tzinfo, text: str) -> tuple[str, ...]:
    return ("-", gap.job_key, moment(gap.first, zone), "-", gap.reason.value, "-", text)
