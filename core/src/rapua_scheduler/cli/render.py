"""Show listings: JSON when asked, a table on a terminal, plain columns in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import tzinfo

import click

from rapua_scheduler.control.fields import run_fields
from rapua_scheduler.control.wording import last_line
from rapua_scheduler.run import Run

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, with stable names.")


def show_json(value: object) -> None:
    """Print *value* as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print *rows* under *columns*; the text *empty* if there are none."""
    listed = [tuple(map(printable, row)) for row in rows]
    if not listed:
        click.echo(empty)
    elif sys.stdout.isatty():
        _show_rich(columns, listed)
    else:
        _show_plain(columns, listed)


def printable(text: str) -> str:
    """Return *text* in one line, with what cannot be shown, or would act on a terminal, escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def show_lines(lines: Iterable[str], indent: str = "") -> None:
    """Print *lines*, each in one line whatever is in it."""
    for line in lines:
        click.echo(f"{indent}{printable(line)}")


def _show_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box  # noqa: PLC0415  costs start-up time, and is needed on a terminal only
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _show_plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    for row in (columns, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def counts(result: object) -> str:
    """Return a run's result as `name=value` words."""
    if not isinstance(result, dict):
        return ""
    return " ".join(f"{key}={value}" for key, value in result.items())


def show_run(run: Run, zone: tzinfo, *, as_json: bool, title: str = "", is_logged: bool = False) -> None:
    """Print how a run has ended.

    Args:
        run: The run.
        zone: The zone that times are told in.
        as_json: Whether to print JSON.
        title: What to call it; by default its id.
        is_logged: Whether the log has just told its error with the traceback, so that the last line is enough.
    """
    if as_json:
        show_json(run_fields(run, zone))
        return
    click.echo(f"{title or f'run {run.run_id}'}: {run.status.value}")
    show_lines((f"{name}: {value}" for name, value in (run.result or {}).items()), "    ")
    show_lines([last_line(run.error)] if is_logged and run.error else (run.error or "").splitlines(), "    ")
