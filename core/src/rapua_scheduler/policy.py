"""What a job asks of the host beyond its times: values, which `planner` and `lanes` act on."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from attrs import Attribute, field, frozen

from rapua_scheduler.errors import InvalidJobError

_E = TypeVar("_E", bound=StrEnum)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def parse_duration(text: str) -> timedelta:
    """Return the duration written as *text*, such as "90s", "1h30m" or "14d".

    Units are ms, s, m, h, d (24 hours) and w (7 days); a bare "0" is zero.

    Raises:
        ValueError: The text is not a duration; the message shows how to write one.
    """
    compact = text.replace(" ", "")
    parts = _DURATION.findall(compact)
    if compact != "0" and (not parts or "".join(number + unit for number, unit in parts) != compact):
        raise ValueError(f'{text!r} is not a duration; write it like "90s", "10m", "1h30m" or "14d"')
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError(f"{text!r} is too long for a duration") from None


def _duration(value: timedelta | str | None) -> timedelta | None:
    if value is None or isinstance(value, timedelta):
        return value
    return parse_duration(value)


def _longer_than_zero(policy: object, attribute: Attribute[Any], value: timedelta | None) -> None:
    if value is not None and value <= timedelta(0):
        name = "catch_up" if isinstance(policy, CatchUp) else "retry"
        raise InvalidJobError(name, f"{attribute.name} must be longer than zero, not {value}")


def choice(field: str, kind: type[_E], value: _E | str) -> _E:
    """Return the member of *kind* that *value* is, or is written as.

    Raises:
        InvalidJobError: It is none of them; names the field of the job, and the members.
    """
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(f'"{member}"' for member in kind)
        raise InvalidJobError(field, f"{value!r} is none of {choices}") from None


def _mode(value: CatchUpMode | str) -> CatchUpMode:
    return choice("catch_up", CatchUpMode, value)


class CatchUpMode(StrEnum):
    """Which of the fire times that passed unseen are run afterwards."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


@frozen
class CatchUp:
    """What becomes of fire times that passed while nobody could run them.

    Attributes:
        mode: `none` runs none of them, `latest` the newest, `all` the newest hundred, oldest first.
        within: Fire times that are later than this are not made up; None is without bound.
    """

    mode: CatchUpMode = field(default=CatchUpMode.LATEST, converter=_mode)
    within: timedelta | None = field(default=None, converter=_duration, validator=_longer_than_zero)

    @classmethod
    def none(cls) -> CatchUp:
        """Make up nothing."""
        return cls(CatchUpMode.NONE)

    @classmethod
    def latest(cls, within: timedelta | str | None = None) -> CatchUp:
        """Make up the newest fire time, if it is at most *within* late."""
        return cls(CatchUpMode.LATEST, within)

    @classmethod
    def all(cls, within: timedelta | str | None = None) -> CatchUp:
        """Make up every fire time that is at most *within* late, oldest first, at most 100."""
        return cls(CatchUpMode.ALL, within)


class Overlap(StrEnum):
    """What becomes of a fire time whose job is still running."""

    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    QUEUE_ALL = "queue_all"
    CANCEL_PREVIOUS = "cancel_previous"
    ALLOW = "allow"


@frozen
class Retry:
    """How often, and how long after one another, a failed run is tried.

    Attributes:
        attempts: Tries in all, the first included; at least 1.
        delay: Wait before the second attempt; doubled before each further one.
        cap: Longest wait between two attempts.
    """

    attempts: int = field(default=1)
    delay: timedelta = field(default=timedelta(seconds=30), converter=_duration, validator=_longer_than_zero)
    cap: timedelta = field(default=timedelta(hours=1), converter=_duration, validator=_longer_than_zero)

    @attempts.validator
    def _at_least_one(self, _: object, value: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidJobError("retry", f"attempts must be a whole number of at least 1, not {value!r}")


class Isolation(StrEnum):
    """Where an attempt executes."""

    THREAD = "thread"
    PROCESS = "process"


class IfUnfinished(StrEnum):
    """What becomes of a run whose host died or was stopped in the middle."""

    RERUN = "rerun"
    LEAVE = "leave"
