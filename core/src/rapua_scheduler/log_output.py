"""Write log lines so that whoever should read them cannot hold up the host."""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable
from copy import copy
from typing import Any, TextIO

from rapua_scheduler.representation import shorten

PATIENCE = 0.25
"""Seconds that one line waits at most for room, as in a pipe that is full; the next ones do not wait."""

LONGEST_ARGUMENT = 100_000
"""Characters kept of what is put in the place of a `%s`."""

_PIECE = 4096
_PIECE_OF_TERMINAL = 256


class _ShortArguments(dict[str, Any]):
    """Stands for a large mapping of arguments; a line may show one of them, or all."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self._arguments = arguments

    def __getitem__(self, name: str) -> object:
        return shorten(self._arguments[name], LONGEST_ARGUMENT)

    def __len__(self) -> int:
        return len(self._arguments)

    def __repr__(self) -> str:
        return str(shorten(self._arguments, LONGEST_ARGUMENT))


def short_arguments(arguments: Any) -> Any:
    """Return the arguments of a log line, a tuple or a mapping, with what is long shortened."""
    if type(arguments) is tuple:
        return tuple(shorten(argument, LONGEST_ARGUMENT) for argument in arguments)
    if type(arguments) is dict and shorten(arguments, LONGEST_ARGUMENT) is not arguments:
        return _ShortArguments(arguments)
    return arguments


def _short_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record that is written in bounded time; what others are handed stays as it is."""
    if not record.args and type(record.msg) in {str, dict}:
        return record
    short = copy(record)
    short.args = short_arguments(record.args)
    short.msg = record.msg if isinstance(record.msg, dict) else shorten(record.msg, LONGEST_ARGUMENT)
    return short


class LogOutput(logging.Handler):
    """Writes lines to a stream; what nobody takes is lost and counted, and told once somebody does again.

    A reader that has gone costs nothing. One that has stopped reading, as a terminal after Ctrl-S,
    costs one line its patience, and those that follow nothing.

    Attributes:
        lost: Lines that were lost since it was last told.
    """

    def __init__(self, stream: TextIO, tell: Callable[[int], object]) -> None:
        """Write lines.

        Args:
            stream: Where to; through its descriptor, if it has one.
            tell: Called with the number of lines that were lost, once there is somebody to hear of it.
        """
        super().__init__()
        self._tell = tell
        self.lost = 0
        self._stream = stream
        self._descriptor: int | None = None
        self._piece = _PIECE
        self._is_stuck = False
        self._is_torn = False
        try:
            self._descriptor = stream.fileno()
            self._piece = _PIECE_OF_TERMINAL if stream.isatty() else _PIECE
        except (AttributeError, OSError, ValueError):  # it is no file
            return
        self._room = select.poll()
        self._room.register(self._descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; never raises."""
        try:
            self._write(f"{self._text(record)}\n")
        except (OSError, ValueError):  # the reader has gone, the disk is full, the stream is closed
            self.lost += 1
            self._is_torn = True
            return
        if self.lost:
            lost, self.lost = self.lost, 0
            self._tell(lost)

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(_short_record(record))
        except Exception as error:  # what is logged cannot be shown
            return f"a line of {record.name} cannot be shown: {type(error).__name__}"

    def _write(self, text: str) -> None:
        if self._descriptor is None:
            self._stream.write(text)
            self._stream.flush()
            return
        line = text.encode("utf-8", "backslashreplace")
        if self._is_torn:
            line = b"\n" + line
        for start in range(0, len(line), self._piece):
            self._wait_for_room()
            piece = line[start : start + self._piece]
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]
                self._is_torn = True
        self._is_torn = False

    def _wait_for_room(self) -> None:
        """Wait until a piece can be written without blocking.

        Raises:
            TimeoutError: There was no room in time.
        """
        if not self._room.poll(0 if self._is_stuck else PATIENCE * 1000):
            self._is_stuck = True
            raise TimeoutError("nobody reads the log")
        self._is_stuck = False
