"""What a run does to a site, held against an oracle that shares no code with it."""

from __future__ import annotations

import logging
import random
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapua_credit_topup.errors import PeriodNotBegunError, TopUpIncompleteError
from rapua_credit_topup.ledger.ids import entry_id
from rapua_scheduler import JobCancelled, Site, SiteError
from rapua_scheduler.context import Cancellation
from rapua_scheduler.testing import AutoClock
from tests.plugins.credit_topup.oracle import amounts_due, faults, verdicts
from tests.plugins.credit_topup.running import counting_site, site_of, top_up
from tests.plugins.credit_topup.sites import (
    AUCKLAND,
    NOVEMBER,
    REASON,
    MadeSite,
    add_adjustment,
    add_user,
    execute,
    make_site,
    snapshot,
)

MONTHS = ((AUCKLAND, 2026, 11), (ZoneInfo("America/New_York"), 2026, 3), (ZoneInfo("UTC"), 2026, 12))


class HookedClock(AutoClock):
    """A clock that calls a function, with the number of the wait, before each wait."""

    def __init__(self, start: datetime, on_wait: Callable[[int], object]) -> None:
        super().__init__(start)
        self.on_wait, self.waits = on_wait, 0

    def wait(self, wakeup: threading.Event, seconds: float) -> bool:
        self.waits += 1
        self.on_wait(self.waits)
        return super().wait(wakeup, seconds)


def add_users(made: MadeSite, number: int, balance: object = 3, limit: object = 10) -> list[str]:
    return [add_user(made.path, f"user-{n:04}", balance, limit) for n in range(number)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 70), st.integers(1, 30), st.integers(1, 30), st.sampled_from(MONTHS))
def test_a_run_credits_exactly_those_who_are_due_and_counts_the_others(
    seed: int, users: int, batch_size: int, page_size: int, month: tuple[ZoneInfo, int, int]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        zone, year, number = month
        made = make_site(Path(folder, "site.db"), seed, users=users + 1, zone=zone, year=year, month=number)
        before = snapshot(made.path)
        patch.setattr("rapua_credit_topup.job.top_up._PAGE", page_size)

        result = top_up(made, batch_size=batch_size)

        assert faults(made, before, snapshot(made.path)) == []
        assert result["outcome"] == "completed"
        assert result["credits_added"] == sum(amounts_due(made, before).values())
        counted = {key: result[key] for key in ("users", *verdicts(made, before))}
        assert counted == {"users": len(before.users), **verdicts(made, before)}
        assert sum(verdicts(made, before).values()) == result["users"]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 9))
def test_a_second_run_changes_nothing_whoever_has_spent_since(seed: int, batch_size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = make_site(Path(folder, "site.db"), seed, users=30)
        before = snapshot(made.path)
        top_up(made, batch_size=batch_size)
        execute(made.path, "DELETE FROM rapua_scheduler_periods")  # as if the run had died just before
        rng = random.Random(seed)
        credited = [row[1] for row_id, row in snapshot(made.path).adjustments.items() if row_id[:8] == "2026-11-"]
        spent = {str(user_id): rng.randrange(1, 5) for user_id in credited if rng.random() < 0.5}
        for user_id, number in spent.items():
            execute(made.path, "UPDATE users SET free_credits = free_credits - ? WHERE id = ?", number, user_id)

        result = top_up(made, batch_size=batch_size)

        assert faults(made, before, snapshot(made.path), spent=spent) == []
        assert (result["credited"], result["outcome"]) == (0, "completed")
        assert result["already_credited"] >= len(spent)


def test_an_audit_row_is_in_the_words_of_the_original(site: MadeSite) -> None:
    user_id = add_user(site.path, "0b5c9e71-3f0a-4b1c-9d2e-5f6071829304", -4, 25)

    top_up(site, clock=AutoClock(NOVEMBER + timedelta(minutes=5, microseconds=120)))

    (row,) = snapshot(site.path).adjustments.values()
    assert row == (
        entry_id("2026-11", user_id),
        user_id,
        29,
        "Monthly free credit top-up: topped up to 25",
        "2026-10-31 11:05:00.00012+00:00",
        None,
    )


def test_every_tier_is_told_of_on_its_own(site: MadeSite) -> None:
    for number, limit in enumerate((10, 10, 25, 7)):
        add_user(site.path, f"user-{number}", 1, limit)

    result = top_up(site)

    assert {key: value for key, value in result.items() if key.startswith("credited_to")} == {
        "credited_to_7": 1,
        "credited_to_10": 2,
        "credited_to_25": 1,
    }


def test_a_site_where_everybody_has_a_limit_of_their_own_has_a_result_of_bounded_size(site: MadeSite) -> None:
    for limit in range(1, 41):
        add_user(site.path, f"user-{limit}", 0, limit)

    result = top_up(site)

    assert result["credited"] == 40
    assert result["credited_to_other_limits"] == 20
    assert len(result) < 40


# --- the period ---------------------------------------------------------------------------------


def test_a_completed_period_is_a_no_op_for_those_who_came_later_too(site: MadeSite) -> None:
    add_users(site, 3)
    top_up(site, run_id="first-run")
    add_user(site.path, "newcomer", 1, 10)
    before = snapshot(site.path)

    result = top_up(site, run_id="second-run")

    assert result["outcome"] == "already_complete"
    assert result["users"] == 0
    assert snapshot(site.path) == before
    assert before.periods is not None
    ((job, period, completed_at, run_key, run_id, users_credited, credits_added),) = before.periods
    assert (job, period, run_key, run_id) == ("credit-topup", "2026-11", "credit-topup@2026-11-01T00:00", "first-run")
    assert str(completed_at).startswith("2026-10-31 11:00:00")
    assert (users_credited, credits_added) == (3, 21)


def test_the_next_month_credits_again(site: MadeSite) -> None:
    add_users(site, 3)
    top_up(site)
    execute(site.path, "UPDATE users SET free_credits = 0")

    result = top_up(site, fire_time=datetime(2026, 12, 1, tzinfo=AUCKLAND))

    assert (result["period"], result["credited"], result["credits_added"]) == ("2026-12", 3, 30)


@pytest.mark.parametrize("balance", [3, 10])
def test_a_period_that_a_newer_one_has_overtaken_does_nothing(site: MadeSite, balance: int) -> None:
    add_users(site, 3, balance)
    before = snapshot(site.path)

    result = top_up(site, clock=AutoClock(datetime(2026, 12, 1, tzinfo=AUCKLAND)))

    assert (result["period"], result["outcome"], result["users"]) == ("2026-11", "overtaken", 0)
    assert snapshot(site.path) == before


def test_a_late_run_within_the_month_credits(site: MadeSite) -> None:
    add_users(site, 3)

    result = top_up(site, clock=AutoClock(datetime(2026, 11, 30, 23, 59, 59, tzinfo=AUCKLAND)))

    assert (result["outcome"], result["credited"]) == ("completed", 3)


def test_a_run_that_the_end_of_the_month_overtakes_stops_and_leaves_the_period_open(site: MadeSite) -> None:
    add_users(site, 6)
    clock = HookedClock(
        datetime(2026, 11, 30, 23, 59, tzinfo=AUCKLAND), lambda n: clock.step(timedelta(minutes=2 * (n == 1)))
    )

    result = top_up(site, clock=clock, batch_size=2)

    assert (result["outcome"], result["credited"]) == ("overtaken", 2)
    assert snapshot(site.path).periods is None


def test_a_month_that_has_not_begun_is_refused(site: MadeSite) -> None:
    add_users(site, 3)
    before = snapshot(site.path)

    with pytest.raises(PeriodNotBegunError, match="2026-11 has not begun"):
        top_up(site, clock=AutoClock(NOVEMBER - timedelta(seconds=1)))

    assert snapshot(site.path) == before


def test_the_zone_of_the_site_decides_which_month_it_is(site: MadeSite) -> None:
    add_users(site, 1)
    instant = datetime(2026, 10, 31, 12, tzinfo=UTC)

    result = top_up(site, fire_time=instant)

    assert result["period"] == "2026-11"


# --- other people's rows ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("created_at", "credited"),
    [
        ("2026-10-31 10:59:59.999999+00:00", 1),  # the last moment of October in Auckland
        ("2026-10-31 11:00:00", 0),
        ("2026-10-31 11:00:00.000001+00:00", 0),
        ("2026-11-30 10:59:59+00:00", 0),
        ("2026-11-30 11:00:00+00:00", 1),
        ("2026-11-01T00:00:00+13:00", 0),
        ("2026-10-31T23:59:59+13:00", 1),
        ("2026-11-01 09:30:00.123456789 +1300 NZDT m=+0.000000001", 0),
        (1793443200, 1),  # 2026-10-31 10:40 UTC
        (1793444400, 0),  # 2026-10-31 11:00 UTC
    ],
)
def test_a_top_up_by_others_counts_for_its_local_month(site: MadeSite, created_at: object, credited: int) -> None:
    user_id = add_user(site.path, "user", 0, 10)
    add_adjustment(site.path, user_id, created_at)

    result = top_up(site)

    assert (result["credited"], result["already_credited"]) == (credited, 1 - credited)


@pytest.mark.parametrize("created_at", ["yesterday", "", "2026-11-31 00:00:00", "2026-13-45 00:00:00", b"\x00"])
def test_a_top_up_by_others_at_an_unreadable_time_leaves_its_user_alone_and_warns(
    site: MadeSite, created_at: object, caplog: pytest.LogCaptureFixture
) -> None:
    doubtful, other = add_user(site.path, "user", 0, 10), add_user(site.path, "other", 0, 10)
    row_id = add_adjustment(site.path, doubtful, created_at)

    with caplog.at_level(logging.WARNING, "rapua_scheduler"):
        result = top_up(site)

    assert (result["in_doubt_left_alone"], result["credited"], result["outcome"]) == (1, 1, "completed")
    assert snapshot(site.path).balance(doubtful) == 0
    assert snapshot(site.path).balance(other) == 10
    assert row_id in caplog.text


def test_our_own_row_of_last_month_does_not_count_for_this_one_whenever_it_was_written(site: MadeSite) -> None:
    user_id = add_user(site.path, "user", 0, 10)
    add_adjustment(site.path, user_id, "2026-11-03 00:00:00+00:00", row_id=entry_id("2026-10", user_id))

    assert top_up(site)["credited"] == 1


@pytest.mark.parametrize("reason", ["Gift: Monthly free credit top-up", "Purchase", "monthly free credit top-up"])
def test_other_adjustments_do_not_count(site: MadeSite, reason: str) -> None:
    user_id = add_user(site.path, "user", 0, 10)
    add_adjustment(site.path, user_id, "2026-11-03 00:00:00+00:00", reason=reason)

    assert top_up(site)["credited"] == 1


def before_first_lock(made: MadeSite, act: Callable[[], object]) -> Any:
    """Return a site on which somebody acts after everything is looked at, just before we write."""

    class Raced(Site):
        acted: list[bool] = []  # noqa: RUF012  this test's only

        def write(self) -> Any:
            if not self.acted:
                self.acted.append(True)
                act()
            return super().write()

    return site_of(made, Raced)


def test_a_top_up_by_others_between_look_and_lock_counts(site: MadeSite) -> None:
    user_id = add_user(site.path, "user", 0, 10)
    add_adjustment(site.path, user_id, "2026-09-01 00:00:00")

    raced = before_first_lock(site, lambda: add_adjustment(site.path, user_id, "2026-11-01 00:00:00"))

    assert top_up(site, site=raced)["already_credited"] == 1


def test_a_top_up_by_others_counts_that_took_the_row_number_of_one_deleted(site: MadeSite) -> None:
    user_id = add_user(site.path, "user", 0, 10)
    for _ in range(3):
        last = add_adjustment(site.path, user_id, "2026-09-01 00:00:00")

    def replace_last_row() -> None:
        execute(site.path, "DELETE FROM credit_adjustments WHERE id = ?", last)
        add_adjustment(site.path, user_id, "2026-11-01 00:00:00")

    raced = before_first_lock(site, replace_last_row)

    assert top_up(site, site=raced)["already_credited"] == 1


def test_a_user_who_spends_between_look_and_lock_gets_the_true_difference(site: MadeSite) -> None:
    user_id = add_user(site.path, "user", 9, 10)

    raced = before_first_lock(site, lambda: execute(site.path, "UPDATE users SET free_credits = 2"))

    assert top_up(site, site=raced)["credits_added"] == 8
    assert snapshot(site.path).balance(user_id) == 10


def test_a_user_who_is_given_credits_or_goes_between_look_and_lock_is_not_credited(site: MadeSite) -> None:
    add_users(site, 2)

    def give_and_delete() -> None:
        execute(site.path, "UPDATE users SET free_credits = 50 WHERE id = 'user-0000'")
        execute(site.path, "DELETE FROM users WHERE id = 'user-0001'")

    result = top_up(site, site=before_first_lock(site, give_and_delete))

    assert (result["credited"], result["not_due"]) == (0, 2)
    assert snapshot(site.path).adjustments == {}


def test_another_host_that_completes_the_period_ends_this_run(site: MadeSite) -> None:
    add_users(site, 5)

    result = top_up(site, site=before_first_lock(site, lambda: top_up(site)))

    assert (result["outcome"], result["credited"]) == ("already_complete", 0)


# --- what is wrong is told ----------------------------------------------------------------------


def test_an_id_that_another_user_holds_raises_the_alarm_and_leaves_the_period_open(
    site: MadeSite, caplog: pytest.LogCaptureFixture
) -> None:
    users = add_users(site, 5)
    taken = entry_id("2026-11", users[2])
    add_adjustment(site.path, "somebody-else", "2026-11-01 00:00:00+00:00", row_id=taken)

    with caplog.at_level(logging.ERROR, "rapua_scheduler"), pytest.raises(TopUpIncompleteError) as raised:
        top_up(site, batch_size=2)

    assert raised.value.counts["alarms"] == 1
    assert raised.value.counts["credited"] == 4
    assert "alarms=1" in str(raised.value)
    assert [snapshot(site.path).balance(user_id) for user_id in users] == [10, 10, 3, 10, 10]
    assert taken in caplog.text
    assert snapshot(site.path).periods is None


def test_a_row_under_our_id_that_is_no_top_up_raises_the_alarm(site: MadeSite) -> None:
    user_id = add_user(site.path, "user", 0, 10)
    add_adjustment(site.path, user_id, "2026-11-01 00:00:00", row_id=entry_id("2026-11", user_id), reason="Gift")

    with pytest.raises(TopUpIncompleteError, match="alarms=1"):
        top_up(site)


@pytest.mark.parametrize(
    ("table", "column"), [("users", "monthly_credit_limit"), ("credit_adjustments", "credit_purchase_id")]
)
def test_a_database_that_lacks_a_column_is_refused_by_name(site: MadeSite, table: str, column: str) -> None:
    execute(site.path, f"ALTER TABLE {table} RENAME COLUMN {column} TO other")

    with pytest.raises(SiteError, match=f"{table}.*{column}"):
        top_up(site)


def test_a_table_of_our_name_that_is_not_ours_is_refused(site: MadeSite) -> None:
    execute(site.path, "CREATE TABLE rapua_scheduler_periods (job TEXT, period TEXT)")

    with pytest.raises(SiteError, match="completed_at"):
        top_up(site)


# --- what is left over --------------------------------------------------------------------------


def test_a_database_that_stays_locked_fails_the_run_with_counts_and_the_next_run_serves_all(site: MadeSite) -> None:
    add_users(site, 7)
    before = snapshot(site.path)
    clock = HookedClock(NOVEMBER, lambda _: None)
    with closing(sqlite3.connect(site.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(TopUpIncompleteError) as raised:
            top_up(site, batch_size=3, clock=clock, site=site_of(site, busy_timeout=timedelta(milliseconds=1)))

        other.execute("ROLLBACK")
    assert raised.value.counts["failed_batches"] == 3
    assert raised.value.counts["not_served"] == 7
    assert clock.waits == 5 + 2  # six attempts at the first batch, one at each other, and the pauses between them
    assert snapshot(site.path) == before
    assert top_up(site)["credited"] == 7


def test_a_batch_that_found_the_database_locked_is_left_to_the_next_run_and_the_others_are_not(site: MadeSite) -> None:
    users = add_users(site, 9)
    other = sqlite3.connect(site.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    # Six attempts have five waits between them, and the sixth wait is the pause before the next batch.
    clock = HookedClock(NOVEMBER, lambda n: other.execute("ROLLBACK") if n == 6 else None)

    with pytest.raises(TopUpIncompleteError) as raised:
        top_up(site, batch_size=3, clock=clock, site=site_of(site, busy_timeout=timedelta(milliseconds=1)))

    other.close()
    assert [snapshot(site.path).balance(user_id) for user_id in users] == [3] * 3 + [10] * 6
    assert (raised.value.counts["failed_batches"], raised.value.counts["credited"]) == (1, 6)
    again = top_up(site)
    assert (again["outcome"], again["credited"]) == ("completed", 3)


def test_a_full_disk_ends_the_run_and_leaves_no_batch_half_done(tmp_path: Path) -> None:
    made = make_site(tmp_path / "site.db", 5, users=400)
    before = snapshot(made.path)
    pages = execute_scalar(made.path, "PRAGMA page_count")

    class FullDisk(Site):
        def _connect(self, mode: str) -> sqlite3.Connection:
            db = super()._connect(mode)
            db.execute(f"PRAGMA max_page_count = {pages + 2}")
            return db

    with pytest.raises(sqlite3.OperationalError, match="full"):
        top_up(made, site=site_of(made, FullDisk), batch_size=20)

    halfway = snapshot(made.path)
    assert faults(made, before, halfway, complete=False) == []
    assert halfway.adjustments.keys() > before.adjustments.keys()
    top_up(made)
    assert faults(made, before, snapshot(made.path)) == []


def execute_scalar(path: Path, sql: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        number: int = db.execute(sql).fetchone()[0]
        return number


def test_a_cancelled_run_stops_between_batches_and_leaves_the_rest_to_the_next(site: MadeSite) -> None:
    add_users(site, 9)
    before = snapshot(site.path)
    cancellation = Cancellation()
    clock = HookedClock(NOVEMBER, lambda n: cancellation.cancel("enough") if n == 2 else None)

    with pytest.raises(JobCancelled, match="enough"):
        top_up(site, batch_size=2, clock=clock, cancellation=cancellation)

    halfway = snapshot(site.path)
    assert len(halfway.adjustments) == 4
    assert faults(site, before, halfway, complete=False) == []
    assert top_up(site)["credited"] == 5


# --- dry runs -----------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**9))
def test_a_dry_run_counts_what_a_run_would_do_and_writes_nothing(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = make_site(Path(folder, "site.db"), seed, users=30)
        for row_id, row in list(snapshot(made.path).users.items())[:3]:  # credited by us before, then spent
            add_adjustment(made.path, row_id, "2026-11-01 00:00:00", row_id=entry_id("2026-11", row_id))
            assert row
        before = snapshot(made.path)
        statements: list[str] = []

        dry = top_up(made, dry_run=True, site=counting_site(made, statements.append))

        assert snapshot(made.path) == before
        assert statements == []
        assert dry.pop("outcome") == "dry_run"
        wet = top_up(made)
        assert wet.pop("outcome") == "completed"
        assert dry == wet


def test_a_user_of_the_original_who_was_topped_up_to_another_limit_counts(site: MadeSite) -> None:
    user_id = add_user(site.path, "user", 0, 25)
    add_adjustment(site.path, user_id, "2026-11-01 00:00:00+00:00", reason=REASON + "10")

    assert top_up(site)["already_credited"] == 1
