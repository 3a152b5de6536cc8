"""Packages as pip leaves them behind, written into a folder on `sys.path`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

ONE_JOB = """
    from rapua_scheduler import Job, every, hookimpl

    @hookimpl
    def register_jobs():
        return [Job(name="{key}", run=print, next=every(hours=1))]
"""


def one_job(key: str) -> str:
    """Return the source of a plugin that works, and declares one job."""
    return ONE_JOB.format(key=key)


class Packages:
    """A folder of installed packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        distribution: str,
        source: str,
        *,
        plugin: str = "",
        refers_to: str = "",
        version: str = "1.0",
        requires: Sequence[str] = (),
        entry_points: Mapping[str, str] | None = None,
    ) -> None:
        """Write a package with one module; by default the plugin is called as the module is.

        Args:
            distribution: The package's name; the module is called the same, with underscores.
            source: The module's source.
            plugin: Name of its entry point.
            refers_to: What the entry point refers to.
            version: The package's version.
            requires: Its requirements.
            entry_points: All of its entry points, instead of one.
        """
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        points = entry_points if entry_points is not None else {plugin or module: refers_to or module}
        self.describe(distribution, version=version, requires=requires, entry_points=points)

    def describe(
        self,
        distribution: str,
        *,
        version: str = "1.0",
        requires: Sequence[str] = (),
        entry_points: Mapping[str, str] | None = None,
    ) -> Path:
        """Write a package's metadata alone, and return their folder."""
        metadata = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        (metadata / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires)]) + "\n")
        if entry_points:
            points = [f"{name} = {value}" for name, value in entry_points.items()]
            (metadata / "entry_points.txt").write_text("\n".join(["[rapua_scheduler]", *points]) + "\n")
        return metadata
