"""Break off what takes too long on the main thread."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

_AGAIN = 1.0


class TookTooLong(BaseException):  # so that `except Exception` lets it through
    """Raised in the middle of whatever takes longer than its limit."""

    def __init__(self, limit: timedelta) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"took longer than {self.limit.total_seconds():g} s, and was broken off"


def at_most(limit: timedelta, work: Callable[[], T]) -> T:
    """Return what *work* returns, and break it off once it takes longer than *limit*.

    Waits, sleeps and Python code are broken off, again each second if they go on; native code that does
    not return cannot be. The means is `SIGALRM`, so in any other thread than the main one nothing is.

    Raises:
        TookTooLong: It took too long.
        BaseException: It raised.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    is_over = False

    def ring(_: int, __: FrameType | None) -> None:
        if not is_over:
            raise TookTooLong(limit)

    former = signal.signal(signal.SIGALRM, ring)
    delay, interval = signal.setitimer(signal.ITIMER_REAL, limit.total_seconds(), _AGAIN)
    began = time.perf_counter()
    try:
        try:
            return work()
        finally:
            is_over = True
    except TookTooLong:
        is_over = True  # if it rang just before it was
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        if delay:  # somebody else's timer, which goes on
            left = delay - (time.perf_counter() - began)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001), interval)
