"""`release`: say that the clock is right."""

from __future__ import annotations

from functools import partial

import click

from rapua_scheduler.cli.render import json_option, show_json, show_lines
from rapua_scheduler.cli.session import open_for_words
from rapua_scheduler.control.fields import window_fields
from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.listings import open_windows
from rapua_scheduler.control.wording import describe_window
from rapua_scheduler.control.words import refuse_unknown
from rapua_scheduler.fire_times import part_until
from rapua_scheduler.run import WindowKind


@click.command("release")
@click.argument("job", required=False)
@json_option
@click.pass_context
def command(context: click.Context, *, job: str | None, as_json: bool) -> None:
    """Say that the clock is right now, so that jobs that are held, or wait for it, go on.

    Marks that a wrong clock has pushed ahead are lowered to now: of all jobs, or of JOB only. No fire
    time is run twice by it.
    """
    with open_for_words(context) as (session, store):
        now, zone = session.clock.now(), session.config.timezone
        if job is not None:
            refuse_unknown(store, job)
        held = next((window for window in open_windows(store, now) if window.kind is WindowKind.HELD), None)
        lowered = store.release(now, job, part_until=partial(part_until, zone=zone))
        if as_json:
            released = window_fields(held, zone) if held else None
            show_json({"changed": bool(held or lowered), "window": released, "lowered": list(lowered)})
            return
        if held is not None:
            show_lines([f"released; before, {describe_window(held, zone)}"])
        if lowered:
            click.echo(f"marks lowered to {moment(now, zone)}: {', '.join(lowered)}")
        if held is None and not lowered:
            click.echo(f"nothing changed: nothing is held, and no mark is later than {moment(now, zone)}")
