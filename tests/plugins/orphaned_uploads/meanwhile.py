"""Something that happens while the job runs, at a moment that the test chooses."""

from __future__ import annotations

from collections.abc import Callable

from rapua_scheduler.context import Cancellation


class Meanwhile(Cancellation):
    """Does something, once, at the first cancellation point at which a condition holds."""

    def __init__(self, when: Callable[[], bool], then: Callable[[], object]) -> None:
        self.happened = False
        self._is_cancelled = False
        self._when, self._then = when, then
        super().__init__()

    @property
    def is_set(self) -> bool:
        if not self._is_cancelled and not self.happened and self._when():
            self.happened = True
            self._then()
        return self._is_cancelled

    @is_set.setter
    def is_set(self, value: bool) -> None:
        self._is_cancelled = value
