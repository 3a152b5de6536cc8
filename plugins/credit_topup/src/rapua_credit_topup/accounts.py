"""The users' balances and limits, and which of them are below their limit."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import Enum

COLUMNS = ("id", "free_credits", "monthly_credit_limit")

# SQLite keeps text and fractions in an `int` column, of any size and encoding; what they say is not asked.
_READ = """
    SELECT users.id,
           iif(typeof(free_credits) IN ('integer', 'null'), free_credits, ''),
           iif(typeof(monthly_credit_limit) IN ('integer', 'null'), monthly_credit_limit, '')
    FROM users
"""
_FIRST_PAGE = _READ + "ORDER BY id LIMIT ?"
_NEXT_PAGE = _READ + "WHERE id > ? ORDER BY id LIMIT ?"
_THESE = _READ.replace("FROM users", "FROM json_each(?) AS wanted CROSS JOIN users ON users.id = wanted.value")
_LARGEST = 2**63 - 1


class Standing(Enum):
    """How a user's balance compares with the user's limit."""

    BELOW_LIMIT = "below limit"
    NOT_BELOW = "not below"
    NULL = "null"
    UNREADABLE = "unreadable"


def standing(user_id: object, balance: object, limit: object) -> Standing:
    """Compare what the three columns hold, with empty text for what is neither NULL nor a whole number.

    A difference that no column can hold is unreadable; so is an id that is no plain text.
    """
    if balance is None or limit is None:
        return Standing.NULL
    if not (isinstance(balance, int) and isinstance(limit, int) and _is_plain(user_id)):
        return Standing.UNREADABLE
    if balance >= limit:
        return Standing.NOT_BELOW
    return Standing.BELOW_LIMIT if limit - balance <= _LARGEST else Standing.UNREADABLE


def _is_plain(user_id: object) -> bool:
    return isinstance(user_id, str) and "\0" not in user_id


def count(db: sqlite3.Connection) -> int:
    """Return how many users there are."""
    number: int = db.execute("SELECT count(*) FROM users").fetchone()[0]
    return number


def pages(db: sqlite3.Connection, size: int) -> Iterator[Sequence[sqlite3.Row]]:
    """Yield all users in order of their ids, *size* rows at a time, as `standing` takes them.

    No statement stays open between two pages.
    """
    page = db.execute(_FIRST_PAGE, (size,)).fetchall()
    while page:
        yield page
        page = db.execute(_NEXT_PAGE, (page[-1][0], size)).fetchall()


def read(db: sqlite3.Connection, user_ids: Collection[str]) -> list[sqlite3.Row]:
    """Return those of *user_ids* that exist, as `standing` takes them."""
    return db.execute(_THESE, (json.dumps(list(user_ids)),)).fetchall()


def raise_balances(db: sqlite3.Connection, balances: Iterable[tuple[int, str]]) -> None:
    """Set free credits, given as (balance, user id), inside the transaction that has read the old ones."""
    db.executemany("UPDATE users SET free_credits = ? WHERE id = ?", balances)
