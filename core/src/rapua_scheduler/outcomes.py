"""Turn what a job returned or raised into plain, bounded values that can be stored."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from itertools import islice

from rapua_scheduler.errors import JobProcessError
from rapua_scheduler.redaction import REDACTED, is_secret, redact
from rapua_scheduler.representation import represent, represent_error
from rapua_scheduler.run import Scalar
from rapua_scheduler.tracebacks import short_error

LONGEST_TEXT = 10_000
"""Characters kept of one text in a result, and of the representation of one that is not plain."""

MOST_ENTRIES = 1000
"""Entries kept of a result."""

LONGEST_ERROR = 64 * 1024
"""Characters kept of an error with its traceback."""

LONGEST_DESCRIPTION = LONGEST_ERROR + 1000
"""Characters kept of an error that another process has described, and cut if it was long."""

_LONGEST_SUMMARIZED = 20_000
_MOST_FRAMES = 50


class PlainResult(dict[str, Scalar]):
    """A result that is plain already, as another process has made it."""


def plain_result(returned: object) -> Mapping[str, Scalar] | None:
    """Return *returned* as a mapping of plain scalars.

    A mapping keeps its entries; any other value stands under "result"; what is neither text, number,
    truth value nor None is kept as its representation. Long texts and large mappings are cut, and what
    reads like a secret is left out.
    """
    if returned is None or isinstance(returned, PlainResult):
        return returned
    if isinstance(returned, Mapping):
        try:
            kept = dict(_entry(_text(key), value) for key, value in islice(returned.items(), MOST_ENTRIES))
            number = len(returned)
        except BaseException as error:  # whatever somebody's mapping raises
            return {"result": f"<unreadable mapping: {type(error).__name__}>"}
        if number > MOST_ENTRIES:
            kept["entries_left_out"] = number - MOST_ENTRIES
        return kept
    return {"result": _scalar(returned)}


def describe_error(error: BaseException) -> str:
    """Return type, text and traceback of *error*, without the values of variables or secrets, bounded."""
    if isinstance(error, JobProcessError):
        return _cut(error.description, LONGEST_DESCRIPTION)
    try:
        short = short_error(error)
        report = traceback.TracebackException(
            type(short), short, short.__traceback__, limit=_MOST_FRAMES, capture_locals=False, compact=True
        )
        text = "".join(report.format())
    except BaseException as broken:  # its text raised, and not even an Exception
        text = f"{type(error).__name__} (its text cannot be shown: {type(broken).__name__})"
    return _cut(text.rstrip("\n"), LONGEST_ERROR)


def summarize_error(error: BaseException) -> str:
    """Return type and text of *error*, without secrets, in one bounded line."""
    is_whole = True
    try:
        text, is_whole = represent_error(error, _LONGEST_SUMMARIZED)
        text = " ".join(text.split())
    except BaseException:
        text = "<its text cannot be shown>"
    return _cut(f"{type(error).__name__}: {text}" if text else type(error).__name__, 1000, is_whole=is_whole)


def _entry(name: str, value: object) -> tuple[str, Scalar]:
    return name, REDACTED if is_secret(name, value) else _scalar(value)


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, bool):
        return value
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else str(value) if value.bit_length() < 4096 else "<a huge integer>"
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    return _text(value)


def _text(value: object) -> str:
    if type(value) is str:
        return _cut(value, LONGEST_TEXT)
    is_whole = True
    try:
        if isinstance(value, (str, int, float)):
            text = str(value)
        else:
            text, is_whole = represent(value, 2 * LONGEST_TEXT)
    except BaseException as error:
        text = f"<{type(value).__name__}; its representation raised {type(error).__name__}>"
    return _cut(text, LONGEST_TEXT, is_whole=is_whole)


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _cut(text: str, longest: int, *, is_whole: bool = True) -> str:
    beginning = text[: 2 * longest]  # before anybody looks at the whole, which takes long
    safe = redact(_storable(beginning))  # first, as a secret that is cut in two is not known any more
    if not is_whole:
        return f"{safe[:longest]}… (further characters left out)"
    left_out = len(text) - len(beginning)
    if len(safe) <= longest and not left_out:
        return safe
    return f"{safe[:longest]}… ({max(0, len(safe) - longest) + left_out} characters left out)"
