"""What is wrong with a table of the configuration, and where: the words that people read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import NoReturn

import attrs
from attrs import frozen
from cattrs.errors import StructureHandlerNotFoundError

Mistake = tuple[tuple[str | int, ...], str]
"""The path to a value inside its table, and what is wrong with it."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_KINDS: tuple[tuple[type, str], ...] = (  # bool before int, datetime before date: the former are the latter
    (bool, "a truth value"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (Mapping, "a table"),
    (list, "a list"),
    (datetime, "a date with a time"),
    (date, "a date"),
    (time, "a time of day"),
)


@frozen
class Where:
    """Where a table is written: for messages, and for the paths in it.

    Attributes:
        file: The file, as messages show it.
        table: The table's dotted name, without brackets.
        folder: What relative paths in the table are relative to, absolute.
    """

    file: str
    table: str
    folder: Path

    def below(self, *tables: str) -> Where:
        """Return the same for a table inside this one."""
        return attrs.evolve(self, table=".".join([self.table, *map(_key, tables)]))

    def problem(self, path: Sequence[str | int], text: str) -> str:
        """Return one line that says where the mistake is, down to the key, and *text*."""
        keys = [self.table]
        for part in path:
            if isinstance(part, int):
                keys[-1] += f"[{part}]"
            else:
                keys.append(_key(part))
        if len(keys) == 1:
            return f"{self.file}: [{self.table}]: {text}"
        return f"{self.file}: [{'.'.join(keys[:-1])}] {keys[-1]}: {text}"


def _key(text: str) -> str:
    return text if _BARE_KEY.fullmatch(text) else f'"{text}"'


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return the end of a message about the unknown *word*: the closest of *known*, or all of them."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(sorted(known))}" if known else ""


class Mistakes(Exception):  # noqa: N818  a list of them
    """Some settings are wrong; turned into a `ConfigurationError` before it leaves this package."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__(mistakes)
        self.mistakes = mistakes


def mistakes_of(error: Exception) -> list[Mistake]:
    """Return what *error* says is wrong, relative to the value it was raised for."""
    if isinstance(error, Mistakes):
        return error.mistakes
    if isinstance(error, StructureHandlerNotFoundError):
        return [((), f"a setting cannot be of the type {error.type_!r}; the settings class must say something else")]
    # attrs' own validators put more than the text into an exception, and str() would show all of it
    text = error.args[0] if type(error).__str__ is Exception.__str__ and error.args else str(error)
    return [((), " ".join(str(text).split()) or type(error).__name__)]


def below_key(part: str | int, error: Exception) -> list[Mistake]:
    """Return what *error* says is wrong with the value under a key, or at an index."""
    return [((part, *path), text) for path, text in mistakes_of(error)]


def kind_of(value: object) -> str:
    """Return in words what *value* is."""
    return next((words for type_, words in _KINDS if isinstance(value, type_)), type(value).__name__)


def refuse(value: object, wanted: str) -> NoReturn:
    """Raise an error that says what was wanted, and what kind of value was found.

    Never the value itself: it may be a secret.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"must be {wanted}, not {kind_of(value)}")
