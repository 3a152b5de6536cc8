"""The survey of other people's audit rows: the same answer whatever it remembers, and no slow statements."""

from __future__ import annotations

import sqlite3
import tempfile
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapua_credit_topup.ledger import earlier
from rapua_credit_topup.ledger.earlier import Credited, EarlierTopUps
from rapua_credit_topup.period import Period
from tests.plugins.credit_topup.oracle import faults
from tests.plugins.credit_topup.running import top_up
from tests.plugins.credit_topup.sites import AUCKLAND, NOVEMBER, MadeSite, add_adjustment, add_user, make_site, snapshot

PERIOD = Period.containing(NOVEMBER, AUCKLAND)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 50), st.integers(0, 6))
def test_a_survey_that_remembers_little_gives_the_same_answers(seed: int, step: int, remembered: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        made = make_site(Path(folder, "site.db"), seed, users=30)
        before = snapshot(made.path)
        patch.setattr(earlier, "_STEP", step)
        patch.setattr(earlier, "_REMEMBERED", remembered)
        with closing(sqlite3.connect(made.path)) as db:
            surveyed = EarlierTopUps.survey(db, PERIOD, lambda: None)
            found = surveyed.about(db, before.users.keys(), holds=True)
            afresh = surveyed.about(db, before.users.keys(), holds=False)

        assert len(surveyed.findings) <= remembered
        assert {user_id: finding.credited for user_id, finding in found.items()} == {
            user_id: finding.credited for user_id, finding in afresh.items()
        }
        assert {user_id for user_id, finding in found.items() if finding.credited is Credited.YES} == made.credited
        assert {user_id for user_id, f in found.items() if f.credited is Credited.IN_DOUBT} == made.doubtful
        top_up(made)
        assert faults(made, before, snapshot(made.path)) == []


def test_a_survey_holds_until_its_last_row_goes(site: MadeSite) -> None:
    user_id = add_user(site.path, "user", 0, 10)
    add_adjustment(site.path, user_id, "2026-09-01 00:00:00")
    last = add_adjustment(site.path, user_id, "2026-09-02 00:00:00")
    with closing(sqlite3.connect(site.path, isolation_level=None)) as db:
        surveyed = EarlierTopUps.survey(db, PERIOD, lambda: None)

        add_adjustment(site.path, user_id, "2026-09-03 00:00:00")
        assert surveyed.still_holds(db)

        db.execute("DELETE FROM credit_adjustments WHERE id = ?", (last,))
        assert not surveyed.still_holds(db)


def test_rows_of_a_user_are_looked_up_by_user_and_row_number(site: MadeSite) -> None:
    with closing(sqlite3.connect(site.path)) as db:
        parameters = {"user_ids": "[]", "after": 5, "from": "", "until": ""}
        plan = " ".join(row[3] for row in db.execute("EXPLAIN QUERY PLAN " + earlier._OF_USERS, parameters))

    assert "idx_credit_adjustments_user_id (user_id=? AND rowid>?)" in plan


def test_a_survey_can_be_cancelled_between_its_statements(site: MadeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "_STEP", 2)
    for _ in range(6):
        add_adjustment(site.path, "user", "2026-09-01 00:00:00")
    calls: list[None] = []

    with closing(sqlite3.connect(site.path)) as db:
        EarlierTopUps.survey(db, PERIOD, lambda: calls.append(None))

    assert len(calls) == 4


def peak_memory_of_a_run(path: Path, users: int) -> int:
    made = make_site(path, 1, users=users)
    tracemalloc.start()
    try:
        top_up(made, batch_size=100)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "_REMEMBERED", 100)
    top_up(make_site(tmp_path / "warm-up.db", 1))

    few = peak_memory_of_a_run(tmp_path / "few.db", 5_000)
    many = peak_memory_of_a_run(tmp_path / "many.db", 40_000)

    assert many < few * 1.3
