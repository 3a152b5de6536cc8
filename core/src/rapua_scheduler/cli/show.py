"""`show`: everything about one run."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, show_json
from rapua_scheduler.cli.session import open_session
from rapua_scheduler.control import find_run, run_fields
from rapua_scheduler.errors import RapuaSchedulerError


@click.command("show")
@click.argument("run")
@json_option
@click.pass_context
def command(context: click.Context, *, run: str, as_json: bool) -> None:
    """Show everything about RUN: its id, or enough of its beginning or end."""
    with open_session(context, import_plugins=False) as session:
        if session.store is None:
            raise RapuaSchedulerError(f"nothing has run yet: there is no store at {session.config.state}")
        fields = run_fields(find_run(session.store, run), session.config.timezone)
        if as_json:
            show_json(fields)
            return
        for name, value in fields.items():
            if isinstance(value, dict):
                click.echo(f"{name}:")
                for key, entry in value.items():
                    click.echo(f"    {key}: {entry}")
            elif isinstance(value, str) and "\n" in value:
                click.echo(f"{name}:")
                click.echo("\n".join(f"    {line}" for line in value.splitlines()))
            else:
                click.echo(f"{name}: {'-' if value is None else value}")
