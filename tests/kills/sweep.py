"""In which order hosts die at failpoints."""

from __future__ import annotations

from collections.abc import Iterable

from tests.kills.failpoints import Crossing


class Sweep:
    """Every point at its first crossing, then at its second, and so on until a host does not come there so often."""

    def __init__(self, names: Iterable[str]) -> None:
        """Begin with all points; one that no host ever comes to is left out from the second time on."""
        self._names = list(names)
        self._left = list(self._names)
        self._fatal: list[str] = []
        self._number = 1
        self.is_complete = False

    def next(self) -> Crossing:
        """Return where the next host is to die."""
        if not self._left:
            self._begin_round()
        return Crossing(self._left.pop(0), self._number)

    def tell(self, crossing: Crossing, *, was_killed: bool) -> None:
        """Note whether the host came there so often."""
        if was_killed:
            self._fatal.append(crossing.point)
        elif crossing.number == 1 and not self.is_complete:
            self._names.remove(crossing.point)

    def _begin_round(self) -> None:
        self._left, self._fatal = self._fatal, []
        self._number += 1
        if not self._left:
            self.is_complete = True
            self._left = list(self._names)
            self._number = 1
