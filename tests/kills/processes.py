"""Processes that are forked off and killed: each costs some milliseconds instead of a start of Python."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from attrs import define, field

REFUSED = 75
"""How a process ends whose store has another host."""


@define
class Child:
    """A process that does one thing and ends; it must be waited for."""

    pid: int
    _status: int | None = field(default=None)

    @classmethod
    def start(cls, work: Callable[[], int | None], log: Path) -> Child:
        """Start *work*, whose value is the exit status; what it prints goes to the end of *log*.

        The caller must have no other thread, and no database open.
        """
        pid = os.fork()
        if pid:
            return cls(pid)
        status = 1
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            status = work() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless its end was waited for."""
        if self._status is None:
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for the end; return the exit status, or minus the number of the signal that ended it."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def faults(self, expected: set[int]) -> list[str]:
        """Wait for the end, and return what is wrong with it: a status that was not expected."""
        status = self.wait()
        return [] if status in expected else [f"process {self.pid} ended with {status}"]

    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None


def killed(status: int) -> bool:
    """Tell whether a process that ended so was killed."""
    return status == -signal.SIGKILL
