"""The site: its database, and the formats in it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler import Site, format_time, is_busy, parse_time
from rapua_scheduler.demo.database import create_database
from rapua_scheduler.errors import SiteError
from rapua_scheduler.site import database_path, read_env_file


@pytest.fixture
def site(tmp_path: Path) -> Site:
    create_database(tmp_path / "site.db")
    return Site(database=tmp_path / "site.db", busy_timeout=timedelta(milliseconds=20))


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda t: t.replace(tzinfo=UTC)))
def test_a_time_reads_back_as_it_was_written(instant: datetime) -> None:
    assert parse_time(format_time(instant)) == instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-23 17:09:12", datetime(2026, 11, 23, 17, 9, 12, tzinfo=UTC)),
        ("2026-11-23 17:09:12+00:00", datetime(2026, 11, 23, 17, 9, 12, tzinfo=UTC)),
        ("2026-11-23 17:09:12.5+00:00", datetime(2026, 11, 23, 17, 9, 12, 500_000, tzinfo=UTC)),
        ("2026-11-23 17:09:12.510803+00:00", datetime(2026, 11, 23, 17, 9, 12, 510_803, tzinfo=UTC)),
    ],
)
def test_the_three_shapes_are_read(text: str, instant: datetime) -> None:
    assert parse_time(text) == instant


@pytest.mark.parametrize(
    "value",
    [
        "",
        None,
        b"2026-11-23 17:09:12",
        1763917752,
        "2026-11-23T17:09:12Z",
        "2026-11-23",
        "2026-13-23 17:09:12",
        "2026-11-23 17:09:12 ",
        "2026-11-23 17:09:12+13:00",
        "2026-11-23 17:09:12.510803 +0000 UTC",
        "\uff12\uff10\uff12\uff16-11-23 17:09:12",
    ],
)
def test_other_shapes_are_not_read_for_certain(value: object) -> None:
    assert parse_time(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-23T17:09:12Z",
        "2026-11-24T06:09:12+13:00",
        "2026-11-23 17:09:12 +0000 UTC",
        "2026-11-23 17:09:12.0 +0000 UTC m=+0.1",
        1795453752,
        "1795453752",
    ],
)
def test_shapes_of_a_hand_edit_are_read_when_asked(value: object) -> None:
    assert parse_time(value, hand_edited=True) == datetime(2026, 11, 23, 17, 9, 12, tzinfo=UTC)


def test_an_exception_rolls_a_write_back(site: Site) -> None:
    def add_and_fail(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO teams (code, instance_id) VALUES ('T', 'i')")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        site.transact(add_and_fail, sleep=lambda _: None)

    with site.read() as db:
        assert db.execute("SELECT count(*) FROM teams").fetchone()[0] == 0


def test_reading_cannot_write(site: Site) -> None:
    with site.read() as db, pytest.raises(sqlite3.OperationalError):
        db.execute("DELETE FROM teams")


def test_a_busy_database_is_tried_again(site: Site) -> None:
    assert site.database is not None
    waits: list[float] = []
    with closing(sqlite3.connect(site.database, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                other.execute("COMMIT")

        code = site.transact(
            lambda db: db.execute("INSERT INTO teams (code, instance_id) VALUES ('T', 'i') RETURNING code").fetchone(),
            sleep=wait,
        )

    assert code["code"] == "T"
    assert len(waits) == 3


def test_a_database_that_stays_busy_is_given_up(site: Site) -> None:
    assert site.database is not None
    with closing(sqlite3.connect(site.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            site.transact(lambda db: None, sleep=lambda _: None, attempts=2)

    assert is_busy(caught.value)


def test_an_error_that_is_not_about_locks_is_not_tried_again(site: Site) -> None:
    calls: list[int] = []

    def work(db: sqlite3.Connection) -> None:
        calls.append(1)
        db.execute("SELECT nonsense FROM nowhere")

    with pytest.raises(sqlite3.OperationalError):
        site.transact(work, sleep=lambda _: None)

    assert calls == [1]


def test_a_missing_column_or_table_is_named(site: Site) -> None:
    site.require("users", ["id", "free_credits"])

    with pytest.raises(SiteError, match=r"'users' lacks shoe_size, hat"):
        site.require("users", ["id", "shoe_size", "hat"])
    with pytest.raises(SiteError, match="'usres' is missing"):
        site.require("usres", ["id"])


def test_a_site_without_database_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="--site"), Site().read():
        pass
    with pytest.raises(SiteError, match="no such file"), Site(database=tmp_path / "x.db").read():
        pass
    assert not (tmp_path / "x.db").exists()


def test_a_database_whose_path_has_odd_characters_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a b%20?#ü.db"
    create_database(path)

    Site(database=path).require("users", ["id"])


def test_only_the_named_keys_of_an_env_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# a comment\nSTRIPE_SECRET=sk_live\nexport SITE_URL='https://x.nz' # here\n"
        'DB_TYPE=sqlite3\nDB_CONNECTION="file:data/s.db?_pragma=journal_mode(WAL)"\n'
    )

    values = read_env_file(path)

    assert values == {
        "SITE_URL": "https://x.nz",
        "DB_TYPE": "sqlite3",
        "DB_CONNECTION": "file:data/s.db?_pragma=journal_mode(WAL)",
    }
    assert database_path(values["DB_CONNECTION"], tmp_path) == tmp_path / "data/s.db"


def test_two_writers_take_turns(site: Site) -> None:
    patient = Site(database=site.database)
    started = threading.Barrier(2)

    def add(name: str) -> None:
        started.wait()
        for number in range(20):
            with patient.write() as db:
                db.execute("INSERT INTO teams (code, instance_id) VALUES (?, 'i')", (f"{name}{number}",))

    threads = [threading.Thread(target=add, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with patient.read() as db:
        assert db.execute("SELECT count(*) FROM teams").fetchone()[0] == 40
