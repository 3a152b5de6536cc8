"""`cancel`: tell a run to stop, or keep it from starting."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, show_json
from rapua_scheduler.cli.session import open_for_words, who_asks
from rapua_scheduler.cli.waiting import wait_for_end
from rapua_scheduler.control.fields import run_fields
from rapua_scheduler.control.records import find_run
from rapua_scheduler.control.words import Cancelled, cancel

_PATIENCE = 3.0
_TEXTS = {
    Cancelled.ENDED_BEFORE: "nothing changed: run {run.run_id} had ended: {run.status}",
    Cancelled.DROPPED: "run {run.run_id} will not be started",
    Cancelled.ASKED: "run {run.run_id} was told to stop, and is {run.status} still; `rapua-scheduler show` tells more",
    Cancelled.NOBODY: "no host is active: the next one ends run {run.run_id}",
}


@click.command("cancel")
@click.argument("run")
@json_option
@click.pass_context
def command(context: click.Context, *, run: str, as_json: bool) -> None:
    """Tell RUN to stop, or keep it from starting; RUN is its id, or enough of its beginning or end.

    A run that is told to stop ends at its next look at its context; a plain job that never looks goes on
    until its timeout.
    """
    with open_for_words(context) as (session, store):
        found = find_run(store, run)
        answer = cancel(store, found, now=session.clock.now(), by=who_asks())
        if answer is Cancelled.ASKED:
            found = wait_for_end(store, found, session.clock, _PATIENCE)
        else:
            found = store.run(found.run_id) or found
        if as_json:
            changed = answer is not Cancelled.ENDED_BEFORE
            show_json({"changed": changed, "answer": answer.value, "run": run_fields(found, session.config.timezone)})
        elif answer is Cancelled.ASKED and found.status.is_final:
            click.echo(f"run {found.run_id} ended: {found.status}")
        else:
            click.echo(_TEXTS[answer].format(run=found))
