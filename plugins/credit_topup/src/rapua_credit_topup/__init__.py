"""Monthly credit top-up for a Rapua site."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from rapua_credit_topup.check import check_ledger
from rapua_credit_topup.done import is_done
from rapua_credit_topup.job.top_up import top_up
from rapua_credit_topup.settings import CreditTopUpSettings
from rapua_scheduler import CatchUp, Job, Retry, Site, hookimpl, next_first_of_month

__all__ = ["CreditTopUpSettings", "register_jobs"]

_KEY = "credit-topup"
# 1, 2, 4 … 256 minutes, then every 6 hours: the 24 attempts span four days.
_RETRY = Retry(attempts=24, delay=timedelta(minutes=1), cap=timedelta(hours=6))


@hookimpl
def register_jobs(settings: CreditTopUpSettings, site: Site) -> list[Job]:
    """Declare the one job of this plugin."""
    return [
        Job(
            name="Monthly Credit Top-Up",
            key=_KEY,
            run=partial(top_up, site=site, settings=settings),
            next=next_first_of_month,
            # A month that is over is not made up; within 45 days lies every month that is not.
            catch_up=CatchUp.latest(within=timedelta(days=45)),
            retry=_RETRY,
            concurrency_key="rapua-database",
            # A month that is over credits nobody, and the present one needs no more than a run by hand.
            supports_backfill=False,
            supports_dry_run=True,
            check=partial(check_ledger, site),
            is_done=partial(is_done, site, _KEY),
        )
    ]
