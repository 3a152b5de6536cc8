"""`plugins`: the installed plugins, and what is wrong with which."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, show_json, show_table
from rapua_scheduler.cli.session import open_session


@click.command("plugins")
@json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """List the installed plugins, and what is wrong with which."""
    with open_session(context) as session:
        reports = session.plugins.plugins
        if as_json:
            show_json(
                [
                    {
                        "name": report.name,
                        "distribution": report.distribution,
                        "version": report.version,
                        "state": report.state.value,
                        "jobs": list(report.jobs),
                        "error": report.error or None,
                        "warning": report.warning or None,
                    }
                    for report in reports
                ]
            )
            return
        show_table(
            ("NAME", "DISTRIBUTION", "VERSION", "STATE", "JOBS"),
            (
                (
                    report.name,
                    report.distribution,
                    report.version,
                    report.state.value,
                    ", ".join(report.jobs) or "-",
                )
                for report in reports
            ),
            empty="no plugin is installed: `pip install` a package with an entry point in the group rapua_scheduler",
        )
        for report in reports:
            for problem in filter(None, (report.error, report.warning)):
                click.echo(f"\n{report.name} ({report.distribution or 'not installed'}):\n    {problem}")
        for warning in session.plugins.warnings:
            click.echo(f"warning: {warning}", err=True)
