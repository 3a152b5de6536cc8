"""Load plugins: metadata first, then the operator's word, then each plugin by itself, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from attrs import frozen

from rapua_scheduler.config import Config
from rapua_scheduler.errors import ConfigurationError
from rapua_scheduler.job import Job
from rapua_scheduler.logs import get_logger
from rapua_scheduler.overrides import DisabledJob, apply_overrides
from rapua_scheduler.plugin_loader.clashes import lost_keys, lost_names
from rapua_scheduler.plugin_loader.guard import Refused, guarded
from rapua_scheduler.plugin_loader.hooks import Hooks
from rapua_scheduler.plugin_loader.limits import TookTooLong, at_most
from rapua_scheduler.plugin_loader.metadata import entry_point_of, find_plugins, unmet_requirements
from rapua_scheduler.plugin_loader.plugins import (
    FoundPlugin,
    KnownProviders,
    LoadedPlugins,
    Observer,
    PluginReport,
    PluginState,
)
from rapua_scheduler.plugin_loader.tampering import Inventory
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.settings import did_you_mean, structure_settings

_log = get_logger("rapua_scheduler.plugins")
_Verdict = tuple[PluginState, str]
_CHANGES = "it {}, for the host and every other plugin too; none of them was made for that"


@frozen
class _Contents:
    jobs: tuple[Job, ...]
    observer: Observer | None
    warnings: tuple[str, ...] = ()


def load_plugins(config: Config, known: KnownProviders, *, safe_mode: bool = False) -> LoadedPlugins:
    """Import the plugins that are installed and allowed, and collect what they declare and the operator changes.

    To be called on the main thread, before any job runs. A plugin that cannot be imported, implements
    its hooks wrongly, raises, exits, declares something that is not a job, refuses its settings or lacks
    a requirement is set aside with the reason, and so is one whose name or job key another has; the
    others are loaded. One that takes longer than `plugin_timeout` is broken off. `os._exit`, a native crash
    and native code that never returns cannot be guarded against; the last line of the log names the plugin.

    Args:
        config: The configuration.
        known: Who had which name and key when a host last started.
        safe_mode: Import none, and take no requirement of the configuration as unmet.

    Raises:
        KeyboardInterrupt: Somebody pressed Ctrl-C.
    """
    found = find_plugins()
    aside: dict[FoundPlugin, _Verdict] = {}
    for plugin in found:
        verdict = _verdict_before_import(plugin, config, safe_mode=safe_mode)
        if verdict:
            aside[plugin] = verdict
    for plugin, reason in lost_names([plugin for plugin in found if plugin not in aside], known).items():
        aside[plugin] = (PluginState.CLASH, reason)
    loaded: dict[FoundPlugin, _Contents] = {}
    changes: dict[FoundPlugin, str] = {}
    inventory = Inventory()
    for plugin in [plugin for plugin in found if plugin not in aside]:
        _log.info("Loading plugin", **_identity(plugin))  # the last line, if this one ends the process
        try:
            loaded[plugin] = at_most(config.plugin_timeout, partial(_load, plugin, config))
        except (Refused, TookTooLong) as refused:
            aside[plugin] = (PluginState.FAILED, str(refused))
        changes[plugin] = inventory.changes()
    declared = {plugin: [job.key for job in contents.jobs] for plugin, contents in loaded.items()}
    broken = {plugin.provider for plugin, (state, _) in aside.items() if state is PluginState.FAILED}
    for plugin, reason in lost_keys(declared, known, broken).items():
        aside[plugin] = (PluginState.CLASH, reason)
        del loaded[plugin]
    reports = _reports(found, aside, loaded, changes, config)
    brought = Registry(
        RegisteredJob(job, plugin.name, plugin.distribution, plugin.version)
        for plugin, contents in loaded.items()
        for job in contents.jobs
    )
    overridden = apply_overrides(brought, config.jobs, config.where("jobs"))
    warnings = [
        *_without_effect(found, config),
        *(text for each in loaded.values() for text in each.warnings),
        *overridden.warnings,
    ]
    _tell(reports, overridden.disabled, warnings)
    return LoadedPlugins(
        plugins=reports,
        registry=overridden.registry,
        disabled=overridden.disabled,
        observers={plugin.name: contents.observer for plugin, contents in loaded.items() if contents.observer},
        warnings=tuple(warnings),
        unmet_requirements=() if safe_mode else tuple(_unmet(reports, config)),
    )


def _verdict_before_import(plugin: FoundPlugin, config: Config, *, safe_mode: bool) -> _Verdict | None:
    if plugin.name in config.deny_plugins:
        return PluginState.DENIED, "deny_plugins names it"
    if config.allow_plugins and plugin.name not in config.allow_plugins:
        return PluginState.NOT_ALLOWED, "allow_plugins leaves it out"
    if safe_mode:
        return PluginState.SAFE_MODE, "safe mode imports no plugin"
    if plugin.problem:
        return PluginState.FAILED, plugin.problem
    return None


def _load(plugin: FoundPlugin, config: Config) -> _Contents:
    """Import one plugin, and ask it for its jobs.

    Raises:
        Refused: It cannot be used.
    """
    with guarded(plugin.name, "requirements"):
        entry_point = entry_point_of(plugin)
        unmet = unmet_requirements(plugin.requirements, entry_point.extras)
    if unmet:
        raise Refused(f"requirements: {'; '.join(unmet)}")
    with guarded(plugin.name, "import"):
        module = entry_point.load()
    with guarded(plugin.name, "hooks"):
        hooks = Hooks(plugin.name, module)
    if not hooks.declares_jobs:
        return _Contents((), hooks.observer, _unused_table(plugin, config))
    with guarded(plugin.name, "settings"):
        settings = _settings(plugin, hooks, config)
        unused = () if hooks.takes_settings else _unused_table(plugin, config)
    with guarded(plugin.name, "register_jobs"):
        return _Contents(hooks.register_jobs(settings, config.site), hooks.observer, unused)


def _settings(plugin: FoundPlugin, hooks: Hooks, config: Config) -> object:
    wanted, table = hooks.settings_type(), config.plugins.get(plugin.name, {})
    if wanted is None:
        return _copy(table, MappingProxyType)
    if wanted is dict:
        return _copy(table, dict)
    try:
        return structure_settings(table, wanted, config.where("plugins", plugin.name))
    except ConfigurationError as error:
        raise Refused("; ".join(error.problems)) from None


def _copy(value: Any, mapping: type) -> Any:
    if isinstance(value, Mapping):
        return mapping({key: _copy(item, mapping) for key, item in value.items()})
    return [_copy(item, mapping) for item in value] if isinstance(value, list) else value


def _unused_table(plugin: FoundPlugin, config: Config) -> tuple[str, ...]:
    if not config.plugins.get(plugin.name):
        return ()
    return (config.where("plugins").problem([plugin.name], "has no effect: this plugin takes no settings"),)


def _without_effect(found: Sequence[FoundPlugin], config: Config) -> Iterator[str]:
    names = {plugin.name for plugin in found}
    for name in config.plugins:
        if name not in names:
            yield config.where("plugins").problem([name], f"no plugin has this name{did_you_mean(name, names)}")
    for key, listed in (("allow_plugins", config.allow_plugins), ("deny_plugins", config.deny_plugins)):
        for name in listed:
            if name not in names:
                yield config.where().problem([key], f"no plugin is called {name!r}{did_you_mean(name, names)}")


def _reports(
    found: Sequence[FoundPlugin],
    aside: Mapping[FoundPlugin, _Verdict],
    loaded: Mapping[FoundPlugin, _Contents],
    changes: Mapping[FoundPlugin, str],
    config: Config,
) -> tuple[PluginReport, ...]:
    reports = []
    for plugin in found:
        state, error = aside.get(plugin, (PluginState.LOADED, ""))
        keys = tuple(job.key for job in loaded[plugin].jobs) if plugin in loaded else ()
        warning = _CHANGES.format(changes[plugin]) if changes.get(plugin) else ""
        reports.append(PluginReport(plugin.name, plugin.distribution, plugin.version, state, keys, error, warning))
    names = {plugin.name for plugin in found}
    for name in dict.fromkeys(config.require_plugins):
        if name not in names:
            error = f"require_plugins names it, and it is not installed{did_you_mean(name, names)}"
            reports.append(PluginReport(name, "", "", PluginState.MISSING, (), error))
    return tuple(sorted(reports, key=lambda report: (report.name, report.distribution)))


def _unmet(reports: Sequence[PluginReport], config: Config) -> Iterator[str]:
    for name in dict.fromkeys(config.require_plugins):
        mine = [report for report in reports if report.name == name]
        if not any(report.state is PluginState.LOADED for report in mine):
            reasons = "; ".join(dict.fromkeys(report.error for report in mine))
            yield config.where().problem(["require_plugins"], f"{name!r} is not loaded: {reasons}")


def _identity(plugin: FoundPlugin | PluginReport) -> dict[str, str]:
    return {"plugin": plugin.name, "distribution": plugin.distribution, "version": plugin.version}


def _tell(reports: Sequence[PluginReport], disabled: Mapping[str, DisabledJob], warnings: Sequence[str]) -> None:
    for report in reports:
        log = _log.bind(**_identity(report))
        if report.warning:
            log.warning("Plugin changes what is not its own", problem=report.warning)
        if report.state is PluginState.LOADED:
            log.debug("Plugin loaded", jobs=list(report.jobs))
        elif report.state in {PluginState.FAILED, PluginState.CLASH, PluginState.MISSING}:
            log.warning("Plugin set aside", state=str(report.state), error=report.error)
        else:
            log.info("Plugin set aside", state=str(report.state), error=report.error)
    for key, job in disabled.items():
        _log.info("Job disabled", job=job.registered.job.name, job_key=key, reason=job.reason)
    for text in warnings:
        _log.warning("Configuration without effect", problem=text)
