"""Fresh virtual environments with our distributions installed by pip, without a network.

Wheels of ours are built from the source tree; third parties' are written by the tests. What ours depend
on is linked from the environment that the tests run in, so that it counts as installed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import textwrap
import venv
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import importlib_metadata
from attrs import frozen
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
OURS = {
    "rapua-scheduler": ROOT / "core",
    "rapua-scheduler-credit-topup": ROOT / "plugins" / "credit_topup",
    "rapua-scheduler-orphaned-uploads": ROOT / "plugins" / "orphaned_uploads",
    "rapua-scheduler-stale-purchases": ROOT / "plugins" / "stale_purchases",
}
"""The folder of each of our distributions."""

_PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input"]


def clean_env(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a child, without what would lead it back to the one the tests run in."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_", "COV_", "COVERAGE"))
    }
    kept.pop("VIRTUAL_ENV", None)
    return kept | dict(more or {})


@frozen
class Environment:
    """A virtual environment.

    Attributes:
        folder: Where it is.
        wheels: Where pip finds packages.
    """

    folder: Path
    wheels: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def program(self) -> Path:
        """Its `rapua-scheduler`."""
        return self.folder / "bin" / "rapua-scheduler"

    def install(self, *requirements: str) -> None:
        """Have pip install these, and what they require, from the wheels."""
        self._pip("install", "--no-index", "--no-cache-dir", "--find-links", str(self.wheels), *requirements)

    def install_without_requirements(self, *requirements: str) -> None:
        """Have pip install these alone."""
        self.install("--no-deps", *requirements)

    def uninstall(self, *distributions: str) -> None:
        """Have pip uninstall these."""
        self._pip("uninstall", "--yes", *distributions)

    def run(
        self, *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run its interpreter in *cwd*, and return what it wrote.

        Raises:
            AssertionError: It failed, unless *check* is false.
        """
        return _run([str(self.python), *map(str, arguments)], cwd=cwd, env=env, check=check)

    def _pip(self, *arguments: str) -> None:
        _run([*_PIP, "--python", str(self.python), *arguments], cwd=self.folder)


def make_environment(folder: Path, wheels: Path, dependencies: Path) -> Environment:
    """Make an environment in which nothing is installed but what ours depend on."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(f"{dependencies}\n")
    return Environment(folder, wheels)


def build_our_wheels(folder: Path) -> None:
    """Build a wheel of each of our distributions, with the build tools of the running environment."""
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir", "--wheel-dir", str(folder)]
    _run([*_PIP, "wheel", *options, *map(str, OURS.values())], cwd=folder)


def link_dependencies(folder: Path) -> None:
    """Link whatever ours depend on, directly or not, from the running environment into *folder*."""
    waiting, done = list(OURS), set(OURS)
    while waiting:
        distribution = importlib_metadata.distribution(waiting.pop())
        for line in distribution.requires or ():
            requirement = Requirement(line)
            name = _normalized(requirement.name)
            if name not in done and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                done.add(name)
                waiting.append(name)
        if _normalized(distribution.name) not in OURS:
            for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
                (folder / name).symlink_to(Path(str(distribution.locate_file(name))))


def write_wheel(
    folder: Path,
    distribution: str,
    modules: Mapping[str, str],
    *,
    version: str = "1.0",
    entry_points: Mapping[str, str] | None = None,
    requires: Iterable[str] = (),
) -> Path:
    """Write a wheel as a third party would publish it.

    Args:
        folder: Where to.
        distribution: The package's name.
        modules: Source by file name.
        version: The package's version.
        entry_points: What the names of its plugins refer to.
        requires: Its requirements.
    """
    stem = f"{distribution.replace('-', '_')}-{version}"
    metadata = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {line}" for line in requires]
    points = [f"{name} = {value}" for name, value in (entry_points or {}).items()]
    files = {name: textwrap.dedent(source) for name, source in modules.items()} | {
        f"{stem}.dist-info/METADATA": "\n".join([*metadata, ""]),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/entry_points.txt": "\n".join(["[rapua_scheduler]", *points, ""]),
    }
    record = [f"{name},sha256={_digest(text)},{len(text.encode())}" for name, text in files.items()]
    files[f"{stem}.dist-info/RECORD"] = "\n".join([*record, f"{stem}.dist-info/RECORD,,", ""])
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(
    command: list[str], *, cwd: Path, env: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=clean_env(env), capture_output=True, text=True, timeout=100, check=False
    )
    if check:
        assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
