"""Beside a site that is alive: what is paid for meanwhile is never deleted."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rapua_scheduler import Site
from rapua_scheduler.clock import ShiftedClock
from tests.plugins.stale_purchases.sites import (
    FIRE,
    insert,
    name_it,
    new_site,
    purchase,
    purchases_in,
    run_on,
    thrown_away,
    trash_files,
)


class InterruptedSite(Site):
    """A site where *meanwhile* happens once, after purchases were read and before they are deleted."""

    meanwhile: list[Callable[[sqlite3.Connection], object]]

    def transact(self, work: Any, **options: Any) -> Any:
        if self.meanwhile:
            with self.write() as db:
                self.meanwhile.pop()(db)
        return super().transact(work, **options)


def _becomes_young(db: sqlite3.Connection) -> object:
    return db.execute("UPDATE credit_purchases SET created_at = '2026-02-28 12:00:00' WHERE id = 'one'")


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda db: db.execute("UPDATE credit_purchases SET status = 'completed' WHERE id = 'one'"),
        lambda db: db.execute("UPDATE credit_purchases SET stripe_payment_id = 'pi_1' WHERE id = 'one'"),
        lambda db: db.execute("UPDATE credit_purchases SET receipt_url = 'x' WHERE id = 'one'"),
        lambda db: db.execute("UPDATE credit_purchases SET updated_at = '2026-03-01 12:00:00' WHERE id = 'one'"),
        lambda db: db.execute("UPDATE credit_purchases SET credits = CAST(credits AS BLOB) WHERE id = 'one'"),
        _becomes_young,
        lambda db: name_it(db, "one"),
    ],
    ids=["completed", "payment id", "receipt", "updated_at", "type only", "young", "adjustment"],
)
def test_a_purchase_that_is_touched_before_it_is_deleted_stays(tmp_path: Path, meanwhile: Any) -> None:
    plain = new_site(tmp_path)
    insert(plain, [purchase(id="one", created_at="2026-01-01 00:00:00", status="pending"), purchase(id="two")])
    InterruptedSite.meanwhile = [meanwhile]
    site = InterruptedSite(database=plain.database, state_dir=plain.state_dir)

    result = run_on(site)

    assert set(purchases_in(plain)) == {"one"}
    assert (result["stale"], result["deleted"], result["kept_changed"]) == (2, 1, 1)
    assert [row["id"] for row in thrown_away(trash_files(plain))] == ["two"]


def test_a_purchase_that_fails_before_it_is_deleted_is_deleted_as_a_failed_one(tmp_path: Path) -> None:
    plain = new_site(tmp_path)
    insert(plain, [purchase() for _ in range(100)])  # one batch
    InterruptedSite.meanwhile = [lambda db: db.execute("UPDATE credit_purchases SET status = 'failed'")]
    site = InterruptedSite(database=plain.database, state_dir=plain.state_dir)

    result = run_on(site)

    assert (result["examined"], result["kept_changed"], result["deleted"]) == (200, 100, 100)
    assert [row["status"] for row in thrown_away(trash_files(plain))] == ["failed"] * 100


def test_what_a_webhook_completes_during_a_run_stays(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    rows = [purchase() for _ in range(3000)]
    insert(site, rows)
    assert site.database is not None
    completed: list[str] = []
    done = threading.Event()

    def webhooks() -> None:
        rng = random.Random(4)
        waiting = [row["id"] for row in rows]
        rng.shuffle(waiting)
        with closing(sqlite3.connect(site.database or "", isolation_level=None, timeout=10)) as db:
            while waiting and not done.is_set():
                identifier = waiting.pop()
                db.execute("BEGIN IMMEDIATE")
                found = db.execute(
                    "UPDATE credit_purchases SET status = 'completed', stripe_payment_id = 'pi_1'"
                    " WHERE id = ? AND status = 'pending'",
                    (identifier,),
                ).rowcount
                if found:
                    name_it(db, identifier)
                db.execute("COMMIT")
                if found:
                    completed.append(identifier)
                done.wait(0.001)

    thread = threading.Thread(target=webhooks)
    thread.start()
    try:
        result = run_on(site, clock=ShiftedClock.starting_at(FIRE))
    finally:
        done.set()
        thread.join()

    left = purchases_in(site)
    assert set(completed) == left.keys()
    assert all(row["status"] == "completed" for row in left.values())
    assert result["deleted"] == len(rows) - len(completed)
    assert {row["id"] for row in thrown_away(trash_files(site))} == {row["id"] for row in rows} - left.keys()
    assert result["deleted"] > 0
    assert len(completed) > 0
