"""Durations, as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rapua_scheduler.errors import InvalidJobError
from rapua_scheduler.policy import CatchUp, Retry, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("14d", 1_209_600), ("0", 0), ("1.5 h", 5400), ("250ms", 0.25)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1y", "1h x", "soon", "9" * 30 + "w", "1 h 5"])
def test_other_text_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_policies_refuse_what_makes_no_sense() -> None:
    with pytest.raises(InvalidJobError):
        Retry(attempts=0)
    with pytest.raises(InvalidJobError):
        Retry(delay=timedelta(0))
    with pytest.raises(InvalidJobError):
        CatchUp.latest(within=timedelta(-1))
