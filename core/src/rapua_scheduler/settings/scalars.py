"""Settings that are one value: text, numbers, durations, paths, zones, dates and choices."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from rapua_scheduler.errors import InvalidScheduleError
from rapua_scheduler.policy import parse_duration
from rapua_scheduler.schedules import BuiltInSchedule, parse_schedule
from rapua_scheduler.settings.mistakes import refuse

_SIZE = re.compile(r"(\d{1,9})([KMGT])", re.ASCII)
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


class ByteSize(int):
    """A number of bytes that is written with a unit to the base 1024, such as "512M".

    Source of the units: systemd.resource-control(5).
    """

    __slots__ = ()


def _bytes(_: object, __: object) -> bytes:
    raise TypeError("a setting cannot be bytes; the settings class should say str")


def _text(value: object, _: object) -> str:
    if not isinstance(value, str):
        refuse(value, "text in quotes")
    return value


def _truth(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        refuse(value, "true or false, without quotes")
    return value


def _whole_number(value: object, _: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(value, "a whole number, without quotes")
    return value


def _number(value: object, _: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        refuse(value, "a number, without quotes")
    return float(value)


def _duration(value: object, _: object) -> timedelta:
    if not isinstance(value, str):
        refuse(value, 'a duration in quotes, such as "30s" or "14d"')
    return parse_duration(value)


def _size(value: object, _: object) -> ByteSize:
    if not isinstance(value, str):
        refuse(value, 'a size in quotes, such as "512M" or "2G"')
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f'{value!r} is not a size; write it like "512M" or "2G", the units being K, M, G and T')
    return ByteSize(int(match[1]) * _UNITS[match[2]])


def _schedule(value: object, _: object) -> BuiltInSchedule:
    if not isinstance(value, str):
        refuse(value, 'a schedule in quotes, such as "0 3 * * *" or "every 6h"')
    try:
        return parse_schedule(value)
    except InvalidScheduleError as error:
        raise ValueError(f"{error.expression!r}: {error.problem}") from None


def path(value: object, folder: Path) -> Path:
    """Return the path that is written, relative to *folder* unless absolute or below `~`."""
    if not isinstance(value, str):
        refuse(value, "a path in quotes")
    if "\0" in value:
        raise ValueError(f"{value!r} can be no path: it has a NUL character in it")
    if not value.strip():
        raise ValueError("must be a path, not blank; take the key out to have none")
    try:
        return folder / Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"{value!r} cannot be found: there is no such home folder") from None


def _zone(value: object, _: object) -> zoneinfo.ZoneInfo:
    if not isinstance(value, str):
        refuse(value, 'the name of a time zone in quotes, such as "Pacific/Auckland"')
    return named_zone(value)


def named_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the time zone called *name*.

    Raises:
        ValueError: There is none; the message suggests one.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
    if not known:
        raise ValueError(f"time zone {name!r} is unknown: there is no time zone data; pip install tzdata")
    close = difflib.get_close_matches(name, known, n=1)
    better = f'did you mean "{close[0]}"?' if close else 'write it like "Pacific/Auckland" or "UTC"'
    raise ValueError(f"no time zone is called {name!r}; {better}")


def _of_toml(kind: type, words: str) -> Callable[[Any, Any], Any]:
    def check(value: object, _: object) -> object:
        if type(value) is not kind:
            refuse(value, words)
        return value

    return check


SCALARS: Mapping[type, Callable[[Any, Any], Any]] = {
    bool: _truth,
    bytes: _bytes,
    BuiltInSchedule: _schedule,
    ByteSize: _size,
    date: _of_toml(date, "a date without quotes, such as 2026-11-23"),
    datetime: _of_toml(datetime, "a date with a time, without quotes, such as 2026-11-23T03:00:00Z"),
    float: _number,
    int: _whole_number,
    str: _text,
    time: _of_toml(time, "a time of day without quotes, such as 03:00:00"),
    timedelta: _duration,
    zoneinfo.ZoneInfo: _zone,
}


def one_of(value: object, choices: Sequence[tuple[Any, Any]]) -> object:
    """Return the meaning of that choice which equals *value* and is of its type."""
    for choice, meaning in choices:
        if type(choice) is type(value) and choice == value:
            return meaning
    words = ", ".join(f'"{choice}"' if isinstance(choice, str) else str(choice) for choice, _ in choices)
    raise ValueError(f"must be one of {words}")
