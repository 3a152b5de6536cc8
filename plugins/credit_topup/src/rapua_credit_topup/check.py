"""What `rapua-scheduler check` says about a site's top-ups."""

from __future__ import annotations

from rapua_credit_topup import accounts
from rapua_credit_topup.ledger import entries
from rapua_credit_topup.ledger.earlier import Credited, EarlierTopUps
from rapua_credit_topup.period import Period
from rapua_scheduler import Site, parse_time


def check_ledger(site: Site) -> list[str]:
    """Return one line for each thing about this month's audit rows that a person should know.

    Raises:
        SiteError: The database is not a Rapua site's.
    """
    site.require("users", accounts.COLUMNS)
    site.require("credit_adjustments", entries.COLUMNS)
    with site.read() as db:
        now = parse_time(db.execute("SELECT datetime('now')").fetchone()[0])
        if now is None:
            return []
        period = Period.containing(now, site.timezone)
        found = EarlierTopUps.survey(db, period, between=lambda: None).findings
    credited = sum(finding.credited is Credited.YES for finding in found.values())
    doubts = [finding.row_id for finding in found.values() if finding.credited is Credited.IN_DOUBT]
    lines = []
    if credited:
        lines.append(
            f"somebody else has topped up credits in {period.name} ({credited} users or more): "
            "if the original's own job is still on, switch it off; these users are not credited again"
        )
    if doubts:
        lines.append(
            f"the time of {len(doubts)} earlier top-ups cannot be read, such as that of credit_adjustments.id "
            f"{doubts[0]!r}: their users are left alone until it is mended"
        )
    return lines
