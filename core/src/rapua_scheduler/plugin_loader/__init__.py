"""Find plugins, load each by itself, and say of every one what became of it."""

from rapua_scheduler.plugin_loader.absences import absences
from rapua_scheduler.plugin_loader.loading import load_plugins
from rapua_scheduler.plugin_loader.plugins import (
    KnownProviders,
    LoadedPlugins,
    Observer,
    PluginReport,
    PluginState,
    Provider,
)

__all__ = [
    "KnownProviders",
    "LoadedPlugins",
    "Observer",
    "PluginReport",
    "PluginState",
    "Provider",
    "absences",
    "load_plugins",
]
