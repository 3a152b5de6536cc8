"""Check that a next function keeps the rules that catch-up, preview and simulation rest on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.fire_times import first_after
from rapua_scheduler.job import NextFunction, takes_after

_START = datetime(2026, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def check_next(
    next_function: NextFunction,
    *,
    zone: tzinfo = UTC,
    start: datetime = _START,
    span: timedelta = timedelta(days=1000),
    samples: int = 500,
) -> None:
    """Check that *next_function* can be the `next` of a job.

    That is: it returns an aware instant strictly later than its argument, or None; the same each time;
    and `a <= b < next(a)` implies `next(b) == next(a)`, so that it does not look at the clock, remembers
    nothing, and passes over no fire time.

    Args:
        next_function: Takes the last fire time.
        zone: The zone that it is asked in.
        start: The oldest instant that it is asked for, aware.
        span: How far from there the others lie.
        samples: How many instants it is asked for; always the same ones.

    Raises:
        AssertionError: It breaks a rule; names the instants.
        ValueError: It takes no argument, so that there is no rule for it.
    """
    if not takes_after(next_function):
        raise ValueError("a next function that takes no argument is asked for what comes next and no more")

    def ask(after: datetime) -> datetime | None:
        try:
            return first_after(next_function, after, zone)
        except BrokenNextError as error:
            raise AssertionError(f"asked for what comes after {after.astimezone(zone).isoformat()}: {error}") from error

    def shown(instant: datetime | None) -> str:
        return "None" if instant is None else instant.astimezone(zone).isoformat()

    for after in _instants(start.astimezone(UTC), span, samples):
        found = ask(after)
        if found is not None:
            ask(found)
        for between in _between(after, found, span):
            again = ask(between)
            if again != found:
                raise AssertionError(
                    f"what comes after {shown(after)} is {shown(found)}, but what comes after {shown(between)}, "
                    f"{'which is the same' if between == after else 'which lies between'}, is {shown(again)}"
                )


def _instants(start: datetime, span: timedelta, samples: int) -> Iterator[datetime]:
    draw = random.Random(samples)  # noqa: S311  the same each time
    yield start
    for _ in range(samples - 1):
        yield start + draw.random() * span


def _between(after: datetime, found: datetime | None, span: timedelta) -> Iterator[datetime]:
    """Yield instants for which the answer must be the same."""
    yield after
    end = after + span if found is None else found - _TICK
    yield after + (end - after) / 2
    yield end
