"""`show`: everything about one run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo

import click

from rapua_scheduler.cli.render import json_option, show_json, show_lines
from rapua_scheduler.cli.session import open_session
from rapua_scheduler.control.fields import record_fields, run_fields
from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.records import RunRecord, find_run, read_record
from rapua_scheduler.control.wording import describe_attempt
from rapua_scheduler.errors import RapuaSchedulerError

_LAST_LINES = 20


@click.command("show")
@click.argument("run")
@click.option(
    "--log", "whole_log", is_flag=True, help=f"The whole log of the run. [default: its last {_LAST_LINES} lines]"
)
@json_option
@click.pass_context
def command(context: click.Context, *, run: str, whole_log: bool, as_json: bool) -> None:
    """Show everything about RUN: its id, or enough of its beginning or end."""
    with open_session(context, import_plugins=False) as session:
        if session.store is None:
            raise RapuaSchedulerError(f"nothing has run yet: there is no store at {session.config.state}")
        zone = session.config.timezone
        record = read_record(session.store, find_run(session.store, run))
        if as_json:
            show_json(record_fields(record, zone))
            return
        _show_fields(run_fields(record.run, zone))
        _show_attempts(record, zone)
        _show_log(record, zone, whole=whole_log)


def _show_fields(fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            show_lines((f"{key}: {'-' if entry is None else entry}" for key, entry in value.items()), "    ")
        elif isinstance(value, str) and "\n" in value:
            click.echo(f"{name}:")
            show_lines(value.splitlines(), "    ")
        else:
            show_lines([f"{name}: {'-' if value is None else value}"])


def _show_attempts(record: RunRecord, zone: tzinfo) -> None:
    if record.attempts:
        click.echo("earlier attempts:")
    show_lines((describe_attempt(attempt, zone) for attempt in record.attempts), "    ")


def _show_log(record: RunRecord, zone: tzinfo, *, whole: bool) -> None:
    lines = record.log if whole else record.log[-_LAST_LINES:]
    if lines:
        left_out = f" (the last {len(lines)} of {len(record.log)} lines)" if len(lines) < len(record.log) else ""
        click.echo(f"log{left_out}:")
    several = record.run.attempt > 1
    for line in lines:
        attempt = f"#{line.attempt} " if several else ""
        show_lines([f"{moment(line.at, zone)} {attempt}{line.level:8} {line.text}"], "    ")
