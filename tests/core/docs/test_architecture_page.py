"""architecture.md tells the modules that there are, in the layers that they have."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import rapua_scheduler
from tests.core.docs.pages import DOCS, ROOT, read, sections, table_rows

PACKAGE = Path(rapua_scheduler.__file__).parent


def modules() -> set[str]:
    files = {path.stem for path in PACKAGE.glob("*.py")}
    return files | {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}


def test_every_module_has_a_paragraph() -> None:
    told = re.findall(r"^\*\*`(\w+)`\*\*", sections(read("architecture.md"))["The modules"], re.MULTILINE)

    assert sorted(told) == sorted(modules())


def test_the_layers_are_those_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]

    told = [re.findall(r"`(\w+)`", row[1]) for row in table_rows(sections(read("architecture.md"))["The layers"])]

    assert told == [re.split(r"\W+", layer) for layer in contract["layers"]]


def test_every_record_of_a_decision_is_listed_and_in_the_navigation() -> None:
    records = sorted(path.name for path in (DOCS / "decisions").glob("0*.md"))
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    assert re.findall(r"^\| \[\d{4}\]\((\S+)\)", read("decisions/index.md"), re.MULTILINE) == records
    assert re.findall(r": decisions/(0\S+)$", navigation, re.MULTILINE) == records
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
