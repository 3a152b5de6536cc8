"""`simulate`: what would run, and what would not."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import click

from rapua_scheduler.cli.entries import entry_fields, show_entries
from rapua_scheduler.cli.render import json_option, show_json
from rapua_scheduler.cli.session import Session, open_session, parse_instant, plugins_print_elsewhere
from rapua_scheduler.config import Config
from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.wording import counted
from rapua_scheduler.logs import configure_logging
from rapua_scheduler.policy import parse_duration
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Gap, Run
from rapua_scheduler.simulation import Downtime, Simulated, simulate
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import Store
from rapua_scheduler.store.sqlite import SqliteStore

_MOST = 20_000


@click.command("simulate")
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option("--from", "from_", required=True, metavar="A", help="The first instant.")
@click.option("--to", required=True, metavar="B", help="The first instant that is too late.")
@click.option(
    "--down", multiple=True, metavar="A..B", help="A time in which no host is up; may be given several times."
)
@click.option("--takes", metavar="D", help='How long each run takes, such as "10m". [default: no time]')
@json_option
@click.pass_context
def command(
    context: click.Context,
    *,
    jobs: tuple[str, ...],
    from_: str,
    to: str,
    down: tuple[str, ...],
    takes: str | None,
    as_json: bool,
) -> None:
    """Show what would run, and what would not and why, with the real schedules and policies.

    The jobs themselves are not called, and nothing is recorded. Times are ISO 8601; one without an offset
    is in the site's zone.
    """
    with open_session(context) as session:
        config = session.config
        configure_logging("console", level=logging.CRITICAL)
        start, end = parse_instant(from_, config), parse_instant(to, config)
        if start >= end:
            raise click.UsageError(f"--from {from_} is not before --to {to}; there is nothing between them")
        chosen = _chosen(session, jobs)
        downtimes = sorted((_downtime(text, config) for text in down), key=lambda downtime: downtime.since)
        _refuse_overlaps(downtimes)
        each_takes = _duration(takes)
        with plugins_print_elsewhere(), _store(is_on_disk=bool(downtimes and each_takes)) as (store, reopen):
            simulated = simulate(
                chosen,
                store,
                start=start,
                end=end,
                zone=config.timezone,
                downtimes=downtimes,
                takes=each_takes,
                most_runs=_MOST,
                reopen=reopen,
            )
    entries: list[Run | Gap] = sorted((*simulated.runs, *simulated.gaps), key=_first)
    if as_json:
        show_json([entry_fields(entry, config.timezone) for entry in entries])
    else:
        show_entries(entries, config.timezone, empty="no fire times", first="JOB")
        _summarize(simulated)
    for hold in simulated.holds:
        text = f"at {moment(hold.since, config.timezone)} a host would have waited for `rapua-scheduler release`"
        click.echo(f"{text}: {hold.reason}", err=True)
    if downtimes and downtimes[-1].until >= end:
        since = moment(downtimes[-1].since, config.timezone)
        click.echo(f"no host is up at the end: what became due since {since} is not decided on", err=True)
    if simulated.until < end.astimezone(UTC):
        text = f"after {_MOST} runs it is enough: the simulation ends at {moment(simulated.until, config.timezone)}"
        click.echo(text, err=True)


def _chosen(session: Session, keys: Sequence[str]) -> list[RegisteredJob]:
    registry = session.plugins.registry
    chosen = [registry.find(key) for key in dict.fromkeys(keys)] if keys else list(registry.values())
    for registered in chosen:
        if registered.asks_after_each_run:
            text = "its next function takes no argument, and tells no time but its next"
            click.echo(f"left out: {registered.job.key}: {text}", err=True)
    return [registered for registered in chosen if not registered.asks_after_each_run]


def _downtime(text: str, config: Config) -> Downtime:
    since, separator, until = text.partition("..")
    if not separator:
        raise click.BadParameter(f"{text!r} is not a stretch of time; write it like 2026-11-01T22:00..2026-11-02T06:00")
    downtime = Downtime(parse_instant(since, config), parse_instant(until, config))
    if downtime.since >= downtime.until:
        raise click.BadParameter(f"{text!r} ends before it begins")
    return downtime


def _refuse_overlaps(downtimes: Sequence[Downtime]) -> None:
    for before, after in pairwise(downtimes):
        if after.since <= before.until:
            raise click.UsageError("two stretches given with --down overlap, or touch; write them as one")


def _duration(text: str | None) -> timedelta:
    try:
        return parse_duration(text) if text else timedelta(0)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@contextmanager
def _store(*, is_on_disk: bool) -> Iterator[tuple[Store, Callable[[Store], Store]]]:
    """Yield an empty store, and what reopens it; only one on disk tells runs of a host that is gone from others."""
    if not is_on_disk:
        yield MemoryStore(keep_runs=2 * _MOST), lambda store: store
        return
    with tempfile.TemporaryDirectory(prefix="rapua-simulation-") as folder:
        path = Path(folder) / "simulated.db"
        opened = [SqliteStore.open(path, create=True)]

        def reopen(store: Store) -> Store:
            store.close()
            opened.append(SqliteStore.open(path, create=False))
            return opened[-1]

        try:
            yield opened[0], reopen
        finally:
            opened[-1].close()


def _first(entry: Run | Gap) -> tuple[datetime, str]:
    return (entry.first if isinstance(entry, Gap) else entry.fire_time), entry.job_key


def _summarize(simulated: Simulated) -> None:
    """Print what becomes of the fire times of each job, as numbers."""
    found: dict[str, Counter[str]] = {}
    for run in simulated.runs:
        found.setdefault(run.job_key, Counter())[run.trigger.value] += 1
    for gap in simulated.gaps:
        found.setdefault(gap.job_key, Counter())[gap.reason.value] += gap.count or 0
    if found:
        click.echo()
    for job_key, numbers in sorted(found.items()):
        parts = ", ".join(f"{number} {name}" for name, number in numbers.items())
        click.echo(f"{job_key}: {counted(numbers.total(), 'fire time')}: {parts}")
