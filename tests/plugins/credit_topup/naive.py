"""A top-up as one would write it at first: look, then act. It is here to fail the oracle."""

from __future__ import annotations

import uuid

from rapua_scheduler import JobContext, Site, format_time
from tests.plugins.credit_topup.sites import REASON


def naive_top_up(ctx: JobContext, site: Site) -> None:
    """Credit whoever has no audit row of this month yet: balance first, then the row."""
    with site.read() as db:
        due = db.execute(
            "SELECT id, free_credits, monthly_credit_limit FROM users WHERE free_credits < monthly_credit_limit"
        ).fetchall()
    for user_id, balance, limit in due:
        with site.read() as db:
            if db.execute(
                "SELECT 1 FROM credit_adjustments WHERE user_id = ? AND reason LIKE ? AND created_at >= ?",
                (user_id, REASON + "%", format_time(ctx.fire_time)[:19]),
            ).fetchone():
                continue
        with site.write() as db:
            db.execute("UPDATE users SET free_credits = ? WHERE id = ?", (limit, user_id))
        with site.write() as db:
            db.execute(
                "INSERT INTO credit_adjustments (id, created_at, user_id, credits, reason) VALUES (?, ?, ?, ?, ?)",
                (
                    "2026-11-" + uuid.uuid4().hex[:28],
                    format_time(ctx.now()),
                    user_id,
                    limit - balance,
                    f"{REASON}{limit}",
                ),
            )
