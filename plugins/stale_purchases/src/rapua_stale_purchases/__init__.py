"""Clean-up of abandoned credit purchases for a Rapua site."""

from __future__ import annotations

from rapua_scheduler import Job, JobContext, Site, hookimpl, next_daily
from rapua_stale_purchases.cleanup import delete_stale_purchases
from rapua_stale_purchases.settings import StalePurchasesSettings

__all__ = ["StalePurchasesSettings", "register_jobs"]


@hookimpl
def register_jobs(settings: StalePurchasesSettings, site: Site) -> list[Job]:
    """Declare the daily clean-up."""

    def clean_up(ctx: JobContext) -> dict[str, int]:
        """Delete credit purchases that were abandoned or failed more than a week ago."""
        return delete_stale_purchases(ctx, site, settings)

    return [
        Job(
            name="Stale Credit Purchase Cleanup",
            key="stale-purchases",
            run=clean_up,
            next=next_daily,
            concurrency_key="rapua-database",
            supports_backfill=True,  # takes no more than what was due by then, and than what is due now
            supports_dry_run=True,
        )
    ]
