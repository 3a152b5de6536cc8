"""`jobs`: the jobs, and when each is next due."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, show_json, show_table
from rapua_scheduler.cli.session import note_missing_store, open_session, plugins_print_elsewhere
from rapua_scheduler.control.fields import job_fields
from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.listings import JobListing, list_jobs


@click.command("jobs")
@json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """List the jobs, and when each is next due.

    A job whose plugin is gone or set aside stays listed as long as the store knows it.
    """
    with open_session(context) as session:
        note_missing_store(session)
        zone = session.config.timezone
        with plugins_print_elsewhere():
            listings = list_jobs(
                session.plugins.registry, session.store, session.clock.now(), zone, disabled=session.plugins.disabled
            )
        if as_json:
            show_json([job_fields(listing, zone) for listing in listings])
            return
        show_table(
            ("KEY", "NAME", "PLUGIN", "SCHEDULE", "STATE", "NEXT FIRE TIME", "LAST RUN"),
            (
                (
                    listing.key,
                    listing.name,
                    listing.plugin or "-",
                    listing.schedule,
                    listing.state.value.replace("_", " "),
                    _next(listing, moment(listing.next_fire_time, zone)),
                    f"{listing.last_run.status} {moment(listing.last_run.started_at, zone)}"
                    if listing.last_run
                    else "never",
                )
                for listing in listings
            ),
            empty="no jobs: no plugin is installed, or none could be loaded (see `rapua-scheduler plugins`)",
        )


def _next(listing: JobListing, fire_time: str) -> str:
    if listing.is_orphaned:
        return f"none: {listing.problem or 'its plugin is not loaded'}"
    if listing.problem:
        return f"not known: {listing.problem}"
    return f"{fire_time} (paused: {listing.pause.reason})" if listing.pause is not None else fire_time
