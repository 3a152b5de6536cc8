"""Runs beside other processes: a second host, a busy site, users who spend."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from rapua_scheduler.clock import ShiftedClock
from tests.plugins.credit_topup.oracle import amounts_due, faults
from tests.plugins.credit_topup.running import ended, fork, site_of, top_up
from tests.plugins.credit_topup.sites import MadeSite, execute, make_site, snapshot


def until_stopped(
    stop: int, act: Callable[[sqlite3.Connection, random.Random], None], path: Path, pause: float
) -> None:
    """Call *act* again and again, on a connection that waits for locks, until the pipe *stop* is closed."""
    os.set_blocking(stop, False)
    rng = random.Random(4)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as db:
        while True:
            act(db, rng)
            time.sleep(pause)
            try:
                if os.read(stop, 1) == b"":
                    return
            except BlockingIOError:
                pass


class Beside:
    """A process that acts on the site for as long as the block lasts."""

    def __init__(
        self, made: MadeSite, act: Callable[[sqlite3.Connection, random.Random], None], pause: float = 0.02
    ) -> None:
        self.made, self.act, self.pause = made, act, pause

    def __enter__(self) -> None:
        read_end, self.write_end = os.pipe()

        def work() -> None:
            os.close(self.write_end)
            until_stopped(read_end, self.act, self.made.path, self.pause)

        self.child = fork(work)
        os.close(read_end)

    def __exit__(self, *_: object) -> None:
        os.close(self.write_end)
        assert ended(self.child) == 0


def write(db: sqlite3.Connection, _: random.Random) -> None:
    db.execute("UPDATE teams SET points = points + 1")


def hold_the_lock(db: sqlite3.Connection, rng: random.Random) -> None:
    db.execute("BEGIN IMMEDIATE")
    time.sleep(rng.uniform(0.05, 0.15))
    db.execute("COMMIT")


def spend(db: sqlite3.Connection, rng: random.Random) -> None:
    """Do what starting a team does, and note it in the same transaction."""
    db.execute("BEGIN IMMEDIATE")
    for _ in range(10):
        user_id = rng.choice(db.execute("SELECT id FROM users WHERE typeof(free_credits) = 'integer'").fetchall())[0]
        taken = db.execute(
            "UPDATE users SET free_credits = free_credits - 1 WHERE id = ? AND free_credits > 0", (user_id,)
        ).rowcount
        if taken:
            db.execute("INSERT INTO spends VALUES (?)", (user_id,))
    db.execute("COMMIT")


def test_two_hosts_at_once_credit_everybody_once(tmp_path: Path) -> None:
    made = make_site(tmp_path / "site.db", 11, users=1500)
    before = snapshot(made.path)
    clock = ShiftedClock.starting_at(made.fire_time)

    hosts = [fork(lambda: top_up(made, batch_size=10, clock=clock)) for _ in range(2)]

    assert [ended(host) for host in hosts] == [0, 0]
    assert faults(made, before, snapshot(made.path)) == []
    periods = snapshot(made.path).periods
    assert periods is not None
    assert [row[:2] + row[5:] for row in periods] == [
        ("credit-topup", "2026-11", len(amounts_due(made, before)), sum(amounts_due(made, before).values()))
    ]


def test_a_site_that_writes_every_20_ms_does_not_keep_a_run_from_crediting_all(tmp_path: Path) -> None:
    made = make_site(tmp_path / "site.db", 12, users=1500)
    execute(made.path, "INSERT INTO teams (code, instance_id, points) VALUES ('T', 'i', 0)")
    before = snapshot(made.path)

    with Beside(made, write):
        result = top_up(made, batch_size=50, clock=ShiftedClock.starting_at(made.fire_time))

    assert faults(made, before, snapshot(made.path)) == []
    assert result["failed_batches"] == 0


def test_a_site_that_holds_the_lock_for_long_is_waited_for(tmp_path: Path) -> None:
    made = make_site(tmp_path / "site.db", 13, users=200)
    before = snapshot(made.path)

    with Beside(made, hold_the_lock):
        top_up(
            made,
            batch_size=60,
            clock=ShiftedClock.starting_at(made.fire_time),
            site=site_of(made, busy_timeout=timedelta(milliseconds=40)),
        )

    assert faults(made, before, snapshot(made.path)) == []


@pytest.mark.parametrize("seed", [14, 15])
def test_users_who_spend_during_a_run_lose_and_gain_nothing(tmp_path: Path, seed: int) -> None:
    made = make_site(tmp_path / "site.db", seed, users=1500)
    execute(made.path, "CREATE TABLE spends (user_id TEXT)")
    before = snapshot(made.path)

    with Beside(made, spend, pause=0.002):
        result = top_up(made, batch_size=20, clock=ShiftedClock.starting_at(made.fire_time))

    with closing(sqlite3.connect(made.path)) as db:
        spent = Counter(row[0] for row in db.execute("SELECT user_id FROM spends"))
    after = snapshot(made.path)
    assert spent
    assert result["outcome"] == "completed"
    seen_below_limit = faults(made, before, after, spent=spent)
    # Who was at the limit when the run came by and spent later is served next month, or was a moment before.
    assert [fault for fault in seen_below_limit if "is not due" not in fault] == []
