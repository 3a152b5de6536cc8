from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import importlib_metadata
import pytest

from rapua_scheduler import Site
from rapua_scheduler.config import Config
from rapua_scheduler.plugin_loader import KnownProviders, LoadedPlugins, load_plugins
from tests.core.plugins.packages import Packages


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    """A folder for packages; plugins that are really installed beside these tests are not found."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(
        importlib_metadata, "distributions", lambda: importlib_metadata.Distribution.discover(path=[str(folder)])
    )
    before = set(sys.modules)
    yield Packages(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Config]:
    """Make a configuration that differs from the default in what is passed."""

    def make(**differences: object) -> Config:
        zone = ZoneInfo("Pacific/Auckland")
        fixed: dict[str, object] = {
            "path": tmp_path / "rapua-scheduler.toml",
            "timezone": zone,
            "state": tmp_path / "rapua-scheduler.db",
            "site": Site(url="https://rapua.example", timezone=zone),
        }
        return Config(**(fixed | differences))  # type: ignore[arg-type]

    return make


@pytest.fixture
def load(make_config: Callable[..., Config]) -> Callable[..., LoadedPlugins]:
    """Load all plugins, with a configuration that differs from the default in what is passed."""

    def load_with(
        known: KnownProviders | None = None, *, safe_mode: bool = False, **differences: object
    ) -> LoadedPlugins:
        return load_plugins(make_config(**differences), known or KnownProviders.none(), safe_mode=safe_mode)

    return load_with
