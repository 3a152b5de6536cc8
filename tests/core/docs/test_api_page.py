"""reference/api.md tells every name of the door, and the door holds what it promises."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from typing import Any

import pytest

import rapua_scheduler
from rapua_scheduler import testing
from tests.core.docs.pages import read

_DIRECTIVE = re.compile(r"^::: rapua_scheduler\.(\S+)$", re.MULTILINE)


def documented() -> list[str]:
    return _DIRECTIVE.findall(read("reference/api.md"))


def test_every_name_of_the_door_is_on_the_page_once() -> None:
    names = [path.rpartition(".")[2] for path in documented() if not path.startswith("testing.")]

    assert sorted(names) == sorted(rapua_scheduler.__all__)


def test_every_name_of_the_testing_module_is_on_the_page_once() -> None:
    names = [path.removeprefix("testing.") for path in documented() if path.startswith("testing.")]

    assert sorted(names) == sorted(testing.__all__)


def test_whatever_the_page_shows_is_what_the_door_gives() -> None:
    for path in documented():
        module, _, name = f"rapua_scheduler.{path}".rpartition(".")
        door: Any = testing if path.startswith("testing.") else rapua_scheduler
        assert getattr(importlib.import_module(module), name) is getattr(door, name), path


def test_the_lazy_map_names_exactly_what_is_promised() -> None:
    assert sorted(rapua_scheduler._HOME) == sorted(rapua_scheduler.__all__)
    assert list(rapua_scheduler.__all__) == sorted(rapua_scheduler.__all__)


@pytest.mark.parametrize("name", rapua_scheduler.__all__)
def test_a_name_of_the_door_comes_from_where_the_map_says(name: str) -> None:
    home = importlib.import_module(f"rapua_scheduler.{rapua_scheduler._HOME[name]}")

    assert getattr(rapua_scheduler, name) is getattr(home, name)


def test_type_checkers_see_exactly_the_names_that_are_promised() -> None:
    source = inspect.getsource(rapua_scheduler)
    block = source.partition("if TYPE_CHECKING:")[2].partition("\n\n_HOME")[0]
    seen = re.sub(r"#.*|from \S+ import|[(),]", " ", block).split()

    assert sorted(seen) == sorted(rapua_scheduler.__all__)


def test_importing_the_package_imports_none_of_its_modules() -> None:
    program = "import sys, rapua_scheduler; print([m for m in sys.modules if m.startswith('rapua_scheduler.')])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_asking_the_door_for_another_name_is_an_attribute_error() -> None:
    name = "Nope"
    with pytest.raises(AttributeError, match="Nope"):
        getattr(rapua_scheduler, name)
