"""How much one transaction takes on."""

from __future__ import annotations

from attrs import define

_FIRST = 200
_LONG = 0.020
_SHORT = 0.012


@define
class Pace:
    """How many users the next transaction serves.

    The site's own writes fail at once while we hold the write lock, so a batch that took long makes
    the next one smaller, and one that was quick lets it grow.

    Attributes:
        largest: Most users in one transaction.
        size: Users in the next one.
    """

    largest: int
    size: int

    @classmethod
    def starting(cls, largest: int) -> Pace:
        """Start small: nobody knows yet how fast this disk is."""
        return cls(largest, min(_FIRST, largest))

    def took(self, seconds: float, users: int) -> None:
        """Take into account that the statements of a transaction of *users* took *seconds*.

        The commit holds the lock for about half as long again. The checkpoint that SQLite does right
        after it takes as long, but holds nobody up, so that it is left out here.
        """
        if seconds > _LONG:
            self.size = max(1, min(self.size, int(users * _SHORT / seconds)))
        elif seconds < _SHORT and users == self.size:
            self.size = min(self.largest, self.size + self.size // 2 + 1)
