"""One transaction's worth of users."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from attrs import define, field

from rapua_credit_topup import accounts
from rapua_credit_topup.accounts import Standing, standing
from rapua_credit_topup.job.tally import Tally, Verdict
from rapua_credit_topup.ledger.earlier import NOTHING, Credited, EarlierTopUps, Finding
from rapua_credit_topup.ledger.entries import Entry, insert

VERDICTS = {
    Standing.NOT_BELOW: Verdict.NOT_DUE,
    Standing.NULL: Verdict.NULL,
    Standing.UNREADABLE: Verdict.UNREADABLE,
}


@define
class Settled:
    """What became of a batch; told and logged once the transaction has ended.

    Attributes:
        tally: The counts.
        doubts: Users whom somebody else may have credited, each with the row that raises the doubt.
        alarms: Users whose audit row's id is taken by a row that is not theirs, each with that id.
        survey_holds: Whether the survey of others' rows may be used further.
    """

    tally: Tally = field(factory=Tally)
    doubts: list[tuple[str, str]] = field(factory=list)
    alarms: list[tuple[str, str]] = field(factory=list)
    survey_holds: bool = True


def settle(
    db: sqlite3.Connection,
    entry_ids: Mapping[str, str],
    earlier: EarlierTopUps,
    *,
    created_at: str,
    dry_run: bool,
) -> Settled:
    """Credit those users who are due and have not been credited in the period.

    Everything that decides it is read here, so in the transaction that writes: whoever spends,
    or is credited by another host, does so before it or after it.

    Args:
        db: A connection inside a write transaction, or a reading one for a dry run.
        entry_ids: Users that were below their limit a moment ago, each with the id that the audit
            row of this period has.
        earlier: What others have credited in the period.
        created_at: Time of the audit rows, as Rapua writes it.
        dry_run: Whether to write nothing.
    """
    settled = Settled(survey_holds=earlier.still_holds(db))
    findings = earlier.about(db, entry_ids, holds=settled.survey_holds)
    rows = accounts.read(db, entry_ids)
    settled.tally.verdicts[Verdict.NOT_DUE] += len(entry_ids) - len(rows)  # they are gone
    due: list[Entry] = []
    for user_id, balance, limit in rows:
        found = standing(user_id, balance, limit)
        if found is not Standing.BELOW_LIMIT:
            settled.tally.verdicts[VERDICTS[found]] += 1
            continue
        entry = Entry(entry_ids[user_id], user_id, limit - balance, limit)
        finding = findings.get(user_id, NOTHING)
        if finding.credited is Credited.NO:
            due.append(entry)
        else:
            _explain(db, entry, finding, settled)
    are_ours = [entry.is_free(db) for entry in due] if dry_run else insert(db, due, created_at)
    credited = [entry for entry, is_ours in zip(due, are_ours, strict=True) if is_ours]
    for entry, is_ours in zip(due, are_ours, strict=True):
        if not is_ours:
            _explain(db, entry, NOTHING, settled)
    settled.tally.credit(credited)
    if not dry_run:
        accounts.raise_balances(db, [(entry.limit, entry.user_id) for entry in credited])
    return settled


def _explain(db: sqlite3.Connection, entry: Entry, finding: Finding, settled: Settled) -> None:
    """Find out why a user that is below the limit is not credited."""
    if finding.credited is Credited.YES or entry.is_held_by_its_own(db):
        settled.tally.verdicts[Verdict.ALREADY_CREDITED] += 1
    elif finding.credited is Credited.IN_DOUBT:
        settled.tally.verdicts[Verdict.IN_DOUBT] += 1
        settled.doubts.append((entry.user_id, finding.row_id))
    else:
        settled.tally.verdicts[Verdict.ALARM] += 1
        settled.alarms.append((entry.user_id, entry.entry_id))
