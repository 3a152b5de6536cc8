"""Clean-up of uploads that nothing refers to for a Rapua site."""

from __future__ import annotations

from rapua_orphaned_uploads.cleanup import clean_up
from rapua_orphaned_uploads.settings import OrphanedUploadsSettings
from rapua_scheduler import Job, JobContext, Site, hookimpl, next_daily

__all__ = ["OrphanedUploadsSettings", "register_jobs"]


@hookimpl
def register_jobs(settings: OrphanedUploadsSettings, site: Site) -> list[Job]:
    """Declare the daily clean-up."""

    def run(ctx: JobContext) -> dict[str, int]:
        """Set aside uploaded files that nothing refers to, and remove empty date folders."""
        return clean_up(ctx, site, settings)

    return [
        Job(
            name="Orphaned Uploads Cleanup",
            key="orphaned-uploads",
            run=run,
            next=next_daily,
            concurrency_key="rapua-database",
            supports_backfill=True,  # takes no more than what was due by then, and than what is due now
            supports_dry_run=True,
        )
    ]
