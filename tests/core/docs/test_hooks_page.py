"""reference/hooks.md says of every hook exactly what `hookspecs` does."""

from __future__ import annotations

import ast
import inspect

import pytest

from rapua_scheduler import hookspecs
from tests.core.docs.pages import read, sections

HOOKS = {
    name: value
    for name, value in vars(hookspecs).items()
    if getattr(value, f"{hookspecs.GROUP}_spec", None) is not None
}


def signature(hook: str) -> str:
    (function,) = ast.parse(inspect.getsource(HOOKS[hook])).body
    assert isinstance(function, ast.FunctionDef)
    assert function.returns is not None
    return f"{hook}({ast.unparse(function.args)}) -> {ast.unparse(function.returns)}"


def test_there_are_hooks() -> None:
    assert {"register_jobs", "on_event"} <= set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_a_section_that_begins_with_its_exact_signature(hook: str) -> None:
    section = sections(read("reference/hooks.md"))[hook]

    assert section.lstrip().startswith(f"```python\n{signature(hook)}\n```\n")


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hooks_section_tells_all_its_arguments_and_when_it_is_called(hook: str) -> None:
    section = sections(read("reference/hooks.md"))[hook]

    for term in [*inspect.signature(HOOKS[hook]).parameters, "Called", "On error"]:
        assert f"**{term}**\n:   " in section


def test_the_page_tells_of_no_hook_that_does_not_exist() -> None:
    assert set(sections(read("reference/hooks.md"))) == set(HOOKS)
