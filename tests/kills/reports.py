"""What a campaign has done and found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from attrs import field, frozen

_MOST_TOLD = 50


@frozen
class Report:
    """What a campaign has done and found.

    Attributes:
        kills: How many processes were killed, by what led to it.
        judged: How much was looked at, by what it is.
        faults: Everything that is wrong.
    """

    kills: Counter[str] = field(factory=Counter)
    judged: Counter[str] = field(factory=Counter)
    faults: list[str] = field(factory=list)

    def lines(self) -> Iterator[str]:
        """Yield it in words."""
        yield f"kills: {self.kills.total()}"
        yield from (f"  {number:8} {what}" for what, number in sorted(self.kills.items()))
        yield "judged:"
        yield from (f"  {number:8} {what}" for what, number in sorted(self.judged.items()))
        yield f"faults: {len(self.faults)}"
        yield from (f"  {fault}" for fault in self.faults[:_MOST_TOLD])
