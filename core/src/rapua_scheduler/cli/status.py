"""`status`: how the host and its jobs are doing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo

import click

from rapua_scheduler.cli.render import json_option, show_json, show_lines
from rapua_scheduler.cli.session import Session, open_session, plugins_print_elsewhere
from rapua_scheduler.control.condition import Condition, Package, examine
from rapua_scheduler.control.fields import condition_fields
from rapua_scheduler.control.instants import moment
from rapua_scheduler.control.listings import list_jobs
from rapua_scheduler.control.wording import last_line
from rapua_scheduler.plugin_loader import PluginState
from rapua_scheduler.store.memory import MemoryStore

_EXIT_UNWELL = 1
_BROKEN = {PluginState.FAILED, PluginState.CLASH, PluginState.MISSING}


@click.command("status")
@json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> int:
    """Show how the host, its store, its clock, its plugins and its jobs are doing, and what needs a look.

    Exits 0 if all is well, and 1 if something needs a look.
    """
    with open_session(context) as session:
        now, zone = session.clock.now(), session.config.timezone
        with plugins_print_elsewhere():
            listings = list_jobs(session.plugins.registry, session.store, now, zone, disabled=session.plugins.disabled)
        store = session.store if session.store is not None else MemoryStore()
        condition = examine(store, listings, _installed(session), broken=_broken(session), now=now, zone=zone)
        file = _file(session)
    if as_json:
        show_json({**condition_fields(condition, zone), "store": file})
    else:
        _show(condition, file, zone)
    return 0 if condition.is_well else _EXIT_UNWELL


def _installed(session: Session) -> Mapping[str, list[Package]]:
    found: dict[str, list[Package]] = {}
    for report in session.plugins.plugins:
        if report.distribution:
            found.setdefault(report.name, []).append(Package(report.distribution, report.version))
    return found


def _broken(session: Session) -> Mapping[str, str]:
    found: dict[str, list[str]] = {}
    for report in session.plugins.plugins:
        if report.state in _BROKEN:
            found.setdefault(report.name, []).append(report.error)
    return {name: "; ".join(errors) for name, errors in found.items()}


def _file(session: Session) -> Mapping[str, object]:
    path, store = session.config.state, session.store
    if store is None:
        return {"path": str(path), "size": None, "schema": None, "id": None}
    size = sum(file.stat().st_size for file in (path, path.with_name(f"{path.name}-wal")) if file.exists())
    return {"path": str(store.path), "size": size, "schema": store.schema, "id": store.store_id}


def _show(condition: Condition, file: Mapping[str, object], zone: tzinfo) -> None:
    host = condition.host
    if host is None:
        said = "none yet"
    else:
        alive = moment(host.alive_at or host.started_at, zone)
        state = "active" if host.is_active else "not active"
        since = moment(host.started_at, zone)
        said = f"{state}: process {host.pid} on {host.host_name}, since {since}, alive at {alive}"
    click.echo(f"host     {said}")
    if file["id"] is None:
        click.echo(f"store    {file['path']}: not there yet")
    else:
        click.echo(f"store    {file['path']}: {file['size']} bytes, schema {file['schema']}, id {file['id']}")
    click.echo(f"clock    {moment(condition.now, zone)} ({zone})")
    click.echo(f"jobs     {condition.jobs}; of their runs {condition.running} running, {condition.queued} waiting")
    for plugin in condition.plugins:
        there = ", ".join(map(str, plugin.installed)) or "nothing"
        runs = "no job of it runs" if plugin.running is None else f"running: {plugin.running}"
        click.echo(f"plugin   {plugin.name}: installed: {there}; {runs}")
    if condition.errors:
        click.echo("\nlast errors:")
    show_lines(
        (
            f"{moment(run.finished_at, zone)} {run.job_key} {run.status}: {last_line(run.error)} ({run.run_id})"
            for run in condition.errors
        ),
        "  ",
    )
    click.echo("\nall is well" if condition.is_well else "\nneeds a look:")
    show_lines((f"{remark.weight}: {remark.subject}: {remark.text}" for remark in condition.remarks), "  ")
