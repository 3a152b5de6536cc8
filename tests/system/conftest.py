from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.environments import OURS, Environment, build_our_wheels, link_dependencies, make_environment


@pytest.fixture(scope="session")
def our_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel of each of our distributions; not to be changed."""
    folder = tmp_path_factory.mktemp("our-wheels")
    build_our_wheels(folder)
    return folder


@pytest.fixture(scope="session")
def our_dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with links to what our distributions depend on; not to be changed."""
    folder = tmp_path_factory.mktemp("dependencies")
    link_dependencies(folder)
    return folder


@pytest.fixture(scope="session")
def installed(our_wheels: Path, our_dependencies: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with our four distributions, installed by pip; not to be changed."""
    environment = make_environment(tmp_path_factory.mktemp("installed") / "venv", our_wheels, our_dependencies)
    environment.install(*OURS)
    return environment


@pytest.fixture
def fresh(our_wheels: Path, our_dependencies: Path, tmp_path: Path) -> Callable[..., Environment]:
    """Make an environment of the test's own, with these of our distributions; add wheels to its `wheels`."""

    def make(*distributions: str) -> Environment:
        wheels = tmp_path / "wheels"
        shutil.copytree(our_wheels, wheels)
        environment = make_environment(tmp_path / "venv", wheels, our_dependencies)
        environment.install(*distributions)
        return environment

    return make
