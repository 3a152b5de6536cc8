"""The primary key that guards against crediting twice."""

from __future__ import annotations

import random
import sqlite3
import uuid

from hypothesis import given
from hypothesis import strategies as st

from rapua_credit_topup.ledger.ids import SHAPE, bounds, entry_id

periods = st.builds("{:04}-{:02}".format, st.integers(2000, 2200), st.integers(1, 12))
user_ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
plain_ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789ABCDEF-_.@", max_size=60)


def matches_shape(row_id: str) -> bool:
    db = sqlite3.connect(":memory:")
    try:
        return bool(db.execute("SELECT ? GLOB ?", (row_id, SHAPE)).fetchone()[0])
    finally:
        db.close()


@given(periods, user_ids)
def test_an_id_has_36_plain_characters_and_the_shape_that_tells_ours(period: str, user_id: str) -> None:
    made = entry_id(period, user_id)

    assert len(made) == 36
    assert made.isascii()
    assert made.isprintable()
    assert matches_shape(made)
    low, high = bounds(period)
    assert low <= made < high


@given(periods, periods, user_ids, user_ids)
def test_ids_sort_by_period_first(earlier: str, later: str, one: str, other: str) -> None:
    if earlier == later:
        return
    earlier, later = sorted((earlier, later))

    assert entry_id(earlier, one) < entry_id(later, other)


@given(periods, plain_ids, plain_ids)
def test_ids_of_a_period_sort_as_user_ids_do_that_differ_in_16_characters(period: str, one: str, other: str) -> None:
    one, other = sorted((one, other))
    if one[:16].ljust(16, "-") == other[:16].ljust(16, "-"):
        return

    assert entry_id(period, one) < entry_id(period, other)


@given(user_ids, user_ids)
def test_two_users_have_two_ids(one: str, other: str) -> None:
    assert (entry_id("2026-11", one) == entry_id("2026-11", other)) == (one == other)


def test_users_whose_ids_begin_alike_have_ids_of_their_own() -> None:
    users = [f"a-prefix-that-everybody-shares-{number}" for number in range(20_000)]

    assert len({entry_id("2026-11", user) for user in users}) == len(users)


def test_the_same_user_has_another_id_in_another_month() -> None:
    user_id = str(uuid.uuid4())

    assert entry_id("2026-11", user_id)[8:] != entry_id("2026-12", user_id)[8:]


def test_no_random_id_of_the_original_has_the_shape_of_ours() -> None:
    rng = random.Random(1)

    assert not any(matches_shape(str(uuid.UUID(int=rng.getrandbits(128), version=4))) for _ in range(2000))


def test_the_id_of_a_user_never_changes_between_versions() -> None:
    assert entry_id("2026-11", "0b5c9e71-3f0a-4b1c-9d2e-5f6071829304") == "2026-11-0b5c9e71-3f0a-4b.5p4UV7EMEYG"
