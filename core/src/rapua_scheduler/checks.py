"""Look at everything a host needs, and say what a person should know or mend."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from enum import StrEnum

from attrs import frozen

from rapua_scheduler.config import Config
from rapua_scheduler.control.wording import counted
from rapua_scheduler.errors import OutdatedStoreError, SiteError, StoreError
from rapua_scheduler.interrupts import is_from_person
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.plugin_loader import LoadedPlugins, PluginState
from rapua_scheduler.registry import Registry
from rapua_scheduler.site import Site
from rapua_scheduler.store.connections import check_writable, resolve
from rapua_scheduler.store.port import Store


class Severity(StrEnum):
    """What a finding means for the host."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@frozen
class Finding:
    """One line of the report.

    Attributes:
        subject: What was looked at.
        severity: `error` if a host cannot run so.
        text: What was found.
    """

    subject: str
    severity: Severity
    text: str


def check_plugins(loaded: LoadedPlugins) -> Iterator[Finding]:
    """Yield a finding for each plugin, each unmet requirement, each job that is disabled, and each stray table."""
    for report in loaded.plugins:
        subject = f"plugin {report.name}"
        if report.state is PluginState.LOADED:
            jobs = ", ".join(report.jobs) or "no job"
            yield Finding(subject, Severity.OK, f"{report.distribution} {report.version}: {jobs}")
        else:
            severity = Severity.OK if report.state in _SWITCHED_OFF else Severity.WARNING
            yield Finding(subject, severity, f"{report.state.value}: {report.error}".rstrip(": "))
        if report.warning:
            yield Finding(subject, Severity.WARNING, report.warning)
    for key, job in loaded.disabled.items():
        yield Finding(f"job {key}", Severity.OK, job.reason)
    for problem in loaded.unmet_requirements:
        yield Finding("require_plugins", Severity.ERROR, problem)
    for warning in loaded.warnings:
        yield Finding("configuration", Severity.WARNING, warning)
    if not loaded.registry:
        yield Finding("jobs", Severity.WARNING, "there is no job to run")


_SWITCHED_OFF = {PluginState.DENIED, PluginState.NOT_ALLOWED, PluginState.SAFE_MODE}


def check_store(config: Config, store: Store | None, problem: StoreError | None) -> Iterator[Finding]:
    """Yield what can be said of the store, and whether a host of this user could write to it.

    Args:
        config: Names its file.
        store: The store; None if there is none yet, or if it cannot be read.
        problem: Why it cannot be read.
    """
    try:
        if problem is not None and not isinstance(problem, OutdatedStoreError):
            raise problem
        check_writable(resolve(config.state))
    except StoreError as error:
        yield Finding("store", Severity.ERROR, f"{error.path}: {error.problem}")
        return
    if problem is not None:
        yield Finding("store", Severity.OK, f"{config.state}: {problem.problem}")
    elif store is None:
        yield Finding("store", Severity.OK, f"{config.state}: not there yet; `run` creates it")
    else:
        yield Finding("store", Severity.OK, f"{config.state}: {counted(len(store.jobs()), 'job')} known")


def check_site(site: Site) -> Iterator[Finding]:
    """Yield a finding for each part of the site that is configured."""
    if site.database is None:
        yield Finding("site", Severity.OK, "no database is configured")
    else:
        try:
            with site.read() as db:
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except (SiteError, sqlite3.Error) as error:
            yield Finding("site", Severity.WARNING, summarize_error(error))
        else:
            yield Finding("site", Severity.OK, f"database {site.database}")
    if site.uploads_dir is not None and not site.uploads_dir.is_dir():
        yield Finding("site", Severity.WARNING, f"uploads_dir {site.uploads_dir}: there is no such folder")


def check_jobs(registry: Registry) -> Iterator[Finding]:
    """Yield what each job's own check says; a job without one says nothing."""
    for key, registered in registry.items():
        if registered.job.check is None:
            continue
        subject = f"job {key}"
        try:
            answer = registered.job.check()
            said = [answer] if isinstance(answer, str) else [str(line) for line in answer]
        except BaseException as error:  # SystemExit too: it is the plugin's, not the command's
            if is_from_person(error):
                raise
            yield Finding(subject, Severity.WARNING, f"its check failed: {summarize_error(error)}")
            continue
        for line in said:
            yield Finding(subject, Severity.WARNING, line)
        if not said:
            yield Finding(subject, Severity.OK, "finds all that it needs")
