"""The end of the process, whatever plugins and their jobs have left behind in it."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

PATIENCE = 5.0
"""Seconds that what is left behind may take, once the command is through."""

_TIME_TO_TELL = 1.0
_HINT = "it left a thread pool, a process or an exit handler behind that does not end"
_log = logging.getLogger("rapua_scheduler.host")  # as structlog would be imported by every `--help`


def end_in_time(code: int) -> None:
    """See to it that the process ends with *code* soon, even if Python waits for something while it exits.

    Python waits for the threads of pools, for child processes and for what is registered with `atexit`;
    without end, and whatever the signal.
    """
    with suppress(RuntimeError):  # no thread can be started any more
        late = (_tell, PATIENCE), (_end_children, PATIENCE), (lambda: os._exit(code), PATIENCE + _TIME_TO_TELL)
        for do_late, seconds in late:  # each by itself, as what keeps the process may hold a lock of the log
            threading.Thread(target=_wait_and, args=(do_late, seconds), name="rapua-scheduler-end", daemon=True).start()


def _wait_and(do_late: Callable[[], object], seconds: float) -> None:
    threading.Event().wait(seconds)
    do_late()


def _end_children() -> None:
    """End the processes that Python waits for, which would wait for work for ever once this one has gone."""
    multiprocessing: Any = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for child in multiprocessing.active_children():
            with suppress(OSError, ValueError):
                child.kill()  # a fork has the handler for SIGTERM of its host


def _tell() -> None:
    if logging.getLogger().handlers:
        _log.warning("Ending despite what a plugin left behind: %s", _HINT)
    else:
        sys.stderr.write(f"warning: a plugin keeps the process from ending, which is ended: {_HINT}\n")
        sys.stderr.flush()
