"""`backfill`: run a job for fire times long past."""

from __future__ import annotations

from datetime import UTC

import click

from rapua_scheduler.cli.render import json_option, show_json
from rapua_scheduler.cli.session import (
    open_for_words,
    parse_instant,
    plugins_print_elsewhere,
    reasons_of_absence,
    who_asks,
)
from rapua_scheduler.control.fields import backfill_fields
from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.wording import counted
from rapua_scheduler.control.words import find_job, plan_backfill, refuse_unknown_to_host
from rapua_scheduler.run_ids import RunIds

_MOST = 1000
_MOST_SHOWN = 20


@click.command("backfill")
@click.argument("job")
@click.option("--from", "from_", required=True, metavar="A", help="The first instant.")
@click.option("--to", required=True, metavar="B", help="The first instant that is too late; not in the future.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=_MOST,
    show_default=True,
    metavar="N",
    help="At most so many runs, the oldest.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be run, and queue nothing.")
@json_option
@click.pass_context
def command(context: click.Context, *, job: str, from_: str, to: str, limit: int, dry_run: bool, as_json: bool) -> None:
    """Run JOB for the fire times from A up to, but not at, B; oldest first, one after another.

    Only for jobs that declare it safe. Fire times that have a run that has succeeded, or is under way,
    are left out. Times are ISO 8601; one without an offset is in the site's zone.
    """
    with open_for_words(context, import_plugins=True) as (session, store):
        now, zone = session.clock.now(), session.config.timezone
        start, end = parse_instant(from_, session.config), parse_instant(to, session.config)
        if start >= end:
            raise click.UsageError(f"--from {from_} is not before --to {to}; there is nothing between them")
        if start >= now:
            raise click.UsageError(f"--from {from_} lies ahead; the host runs what is to come by itself")
        registered = find_job(session.plugins.registry, store, job, reasons_of_absence(session))
        refuse_unknown_to_host(store, job)
        ids = RunIds()
        with plugins_print_elsewhere():
            plan = plan_backfill(
                registered,
                store.runs(job_key=job),
                start=start.astimezone(UTC),
                end=min(end.astimezone(UTC), now),
                limit=limit,
                new_run_id=lambda: ids.new(now),
                zone=zone,
                by=who_asks(),
            )
        if plan.runs and not dry_run:
            store.enqueue(plan.runs)
        if as_json:
            show_json(backfill_fields(plan, zone, is_dry_run=dry_run))
            return
        for left_out in plan.skipped[:_MOST_SHOWN]:
            run = left_out.run
            click.echo(f"left out: {moment(left_out.fire_time, zone)}, run {run.run_id} ({run.trigger}) {run.status}")
        _say_more(len(plan.skipped))
        for run in plan.runs[:_MOST_SHOWN]:
            click.echo(f"{'would queue' if dry_run else 'queued'}: {moment(run.fire_time, zone)}")
        _say_more(len(plan.runs))
        if end > now:
            click.echo(f"what comes after {moment(now, zone)} is left to the host", err=True)
        verb = "would be queued" if dry_run else "queued"
        click.echo(f"{counted(len(plan.runs), 'run')} {verb}, {counted(len(plan.skipped), 'fire time')} left out")
        if plan.rest_from is not None:
            click.echo(f"there are more: go on with --from {plan.rest_from.astimezone(zone).isoformat()}")
        host = store.host()
        if plan.runs and not dry_run and (host is None or not host.is_active):
            click.echo("no host is active; the runs start when one does", err=True)


def _say_more(number: int) -> None:
    if number > _MOST_SHOWN:
        click.echo(f"… and {number - _MOST_SHOWN} more")
