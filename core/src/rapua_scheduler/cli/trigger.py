"""`trigger`: have the host run a job by hand."""

from __future__ import annotations

import click

from rapua_scheduler.cli.render import json_option, show_json, show_run
from rapua_scheduler.cli.session import (
    open_for_words,
    parse_instant,
    plugins_print_elsewhere,
    reasons_of_absence,
    who_asks,
)
from rapua_scheduler.cli.waiting import wait_for_end
from rapua_scheduler.control.fields import run_fields
from rapua_scheduler.control.words import find_next_function, manual_run, refuse_unknown_to_host
from rapua_scheduler.run import RunStatus
from rapua_scheduler.run_ids import RunIds

_EXIT_FAILED = 1


@click.command("trigger")
@click.argument("job")
@click.option("--fire-time", metavar="T", help="The fire time to run it for. [default: now]")
@click.option("--wait", "is_to_wait", is_flag=True, help="Wait until the run has ended; exit 1 unless it succeeded.")
@json_option
@click.pass_context
def command(context: click.Context, *, job: str, fire_time: str | None, is_to_wait: bool, as_json: bool) -> int:
    """Have the host run JOB by hand, within a second.

    The run is recorded and consumes no fire time; it obeys the job's overlap, and no pause. Without an
    active host it waits for one to start. T is ISO 8601; without an offset it is in the site's zone.
    """
    with open_for_words(context, import_plugins=True) as (session, store):
        config, now = session.config, session.clock.now()
        at = parse_instant(fire_time, config) if fire_time else None
        next_function = find_next_function(session.plugins.registry, store, job, reasons_of_absence(session))
        refuse_unknown_to_host(store, job)
        run_id = RunIds().new(now)
        with plugins_print_elsewhere():
            run = manual_run(job, next_function, at, run_id=run_id, now=now, zone=config.timezone, by=who_asks())
        store.enqueue([run])
        host = store.host()
        if host is None or not host.is_active:
            waits = "; Ctrl-C ends the waiting, not the run" if is_to_wait else ""
            click.echo(f"no host is active; the run starts when one does{waits}", err=True)
        if not is_to_wait:
            if as_json:
                show_json(run_fields(run, config.timezone))
            else:
                click.echo(run.run_id)
            return 0
        if not as_json:
            click.echo(f"run {run.run_id}", err=True)
        try:
            run = wait_for_end(store, run, session.clock)
        except KeyboardInterrupt:
            click.echo(f"the run goes on; `rapua-scheduler cancel {run.run_id}` ends it", err=True)
            raise
        show_run(run, config.timezone, as_json=as_json)
        return 0 if run.status is RunStatus.SUCCEEDED else _EXIT_FAILED
