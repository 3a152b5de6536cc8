"""`demo`: a small Rapua site, and the real host at work on it."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from rapua_scheduler.cli.render import counts
from rapua_scheduler.cli.run import StopSignals, end_despite_threads
from rapua_scheduler.cli.session import is_safe_mode
from rapua_scheduler.clock import ShiftedClock, SystemClock
from rapua_scheduler.config import Config, load_config
from rapua_scheduler.control.instants import moment
from rapua_scheduler.demo.site import changes, make_site, snapshot
from rapua_scheduler.events import Event, HostStarted, RunFinished
from rapua_scheduler.host import Host
from rapua_scheduler.logs import configure_logging, stamped_by
from rapua_scheduler.run import RunStatus
from rapua_scheduler.schedules import next_first_of_month
from rapua_scheduler.store.sqlite import SqliteStore

_ZONE = ZoneInfo("Pacific/Auckland")
_HEAD_START = timedelta(seconds=3)
_PATIENCE = 60.0
_DRY = "orphaned-uploads"
_EXIT_FAILED = 1


@click.command("demo")
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False))
@click.pass_context
def command(context: click.Context, folder: Path | None) -> int:
    """Make a small Rapua site in DIR, and let the real host work on it.

    The host's clock is set a few seconds before midnight on the first of next month, so that all
    three jobs fall due. DIR must be empty or not there yet; by default it is a new temporary folder.
    """
    if is_safe_mode(context):
        raise click.UsageError("the demonstration is of plugins, and --safe-mode imports none; leave one of them out")
    folder = (folder or Path(tempfile.mkdtemp(prefix="rapua-demo-"))).absolute()
    start = _just_before_next_month()
    make_site(folder, start, _ZONE)
    config = load_config(folder / "rapua-scheduler.toml", None, os.environ, Path.cwd())
    before = snapshot(folder)
    click.echo(f"A small Rapua site is in {folder}")
    click.echo(f"The host starts on it, its clock at {moment(start, _ZONE)}:\n")

    clock = ShiftedClock.starting_at(start)
    configure_logging("console", level=logging.INFO, timestamps=stamped_by(clock, _ZONE))
    audience = _Audience()
    host = Host(config, clock=clock, observers={"demo": audience})
    audience.when_done = host.request_stop
    StopSignals(host).install()
    patience = threading.Timer(_PATIENCE, host.request_stop)
    patience.daemon = True
    patience.start()
    host.run()
    patience.cancel()

    click.echo("\nWhat changed on the site:")
    for line in changes(before, snapshot(folder)) or ["nothing"]:
        click.echo(f"  {line}")
    jobs, succeeded = _show_runs(config, audience)
    if jobs:
        _show_what_to_look_at(config, jobs)
    code = 0 if succeeded else _EXIT_FAILED
    end_despite_threads(code)
    return code


class _Audience:
    """Hears what the host does, and knows when all of its jobs have run."""

    def __init__(self) -> None:
        self.when_done: Callable[[], None] = lambda: None
        self._left: set[str] = set()

    def __call__(self, event: Event) -> None:
        if isinstance(event, HostStarted):
            self._left = set(event.jobs)
        elif isinstance(event, RunFinished):
            self._left.discard(event.run.job_key)
        if not self._left:
            self.when_done()

    @property
    def saw_everything(self) -> bool:
        return not self._left


def _show_what_to_look_at(config: Config, jobs: Collection[str]) -> None:
    program = sys.argv[0] if sys.argv[0].endswith("rapua-scheduler") else "rapua-scheduler"
    click.echo("\nLook further, on the same site:")
    dry_run = [f"exec {_DRY} --dry-run"] if _DRY in jobs else []
    for words in ("history", "jobs", "upcoming --count 5", *dry_run):
        click.echo(f"  {program} --config {config.path} {words}")
    click.echo(
        "There the jobs are `waiting for clock`: this machine's has not come yet to where the host's was, up to which "
        "all is decided on."
    )


def _show_runs(config: Config, audience: _Audience) -> tuple[Collection[str], bool]:
    """Show what ran, and return the keys of the jobs and whether all is as it should be."""
    store = SqliteStore.open_read_only(config.state)
    try:
        runs = sorted(store.runs(), key=lambda run: run.job_key)
        jobs = store.jobs()
    finally:
        store.close()
    click.echo("\nWhat ran, and what each run returned:")
    for run in runs:
        click.echo(f"  {run.job_key}: {run.status.value}  {counts(run.result)}")
    if jobs:
        click.echo("\nWhen each is next due:")
    else:
        click.echo("  nothing: no job is installed; `pip install -r requirements.txt` brings three")
    for job in jobs:
        click.echo(f"  {job.key}: {moment(job.next_fire_time, _ZONE)}, {job.schedule}")
    succeeded = bool(runs) and audience.saw_everything and all(run.status is RunStatus.SUCCEEDED for run in runs)
    return [job.key for job in jobs], succeeded


def _just_before_next_month() -> datetime:
    first = next_first_of_month(SystemClock().now().astimezone(_ZONE))
    if first is None:
        raise click.ClickException("the machine's clock shows the end of time; set it right")
    return first - _HEAD_START
