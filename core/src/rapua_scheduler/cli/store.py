"""`store`: check, back up, restore and export the store; imports no plugin."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import tzinfo
from pathlib import Path
from typing import TextIO

import click

from rapua_scheduler.checks import Severity
from rapua_scheduler.cli.render import json_option, show_json
from rapua_scheduler.cli.session import parse_instant, read_config
from rapua_scheduler.clock import SystemClock
from rapua_scheduler.control.exports import export
from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.wording import counted
from rapua_scheduler.logs import configure_logging
from rapua_scheduler.store.maintenance import Condition, Restored, back_up, inspect_store, restore
from rapua_scheduler.store.maintenance.snapshots import Snapshot

_EXIT_UNUSABLE = 78
_MARKS = {Severity.OK: "ok      ", Severity.WARNING: "warning ", Severity.ERROR: "ERROR   "}


@click.group("store")
def command() -> None:
    """Look after the file in which everything is recorded.

    None of this imports a plugin.
    """
    configure_logging("console", level=logging.ERROR)


@command.command("check")
@json_option
@click.pass_context
def check(context: click.Context, *, as_json: bool) -> int:
    """Look at every page of the store, and at whether what is in it agrees with itself.

    May be used while a host is at work. Exits 0 if the store is sound, and 78 if it is not.
    """
    found = inspect_store(read_config(context).state)
    subject = f"store {found.path}"
    findings = [(Severity.ERROR, text) for text in (*found.damages, *filter(None, [found.misplacement]))]
    findings += [(Severity.WARNING, text) for text in found.remarks]
    if found.is_sound:
        findings.insert(0, (Severity.OK, f"schema {found.schema}, {_told(found)}"))
    if as_json:
        show_json([{"subject": subject, "severity": severity.value, "text": text} for severity, text in findings])
    else:
        for severity, text in findings:
            click.echo(f"{_MARKS[severity]}{subject}: {text}")
    return 0 if found.is_sound else _EXIT_UNUSABLE


@command.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.pass_context
def backup(context: click.Context, *, file: Path, force: bool) -> None:
    """Copy the store, as it is now, to FILE, and check the copy; a host may be at work meanwhile.

    FILE is there as a whole, or not at all. It needs no other file beside it.
    """
    try:
        made = back_up(read_config(context).state, file, SystemClock().now(), overwrite=force)
    except FileExistsError:
        raise click.UsageError(f"{file} is there already; name another file, or replace it with --force") from None
    click.echo(f"backed up to {made.path}: {_told(made.condition)}")


@command.command("restore")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--as-is", is_flag=True, help="Go on with the file that is in place, which was refused.")
@click.option("--catch-up", is_flag=True, help="Catch up what was due since the backup; may repeat what has run.")
@click.pass_context
def restore_(context: click.Context, *, file: Path | None, as_is: bool, catch_up: bool) -> None:
    """Put the backup FILE in the place of the store; no host may be active.

    The file that is there is kept beside. What ran since the backup is not known, so every job goes on
    from now: the time between is recorded as missed, and what was queued or unfinished is not run.

    With --catch-up, each job's policies answer for that time instead. What had run in it may run
    again, and have its effect twice, unless the job keeps its run key together with the effect.
    """
    if (file is None) != as_is:
        raise click.UsageError("name a FILE, or go on with the one that is in place by --as-is")
    config = read_config(context)
    done = restore(config.state, config.state if file is None else file, SystemClock(), catch_up=catch_up)
    for line in _lines(done, config.timezone, catch_up=catch_up):
        click.echo(line)


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="-")
@click.option("--since", metavar="T", help="Only gaps, windows and runs from this time on.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.pass_context
def export_(context: click.Context, *, file: Path, since: str | None, force: bool) -> None:
    """Write everything that is recorded to FILE, as JSON lines; to standard output without FILE.

    May be used while a host is at work; what it records meanwhile is left out.
    """
    config = read_config(context)
    start = parse_instant(since, config) if since else None
    with closing(Snapshot.open(config.state)) as snapshot, _output(file, overwrite=force) as out:
        for value in export(snapshot, config.timezone, at=SystemClock().now(), since=start):
            out.write(json.dumps(value, ensure_ascii=False) + "\n")


def _told(condition: Condition) -> str:
    return (
        f"{_size(condition.size)}, {counted(condition.jobs, 'job')}, {counted(condition.runs, 'run')}, "
        f"stretches that were not run: {condition.gaps}"
    )


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _lines(done: Restored, zone: tzinfo, *, catch_up: bool) -> Iterator[str]:
    since = moment(done.as_of, zone)
    yield f"restored {done.path}: {_told(done.condition)}; what it knows ends at {since}"
    if done.kept is not None:
        yield f"the file that was there is kept as {done.kept}"
    if done.was_another:
        yield "it is another store than the one that was here"
    if catch_up:
        yield (
            "what was due since then is caught up by each job's policies when a host starts; what had run may run "
            "again, and have its effect twice, unless the job keeps its run key"
        )
    else:
        if done.jobs:
            yield f"recorded as missed since then: {', '.join(done.jobs)}"
        if done.dropped:
            yield f"not run (again): {', '.join(done.dropped)}"


@contextmanager
def _output(file: Path, *, overwrite: bool) -> Iterator[TextIO]:
    """Yield where to write: standard output, or a file that gets its name once it is whole."""
    if str(file) == "-":
        yield sys.stdout
        return
    if file.exists() and not overwrite:
        raise click.UsageError(f"{file} is there already; name another file, or replace it with --force")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError as error:
        raise click.UsageError(
            f"{file} cannot be written: {file.parent}: {error.strerror}; name another file"
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(file)
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()
