"""Durations, as people write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from rapua_scheduler.errors import InvalidJobError
from rapua_scheduler.policy import CatchUp, CatchUpMode, IfUnfinished, Isolation, Overlap, Retry, choice, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1h30m", 5400),
        ("14d", 1_209_600),
        ("2w", 1_209_600),
        ("0", 0),
        ("1.5 h", 5400),
        ("250ms", 0.25),
        ("1w2d3h4m5s6ms", 788_645.006),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1y", "1h x", "soon", "9" * 30 + "w", "1 h 5"])
def test_other_text_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_a_refusal_of_text_says_what_to_write() -> None:
    with pytest.raises(ValueError) as unread:
        parse_duration("soon")
    with pytest.raises(ValueError) as too_long:
        parse_duration("9999999999w")

    assert str(unread.value) == '\'soon\' is not a duration; write it like "90s", "10m", "1h30m" or "14d"'
    assert str(too_long.value) == "'9999999999w' is too long for a duration"


def test_what_is_not_said_of_a_policy_is_the_usual() -> None:
    assert CatchUp() == CatchUp.latest() == CatchUp("latest", within=None)
    assert Retry() == Retry(attempts=1, delay="30s", cap="1h")


def test_policies_are_written_as_these_words() -> None:
    written = [",".join(kind) for kind in (CatchUpMode, Overlap, Isolation, IfUnfinished)]

    assert written == [
        "none,latest,all",
        "skip,queue_one,queue_all,cancel_previous,allow",
        "thread,process",
        "rerun,leave",
    ]


@pytest.mark.parametrize(
    ("refuse", "field", "problem"),
    [
        (lambda: Retry(attempts=0), "retry", "attempts must be a whole number of at least 1, not 0"),
        (lambda: Retry(attempts=True), "retry", "attempts must be a whole number of at least 1, not True"),
        (lambda: Retry(delay=timedelta(0)), "retry", "delay must be longer than zero, not 0:00:00"),
        (lambda: Retry(cap="0"), "retry", "cap must be longer than zero, not 0:00:00"),
        (lambda: CatchUp.latest(timedelta(-1)), "catch_up", "within must be longer than zero, not -1 day, 0:00:00"),
        (lambda: CatchUp.all("0s"), "catch_up", "within must be longer than zero, not 0:00:00"),
        (lambda: CatchUp("some"), "catch_up", '\'some\' is none of "none", "latest", "all"'),
        (lambda: choice("isolation", Isolation, "vm"), "isolation", '\'vm\' is none of "thread", "process"'),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_the_jobs_field(
    refuse: Callable[[], object], field: str, problem: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        refuse()

    assert (caught.value.field, caught.value.problem) == (field, problem)
