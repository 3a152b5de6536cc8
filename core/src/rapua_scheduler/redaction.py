"""Keep secrets out of logs and records: what reads like one is replaced by `***`."""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from functools import lru_cache
from itertools import islice
from typing import Any

from rapua_scheduler.representation import represent, shorten

REDACTED = "***"
"""What stands in the place of a secret."""

_WORDS = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|cookie|credential|auth(?:orization)?"
    r"|(?:api|access|private|signing|encryption)[_-]?key)"
)
_ENDING = r"(?:[_-]?(?:key|value|hash|header|confirm(?:ation)?)|[0-9]+)?"
_SEPARATOR = r"""\\*["']?[ \t]*(?::=|=>|[:=])[ \t]*"""

_SECRET_NAME = re.compile(rf"{_WORDS}(?P<plural>s?){_ENDING}$", re.IGNORECASE | re.ASCII)

# Ordinary text is only searched for this: in lower case, so that its literals can be found quickly.
_HINT = re.compile(
    r"passw|passphrase|passcode|pwd|secret|token|cookie|credential|auth|api[_-]?key|access[_-]?key|private[ _-]?key"
    r"|signing[_-]?key|encryption[_-]?key|bearer|://|sk_|rk_|whsec_|eyj"
)

_SECRET = re.compile(
    rf"""
    (?P<line> (?:cookie|authorization) : [ \t]* ) (?! [\s"'\[{{(] ) [^\r\n]+  # the line of a header
    | (?P<name> {_WORDS} (?: s (?! {_SEPARATOR} [0-9]+ (?![\w.-]) ) )? {_ENDING} {_SEPARATOR} )  # not "tokens: 12"
      (?: (?P<open> [bu]?" ) (?: [^"\\] | \\. )*+ (?P<close> "|\Z )
        | (?P<open1> [bu]?' ) (?: [^'\\] | \\. )*+ (?P<close1> '|\Z )
        | (?P<escaped> \\+["'] ) (?: .*? (?P<close2> (?P=escaped) ) | \S* )  # JSON in JSON
        | \[ [^\]]* \]? | \{{ [^}}]* \}}? | \( [^)]* \)?
        | (?: (?:bearer|basic|digest|token) [ \t]+ )? [^\s&"]* [^\s&",;)\]}}'>]
      )
    | (?P<user> :// [^\s:/?\#@]* : ) [^\s/@]+ (?: @ [^\s/@]+ )*? (?= @ [^\s/@]* (?: [\s/]|\Z ) )  # credentials of a URL
    | (?P<option> (?<! [\w-] ) --[\w-]{{0,40}}? {_WORDS} s? {_ENDING} (?: [ \t]+ | ["'],[ \t]*["'] ) ) (?! - ) [^\s"',]+
    | (?P<scheme> \b bearer [ \t]+ ) [^\s"',;]+
    | -----BEGIN [ ] [A-Z ]* PRIVATE [ ] KEY----- .*? (?: -----END [ ] [A-Z ]* PRIVATE [ ] KEY----- | \Z )
    | \b (?P<kind> (?:sk|rk)_(?:live|test)_ | whsec_ ) \w+  # of the payment service of a Rapua site
    | \b eyJ [\w-]{{8,}} \. [\w-]+ \. [\w-]*  # a JSON web token
    """,
    re.IGNORECASE | re.ASCII | re.DOTALL | re.VERBOSE,
)
_REPLACEMENT = (
    r"\g<line>\g<name>\g<open>\g<open1>\g<escaped>\g<user>\g<option>\g<scheme>\g<kind>"
    + REDACTED
    + r"\g<close>\g<close1>\g<close2>"
)

_PLAIN = {int, float, bool, type(None)}
_DEEPEST = 20
_MOST_ITEMS = 10_000
_MOST_CHARACTERS = 100_000
_LONGEST_NAME = 100
_LONGEST_SECRET = 10_000
_LONGEST_KEY = 1000


def redact(text: str) -> str:
    """Return *text* with what reads like a secret replaced by `***`.

    Such are the values in `password=…`, `"token": "…"`, `--password …` and the like, the credentials in a URL, what
    follows `Bearer`, the lines of `Authorization` and `Cookie` headers, private keys in PEM, JSON web
    tokens, and the keys of the payment service. Rather too much is replaced than too little. Doing so
    again changes nothing.
    """
    if _HINT.search(text.lower()) is None:
        return text
    return _SECRET.sub(_REPLACEMENT, text)


def is_secret(name: str, value: object) -> bool:
    """Tell whether a field called *name* holds a secret; no truth value does, nor a number of several."""
    if value is None or isinstance(value, bool):
        return False
    of_one, of_several = _secrecy(name[-_LONGEST_NAME:])
    return of_one or (of_several and not isinstance(value, (int, float)))


@lru_cache(maxsize=1024)
def _secrecy(name: str) -> tuple[bool, bool]:
    """Tell whether a name is that of a secret, and whether it is that of several."""
    found = _SECRET_NAME.search(name)
    return found is not None and not found["plural"], found is not None and bool(found["plural"])


def redact_fields(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact the fields of a log line in place, and cut what is long; a processor for structlog."""
    for name, value in event.items():
        if type(value) is str:
            event[name] = _cut(value) if name == "event" or not is_secret(name, value) else REDACTED
        elif type(value) not in _PLAIN:
            event[name] = REDACTED if is_secret(name, value) else _Copy().of(value, 0)
        elif is_secret(name, value):
            event[name] = REDACTED
    return event


def _cut(text: str, longest: int = _MOST_CHARACTERS) -> str:
    if len(text) <= longest:
        return redact(text)
    # secrets first: one that is cut in two is not known any more
    return f"{redact(text[: longest + _LONGEST_SECRET])[:longest]}… ({len(text) - longest} characters left out)"


class _Copy:
    """A copy of one field, without secrets, and with no more than can be written at once."""

    def __init__(self) -> None:
        self._items = _MOST_ITEMS
        self._characters = _MOST_CHARACTERS

    def of(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if self._characters <= 0:
            return "…"
        if kind is str:
            room = self._characters
            self._characters -= len(value)
            return _cut(value, room)
        if kind is dict and depth <= _DEEPEST:
            copy: dict[Any, Any] = {
                self._key(key): self._item(key, item, depth) for key, item in self._first(value.items())
            }
            if len(copy) < len(value):
                copy["…"] = f"{len(value) - len(copy)} left out"
            return copy
        if kind in {list, tuple} and depth <= _DEEPEST:
            items = [self.of(item, depth + 1) for item in self._first(value)]
            return items if len(items) == len(value) else [*items, f"… ({len(value) - len(items)} left out)"]
        return self._shown(value)

    def _first(self, items: Iterable[Any]) -> list[Any]:
        """Return as many items as there is room for, and take that room."""
        taken = list(islice(items, self._items))
        self._items -= len(taken)
        return taken

    def _key(self, key: Any) -> Any:
        return _cut(key, _LONGEST_KEY) if type(key) is str else shorten(key, _LONGEST_KEY)

    def _item(self, key: Any, item: Any, depth: int) -> Any:
        return REDACTED if isinstance(key, str) and is_secret(key, item) else self.of(item, depth + 1)

    def _shown(self, value: Any) -> Any:
        """Return the value, or its representation if that shows a secret, or is long."""
        try:
            text, is_whole = represent(value, self._characters)
            self._characters -= len(text)
            safe = redact(text)
        except BaseException:  # whatever somebody's representation raises
            return value
        if not is_whole:
            return f"{safe}…"
        return value if safe == text else safe
