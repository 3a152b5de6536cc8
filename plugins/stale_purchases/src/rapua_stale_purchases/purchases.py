"""The purchases of a site: which are stale, and how they are deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from attrs import frozen

from rapua_scheduler import Site, parse_time

STATUSES = ("pending", "failed")
"""Only purchases of exactly these are ever deleted."""

PAGE = 1000

Value = str | bytes | int | float | None

# By rowid and not by id: the index on status ends in it, so that a page is one stretch of that index,
# and purchases made one after another lie side by side in the table.
_PAGE = """
    SELECT rowid, EXISTS (SELECT 1 FROM credit_adjustments WHERE credit_purchase_id = p.id), p.*
    FROM credit_purchases AS p
    WHERE status = ? COLLATE BINARY AND rowid > ?
    ORDER BY rowid LIMIT ?
"""
_STILL_STALE = """
    status COLLATE BINARY IN ('pending', 'failed')
    AND (stripe_payment_id IS NULL OR stripe_payment_id = '')
    AND NOT EXISTS (SELECT 1 FROM credit_adjustments WHERE credit_purchase_id = credit_purchases.id)
"""


class Verdict(StrEnum):
    """What becomes of a purchase that is pending or failed, the first that applies."""

    UNREADABLE = "kept_unreadable"
    YOUNG = "kept_young"
    PAYMENT_ID = "kept_payment_id"
    ADJUSTMENT = "kept_adjustment"
    STALE = "stale"


@frozen
class Purchase:
    """One row of `credit_purchases`.

    Attributes:
        row: Every column, as stored.
        is_named: Whether a credit adjustment names it.
    """

    row: dict[str, Value]
    is_named: bool

    def judge(self, cutoff: datetime) -> Verdict:
        """Decide on the purchase.

        Args:
            cutoff: Purchases made before this instant, and not at it, are stale.
        """
        created_at = parse_time(self.row["created_at"])
        if created_at is None or not all(map(_is_writable, self.row.values())):
            return Verdict.UNREADABLE
        if created_at >= cutoff:
            return Verdict.YOUNG
        if self.row["stripe_payment_id"] not in {None, ""}:
            return Verdict.PAYMENT_ID
        return Verdict.ADJUSTMENT if self.is_named else Verdict.STALE


def require_tables(site: Site) -> None:
    """Check that the columns that the job goes by are there.

    Raises:
        SiteError: One is missing; names it.
    """
    site.require("credit_purchases", ["id", "created_at", "status", "stripe_payment_id"])
    site.require("credit_adjustments", ["credit_purchase_id"])


def unfinished_purchases(db: sqlite3.Connection) -> Iterator[Purchase]:
    """Yield every pending and failed purchase, holding one page of them in memory and no lock.

    Args:
        db: A connection for reading; purchases may be deleted on another one meanwhile.
    """
    db.text_factory = _text
    for status in STATUSES:
        last = -(2**63)
        while True:
            cursor = db.execute(_PAGE, (status, last, PAGE))
            columns = [column[0] for column in cursor.description[2:]]
            page = [tuple(row) for row in cursor]
            for _, is_named, *values in page:
                yield Purchase(dict(zip(columns, values, strict=True)), bool(is_named))
            if len(page) < PAGE:
                break
            last = page[-1][0]


def delete(db: sqlite3.Connection, purchases: Sequence[Purchase]) -> list[int]:
    """Delete those *purchases* that are still stale, and to the last column what they were when read.

    Returns:
        The positions of those that were not deleted.
    """
    kept = []
    for position, purchase in enumerate(purchases):
        unchanged = " AND ".join(f"{_quoted(column)} IS ?" for column in purchase.row)
        statement = f"DELETE FROM credit_purchases WHERE {unchanged} AND {_STILL_STALE}"  # noqa: S608  names only
        if not db.execute(statement, tuple(purchase.row.values())).rowcount:
            kept.append(position)
    return kept


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")  # broken text must not end the run


def _is_writable(value: Value) -> bool:
    """Tell whether *value* comes back from the trash as it is: text that is not UTF-8 would not."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True
