"""Say of each job that a store knows and the host does not run why that is; nothing here acts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rapua_scheduler.plugin_loader.plugins import LoadedPlugins, PluginReport, PluginState, Provider, normalized
from rapua_scheduler.run import WindowKind
from rapua_scheduler.store.port import StoredJob

_Absence = tuple[WindowKind, str]


def absences(stored: Iterable[StoredJob], loaded: LoadedPlugins) -> Mapping[str, _Absence]:
    """Return the jobs that a store knows and the host does not run, by key, each with the kind and the reason.

    `failed` is a job whose plugin is wanted, and could not be loaded: its fire times are made up once it
    can. `absent` is one that nobody wants now: its plugin is uninstalled, denied, not allowed, left out in
    safe mode, or declares it no more, or the operator has disabled it. A job that goes on under another
    key is neither.

    Args:
        stored: What the store knows.
        loaded: What became of the plugins.
    """
    goes_on = {former for registered in loaded.registry.values() for former in registered.job.formerly}
    goes_on |= loaded.registry.keys()
    disabled: dict[str, _Absence] = {}
    for key, job in loaded.disabled.items():
        disabled |= dict.fromkeys((*job.registered.job.formerly, key), (WindowKind.ABSENT, job.reason))
    return {job.key: disabled.get(job.key) or _absence(job, loaded.plugins) for job in stored if job.key not in goes_on}


def _absence(job: StoredJob, reports: Sequence[PluginReport]) -> _Absence:
    if not job.plugin:
        return WindowKind.ABSENT, "an application brings it, and no plugin"
    provider = Provider.of(job.plugin, job.distribution)
    for report in reports:
        if Provider.of(report.name, report.distribution) == provider:
            return _absence_by(report)
    package = [report for report in reports if normalized(report.distribution) == provider.distribution]
    # a package whose metadata cannot be read may be known by its folder only, and could be this one
    for report in package or [report for report in reports if "/" in report.distribution]:
        if report.state is PluginState.FAILED and not report.version:
            return WindowKind.FAILED, f"plugin {job.plugin!r} ({job.distribution}) is not found: {report.error}"
    if package:
        return WindowKind.ABSENT, f"{job.distribution} has no plugin {job.plugin!r} any more"
    return WindowKind.ABSENT, f"{job.distribution}, which brought it, is not installed"


def _absence_by(report: PluginReport) -> _Absence:
    package = f"{report.distribution} {report.version}".rstrip()
    if report.state is PluginState.LOADED:
        return WindowKind.ABSENT, f"plugin {report.name!r} ({package}) declares it no more"
    if report.state in {PluginState.FAILED, PluginState.CLASH}:
        return WindowKind.FAILED, f"plugin {report.name!r} ({package}) could not be loaded: {report.error}"
    return WindowKind.ABSENT, f"plugin {report.name!r} ({package}) is not loaded: {report.error}"
