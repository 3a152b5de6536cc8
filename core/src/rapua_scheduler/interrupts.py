"""Tell a person's Ctrl-C from a `KeyboardInterrupt` that a plugin raises."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Somebody pressed Ctrl-C, or a signal asks to end at once."""


def interrupt_on_ctrl_c() -> None:
    """Let Ctrl-C raise `Interrupted`, unless the process has a way of its own; for the main thread."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise Interrupted


def is_from_person(error: BaseException) -> bool:
    """Tell whether *error* is a person's wish to end, and none of a plugin's doings."""
    if isinstance(error, Interrupted):
        return True
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler
