"""Whether a month is done is told by the database that holds the credits, and by nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from rapua_scheduler import Site
from tests.plugins.credit_topup.running import job_of, site_of, top_up
from tests.plugins.credit_topup.sites import AUCKLAND, NOVEMBER, MadeSite, add_user, execute, snapshot

OCTOBER = datetime(2026, 10, 1, tzinfo=AUCKLAND)
DECEMBER = datetime(2026, 12, 1, tzinfo=AUCKLAND)


def is_done(site: Site, fire_time: datetime) -> bool | None:
    ask = job_of(site).is_done
    assert ask is not None
    return ask(fire_time)


def test_a_month_is_done_once_its_top_up_is_complete_and_the_next_one_is_not(site: MadeSite) -> None:
    add_user(site.path, "user", 0, 10)
    assert is_done(site_of(site), NOVEMBER) is False

    top_up(site)

    assert is_done(site_of(site), NOVEMBER) is True
    assert is_done(site_of(site), DECEMBER) is False


def test_every_instant_of_the_month_is_done_with_it(site: MadeSite) -> None:
    top_up(site)

    assert is_done(site_of(site), DECEMBER - timedelta(microseconds=1)) is True
    assert is_done(site_of(site), NOVEMBER - timedelta(microseconds=1)) is not True


def test_a_dry_run_does_nothing_and_so_is_not_done(site: MadeSite) -> None:
    top_up(site, dry_run=True)

    assert is_done(site_of(site), NOVEMBER) is False


def test_a_restored_database_is_not_done_whatever_was_done_to_the_one_before(site: MadeSite, tmp_path: Path) -> None:
    add_user(site.path, "user", 3, 10)
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(site.path)) as db, closing(sqlite3.connect(backup)) as copy:
        db.backup(copy)
    top_up(site)
    assert is_done(site_of(site), NOVEMBER) is True

    for suffix in ("-wal", "-shm"):
        site.path.with_name(site.path.name + suffix).unlink(missing_ok=True)
    backup.replace(site.path)

    assert is_done(site_of(site), NOVEMBER) is False
    top_up(site)
    assert snapshot(site.path).balance("user") == 10


def test_a_month_that_was_left_out_and_is_over_cannot_be_told(site: MadeSite) -> None:
    assert is_done(site_of(site), OCTOBER) is False

    top_up(site)
    execute(site.path, "UPDATE rapua_scheduler_periods SET period = '2026-09'")
    top_up(site)

    assert is_done(site_of(site), OCTOBER) is None


def test_the_period_of_another_job_does_not_count(site: MadeSite) -> None:
    top_up(site)
    execute(site.path, "UPDATE rapua_scheduler_periods SET job = 'another'")

    assert is_done(site_of(site), NOVEMBER) is False
    assert is_done(site_of(site), OCTOBER) is False


def test_nothing_can_be_told_without_a_database_that_can_be_read(site: MadeSite, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"this is no database" * 100)

    assert is_done(Site(), NOVEMBER) is None
    assert is_done(Site(database=tmp_path / "gone.db"), NOVEMBER) is None
    assert is_done(Site(database=garbage), NOVEMBER) is None


def test_nothing_can_be_told_of_a_database_that_is_not_a_rapua_sites(site: MadeSite) -> None:
    execute(site.path, "DROP TABLE credit_adjustments")

    assert is_done(site_of(site), NOVEMBER) is None
