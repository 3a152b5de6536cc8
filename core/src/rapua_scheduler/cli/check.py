"""`check`: is everything as a host needs it?"""

from __future__ import annotations

import click

from rapua_scheduler.checks import Finding, Severity, check_jobs, check_plugins, check_site, check_store
from rapua_scheduler.cli.render import json_option, show_json
from rapua_scheduler.cli.session import open_session, plugins_print_elsewhere

_EXIT_FAILED = 1
_EXIT_UNUSABLE = 78
_MARKS = {Severity.OK: "ok      ", Severity.WARNING: "warning ", Severity.ERROR: "ERROR   "}


@click.command("check")
@click.option("--strict", is_flag=True, help="Exit 1 on a warning too, for CI.")
@json_option
@click.pass_context
def command(context: click.Context, *, strict: bool, as_json: bool) -> int:
    """Check configuration, plugins, store and site, and what each job has to say of its own.

    Exits 0 if a host can run, and 78 if it cannot; with --strict, 1 if anything needs a look.
    """
    with open_session(context, for_check=True) as session, plugins_print_elsewhere():
        where = session.config.path
        findings = [
            Finding(
                "configuration", Severity.OK, f"{where or 'no file, defaults'}; timezone {session.config.timezone}"
            ),
            *check_plugins(session.plugins),
            *check_store(session.config, session.store, session.store_error),
            *check_site(session.config.site),
            *check_jobs(session.plugins.registry),
        ]
    if as_json:
        show_json([{"subject": f.subject, "severity": f.severity.value, "text": f.text} for f in findings])
    else:
        for finding in findings:
            click.echo(f"{_MARKS[finding.severity]}{finding.subject}: {finding.text}")
    severities = {finding.severity for finding in findings}
    if Severity.ERROR in severities:
        return _EXIT_UNUSABLE
    return _EXIT_FAILED if strict and Severity.WARNING in severities else 0
