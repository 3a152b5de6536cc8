"""`exec`: run one job here and now."""

from __future__ import annotations

import _thread
import logging
import signal
from collections.abc import Collection
from datetime import datetime
from types import FrameType

import click

from rapua_scheduler.cli.render import json_option, show_run
from rapua_scheduler.cli.run import end_despite_threads
from rapua_scheduler.cli.session import (
    open_session,
    parse_instant,
    plugins_print_elsewhere,
    reasons_of_absence,
    who_asks,
)
from rapua_scheduler.clock import Clock, SystemClock
from rapua_scheduler.config import Config
from rapua_scheduler.control.words import find_job
from rapua_scheduler.errors import RapuaSchedulerError
from rapua_scheduler.foreground import ForegroundRun
from rapua_scheduler.host import child_setup
from rapua_scheduler.logs import configure_logging, get_logger, stamped_by
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run, RunStatus
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import Store
from rapua_scheduler.store.sqlite import SqliteStore

_log = get_logger("rapua_scheduler.cli")


@click.command("exec")
@click.argument("job")
@click.option("--fire-time", metavar="T", help="The fire time to run it for. [default: now]")
@click.option("--dry-run", is_flag=True, help="Stop short of every effect, and leave no record.")
@json_option
@click.pass_context
def command(context: click.Context, *, job: str, fire_time: str | None, dry_run: bool, as_json: bool) -> int:
    """Run JOB here and now, in the foreground.

    A manual run: it is recorded, and consumes no fire time. T is ISO 8601; without an offset it is in
    the site's zone. Exits 0 if the run succeeded, and 1 if not, or if a run that it must not run beside
    has not ended.
    """
    clock = SystemClock()
    with open_session(context) as session:
        config, known = session.config, session.store if session.store is not None else MemoryStore()
        registered = find_job(session.plugins.registry, known, job, reasons_of_absence(session))
        neighbours = session.plugins.registry.neighbours(registered)
        is_first = session.store is None
        asked_for = parse_instant(fire_time, config) if fire_time else None
    if dry_run and not registered.job.supports_dry_run:
        raise RapuaSchedulerError(f"job {job!r} does not declare that it supports a dry run; nothing was run")
    configure_logging(config.log_format or "console", level=logging.INFO, timestamps=stamped_by(clock, config.timezone))
    store: Store = MemoryStore() if dry_run else SqliteStore.open(config.state, create=True, clock=clock)
    if is_first and not dry_run:
        _log.info("Store created", store=str(config.state))
    try:
        with plugins_print_elsewhere():
            run = _execute(store, clock, config, registered, asked_for, neighbours=neighbours, dry_run=dry_run)
    finally:
        store.close()
    show_run(run, config.timezone, as_json=as_json, title="dry run" if dry_run else "", is_logged=True)
    code = 0 if run.status is RunStatus.SUCCEEDED else 1
    end_despite_threads(code)
    return code


def _execute(
    store: Store,
    clock: Clock,
    config: Config,
    registered: RegisteredJob,
    fire_time: datetime | None,
    *,
    neighbours: Collection[str],
    dry_run: bool,
) -> Run:
    foreground = ForegroundRun(store, clock, config.timezone, child_setup(config))

    def stop(_: int, __: FrameType | None) -> None:
        _thread.start_new_thread(foreground.request_stop, ())

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return foreground.execute(
        registered,
        fire_time,
        by=who_asks(),
        neighbours=neighbours,
        dry_run=dry_run,
        grace=config.shutdown_grace,
    )
