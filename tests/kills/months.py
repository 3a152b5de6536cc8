"""The monthly top-up: hosts of a Rapua site, and months that pass."""

from __future__ import annotations

import faulthandler
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from attrs import frozen

from rapua_scheduler.clock import ShiftedClock
from rapua_scheduler.config import load_config
from rapua_scheduler.errors import AnotherHostError
from rapua_scheduler.host import Host
from rapua_scheduler.run import Run, Trigger
from rapua_scheduler.run_ids import RunIds
from rapua_scheduler.store.sqlite import SqliteStore
from tests.kills.evidence import STORE, Micros
from tests.kills.failpoints import Crossing, Failpoints
from tests.kills.processes import REFUSED

JOB = "credit-topup"
SITE = "site.db"
ZONE = ZoneInfo("Pacific/Auckland")

_CONFIGURATION = f"""\
[rapua_scheduler]
timezone = "{ZONE.key}"
state = "{STORE}"
shutdown_grace = "10s"
retention = "9999d"
allow_plugins = ["credit_topup"]

[rapua_scheduler.site]
database = "{SITE}"

[rapua_scheduler.plugins.credit_topup]
batch_size = 4
"""
_IN_A_PROCESS = f"""
[rapua_scheduler.jobs.{JOB}]
isolation = "process"
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HANGS_AFTER = 300.0


@frozen
class Month:
    """A month of the site."""

    year: int
    number: int

    @property
    def begins_at(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=ZONE)

    @property
    def instant(self) -> Micros:
        return (self.begins_at.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)

    @property
    def fire_key(self) -> str:
        return f"{self.year:04}-{self.number:02}-01T00:00"

    def next(self) -> Month:
        return Month(self.year + self.number // 12, self.number % 12 + 1)


@frozen
class Life:
    """What one host is to do.

    Attributes:
        folder: The site.
        month: The month that has begun, or will in a moment.
        shift: How far its clock is from the machine's.
        fatal: Where it is to die; None if nowhere.
        seconds: How long it lives, unless it dies, or nothing is left to do before.
    """

    folder: Path
    month: Month
    shift: timedelta
    fatal: Crossing | None = None
    seconds: float = 1.0


def configure(folder: Path, *, in_a_process: bool) -> None:
    """Write the configuration of a site, whose job may execute in a process of its own."""
    (folder / "rapua-scheduler.toml").write_text(_CONFIGURATION + (_IN_A_PROCESS if in_a_process else ""))


def live(life: Life) -> int:
    """Be a host until nothing is left to do, or its life is over; return the exit status."""
    faulthandler.dump_traceback_later(_HANGS_AFTER, exit=True)
    Failpoints(life.fatal).install()
    config = load_config(life.folder / "rapua-scheduler.toml", None, {}, life.folder)
    host = Host(config, clock=ShiftedClock(life.shift))
    threading.Thread(target=_stop_in_time, args=(host, life), daemon=True).start()
    try:
        host.run()
    except AnotherHostError:
        return REFUSED
    return 0


def _stop_in_time(host: Host, life: Life) -> None:
    end = time.monotonic() + life.seconds
    while time.monotonic() < end and not _state(life.folder / STORE, life.month)[0]:
        time.sleep(0.01)
    host.request_stop()


_STATE = """
    SELECT
        (SELECT count(*) FROM jobs WHERE mark >= :begins),
        (SELECT count(*) FROM runs WHERE status = 'succeeded' AND fire_time >= :begins),
        (SELECT count(*) FROM runs WHERE status IN ('queued', 'running')
            OR status IN ('lost', 'interrupted') AND trigger <> 'manual' AND NOT is_answered)
"""


def _state(store: Path, month: Month) -> tuple[bool, bool]:
    """Tell whether nothing is left to do for the month, and whether a run of it has succeeded."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=30)) as db:
            decided, succeeded, left = db.execute(_STATE, {"begins": month.instant}).fetchone()
    except sqlite3.OperationalError:  # not made yet
        return False, False
    return bool(decided and not left), bool(succeeded)


def is_done(store: Path, month: Month) -> bool:
    """Tell whether a run of the month has succeeded, and nothing is left to do."""
    return all(_state(store, month))


Word = Callable[[SqliteStore, datetime], object]
"""Something that an operator says, at a time."""


def operate(folder: Path, word: Word, shift: timedelta) -> int:
    """Say something to the store from a process that is no host."""
    store = SqliteStore.open(folder / STORE, create=False)
    word(store, ShiftedClock(shift).now())
    store.close()
    return 0


def release(store: SqliteStore, now: datetime) -> None:
    """Say that the clock is right."""
    store.release(now)


def run_by_hand(store: SqliteStore, now: datetime) -> None:
    """Resume the job, and have it run for what it owes: a run that was lost three times is left to the operator."""
    store.resume(JOB, now)
    store.enqueue([Run(RunIds().new(now), JOB, now, now.isoformat(), Trigger.MANUAL)])
