"""What an operator can set."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from attrs import Attribute, field, frozen

SHORTEST_AGE = timedelta(days=7)
SHORTEST_TRASH = timedelta(days=1)


@frozen
class StalePurchasesSettings:
    """Settings under [rapua_scheduler.plugins.stale_purchases].

    Attributes:
        max_age: Purchases older than this are deleted; at least 7 days, because a slow payment
            method may still settle, and its webhook then finds no purchase to complete.
        trash_for: How long a deleted purchase is kept in the trash; at least a day.
        trash_dir: Folder of the trash, absolute; by default `trash/stale-purchases` beside the
            scheduler's own state.
    """

    max_age: timedelta = field(default=SHORTEST_AGE)
    trash_for: timedelta = field(default=timedelta(days=90))
    trash_dir: Path | None = field(default=None)

    @max_age.validator
    def _leaves_time_to_settle(self, _: Attribute[timedelta], value: timedelta) -> None:
        if value < SHORTEST_AGE:
            raise ValueError(
                f"max_age must be at least 7d, not {value}: "
                "a payment that settles later would find no purchase to complete"
            )

    @trash_for.validator
    def _leaves_time_to_restore(self, _: Attribute[timedelta], value: timedelta) -> None:
        if value < SHORTEST_TRASH:
            raise ValueError(f"trash_for must be at least 1d, not {value}")

    @trash_dir.validator
    def _is_absolute(self, _: Attribute[Path | None], value: Path | None) -> None:
        if value is not None and not value.is_absolute():
            raise ValueError(f"trash_dir must be an absolute path, not {str(value)!r}")
