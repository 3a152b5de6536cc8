"""`history`: past runs, and fire times that were not run."""

from __future__ import annotations

import click

from rapua_scheduler.cli.entries import entry_fields, show_entries
from rapua_scheduler.cli.render import json_option, show_json, show_table
from rapua_scheduler.cli.session import note_missing_store, open_session, parse_instant
from rapua_scheduler.control.fields import window_fields
from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.records import history
from rapua_scheduler.store.memory import MemoryStore


@click.command("history")
@click.argument("job", required=False)
@click.option("--since", metavar="T", help="Only from this time on.")
@click.option("--failed", is_flag=True, help="Only runs that did not succeed.")
@click.option(
    "--count", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many, the newest."
)
@click.option(
    "--windows", is_flag=True, help="Instead, the times in which jobs were paused, absent, failed to load or held."
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    *,
    job: str | None,
    since: str | None,
    failed: bool,
    count: int,
    windows: bool,
    as_json: bool,
) -> None:
    """List past runs, and fire times that were not run, newest first.

    An entry without a run id is a stretch of fire times that were not run; its status is the reason.
    """
    with open_session(context) as session:
        note_missing_store(session)
        zone = session.config.timezone
        store = session.store if session.store is not None else MemoryStore()
        start = parse_instant(since, session.config) if since else None
        entries = history(store, tuple(session.plugins.registry), job_key=job, since=start, failed=failed, limit=count)
        if windows:
            found = list(reversed(store.windows(job_key=job, since=start)))[:count]
            if as_json:
                show_json([window_fields(window, zone) for window in found])
                return
            show_table(
                ("JOB", "KIND", "SINCE", "UNTIL", "BY", "REASON"),
                (
                    (
                        window.job_key or "all",
                        window.kind.value,
                        moment(window.since, zone),
                        moment(window.until, zone),
                        window.by or "-",
                        window.reason,
                    )
                    for window in found
                ),
                empty="no job was paused, absent, failed to load or held",
            )
        elif as_json:
            show_json([entry_fields(entry, zone) for entry in entries])
        else:
            show_entries(entries, zone, empty="nothing has run yet")
