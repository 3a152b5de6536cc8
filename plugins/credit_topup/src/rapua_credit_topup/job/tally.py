"""What a run counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from attrs import define, field

from rapua_credit_topup.ledger.entries import Entry

Result = dict[str, str | int]

_TIERS_TOLD = 20  # the first so many limits are counted one by one, since there may be as many as users


class Verdict(StrEnum):
    """What became of one user; the words are the keys of the run's result."""

    CREDITED = "credited"
    ALREADY_CREDITED = "already_credited"
    NOT_DUE = "not_due"
    NULL = "null_left_alone"
    UNREADABLE = "unreadable_left_alone"
    IN_DOUBT = "in_doubt_left_alone"
    ALARM = "alarms"
    NOT_SERVED = "not_served"


@define
class Tally:
    """Counts of users by verdict, of credits, and of the tiers, which are the distinct limits.

    Attributes:
        verdicts: How many users each verdict was passed on.
        credits_added: What the credited ones received.
        failed_batches: How many transactions did not come about.
        tiers: By limit, how many users were raised to it; None stands for the limits beyond the
            first twenty.
    """

    verdicts: Counter[Verdict] = field(factory=Counter)
    credits_added: int = 0
    failed_batches: int = 0
    tiers: Counter[int | None] = field(factory=Counter)

    def credit(self, entries: Sequence[Entry]) -> None:
        """Count users that were raised to their limits."""
        self.verdicts[Verdict.CREDITED] += len(entries)
        self.credits_added += sum(entry.credits for entry in entries)
        for limit, users in Counter(entry.limit for entry in entries).items():
            self._count_tier(limit, users)

    def merge(self, other: Tally) -> None:
        """Add what *other* has counted."""
        self.verdicts.update(other.verdicts)
        self.credits_added += other.credits_added
        self.failed_batches += other.failed_batches
        for limit, users in other.tiers.items():
            self._count_tier(limit, users)

    def _count_tier(self, limit: int | None, users: int) -> None:
        known = limit in self.tiers or len(self.tiers) < _TIERS_TOLD
        self.tiers[limit if known else None] += users

    @property
    def users(self) -> int:
        """How many users were looked at; every one has exactly one verdict."""
        return self.verdicts.total()

    @property
    def leaves_work(self) -> bool:
        """Whether somebody who may be due was not served."""
        return bool(self.failed_batches or self.verdicts[Verdict.ALARM])

    def tiers_in_order(self) -> list[tuple[int | None, int]]:
        """Return the tiers and their users, lowest limit first, all others last."""
        return sorted(self.tiers.items(), key=lambda tier: (tier[0] is None, tier[0] or 0))

    def counts(self) -> Result:
        """Return everything as plain numbers."""
        counts: Result = {"users": self.users, "credits_added": self.credits_added}
        counts |= {verdict.value: self.verdicts[verdict] for verdict in Verdict}
        counts["failed_batches"] = self.failed_batches
        for limit, users in self.tiers_in_order():
            counts[f"credited_to_{'other_limits' if limit is None else limit}"] = users
        return counts
