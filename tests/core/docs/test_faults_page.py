"""The page of faults has every number, and each of the tests that it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.core.docs.pages import ROOT, read, sections, table_rows

NUMBERS = range(1, 96)
NOT_HERE = "*Not tested here: "
_DEFINED = re.compile(r"^(?:async )?def (test_faults?_\w+)", re.MULTILINE)


def numbers_of(test: str) -> set[int]:
    """Return the numbers that a test's name carries: `test_fault_07_…`, `…_36_fault_37_…`, `…_60_to_73_…`."""
    written = re.match(r"test_faults?_((?:\d\d_(?:to_|fault_)?)+)", test)
    if written is None:
        return set()
    first, *others = [int(number) for number in re.findall(r"\d\d", written[1])]
    return set(range(first, others[0] + 1)) if "_to_" in written[1] else {first, *others}


def defined() -> Iterator[tuple[str, str]]:
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in _DEFINED.findall(file.read_text(encoding="utf-8")):
            yield file.relative_to(ROOT).as_posix(), name


def rows() -> dict[int, list[str]]:
    listed = [row for section in sections(read("explanation/faults.md")).values() for row in table_rows(section)]
    assert [int(row[0]) for row in listed] == list(NUMBERS)
    return {int(row[0]): row for row in listed}


def test_the_page_has_every_fault_once_in_order() -> None:
    assert all(fault and answer for _, fault, answer, _ in rows().values())


@pytest.mark.parametrize("number", NUMBERS)
def test_a_fault_has_a_test_of_its_number_or_a_reason_why_it_has_none(number: int) -> None:
    _, _, answer, shown_by = rows()[number]

    if answer.startswith(NOT_HERE):
        assert not [name for _, name in defined() if number in numbers_of(name)], "it is tested after all"
    else:
        file, _, name = shown_by.strip("`").partition("::")
        assert (file, name) in set(defined()), f"write the name that the test of fault {number} has now"
        assert number in numbers_of(name)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_fault_can_be_asked_for_by_its_number(number: int) -> None:
    word = f"fault_{number:02}"

    assert any(word in name for _, name in defined()) != rows()[number][2].startswith(NOT_HERE)


def test_every_numbered_test_is_of_a_fault_that_the_page_has() -> None:
    carried = {name: numbers_of(name) for _, name in defined()}

    assert all(carried.values()), [name for name, numbers in carried.items() if not numbers]
    assert set().union(*carried.values()) <= set(NUMBERS)


def test_the_numbers_of_a_name_are_read_as_they_are_written() -> None:
    assert numbers_of("test_fault_07_a_gap") == {7}
    assert numbers_of("test_fault_36_fault_37_fault_38_what") == {36, 37, 38}
    assert numbers_of("test_faults_60_to_62_together") == {60, 61, 62}
    assert numbers_of("test_fault_is_told") == set()
