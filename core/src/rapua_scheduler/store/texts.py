"""Texts as a store keeps them: encodable, and of bounded length."""

from __future__ import annotations

LONGEST_ERROR = 64 * 1024
"""Bytes kept of an error, in UTF-8, the note that it was cut included."""


def storable(text: str) -> str:
    r"""Return *text* with lone surrogates and NUL, which no database takes, written as `\udc80` and `\x00`."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def storable_error(text: str) -> str:
    """Return *text*, storable, and cut if it is longer than `LONGEST_ERROR`, which it then says."""
    text = storable(text)
    if len(text) * 4 <= LONGEST_ERROR:  # no character takes more than four bytes
        return text
    encoded = text.encode("utf-8")
    if len(encoded) <= LONGEST_ERROR:
        return text
    note = f"\n… (cut; it had {len(encoded)} bytes)"
    kept = encoded[: LONGEST_ERROR - len(note.encode("utf-8"))]
    return kept.decode("utf-8", "ignore") + note
