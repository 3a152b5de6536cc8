"""Standard streams as a command finds them: closed, full, or unable to show a character."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import TextIO, cast


class _Closed(io.TextIOBase):
    """Stands in for a standard output that was closed before the program began."""

    def write(self, _: str) -> int:
        raise OSError(errno.EBADF, "standard output is closed: there is nowhere to print to")


def take_streams() -> None:
    """Make the standard streams ones that can be used.

    Where one was closed, nothing else may be opened under its number: the store's file would be, and be
    printed into. What a stream cannot show is escaped.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
    if sys.stdout is None:
        sys.stdout = cast("TextIO", _Closed())
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def let_go_of_output() -> None:
    """Keep what could not be printed from being printed again, in vain, at the end of the process."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
