"""Whatever a job returns or raises becomes plain and bounded."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler.outcomes import (
    LONGEST_ERROR,
    LONGEST_TEXT,
    MOST_ENTRIES,
    describe_error,
    plain_result,
    summarize_error,
)


class Silent:
    def __repr__(self) -> str:
        raise SystemExit("no representation")


class MuteError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt("no text")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(Silent),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(anything)
def test_any_result_can_be_stored_as_json(returned: object) -> None:
    result = plain_result(returned)

    text = json.dumps(result, allow_nan=False)
    assert json.loads(text.encode("utf-8")) == result


def test_a_mapping_of_scalars_is_kept_as_it_is() -> None:
    returned = {"sent": 3, "rate": 0.5, "ok": True, "note": "é", "none": None}

    assert plain_result(returned) == returned


@pytest.mark.parametrize(("returned", "kept"), [(None, None), (7, {"result": 7}), ("done", {"result": "done"})])
def test_a_scalar_stands_under_result(returned: object, kept: object) -> None:
    assert plain_result(returned) == kept


def test_long_results_are_cut() -> None:
    large = plain_result("x" * 1_000_000)
    many = plain_result({str(n): n for n in range(MOST_ENTRIES + 5)})

    assert large is not None
    assert len(str(large["result"])) < LONGEST_TEXT + 100
    assert many is not None
    assert many["entries_left_out"] == 5


def test_a_mapping_that_raises_is_no_error() -> None:
    class Broken(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            raise RuntimeError

        def __iter__(self):  # type: ignore[no-untyped-def]
            raise RuntimeError("no entries")

        def __len__(self) -> int:
            return 1

    assert plain_result(Broken()) == {"result": "<unreadable mapping: RuntimeError>"}


def deep() -> None:
    secret = "hunter2"  # noqa: F841
    deep()


@pytest.mark.parametrize(
    "error", [ValueError("a\ud800b\0c"), MuteError(), ExceptionGroup("many", [ValueError("one"), TypeError("two")])]
)
def test_any_error_can_be_described_and_stored(error: BaseException) -> None:
    for text in (describe_error(error), summarize_error(error)):
        assert type(error).__name__ in text
        assert "\0" not in text
        text.encode("utf-8")


def test_an_error_is_described_with_its_traceback_bounded_and_without_variables() -> None:
    try:
        deep()
    except RecursionError as error:
        text = describe_error(error)

    assert "in deep" in text
    assert len(text) <= LONGEST_ERROR + 100
    assert "hunter2" not in text.replace('secret = "hunter2"', "")


def test_causes_that_form_a_loop_are_described() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    assert "second" in describe_error(first)


def test_secrets_are_kept_out_of_results_and_errors() -> None:
    result = plain_result(
        {"token": "hunter2", "url": "https://me:hunter2@example.org", "tokens": 2, 5: "password=hunter2"}
    )
    error = ValueError("cannot connect with password='hunter2' to postgres://me:hunter2@db")

    assert result == {"token": "***", "url": "https://me:***@example.org", "tokens": 2, "5": "password=***"}
    assert "hunter2" not in summarize_error(error)
    try:
        raise error
    except ValueError as raised:
        described = describe_error(raised)
    assert "password='***'" in described
    assert "hunter2" not in described


def test_a_secret_that_reaches_beyond_the_cut_is_kept_out() -> None:
    text = "x" * (LONGEST_TEXT - 20) + " postgres://me:" + "hunter2" * 10 + "@db"

    result = plain_result(text)

    assert result is not None
    assert "hunter2" not in str(result)
