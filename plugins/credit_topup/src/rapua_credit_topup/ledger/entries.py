"""Our audit rows: one for each user and period, in the original's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from attrs import frozen

from rapua_credit_topup.ledger.ids import bounds
from rapua_credit_topup.period import Period

COLUMNS = ("id", "created_at", "user_id", "credits", "reason", "credit_purchase_id")

REASON = "Monthly free credit top-up"
"""How the reason of every monthly top-up begins, ours and the original's."""

_LARGEST = 2**63 - 1


@frozen
class Entry:
    """One audit row.

    Attributes:
        entry_id: Its primary key, derived from the period and the user.
        user_id: The user that it credits.
        credits: By how much.
        limit: To which balance.
    """

    entry_id: str
    user_id: str
    credits: int
    limit: int

    def row(self, created_at: str) -> tuple[object, ...]:
        """Return it as it is inserted."""
        return self.entry_id, created_at, self.user_id, self.credits, f"{REASON}: topped up to {self.limit}"

    def is_free(self, db: sqlite3.Connection) -> bool:
        """Tell whether `insert` would insert it."""
        return self._holder(db) is None

    def is_held_by_its_own(self, db: sqlite3.Connection) -> bool:
        """Tell whether the row that has this id is a top-up of the same user."""
        holder = self._holder(db)
        return holder is not None and holder[0] == self.user_id and str(holder[1]).startswith(REASON)

    def _holder(self, db: sqlite3.Connection) -> sqlite3.Row | None:
        row: sqlite3.Row | None = db.execute(
            "SELECT user_id, reason FROM credit_adjustments WHERE id = ?", (self.entry_id,)
        ).fetchone()
        return row


_INSERT = """
    INSERT INTO credit_adjustments (id, created_at, user_id, credits, reason) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING
"""


def insert(db: sqlite3.Connection, entries: Sequence[Entry], created_at: str) -> list[bool]:
    """Insert rows, or do nothing where an id is taken; tell of each which, inside the caller's transaction.

    Nearly always none is taken, and then all go in at once, in half the time.
    """
    rows = [entry.row(created_at) for entry in entries]
    db.execute("SAVEPOINT entries")
    if db.executemany(_INSERT, rows).rowcount == len(rows):
        db.execute("RELEASE entries")
        return [True] * len(rows)
    db.execute("ROLLBACK TO entries")
    db.execute("RELEASE entries")
    return [db.execute(_INSERT, row).rowcount == 1 for row in rows]


def totals(db: sqlite3.Connection, period: Period) -> tuple[int, int]:
    """Return how many users the rows of *period* credit, and with how much, all runs together."""
    users, added = db.execute(
        "SELECT count(*), total(credits) FROM credit_adjustments WHERE id >= ? AND id < ?", bounds(period.name)
    ).fetchone()
    return users, min(int(added), _LARGEST)
