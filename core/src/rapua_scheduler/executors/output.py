"""What a process prints: its newest part, in lines; what is more is counted and forgotten."""

from __future__ import annotations

from collections import deque

MOST_BYTES = 1024 * 1024
"""Bytes that wait to be taken at most."""

MOST_LINES = 100
"""Lines that are taken at a time at most."""

LONGEST_LINE = 10_000
"""Bytes of a line that are kept."""

TAIL_LINES = 20
"""Lines that are kept after they were taken."""


class Output:
    """Takes in what arrives, however much, and gives it out in lines, bounded."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._length = 0
        self._left_out = 0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def feed(self, data: bytes) -> None:
        """Take in *data*."""
        self._pieces.append(data)
        self._length += len(data)
        while self._length > MOST_BYTES:
            oldest = self._pieces.popleft()
            self._length -= len(oldest)
            self._left_out += len(oldest)

    @property
    def is_waiting(self) -> bool:
        """Whether anything has come in that was not taken."""
        return bool(self._pieces or self._left_out)

    def take_lines(self, *, is_last: bool = False) -> list[str]:
        """Return the newest complete lines that were not taken, oldest first.

        Args:
            is_last: Whether nothing more comes, so that an unfinished line is complete.
        """
        text = b"".join(self._pieces)
        self._pieces.clear()
        end = len(text) if is_last else text.rfind(b"\n") + 1
        if end <= len(text) - LONGEST_LINE:  # an unfinished line that is too long already
            end = len(text)
        if text[end:]:
            self._pieces.append(text[end:])
        self._length = len(text) - end
        before, *lines = ([b"", *text[:end].removesuffix(b"\n").rsplit(b"\n", MOST_LINES)])[-MOST_LINES - 1 :]
        self._left_out += len(before)
        shown = [_shown(line) for line in lines] if end else []
        self._tail.extend(shown)
        if self._left_out:
            shown.insert(0, f"… ({self._left_out} bytes left out)")
            self._left_out = 0
        return shown

    def tail(self) -> list[str]:
        """Return the newest lines that were taken, oldest first."""
        return list(self._tail)


def _shown(line: bytes) -> str:
    text = line[:LONGEST_LINE].decode("utf-8", "backslashreplace").rstrip("\r").replace("\0", "\\x00")
    return text if len(line) <= LONGEST_LINE else f"{text}… ({len(line) - LONGEST_LINE} bytes left out)"
