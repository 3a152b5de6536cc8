"""What is told of an error, and of those that led to it, is bounded; of ordinary ones it is what Python tells."""

from __future__ import annotations

import traceback

import pytest

from rapua_scheduler.outcomes import LONGEST_ERROR, describe_error
from rapua_scheduler.tracebacks import MOST_ERRORS, short_error

LARGE = [[0] * 1000] * 100_000


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301  to have frames
    except BaseException as found:
        return found


def chained(length: int) -> BaseException:
    error: BaseException = ValueError(0)
    for number in range(1, length):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    return error


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def noted(error: BaseException, note: str) -> BaseException:
    error.add_note(note)
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain"),
        noted(ValueError("noted"), "a note"),
        chained(20),
        ExceptionGroup("many", [ValueError(1), ExceptionGroup("inner", [TypeError(2)])]),
        SyntaxError("bad", ("file", 1, 2, "text")),
    ],
    ids=repr,
)
def test_an_ordinary_error_is_told_by_itself(error: BaseException) -> None:
    assert short_error(raised(error)) is error


def test_what_stands_for_a_large_one_has_its_name_its_frames_and_all_that_led_to_it() -> None:
    cause, context = raised(KeyError("the cause")), raised(ValueError(LARGE))
    error = raised(BaseExceptionGroup("the group", [raised(TypeError("a member")), ValueError("x" * 10_000_000)]))
    error.add_note("the note")
    error.__cause__, error.__context__ = cause, context

    text = told(short_error(error))

    for part in ("KeyError: 'the cause'", "the group (2 sub-exceptions)", "TypeError: a member", "the note"):
        assert part in text
    assert "ValueError: xxx" in text
    assert text.count("in raised") == 3
    assert "direct cause" in text
    assert len(text) < 200_000
    assert error.__cause__ is cause


def test_no_more_errors_are_told_than_are_many() -> None:
    short = short_error(raised(chained(MOST_ERRORS * 3)))

    text = told(short)
    assert f"ValueError: {MOST_ERRORS * 3 - 1}\n" in text
    assert "(the errors that led to it are left out)" in text
    assert text.count("ValueError") == MOST_ERRORS


def test_a_wide_group_says_how_wide_it_is() -> None:
    short = short_error(ExceptionGroup("wide", [ValueError(number) for number in range(100_000)]))

    assert "wide (100000 sub-exceptions)" in told(short)
    assert isinstance(short, BaseExceptionGroup)


def test_a_text_that_raises_is_told_so() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt("no text")

    mute, large = MuteError(), ValueError(LARGE)
    large.__cause__ = mute

    assert short_error(mute) is mute
    assert "MuteError: <its text cannot be shown>" in told(short_error(large))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError(LARGE),
        lambda: ValueError("x\n" * 25_000_000),
        lambda: noted(ValueError(), "x" * 100_000_000),
        lambda: ExceptionGroup("x" * 100_000_000, [ValueError(LARGE)]),
        lambda: ExceptionGroup("wide", [ValueError()] * 500_000),
        lambda: chained(100_000),
    ],
    ids=["value", "lines", "note", "group", "wide", "chain"],
)
@pytest.mark.timeout(20)
def test_a_large_error_is_described_at_once(make: object) -> None:
    error = raised(make())  # type: ignore[operator]

    text = describe_error(error)

    assert type(error).__name__ in text
    assert len(text) < LONGEST_ERROR + 200
