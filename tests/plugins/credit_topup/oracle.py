"""What a top-up must have done, worked out in plain Python from what was there before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from tests.plugins.credit_topup.sites import REASON, MadeSite, Scalars, Snapshot

_NOBODY: Mapping[str, int] = {}


def amounts_due(site: MadeSite, before: Snapshot) -> dict[str, int]:
    """Return how many credits each user has to get; the others get none."""
    due = {}
    for user_id, (_, balance, limit, *_rest) in before.users.items():
        if not isinstance(balance, int) or not isinstance(limit, int):
            continue
        if balance < limit and limit - balance < 2**63 and user_id not in site.credited | site.doubtful:
            due[user_id] = limit - balance
    return due


def verdicts(site: MadeSite, before: Snapshot) -> dict[str, int]:
    """Return how many users of each class a first run without trouble meets, under the names of its result."""
    found: dict[str, int] = dict.fromkeys(
        (
            "credited",
            "already_credited",
            "not_due",
            "null_left_alone",
            "unreadable_left_alone",
            "in_doubt_left_alone",
            "alarms",
            "not_served",
        ),
        0,
    )
    due = amounts_due(site, before)
    for user_id, (_, balance, limit, *_rest) in before.users.items():
        if user_id in due:
            found["credited"] += 1
        elif balance is None or limit is None:
            found["null_left_alone"] += 1
        elif not isinstance(balance, int) or not isinstance(limit, int) or limit - balance >= 2**63:
            found["unreadable_left_alone"] += 1
        elif balance >= limit:
            found["not_due"] += 1
        else:
            found["already_credited" if user_id in site.credited else "in_doubt_left_alone"] += 1
    return found


def faults(
    site: MadeSite,
    before: Snapshot,
    after: Snapshot,
    *,
    complete: bool = True,
    spent: Mapping[str, int] = _NOBODY,
) -> list[str]:
    """Return everything that is wrong with *after*, in words; nothing if all is well.

    Args:
        site: What its maker knows of the site.
        before: The site before the first run.
        after: The site now.
        complete: Whether every user who was due must have been served.
        spent: Credits that each user has spent in between.
    """
    due, found = amounts_due(site, before), []
    rows: dict[str, list[Scalars]] = defaultdict(list)
    for row_id, row in after.adjustments.items():
        if row_id not in before.adjustments:
            rows[str(row[1])].append(row)
    found += [f"audit row {i} was touched" for i, old in before.adjustments.items() if after.adjustments.get(i) != old]
    found += [f"{user_id} appeared or vanished" for user_id in before.users.keys() ^ after.users.keys()]
    found += [f"a row credits {user_id}, who is no user" for user_id in rows.keys() - before.users.keys()]
    for user_id, was in before.users.items():
        now, audit = after.users[user_id], rows[user_id]
        added = sum(row[2] for row in audit)  # type: ignore[misc]
        if user_id not in due and audit:
            found.append(f"{user_id} was credited {added} and is not due")
        if len(audit) > 1:
            found.append(f"{user_id} was credited {len(audit)} times")
        if complete and user_id in due and not audit:
            found.append(f"{user_id} was not credited")
        for entry_id, _, added_once, reason, _, purchase in audit:
            if added_once != due.get(user_id) and user_id not in spent:
                found.append(f"{user_id} was credited {added_once!r}, not {due.get(user_id)}")
            if reason != f"{REASON}{was[2]}" or purchase is not None:
                found.append(f"{user_id} has an audit row that says {reason!r}")
            if len(str(entry_id)) != 36 or not str(entry_id).startswith(f"{site.fire_time:%Y-%m}-"):
                found.append(f"{entry_id} is not an id of this period")
        expected = was[1] + added - spent.get(user_id, 0) if isinstance(was[1], int) else was[1]
        if now[1] != expected:
            found.append(f"{user_id} has {now[1]!r} credits, not {expected!r}")
        if now[2:] != was[2:]:
            found.append(f"{user_id} was changed elsewhere: {was[2:]} to {now[2:]}")
    return found
