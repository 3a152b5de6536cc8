"""`upcoming`: the next fire times."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, show_json, show_table
from rapua_scheduler.cli.session import open_session, parse_instant, plugins_print_elsewhere
from rapua_scheduler.control.instants import iso, moment
from rapua_scheduler.control.previews import upcoming

_DEFAULT_COUNT = 10
_MOST = 100_000


@click.command("upcoming")
@click.argument("job", required=False)
@click.option("--from", "from_", metavar="T", help="Only later than this time. [default: now]")
@click.option("--until", metavar="T", help="Only at or before this time.")
@click.option(
    "--count",
    type=click.IntRange(1, _MOST),
    metavar="N",
    help=f"At most so many. [default: {_DEFAULT_COUNT}; {_MOST} with --until]",
)
@json_option
@click.pass_context
def command(
    context: click.Context, *, job: str | None, from_: str | None, until: str | None, count: int | None, as_json: bool
) -> None:
    """List the next fire times of all jobs, or of JOB.

    Times are ISO 8601; one without an offset is in the site's zone.
    """
    with open_session(context) as session:
        zone = session.config.timezone
        after = parse_instant(from_, session.config) if from_ else None
        end = parse_instant(until, session.config) if until else None
        if after is not None and end is not None and after >= end:
            raise click.UsageError(f"--from {from_} is not before --until {until}; there is nothing between them")
        with plugins_print_elsewhere():
            fire_times, problems = upcoming(
                session.plugins.registry,
                session.store,
                zone,
                now=session.clock.now(),
                after=after,
                until=end,
                count=count or (_MOST if until else _DEFAULT_COUNT),
                job_key=job,
            )
        for problem in problems:
            click.echo(f"warning: {problem}", err=True)
        if as_json:
            show_json(
                [
                    {"job": entry.job_key, "name": entry.name, "fire_time": iso(entry.fire_time, zone)}
                    for entry in fire_times
                ]
            )
            return
        show_table(
            ("FIRE TIME", "JOB", "NAME"),
            ((moment(entry.fire_time, zone), entry.job_key, entry.name) for entry in fire_times),
            empty="no fire times",
        )
