"""Find plugins by the metadata of installed packages; nothing of them is imported."""

from __future__ import annotations

from collections.abc import Iterable

import importlib_metadata
from packaging.requirements import InvalidRequirement, Requirement

from rapua_scheduler.hookspecs import GROUP
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.plugin_loader.plugins import FoundPlugin, normalized

_ENTRY_POINTS = "entry_points.txt"


def find_plugins() -> tuple[FoundPlugin, ...]:
    """Return every plugin that an installed package offers, by name and package.

    Of two copies of one package only the one that Python would import counts. A package whose
    metadata cannot be read is returned too, with the problem.
    """
    found: set[FoundPlugin] = set()
    packages: set[str] = set()
    for distribution in importlib_metadata.distributions():
        try:
            if GROUP in (distribution.read_text(_ENTRY_POINTS) or ""):
                packages.add(normalized(distribution.name))
        except Exception as error:
            found.add(_unreadable(str(distribution.locate_file("")), error))
    for package in packages:
        try:
            found.update(_plugins_of(package))
        except importlib_metadata.PackageNotFoundError:
            continue  # what pip leaves behind when it cannot delete
        except Exception as error:
            found.add(_unreadable(package, error))
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution, plugin.value)))


def _plugins_of(package: str) -> list[FoundPlugin]:
    distribution = importlib_metadata.distribution(package)
    return [
        FoundPlugin(
            entry_point.name,
            entry_point.value,
            distribution.name,
            distribution.version or "",
            tuple(distribution.requires or ()),
        )
        for entry_point in distribution.entry_points.select(group=GROUP)
    ]


def _unreadable(package: str, error: Exception) -> FoundPlugin:
    return FoundPlugin(package, "", package, "", problem=f"its metadata cannot be read: {summarize_error(error)}")


def entry_point_of(plugin: FoundPlugin) -> importlib_metadata.EntryPoint:
    """Return what imports the plugin, and knows the extras that it wants."""
    return importlib_metadata.EntryPoint(plugin.name, plugin.value, GROUP)


def unmet_requirements(requirements: Iterable[str], extras: Iterable[str] = ()) -> list[str]:
    """Return what a package requires here and lacks, each with what to do.

    Args:
        requirements: The `Requires-Dist` lines of its metadata.
        extras: The extras of the package that are wanted.
    """
    unmet = []
    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            unmet.append(f"its metadata requires {line!r}, which cannot be read")
            continue
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        wanted = f"{requirement.name}{requirement.specifier}"
        try:
            installed = importlib_metadata.version(requirement.name)
        except importlib_metadata.PackageNotFoundError:
            unmet.append(f"it requires {wanted}, which is not installed; pip install {wanted!r}")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            unmet.append(f"it requires {wanted}, and {requirement.name} {installed} is installed; upgrade one of them")
    return unmet
