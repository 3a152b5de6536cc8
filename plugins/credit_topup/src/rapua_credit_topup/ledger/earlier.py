"""Top-ups of the same month that are not ours: the original's own job, another tool, a hand."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from enum import Enum

from attrs import frozen

from rapua_credit_topup.ledger.entries import REASON
from rapua_credit_topup.ledger.ids import SHAPE
from rapua_credit_topup.period import Period
from rapua_scheduler import parse_time

_STEP = 20_000  # rows looked at by one statement
_REMEMBERED = 10_000  # rows kept in memory
_BEFORE_ALL_ROWS = -(2**63)
_LONGEST_OFFSET = timedelta(days=2)  # of a time zone, with room to spare

# A time whose first 19 characters name a moment days away from the month is in another month, whatever
# follows. Everything else is left to `parse_time`; Rapua's own three shapes sort as texts.
_CANDIDATE = f"""
    NOT (
      (created_at < :from OR created_at >= :until)
      AND created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'
      AND datetime(created_at) IS NOT NULL
    )
    AND reason GLOB '{REASON}*'
    AND id NOT GLOB '{SHAPE}'
"""
_STEP_END = "SELECT rowid, id FROM credit_adjustments WHERE rowid > ? ORDER BY rowid LIMIT 1 OFFSET ?"
_LAST = "SELECT rowid, id FROM credit_adjustments WHERE rowid > ? ORDER BY rowid DESC LIMIT 1"
_BETWEEN = f"""
    SELECT rowid, id, user_id, created_at FROM credit_adjustments
    WHERE rowid > :after AND rowid <= :last AND {_CANDIDATE}
    ORDER BY rowid
"""  # noqa: S608  constants only
_OF_USERS = f"""
    SELECT row.id, row.user_id, row.created_at
    FROM json_each(:user_ids) AS wanted
    CROSS JOIN credit_adjustments AS row ON row.user_id = wanted.value AND row.rowid > :after
    WHERE {_CANDIDATE.replace("AND id", "AND row.id")}
"""  # noqa: S608  constants only


class Credited(Enum):
    """Whether somebody else has credited a user in the period."""

    NO = "no"
    YES = "yes"
    IN_DOUBT = "in doubt"


@frozen
class Finding:
    """What other people's audit rows say of one user.

    Attributes:
        credited: Whether one of them is of this period.
        row_id: Id of the row that says so; empty if none does.
    """

    credited: Credited
    row_id: str = ""


NOTHING = Finding(Credited.NO)
"""What is known of a user of whom there is no such row."""


@frozen
class EarlierTopUps:
    """What the audit rows of others say, as far as they were there when they were surveyed.

    There is no index on `created_at` or `reason`, and a user may have a long history, so asking for
    each user's rows would hold the write lock for long. Instead, one pass over the table, outside of
    any lock, remembers the few rows that matter; inside the lock only rows after those that the pass
    has seen are looked at, through the index on `user_id`, which SQLite keeps in row order.

    Attributes:
        period: The month in question.
        seen_to: Row number up to which everything that matters is in *findings*.
        newest: Number and id of the last row there was; it proves that row numbers still mean what
            they meant, since a number is given again only when the last row is deleted, or by VACUUM.
        findings: By user id.
    """

    period: Period
    seen_to: int
    newest: tuple[int, str] | None
    findings: Mapping[str, Finding]

    @classmethod
    def survey(cls, db: sqlite3.Connection, period: Period, between: Callable[[], None]) -> EarlierTopUps:
        """Look through all audit rows, in short statements; call *between* before each of them.

        Memory is bounded: if more rows matter than are remembered, the later ones are left to
        `about`.
        """
        findings: dict[str, Finding] = {}
        remembered = 0
        after, newest = _BEFORE_ALL_ROWS, None
        while True:
            between()
            end = db.execute(_STEP_END, (after, _STEP - 1)).fetchone()
            end = end or db.execute(_LAST, (after,)).fetchone()
            if end is None:
                return cls(period, after, newest, findings)
            rows = db.execute(_BETWEEN, {"after": after, "last": end[0], **_window(period)})
            for rowid, row_id, user_id, created_at in rows:
                found = _finding(period, row_id, created_at)
                if found.credited is Credited.NO:
                    continue
                if remembered == _REMEMBERED:
                    return cls(period, rowid - 1, _last_row(db), findings)
                remembered += 1
                findings[user_id] = _stronger(findings.get(user_id, NOTHING), found)
            after, newest = end[0], (end[0], end[1])

    def still_holds(self, db: sqlite3.Connection) -> bool:
        """Tell whether rows added since have higher numbers than all that were seen."""
        if self.newest is None:
            return True
        number, row_id = self.newest
        row = db.execute("SELECT id FROM credit_adjustments WHERE rowid = ?", (number,)).fetchone()
        return row is not None and row[0] == row_id

    def about(self, db: sqlite3.Connection, user_ids: Collection[str], *, holds: bool) -> dict[str, Finding]:
        """Return what is known now of those of *user_ids* of whom something is.

        Args:
            db: A connection inside the write transaction.
            user_ids: Some users.
            holds: What `still_holds` says in that transaction; if not, all of the users' rows are read.
        """
        known = self.findings if holds else {}
        after = self.seen_to if holds else _BEFORE_ALL_ROWS
        found = {user_id: known[user_id] for user_id in user_ids if user_id in known}
        asked = {"user_ids": json.dumps(list(user_ids)), "after": after, **_window(self.period)}
        for row_id, user_id, created_at in db.execute(_OF_USERS, asked):
            finding = _finding(self.period, row_id, created_at)
            if finding.credited is not Credited.NO:
                found[user_id] = _stronger(found.get(user_id, NOTHING), finding)
        return found


def _last_row(db: sqlite3.Connection) -> tuple[int, str] | None:
    row = db.execute(_LAST, (_BEFORE_ALL_ROWS,)).fetchone()
    return None if row is None else (row[0], row[1])


def _window(period: Period) -> dict[str, str]:
    return {
        "from": f"{period.begins_at - _LONGEST_OFFSET:%Y-%m-%d %H:%M:%S}",
        "until": f"{period.ends_at + _LONGEST_OFFSET:%Y-%m-%d %H:%M:%S}",
    }


def _finding(period: Period, row_id: str, created_at: object) -> Finding:
    instant = parse_time(created_at, hand_edited=True)
    if instant is None:
        return Finding(Credited.IN_DOUBT, str(row_id))
    return Finding(Credited.YES, str(row_id)) if instant in period else NOTHING


def _stronger(one: Finding, other: Finding) -> Finding:
    """Return the one that says more: a credit for certain, then a doubt."""
    order = (Credited.NO, Credited.IN_DOUBT, Credited.YES)
    return one if order.index(one.credited) >= order.index(other.credited) else other
