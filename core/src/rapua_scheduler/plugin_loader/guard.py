"""Let a plugin take one step without letting it take anybody else along."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path

from rapua_scheduler.interrupts import is_from_person
from rapua_scheduler.logs import get_logger
from rapua_scheduler.outcomes import describe_error, summarize_error
from rapua_scheduler.plugin_loader.limits import TookTooLong

SLOW = timedelta(seconds=1)
"""A step that took longer is logged."""

STUCK = timedelta(seconds=10)
"""A step that takes longer is logged while it goes on, so that a start that hangs names the plugin."""

_NOT_THEIRS = {"rapua_scheduler", "pluggy", "importlib_metadata", *sys.stdlib_module_names}
_log = get_logger("rapua_scheduler.plugins")


class Refused(Exception):  # noqa: N818  a verdict
    """A plugin is set aside; the text says why, and what to do."""


@contextmanager
def guarded(plugin: str, step: str) -> Iterator[None]:
    """Run the block, a step of *plugin*; what it prints goes to standard error.

    Raises:
        Refused: The block raised anything at all, `SystemExit` included.
        KeyboardInterrupt: Somebody pressed Ctrl-C; one that the plugin raises is its own.
    """
    log = _log.bind(plugin=plugin, step=step)
    alarm = threading.Timer(STUCK.total_seconds(), lambda: log.warning("Plugin is taking long"))
    alarm.daemon = True
    with suppress(RuntimeError):  # no thread to be had: go on without the warning
        alarm.start()
    began = time.perf_counter()
    try:
        with redirect_stdout(sys.stderr):
            yield
    except Refused:
        raise
    except TookTooLong as error:
        raise Refused(f"{step}: {error}{_place(error)}") from None
    except BaseException as error:  # SystemExit and its like end with the plugin, not with the host
        if is_from_person(error):
            raise
        log.debug("Plugin raised", traceback=describe_error(error))
        raise Refused(f"{step}: {summarize_error(error)}{_place(error)}") from None
    finally:
        alarm.cancel()
        seconds = time.perf_counter() - began
        if seconds > SLOW.total_seconds():
            log.warning("Plugin is slow to load", seconds=round(seconds, 1))


def _place(error: BaseException) -> str:
    """Return the innermost place that is neither ours nor Python's, such as " (my_digest/jobs.py:12)"."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        file = Path(frame.f_code.co_filename)
        if package not in _NOT_THEIRS and not file.name.startswith("<"):
            place = f" ({'/'.join(file.parts[-2:])}:{line})"
    return place
