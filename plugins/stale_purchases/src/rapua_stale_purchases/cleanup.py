"""The job itself: read, judge, write to the trash, delete, in short steps."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC

from attrs import asdict, define

from rapua_scheduler import JobCancelled, JobContext, Site, SiteError, is_busy
from rapua_stale_purchases.purchases import Purchase, Verdict, delete, require_tables, unfinished_purchases
from rapua_stale_purchases.settings import StalePurchasesSettings
from rapua_stale_purchases.trash import Trash, open_trash, remove_expired, trash_folder

PAUSE = 0.01
"""Seconds between two transactions, in which Rapua's own writes get their turn."""

_GIVE_UP_AFTER = 10
_DELETING = 0.015
_FEWEST, _MOST = 20, 1000


@define
class BatchSize:
    """How many purchases one transaction deletes: so many that the write lock is held for less than 30 ms.

    That is aimed at by 15 ms of deleting, which the commit adds to. The commit cannot be timed: it may
    end with a checkpoint of the database's log, which takes long and locks nobody out.

    Attributes:
        rows: The size of the next batch; begins low, because nobody knows yet how fast the disk is.
        seconds_per_row: A moving average; None at first.
    """

    rows: int = 100
    seconds_per_row: float | None = None

    def learn(self, rows: int, seconds: float) -> None:
        """Take in that deleting *rows* took *seconds*."""
        latest = seconds / rows
        if self.seconds_per_row is None:
            self.seconds_per_row = latest
        self.seconds_per_row += (latest - self.seconds_per_row) / 4
        affordable = int(_DELETING / self.seconds_per_row) if self.seconds_per_row else _MOST
        self.rows = max(_FEWEST, min(affordable, 2 * self.rows, _MOST))


@define
class Counts:
    """What a run saw and did; every pending or failed purchase is counted in `examined` and once more.

    Attributes:
        examined: Purchases that are pending or failed.
        kept_young: Not older than the limit.
        kept_payment_id: Old, but a payment is known.
        kept_adjustment: Old, but an adjustment of somebody's credits names it.
        kept_unreadable: Its time, or some text in it, cannot be read for certain.
        stale: To be deleted: the sum of the next three, unless it is a dry run.
        deleted: Deleted.
        kept_changed: Changed by somebody between being read and being deleted, so it stayed.
        kept_locked: Not deleted, because the database stayed locked.
        failed_batches: Transactions that came to nothing because of it.
        trash_removed: Old trash files removed.
    """

    examined: int = 0
    kept_young: int = 0
    kept_payment_id: int = 0
    kept_adjustment: int = 0
    kept_unreadable: int = 0
    stale: int = 0
    deleted: int = 0
    kept_changed: int = 0
    kept_locked: int = 0
    failed_batches: int = 0
    trash_removed: int = 0


def delete_stale_purchases(ctx: JobContext, site: Site, settings: StalePurchasesSettings) -> dict[str, int]:
    """Delete the stale purchases of *site*; return the fields of `Counts`.

    Raises:
        SiteError: The site lacks something, there is no place for the trash, or the database stayed
            locked for some of the purchases.
        OSError: The trash cannot be written; what was not written is not deleted.
        JobCancelled: The run was cancelled; what was done until then is complete.
    """
    folder = trash_folder(site, settings)
    require_tables(site)
    counts = Counts()
    # in UTC, because subtracting from a local time would count local days, not 24 hours each
    cutoff = min(ctx.fire_time, ctx.now()).astimezone(UTC) - settings.max_age
    if not ctx.dry_run:
        counts.trash_removed = remove_expired(folder, ctx, settings.trash_for)

    with site.read() as db, open_trash(folder, ctx) as trash:
        stale = _stale(ctx, unfinished_purchases(db), counts, judge=lambda purchase: purchase.judge(cutoff))
        size = BatchSize()
        locked_in_a_row = 0
        for batch in _batches(stale, size):
            ctx.progress(counts.examined)
            if ctx.dry_run:
                continue
            ctx.sleep(PAUSE)
            if _delete_batch(ctx, site, trash, batch, size, counts):
                locked_in_a_row = 0
                continue
            locked_in_a_row += 1
            if locked_in_a_row == _GIVE_UP_AFTER:
                break

    result = asdict(counts)
    if counts.failed_batches:
        ctx.log.error("Stale purchases left over", cutoff=cutoff.isoformat(), **result)
        raise SiteError(
            f"database {site.database} stayed locked in {counts.failed_batches} transactions: "
            f"{counts.deleted} stale purchases were deleted, {counts.kept_locked} were not; "
            "the next run takes up those"
        )
    event = "Stale purchases found" if ctx.dry_run else "Stale purchases deleted"
    ctx.log.info(event, cutoff=cutoff.isoformat(), **result)
    return result


def _stale(
    ctx: JobContext, purchases: Iterable[Purchase], counts: Counts, judge: Callable[[Purchase], Verdict]
) -> Iterator[Purchase]:
    for purchase in purchases:
        ctx.raise_if_cancelled()
        verdict = judge(purchase)
        counts.examined += 1
        setattr(counts, verdict, getattr(counts, verdict) + 1)
        if verdict is Verdict.STALE:
            yield purchase


def _batches(purchases: Iterable[Purchase], size: BatchSize) -> Iterator[list[Purchase]]:
    batch: list[Purchase] = []
    for purchase in purchases:
        batch.append(purchase)
        if len(batch) >= size.rows:
            yield batch
            batch = []
    if batch:
        yield batch


def _delete_batch(
    ctx: JobContext, site: Site, trash: Trash, batch: list[Purchase], size: BatchSize, counts: Counts
) -> bool:
    lines = trash.add(batch)

    def work(db: sqlite3.Connection) -> tuple[list[int], float]:
        began = time.perf_counter()
        return delete(db, batch), time.perf_counter() - began

    try:
        kept, seconds = site.transact(work, sleep=ctx.sleep)
    except JobCancelled:  # while it waited for a lock
        trash.mark_kept(lines)
        raise
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
        trash.mark_kept(lines)
        counts.kept_locked += len(batch)
        counts.failed_batches += 1
        ctx.log.warning("Database stayed locked", purchases=len(batch))
        return False
    size.learn(len(batch), seconds)
    trash.mark_kept([lines[position] for position in kept])
    counts.deleted += len(batch) - len(kept)
    counts.kept_changed += len(kept)
    return True
