"""The errors that end a top-up."""

from __future__ import annotations

from collections.abc import Mapping

from rapua_scheduler import RapuaSchedulerError


class PeriodNotBegunError(RapuaSchedulerError):
    """A run was asked for a month that has not begun.

    Attributes:
        period: The month, such as "2026-11".
        current: The month it is now.
    """

    def __init__(self, period: str, current: str) -> None:
        super().__init__(period, current)
        self.period, self.current = period, current

    def __str__(self) -> str:
        return (
            f"the month {self.period} has not begun (it is {self.current}); nobody was credited. "
            f"Leave out the fire time to top up {self.current}"
        )


class TopUpIncompleteError(RapuaSchedulerError):
    """Some users could not be served; the period stays open, and another run serves exactly them.

    Attributes:
        period: The month, such as "2026-11".
        counts: What the run did and what it left, as a result would tell it.
    """

    def __init__(self, period: str, counts: Mapping[str, object]) -> None:
        super().__init__(period, counts)
        self.period, self.counts = period, counts

    def __str__(self) -> str:
        counts = ", ".join(f"{name}={count}" for name, count in self.counts.items() if count)
        return f"the top-up of {self.period} is not complete, another run serves the rest: {counts}"
