"""`why`: what became of an instant for a job, or what the job is at."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, show_json, show_lines
from rapua_scheduler.cli.session import (
    note_missing_store,
    open_session,
    parse_instant,
    plugins_print_elsewhere,
    reasons_of_absence,
)
from rapua_scheduler.control.cases import Case
from rapua_scheduler.control.fields import explanation_fields
from rapua_scheduler.control.why import explain_instant, explain_now
from rapua_scheduler.store.memory import MemoryStore


@click.command("why")
@click.argument("job")
@click.option("--at", metavar="T", help="The instant to explain. [default: now, and what is to come]")
@json_option
@click.pass_context
def command(context: click.Context, *, job: str, at: str | None, as_json: bool) -> None:
    """Explain what JOB is at, or what became of the instant T for it; of any instant.

    T is ISO 8601; without an offset it is in the site's zone.
    """
    with open_session(context) as session:
        note_missing_store(session)
        config = session.config
        instant = parse_instant(at, config) if at else None
        with plugins_print_elsewhere():
            case = Case.of(
                session.store if session.store is not None else MemoryStore(),
                job,
                registry=session.plugins.registry,
                absences=reasons_of_absence(session),
                now=session.clock.now(),
                zone=config.timezone,
                retention=config.retention,
            )
            explanation = explain_now(case) if instant is None else explain_instant(case, instant)
        if as_json:
            show_json(explanation_fields(explanation, config.timezone))
        else:
            show_lines(explanation.lines)
