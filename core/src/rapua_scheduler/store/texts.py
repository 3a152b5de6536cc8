"""Texts as a store keeps them: encodable, and of bounded length."""

from __future__ import annotations

LONGEST_ERROR = 64 * 1024
"""Bytes kept of an error, in UTF-8, the note that it was cut included."""

LONGEST_LINE = 8 * 1024
"""Bytes kept of a line of a run's log, in UTF-8, the note that it was cut included."""


def storable(text: str) -> str:
    r"""Return *text* with lone surrogates and NUL, which no database takes, written as `\udc80` and `\x00`."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def storable_error(text: str) -> str:
    """Return *text*, storable, and cut if it is longer than `LONGEST_ERROR`, which it then says."""
    return _cut(storable(text), LONGEST_ERROR, "\n… (cut; it had {} bytes)")


def storable_line(text: str) -> str:
    """Return *text*, storable, and cut if it is longer than `LONGEST_LINE`, which it then says."""
    return _cut(storable(text), LONGEST_LINE, "… (cut; it had {} bytes)")


def _cut(text: str, longest: int, note: str) -> str:
    if len(text) * 4 <= longest:  # no character takes more than four bytes
        return text
    encoded = text.encode("utf-8")
    if len(encoded) <= longest:
        return text
    note = note.format(len(encoded))
    return encoded[: longest - len(note.encode("utf-8"))].decode("utf-8", "ignore") + note
