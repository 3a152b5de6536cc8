"""`jobs`: the jobs, and when each is next due."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, moment, show_json, show_table
from rapua_scheduler.cli.session import open_session, plugins_print_elsewhere
from rapua_scheduler.control import JobListing, job_fields, list_jobs


@click.command("jobs")
@json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """List the jobs, and when each is next due.

    A job whose plugin is gone or set aside stays listed as long as the store knows it.
    """
    with open_session(context) as session:
        zone = session.config.timezone
        with plugins_print_elsewhere():
            listings = list_jobs(session.plugins.registry, session.store, session.clock.now(), zone)
        if as_json:
            show_json([job_fields(listing, zone) for listing in listings])
            return
        show_table(
            ("KEY", "NAME", "PLUGIN", "SCHEDULE", "NEXT FIRE TIME", "LAST RUN"),
            (
                (
                    listing.key,
                    listing.name,
                    listing.plugin or "-",
                    listing.schedule,
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
        return "orphaned: its plugin is not loaded"
    return f"broken: {listing.problem}" if listing.problem else fire_time
