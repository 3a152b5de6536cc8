"""What becomes of a process that a job has forked off its host: it may work, but not go on as the host."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback


def leave_if_forked(home: int, error: BaseException | None) -> None:
    """End this process, if it is not *home*: the job's function has returned in a fork of its host.

    What the host has, its store, its sockets, its event loops, is the host's; and whatever the fork
    still holds in buffers, the host does too, so that nothing is flushed.

    Args:
        home: Process that called the job.
        error: What the job raised there.
    """
    if os.getpid() == home:
        return
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
        with contextlib.suppress(BaseException):
            traceback.print_exception(error, file=sys.stderr)
    os._exit(code & 0xFF)
