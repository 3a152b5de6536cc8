"""Kill hosts, and count what was killed by what led to it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable

from tests.kills.failpoints import Crossing
from tests.kills.processes import REFUSED, Child, killed
from tests.kills.reports import Report
from tests.kills.sweep import Sweep


class Killer:
    """Ends processes for a campaign."""

    def __init__(self, report: Report, points: Iterable[str], prefix: str = "") -> None:
        """Begin with all failpoints before it.

        Args:
            report: Kills are counted there.
            points: The failpoints at which hosts are to die, crossing by crossing.
            prefix: Of the names under which they are counted.
        """
        self._report = report
        self._sweep = Sweep(points)
        self._prefix = prefix

    def kill(self, child: Child, what: str) -> list[str]:
        """Kill a process, if it has not ended; return what was wrong with its end."""
        child.send(signal.SIGKILL)
        found = child.faults({0, REFUSED, -signal.SIGKILL})
        self._count(child, what)
        return found

    def let_die(self, child: Child, what: str) -> list[str]:
        """Wait for a process that kills itself, or does not come to where it would."""
        found = child.faults({0, -signal.SIGKILL})
        self._count(child, what)
        return found

    def let_die_at_a_failpoint(self, start: Callable[[Crossing], Child]) -> list[str]:
        """Start a process that dies at the failpoint whose turn it is, if it comes there so often."""
        crossing = self._sweep.next()
        child = start(crossing)
        found = self.let_die(child, f"at a failpoint, crossing {crossing.number:3}")
        self._sweep.tell(crossing, was_killed=killed(child.wait()))
        return found

    def _count(self, child: Child, what: str) -> None:
        if killed(child.wait()):
            self._report.kills[f"{self._prefix}{what}"] += 1
