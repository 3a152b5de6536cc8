"""Collect what an attempt says of itself, its log lines and its progress, until they are stored."""

from __future__ import annotations

import reprlib
import sys
import threading
from collections import deque
from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from attrs import frozen

from rapua_scheduler.clock import Clock
from rapua_scheduler.logs import get_logger
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.redaction import redact
from rapua_scheduler.representation import represent, shorten
from rapua_scheduler.run import LogLine, Scalar

MOST_PENDING = 500
"""Lines of one attempt that wait to be stored; of more, the newest are kept."""

MOST_AT_ONCE = 1000
"""Lines of one attempt that are handed on while it executes; of what follows, the last come at its end."""

LONGEST_LINE = 2000
"""Characters kept of one line."""

_KEPT_LEVELS = {"info", "warning", "error", "critical"}
_NO_FIELDS = {"event", "level", "exc_info", "stack_info", "stacklevel", "exception"}
_MOST_FIELDS = 50
_LARGEST = 2**63 - 1
_MOST_SORTED = 1000


class _Shorten(reprlib.Repr):
    """As `reprlib`, which sorts what has no order, and makes the whole text of what it does not know."""

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        return super().repr_dict(x if len(x) <= _MOST_SORTED else dict(islice(x.items(), _MOST_SORTED)), level)

    def repr_set(self, x: set[Any], level: int) -> str:
        return super().repr_set(x if len(x) <= _MOST_SORTED else set(islice(x, _MOST_SORTED)), level)

    def repr_frozenset(self, x: frozenset[Any], level: int) -> str:
        return super().repr_frozenset(x if len(x) <= _MOST_SORTED else frozenset(islice(x, _MOST_SORTED)), level)

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            text, is_whole = represent(x, LONGEST_LINE)
        except Exception:
            return f"<{type(x).__name__} instance at {id(x):#x}>"
        if is_whole and len(text) <= self.maxother:
            return text
        beginning = self.maxother // 2 - 1
        end = self.maxother - beginning - len(self.fillvalue) if is_whole else 0
        return f"{text[:beginning]}{self.fillvalue}{text[len(text) - end :]}"


_shorten = _Shorten()
_shorten.maxstring = _shorten.maxother = _shorten.maxlong = 500
_shorten.maxlist = _shorten.maxtuple = _shorten.maxset = _shorten.maxfrozenset = _shorten.maxdict = 20


@frozen
class LoggedLine(LogLine):
    """A line, and what its text was made from, for whoever writes it to a log elsewhere.

    Attributes:
        event: "event" and the other fields, plain and bounded, secrets and all that the text may not have.
    """

    event: Mapping[str, Scalar]


Report = tuple[tuple[LogLine, ...], int | None, int | None]
"""Log lines, oldest first; how many items are through; and how many there are."""


class Recorder:
    """What one attempt has written to its log, and how far it says to be; may be used from any thread.

    It takes no more memory than `MOST_PENDING` lines, however much is written, and hands on no more
    than that and `MOST_AT_ONCE` lines. Where lines were left out, a line says how many.
    """

    __slots__ = (
        "_attempt",
        "_clock",
        "_done",
        "_has_progressed",
        "_keeps_events",
        "_left_out",
        "_lines",
        "_lock",
        "_room",
        "_total",
    )

    def __init__(self, clock: Clock, attempt: int, *, keeps_events: bool = False) -> None:
        """Make a recorder that has heard nothing; cheap, as most attempts say nothing.

        Args:
            clock: Tells when a line was written.
            attempt: The number of the attempt.
            keeps_events: Whether what is logged is recorded as `LoggedLine`s.
        """
        self._clock = clock
        self._keeps_events = keeps_events
        self._attempt = attempt
        self._lock = threading.Lock()
        self._lines: deque[LogLine] | None = None
        self._left_out = 0
        self._room = MOST_AT_ONCE
        self._done: int | None = None
        self._total: int | None = None
        self._has_progressed = False

    def logger(self, name: str, **bound: Any) -> Any:
        """Return a structlog logger as `get_logger` does, whose lines of level info and above are recorded too.

        They are recorded whatever level the host's log is written from.

        Args:
            name: A logger name below "rapua_scheduler".
            bound: Fields of every line; not recorded, as the run says the same.
        """

        def tee(event: Mapping[str, Any]) -> None:
            level = event["level"]
            if level in _KEPT_LEVELS:
                self.add(level, _text(event, bound), event=_plain_event(event, bound) if self._keeps_events else None)

        return get_logger(name, tee=tee, **bound)

    def add(
        self, level: str, text: str, at: datetime | None = None, *, event: Mapping[str, Scalar] | None = None
    ) -> None:
        """Record a line.

        Args:
            level: Such as "info".
            text: The line; cut if it is long, and without its secrets when it is recorded.
            at: When it was written; now, if None.
            event: What the text was made from, if that is to be kept too.
        """
        # secrets first: one that is cut in two is not known any more
        kept = redact(" ".join(text[: 2 * LONGEST_LINE].splitlines()))
        if len(kept) > LONGEST_LINE:
            kept = f"{kept[: LONGEST_LINE - 1]}…"
        at = at or self._clock.now()
        line = LogLine(at, self._attempt, level, kept)
        if event is not None:
            line = LoggedLine(at, self._attempt, level, kept, event)
        with self._lock:
            if self._lines is None:
                self._lines = deque(maxlen=MOST_PENDING)
            elif len(self._lines) == MOST_PENDING:
                self._left_out += 1
            self._lines.append(line)

    def progress(self, done: int, total: int | None) -> None:
        """Note that *done* of *total* items are through; what is no number is passed over."""
        try:
            done, total = int(done), None if total is None else int(total)
        except (TypeError, ValueError, OverflowError):
            return
        with self._lock:
            self._done = min(max(0, done), _LARGEST)
            self._total = None if total is None else min(max(0, total), _LARGEST)
            self._has_progressed = True

    def drain(self, *, is_last: bool = False) -> Report | None:
        """Return what was not handed on yet, with the newest progress; None if there is nothing new.

        Args:
            is_last: Whether the attempt has ended; what was held back as too much comes then.
        """
        if not self._lines and not self._has_progressed:
            return None
        with self._lock:
            lines = self._take() if is_last or self._room > 0 else ()
            has_progressed, self._has_progressed = self._has_progressed, False
            return (lines, self._done, self._total) if lines or has_progressed else None

    def _take(self) -> tuple[LogLine, ...]:
        if not self._lines:
            return ()
        lines = tuple(self._lines)
        self._lines.clear()
        self._room -= len(lines)
        if self._left_out:
            note = f"… ({self._left_out} lines were too many, and are left out here)"
            lines = (LogLine(lines[0].at, self._attempt, "warning", note), *lines)
            self._left_out = 0
        return lines


def _text(event: Mapping[str, Any], bound: Mapping[str, Any]) -> str:
    words = [_cut(event.get("event"))]
    for name, value in event.items():
        if name not in _NO_FIELDS and bound.get(name, words) is not value:
            words.append(f"{name}={_shown(value)}")
    error = _error_of(event.get("exc_info"))
    if error is not None:
        words.append(f"exception={summarize_error(error)!r}")
    return " ".join(words)


def _plain_event(event: Mapping[str, Any], bound: Mapping[str, Any]) -> Mapping[str, Scalar]:
    """Return the fields that `_text` shows, as they can be told to another process."""
    plain: dict[str, Scalar] = {"event": _cut(event.get("event"))}
    for name, value in event.items():
        if name not in _NO_FIELDS and bound.get(name, plain) is not value and len(plain) <= _MOST_FIELDS:
            plain[name[:LONGEST_LINE]] = _plain(value)
    error = _error_of(event.get("exc_info"))
    if error is not None:
        plain["exception"] = summarize_error(error)
    return plain


def _plain(value: object) -> Scalar:
    if value is None or isinstance(value, bool) or type(value) is float:
        return value
    if type(value) is int:
        return value if abs(value) <= _LARGEST else _shown(value)
    if isinstance(value, Collection) and not isinstance(value, str):
        return _shown(value)
    try:
        return redact(str(shorten(value, 2 * LONGEST_LINE))[: 2 * LONGEST_LINE])[:LONGEST_LINE]
    except BaseException:  # whatever somebody's representation raises
        return _shown(value)


def _cut(value: object) -> str:
    return value[: 2 * LONGEST_LINE] if isinstance(value, str) else _shown(value)


def _shown(value: object) -> str:
    try:
        return _shorten.repr(value)
    except BaseException as error:  # whatever somebody's representation raises
        return f"<{type(value).__name__}; its representation raised {type(error).__name__}>"


def _error_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1] if len(exc_info) > 1 else None
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None
