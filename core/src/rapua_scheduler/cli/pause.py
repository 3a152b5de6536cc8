"""`pause`: let no fire time of a job run until it is resumed."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, show_json, show_lines
from rapua_scheduler.cli.session import open_for_words, who_asks
from rapua_scheduler.control.fields import window_fields
from rapua_scheduler.control.listings import pause_of
from rapua_scheduler.control.wording import describe_window
from rapua_scheduler.control.words import refuse_unknown


@click.command("pause")
@click.argument("job")
@click.option("--reason", required=True, metavar="R", help="Why, for whoever looks at it later.")
@json_option
@click.pass_context
def command(context: click.Context, *, job: str, reason: str, as_json: bool) -> None:
    """Let no fire time of JOB run until it is resumed.

    Each is recorded as paused, and not made up. What is running goes on, and runs by hand are possible.
    """
    if not reason.strip():
        raise click.UsageError("--reason is blank; say why, for whoever looks at it later")
    with open_for_words(context) as (session, store):
        zone = session.config.timezone
        refuse_unknown(store, job)
        is_new = store.pause(job, session.clock.now(), reason, who_asks())
        window = pause_of(store, job)
        if as_json:
            show_json({"job": job, "changed": is_new, "window": window_fields(window, zone) if window else None})
        elif is_new:
            click.echo(f"{job} is paused; `rapua-scheduler resume {job}` ends that")
        else:
            show_lines([f"nothing changed: {job} is {describe_window(window, zone) if window else 'paused'}"])
