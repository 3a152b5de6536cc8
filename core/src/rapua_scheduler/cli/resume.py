"""`resume`: end the pause of a job."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, show_json, show_lines
from rapua_scheduler.cli.session import open_for_words
from rapua_scheduler.control.fields import window_fields
from rapua_scheduler.control.listings import pause_of
from rapua_scheduler.control.wording import describe_window
from rapua_scheduler.control.words import refuse_unknown


@click.command("resume")
@click.argument("job")
@json_option
@click.pass_context
def command(context: click.Context, *, job: str, as_json: bool) -> None:
    """End the pause of JOB; it runs at its next fire time."""
    with open_for_words(context) as (session, store):
        zone = session.config.timezone
        refuse_unknown(store, job)
        window = pause_of(store, job)
        is_new = store.resume(job, session.clock.now())
        if as_json:
            show_json({"job": job, "changed": is_new, "window": window_fields(window, zone) if window else None})
        elif is_new:
            before = f"; it was {describe_window(window, zone)}" if window else ""
            show_lines([f"{job} runs again at its next fire time{before}"])
        else:
            click.echo(f"nothing changed: {job} is not paused")
