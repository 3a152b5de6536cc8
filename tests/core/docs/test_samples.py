"""Code in the documentation runs, links lead somewhere, and the tutorial's package works."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.core.docs.pages import DOCS, ROOT, CodeBlock, code_blocks, pages, without_code

BLOCKS = [block for page in pages() for block in code_blocks(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
_SIGNATURE = re.compile(r"\w+\(.*\) -> .*\n")


def is_doctest(block: CodeBlock) -> bool:
    return block.code.startswith(">>>")


def named(blocks: list[CodeBlock]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [pytest.param(block, id=block.place) for block in blocks])


@named([block for block in PYTHON if is_doctest(block)])
def test_what_an_example_shows_is_what_it_gives(block: CodeBlock) -> None:
    example = doctest.DocTestParser().get_doctest(block.code, {}, block.place, None, 0)
    said: list[str] = []

    failures = doctest.DocTestRunner(verbose=False).run(example, out=said.append)

    assert failures.failed == 0, "".join(said)


@named([block for block in PYTHON if not is_doctest(block) and not _SIGNATURE.fullmatch(block.code)])
def test_a_sample_compiles_and_finds_what_it_imports(block: CodeBlock) -> None:
    code = compile(block.code, block.place, "exec")
    if block.title or "import" not in block.code:
        return  # a file of the tutorial, which is tried below; or a part that stands in its own page
    module = ModuleType("sample")
    imports = "\n".join(line for line in _import_lines(block.code))
    exec(compile(imports, block.place, "exec"), vars(module))
    if "@hookimpl" in block.code:
        exec(code, vars(module))


def _import_lines(code: str) -> list[str]:
    statements = re.findall(r"^(?:from \S+ import \([^)]*\)|from \S+ import .*|import .*)", code, re.MULTILINE)
    return [statement for statement in statements if "my_" not in statement]


@named([block for block in BLOCKS if block.language in {"toml", "json"}])
def test_toml_and_json_can_be_read(block: CodeBlock) -> None:
    (tomllib.loads if block.language == "toml" else json.loads)(block.code)


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()])
def test_a_link_to_a_file_leads_somewhere(page: Path) -> None:
    text = without_code(page.read_text(encoding="utf-8"))

    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_tutorials_package_passes_the_tutorials_tests(tmp_path: Path) -> None:
    files: dict[str, str] = {}
    for block in code_blocks(DOCS / "tutorial" / "first-job.md"):
        if block.title:
            files[block.title] = block.code
    for name, code in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    assert any(name.startswith("tests/") for name in files)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "tests"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
