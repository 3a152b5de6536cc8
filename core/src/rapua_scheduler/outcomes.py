"""Turn what a job returned or raised into plain, bounded values that can be stored."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping

from rapua_scheduler.errors import JobProcessError
from rapua_scheduler.redaction import REDACTED, is_secret, redact
from rapua_scheduler.run import Scalar

LONGEST_TEXT = 10_000
"""Characters kept of one text in a result, and of the representation of one that is not plain."""

MOST_ENTRIES = 1000
"""Entries kept of a result."""

LONGEST_ERROR = 64 * 1024
"""Characters kept of an error with its traceback."""

LONGEST_DESCRIPTION = LONGEST_ERROR + 1000
"""Characters kept of an error that another process has described, and cut if it was long."""

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
            entries = list(returned.items())
            kept = dict(_entry(_text(key), value) for key, value in entries[:MOST_ENTRIES])
        except BaseException as error:  # whatever somebody's mapping raises
            return {"result": f"<unreadable mapping: {type(error).__name__}>"}
        if len(entries) > MOST_ENTRIES:
            kept["entries_left_out"] = len(entries) - MOST_ENTRIES
        return kept
    return {"result": _scalar(returned)}


def describe_error(error: BaseException) -> str:
    """Return type, text and traceback of *error*, without the values of variables or secrets, bounded."""
    if isinstance(error, JobProcessError):
        return _cut(_storable(error.description), LONGEST_DESCRIPTION)
    try:
        report = traceback.TracebackException(
            type(error), error, error.__traceback__, limit=_MOST_FRAMES, capture_locals=False, compact=True
        )
        text = "".join(report.format())
    except BaseException as broken:  # its text raised, and not even an Exception
        text = f"{type(error).__name__} (its text cannot be shown: {type(broken).__name__})"
    return _cut(_storable(text.rstrip("\n")), LONGEST_ERROR)


def summarize_error(error: BaseException) -> str:
    """Return type and text of *error*, without secrets, in one bounded line."""
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = "<its text cannot be shown>"
    return _cut(_storable(f"{type(error).__name__}: {text}" if text else type(error).__name__), 1000)


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
    if type(value) is not str:
        try:
            value = str(value) if isinstance(value, (str, int, float)) else repr(value)
        except BaseException as error:
            value = f"<{type(value).__name__}; its representation raised {type(error).__name__}>"
    return _cut(_storable(value), LONGEST_TEXT)


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _cut(text: str, longest: int) -> str:
    safe = redact(text[: 2 * longest])  # first, as a secret that is cut in two is not known any more
    left_out = len(text) - 2 * longest if len(text) > 2 * longest else 0
    if len(safe) <= longest and not left_out:
        return safe
    return f"{safe[:longest]}… ({max(0, len(safe) - longest) + left_out} characters left out)"
