"""The flow of a top-up: from the fire time to the completed period."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from enum import Enum
from typing import Any

from attrs import define, field

from rapua_credit_topup import accounts
from rapua_credit_topup.accounts import Standing, standing
from rapua_credit_topup.errors import PeriodNotBegunError, TopUpIncompleteError
from rapua_credit_topup.job.batch import VERDICTS, Settled, settle
from rapua_credit_topup.job.pace import Pace
from rapua_credit_topup.job.tally import Result, Tally, Verdict
from rapua_credit_topup.ledger import completion, entries
from rapua_credit_topup.ledger.earlier import EarlierTopUps
from rapua_credit_topup.ledger.ids import entry_id
from rapua_credit_topup.period import Period
from rapua_credit_topup.settings import CreditTopUpSettings
from rapua_scheduler import JobContext, Site, format_time, is_busy

_PAGE = 2000
_ATTEMPTS = 6
_CACHE = "PRAGMA cache_size = -16000"  # KiB: what a batch touches, lest it be written twice
_TOLD = 100  # of the users that are left alone for a reason to look into, so many are named in the log


class Ended(Enum):
    """Why a run has nothing more to do, as its outcome tells it."""

    OVERTAKEN = "overtaken"
    ALREADY_COMPLETE = "already_complete"


_ENDED = {
    Ended.OVERTAKEN: "Period overtaken by a newer one",
    Ended.ALREADY_COMPLETE: "Period already complete",
}


def top_up(ctx: JobContext, site: Site, settings: CreditTopUpSettings) -> Result:
    """Raise every user's free credits to the user's own monthly limit, once a month.

    Returns:
        `period`, `outcome` ("completed", "already_complete", "overtaken" or "dry_run"), and counts.

    Raises:
        SiteError: The database is not a Rapua site's.
        PeriodNotBegunError: The fire time lies in a month that is still to come.
        TopUpIncompleteError: Somebody was not served; the period stays open for another run.
        JobCancelled: Between two batches.
    """
    site.require("users", accounts.COLUMNS)
    site.require("credit_adjustments", entries.COLUMNS)
    period = Period.containing(ctx.fire_time, site.timezone)
    current = Period.containing(ctx.now(), site.timezone)
    log = ctx.log.bind(period=period.name)
    if period.begins_at > current.begins_at:
        raise PeriodNotBegunError(period.name, current.name)
    with site.read() as db:
        run = _TopUp(ctx, site, settings, period, db, log)
        if period.begins_at < current.begins_at:
            return run.ended_early(Ended.OVERTAKEN, newer=current.name)
        if completion.exists(db):
            site.require(completion.TABLE, completion.COLUMNS)
        if completion.is_complete(db, ctx.job_key, period):
            return run.ended_early(Ended.ALREADY_COMPLETE)
        return run.serve_everybody()


@define
class _TopUp:
    """One attempt at one period."""

    ctx: JobContext
    site: Site
    settings: CreditTopUpSettings
    period: Period
    db: sqlite3.Connection
    log: Any
    tally: Tally = field(factory=Tally)
    named: int = 0
    last_batch_failed: bool = False
    last_ended: float | None = None

    def serve_everybody(self) -> Result:
        """Go through all users once, then complete the period if nobody is left."""
        total = accounts.count(self.db)
        pace = Pace.starting(self.settings.batch_size)
        earlier = self._survey()
        self.log.info("Topping up credits", users=total, dry_run=self.ctx.dry_run)
        for batch in self._batches_below_limit(pace):
            settled = self._settle(batch, earlier, pace)
            if isinstance(settled, Ended):
                return self.ended_early(settled)
            self.tally.merge(settled.tally)
            self._tell(settled)
            if not settled.survey_holds:
                earlier = self._survey()
            self.ctx.progress(self.tally.users, max(total, self.tally.users))
        return self._finish()

    def ended_early(self, ended: Ended, **why: str) -> Result:
        """Return the result of a run that has nothing more to do."""
        self.log.info(_ENDED[ended], credited=self.tally.verdicts[Verdict.CREDITED], **why)
        return self._result(ended.value)

    def _survey(self) -> EarlierTopUps:
        return EarlierTopUps.survey(self.db, self.period, self.ctx.raise_if_cancelled)

    def _batches_below_limit(self, pace: Pace) -> Iterator[list[str]]:
        """Yield ids of users who are below their limit, in order; count the others.

        One pass serves all tiers: a pass for each would read all users again for every limit there
        is, and rows added in any other order than that of the ids cost several times as much.
        """
        waiting: list[str] = []
        for page in accounts.pages(self.db, _PAGE):
            self.ctx.raise_if_cancelled()
            for user_id, balance, limit in page:
                found = standing(user_id, balance, limit)
                if found is Standing.BELOW_LIMIT:
                    waiting.append(user_id)
                else:
                    self.tally.verdicts[VERDICTS[found]] += 1
            while len(waiting) >= pace.size:
                batch, waiting = waiting[: pace.size], waiting[pace.size :]
                yield batch
        if waiting:
            yield waiting

    def _settle(self, batch: list[str], earlier: EarlierTopUps, pace: Pace) -> Settled | Ended:
        """Settle one batch in one transaction, unless the period has come to an end meanwhile."""
        entry_ids = {user_id: entry_id(self.period.name, user_id) for user_id in batch}

        def work(db: sqlite3.Connection) -> Settled | Ended:
            began = time.perf_counter()
            db.execute(_CACHE)
            if self.ctx.now() >= self.period.ends_at:
                return Ended.OVERTAKEN
            if completion.is_complete(db, self.ctx.job_key, self.period):
                return Ended.ALREADY_COMPLETE
            settled = settle(db, entry_ids, earlier, created_at=format_time(self.ctx.now()), dry_run=self.ctx.dry_run)
            pace.took(time.perf_counter() - began, len(batch))
            return settled

        if self.ctx.dry_run:
            return work(self.db)
        self._pause()
        # While somebody sits on the lock, every batch would wait its full time: only the first one does.
        attempts = 1 if self.last_batch_failed else _ATTEMPTS
        try:
            settled = self.site.transact(work, sleep=self.ctx.sleep, attempts=attempts)
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            self.last_batch_failed = True
            self.log.warning("Batch failed", users=len(batch), error=str(error))
            settled = _not_served(batch)
        else:
            self.last_batch_failed = False
        self.last_ended = time.perf_counter()
        return settled

    def _pause(self) -> None:
        """Let the site's own writes through before the next transaction; looking at users is part of it."""
        if self.last_ended is not None:
            passed = time.perf_counter() - self.last_ended
            self.ctx.sleep(max(0.0, self.settings.pause.total_seconds() - passed))

    def _tell(self, settled: Settled) -> None:
        for user_id, row_id in settled.doubts[: max(0, _TOLD - self.named)]:
            self.log.warning(
                "User left alone: time of an earlier top-up cannot be read", user_id=user_id, adjustment_id=row_id
            )
        for user_id, row_id in settled.alarms[: max(0, _TOLD - self.named)]:
            self.log.error(
                "User left alone: the audit row of this period is not the user's",
                user_id=user_id,
                adjustment_id=row_id,
            )
        self.named += len(settled.doubts) + len(settled.alarms)

    def _finish(self) -> Result:
        for limit, users in [] if self.ctx.dry_run else self.tally.tiers_in_order():
            self.log.info("Tier topped up", limit="other" if limit is None else limit, users=users)
        if self.tally.leaves_work:
            raise self._incomplete()
        if self.ctx.dry_run:
            self.log.info("Dry run: nothing written", **self._counts())
            return self._result("dry_run")
        totals = entries.totals(self.db, self.period)  # here, because it may take long
        self._pause()
        try:
            self.site.transact(lambda db: self._complete(db, totals), sleep=self.ctx.sleep)
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            self.tally.failed_batches += 1
            raise self._incomplete() from error
        self.log.info("Period complete", **self._counts())
        return self._result("completed")

    def _complete(self, db: sqlite3.Connection, totals: tuple[int, int]) -> None:
        completion.complete(
            db,
            self.ctx.job_key,
            self.period,
            completed_at=format_time(self.ctx.now()),
            run_key=self.ctx.run_key,
            run_id=self.ctx.run_id,
            totals=totals,
        )

    def _incomplete(self) -> TopUpIncompleteError:
        self.log.error("Top-up incomplete", **self._counts())
        return TopUpIncompleteError(self.period.name, self._counts())

    def _counts(self) -> Result:
        return self.tally.counts()

    def _result(self, outcome: str) -> Result:
        return {"period": self.period.name, "outcome": outcome, **self._counts()}


def _not_served(batch: list[str]) -> Settled:
    settled = Settled()
    settled.tally.failed_batches = 1
    settled.tally.verdicts[Verdict.NOT_SERVED] = len(batch)
    return settled
