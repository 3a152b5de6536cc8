"""Read pages of the documentation, as far as the tests need to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)(?P<rest>[^\n]*)\n(?P<code>.*?)^(?P=indent)```", re.S | re.M)
_TITLE = re.compile(r'title="([^"]+)"')


@frozen
class CodeBlock:
    """One fenced block.

    Attributes:
        place: File and line, for messages.
        language: What follows the fence.
        title: Its title; empty if it has none.
        code: The block, without the indent of its fence.
    """

    place: str
    language: str
    title: str
    code: str


def pages() -> list[Path]:
    """Return every page that people read, README and all."""
    top = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "core/README.md")]
    return [*top, *sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]


def read(page: str) -> str:
    """Return a page of docs/."""
    return (DOCS / page).read_text(encoding="utf-8")


def code_blocks(path: Path) -> Iterator[CodeBlock]:
    """Yield the fenced blocks of a page."""
    text = path.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        title = _TITLE.search(match["rest"])
        indent = len(match["indent"])
        code = "".join(line[indent:] if line.strip() else "\n" for line in match["code"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start()) + 1
        yield CodeBlock(f"{path.relative_to(ROOT)}:{line}", match["language"], title[1] if title else "", code)


def without_code(text: str) -> str:
    """Return *text* without its fenced blocks."""
    return _FENCE.sub("", text)


def sections(text: str, level: int = 2) -> Mapping[str, str]:
    """Return the sections under headings of *level*, by heading; a deeper heading stays inside."""
    found: dict[str, str] = {}
    heading = None
    fenced = False
    for line in text.splitlines(keepends=True):
        fenced ^= line.lstrip().startswith("```")
        match = None if fenced else re.match(r"(#+) (.*)", line)
        if match and len(match[1]) <= level:
            heading = match[2].strip() if len(match[1]) == level else None
            if heading is not None:
                assert heading not in found, f"two sections are called {heading!r}"
                found[heading] = ""
        elif heading is not None:
            found[heading] += line
    return found


def table_rows(section: str) -> Iterator[list[str]]:
    """Yield the cells of every row of every table in *section*, headers left out."""
    lines = section.splitlines()
    for index, line in enumerate(lines):
        is_row = line.startswith("|") and not re.fullmatch(r"[|:\- ]+", line)
        is_header = index + 1 < len(lines) and re.fullmatch(r"\|[|:\- ]+", lines[index + 1])
        if is_row and not is_header:
            yield [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
