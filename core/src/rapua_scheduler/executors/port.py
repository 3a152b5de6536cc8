"""The executor port: where one attempt executes."""

from __future__ import annotations

from typing import Protocol


class Work(Protocol):
    """One attempt, as an executor sees it."""

    def begin(self) -> bool:
        """Say that execution begins; False if the attempt has been written off meanwhile."""

    def call(self) -> object:
        """Call the job; for an asynchronous one, return its coroutine. May raise anything."""

    def end(self, returned: object, error: BaseException | None) -> None:
        """Say that execution has ended, exactly once for each that has begun; never raises."""


class Executor(Protocol):
    """Executes the attempts of one plugin, without ever blocking its caller."""

    def submit(self, work: Work) -> None:
        """Execute *work* as soon as there is room."""

    def cancel(self, work: Work) -> None:
        """Interrupt *work*, as far as that can be done from outside; does nothing once it has ended."""

    def write_off(self, work: Work) -> None:
        """Give the room that *work* takes to others: it did not end when it should have."""

    def close(self) -> None:
        """Execute nothing more; what is executing is left to itself."""
