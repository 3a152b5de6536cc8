"""What is found of plugins, what is known of them, and what becomes of them: values only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from attrs import frozen

from rapua_scheduler.events import Event
from rapua_scheduler.overrides import DisabledJob
from rapua_scheduler.registry import Registry
from rapua_scheduler.store.port import StoredJob

Observer = Callable[[Event], object]
"""A plugin's `on_event`, to be called with any event."""


class PluginState(StrEnum):
    """What became of a plugin while the host started."""

    LOADED = "loaded"
    DENIED = "denied"
    NOT_ALLOWED = "not_allowed"
    FAILED = "failed"
    CLASH = "clash"
    MISSING = "missing"
    SAFE_MODE = "safe_mode"


@frozen
class PluginReport:
    """One line of the list of plugins.

    Attributes:
        name: Name of its entry point, or the name under which it is required.
        distribution: The installed package that holds it; empty if there is none.
        version: That package's version.
        state: What became of it.
        jobs: The keys of its jobs; empty unless it is loaded.
        error: Why it is not loaded, and what to do; empty if it is.
        warning: What it has changed that is not its own; empty if nothing.
    """

    name: str
    distribution: str
    version: str
    state: PluginState
    jobs: tuple[str, ...] = ()
    error: str = ""
    warning: str = ""


@frozen
class LoadedPlugins:
    """What all plugins brought, and what became of each.

    Attributes:
        plugins: Every plugin that is installed or required, by name.
        registry: The jobs to run: of plugins that are loaded, and as the operator wants them.
        observers: Their observers, by plugin.
        disabled: The jobs of loaded plugins that are not to run, by key.
        warnings: What in the configuration of plugins and jobs has no effect, such as a table for a
            plugin that is not installed.
        unmet_requirements: Why the host must not start: one line for each plugin that is required and
            not loaded; always empty in safe mode.
    """

    plugins: tuple[PluginReport, ...]
    registry: Registry
    observers: Mapping[str, Observer]
    disabled: Mapping[str, DisabledJob] = MappingProxyType({})
    warnings: tuple[str, ...] = ()
    unmet_requirements: tuple[str, ...] = ()


@frozen
class Provider:
    """Who brings a job: a plugin, and the package that holds it, its name normalized.

    Source of the normal form: the packaging specifications ("Names and normalization").
    """

    plugin: str
    distribution: str

    @classmethod
    def of(cls, plugin: str, distribution: str) -> Provider:
        """Return the provider with the package's name normalized."""
        return cls(plugin, normalized(distribution))


def normalized(distribution: str) -> str:
    """Return the form of a package's name that is the same for every way to write it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@frozen
class KnownProviders:
    """Which package had a plugin's name, or a job's key, when a host last started.

    Attributes:
        plugins: Package by name of the plugin, normalized.
        jobs: Provider by key of the job.
    """

    plugins: Mapping[str, str]
    jobs: Mapping[str, Provider]

    @classmethod
    def none(cls) -> KnownProviders:
        """Know nothing, as at the first start."""
        return cls({}, {})

    @classmethod
    def from_stored(cls, stored: Sequence[StoredJob]) -> KnownProviders:
        """Know what a store knows; if a name went from one package to another, the latest counts."""
        brought = sorted((job for job in stored if job.distribution), key=lambda job: (job.last_seen_at, job.key))
        return cls(
            {job.plugin: normalized(job.distribution) for job in brought},
            {job.key: Provider.of(job.plugin, job.distribution) for job in brought},
        )


@frozen
class FoundPlugin:
    """A plugin as its package's metadata describes it; nothing of it is imported.

    Attributes:
        name: Name of its entry point.
        value: What the entry point refers to, such as "my_digest" or "my_digest.plugin:instance".
        distribution: The package that holds it.
        version: That package's version.
        requirements: What the package requires, as its metadata says.
        problem: Why its metadata cannot be used; empty if it can.
    """

    name: str
    value: str
    distribution: str
    version: str
    requirements: tuple[str, ...] = ()
    problem: str = ""

    @property
    def provider(self) -> Provider:
        """The plugin as a provider of jobs."""
        return Provider.of(self.name, self.distribution)

    @property
    def package(self) -> str:
        """The package and its version, for a person."""
        return f"{self.distribution} {self.version}".rstrip()

    def __str__(self) -> str:
        return f"{self.name!r} ({self.package})"
