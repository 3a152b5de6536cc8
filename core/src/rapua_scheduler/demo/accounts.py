"""The people of the demonstration's site: what they own, and what they meant to buy."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from attrs import frozen

from rapua_scheduler.site import format_time


@frozen
class _User:
    name: str
    free_credits: int
    limit: int | None
    paid_credits: int = 0


@frozen
class _Purchase:
    buyer: str
    age: timedelta
    status: str
    payment_id: str | None = None
    is_named: bool = False
    shape: int = 0


_USERS = (
    _User("ada", 3, 10),
    _User("ben", 0, 10, paid_credits=40),
    _User("cleo", 10, 10),
    _User("dan", 25, 25),
    _User("emma", 4, 25),
    _User("finn", 31, 25),  # more than the limit: keeps them
    _User("gus", -2, 10),
    _User("hana", 5, None),  # no limit: not topped up
    _User("isla", 0, 0),
    _User("kiri", 9, 10),
    _User("liam", 12, 50),  # of a school with an agreement of its own
    _User("mia", 50, 50),
)

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_PURCHASES = (
    _Purchase("ada", 9 * _DAY, "pending"),
    _Purchase("ben", 30 * _DAY + 5 * _HOUR, "pending", shape=1),
    _Purchase("emma", 7 * _DAY + _HOUR, "pending", shape=2),
    _Purchase("finn", 8 * _DAY + 6 * _HOUR, "failed", shape=2),
    _Purchase("liam", 21 * _DAY, "failed", payment_id=""),
    # what stays: young, paid, named by an adjustment, of another status, of a time nobody can be sure of
    _Purchase("ada", 2 * _HOUR, "pending", shape=2),
    _Purchase("kiri", 3 * _DAY, "pending", shape=1),
    _Purchase("gus", 7 * _DAY - _HOUR, "failed"),
    _Purchase("emma", 12 * _DAY, "pending", payment_id="pi_demo_late"),
    _Purchase("dan", 15 * _DAY, "failed", is_named=True, shape=1),
    _Purchase("ben", 45 * _DAY, "completed", payment_id="pi_demo_1", is_named=True),
    _Purchase("ben", 10 * _DAY, "completed", payment_id="pi_demo_2", is_named=True, shape=2),
    _Purchase("mia", _DAY, "completed", payment_id="pi_demo_3", is_named=True),
    _Purchase("hana", 40 * _DAY, "cancelled"),
    _Purchase("cleo", 60 * _DAY, "pending", shape=3),
)


def add_accounts(db: sqlite3.Connection, now: datetime, zone: ZoneInfo, rng: random.Random) -> None:
    """Store users, their purchases, and the adjustments of their credits until *now*."""
    ids = {user.name: identifier(rng) for user in _USERS}
    long_ago = format_time(now - timedelta(days=200))
    for user in _USERS:
        values = (ids[user.name], user.name.title(), f"{user.name}@example.org", user.name.title())
        balances = (user.free_credits, user.paid_credits, user.limit)
        db.execute(
            "INSERT INTO users (created_at, updated_at, id, name, email, display_name, free_credits, paid_credits,"
            " monthly_credit_limit, email_verified, provider) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, '')",
            (long_ago, long_ago, *values, *balances),
        )
    month = now.astimezone(zone).replace(day=1, hour=0, minute=0, second=2, microsecond=0, fold=0)
    for name, credits_, limit in (("cleo", 4, 10), ("emma", 25, 25), ("kiri", 1, 10)):
        reason = f"Monthly free credit top-up: topped up to {limit}"
        _add_adjustment(db, rng, format_time(month), ids[name], credits_, reason, None)
    _add_adjustment(db, rng, format_time(now - 3 * _DAY), ids["finn"], 6, "Gift: thank you for the translation", None)

    for number, purchase in enumerate(_PURCHASES):
        purchase_id, at = identifier(rng), _written(now - purchase.age, purchase.shape)
        db.execute(
            "INSERT INTO credit_purchases (id, created_at, updated_at, user_id, credits, amount_paid,"
            " stripe_payment_id, stripe_session_id, status) VALUES (?, ?, ?, ?, 20, 1000, ?, ?, ?)",
            (purchase_id, at, at, ids[purchase.buyer], purchase.payment_id, f"cs_demo_{number:02}", purchase.status),
        )
        if purchase.is_named:
            _add_adjustment(db, rng, at, ids[purchase.buyer], 20, "Purchase: 20 credits", purchase_id)


def identifier(rng: random.Random) -> str:
    """Return the next random UUID of *rng*."""
    return str(UUID(int=rng.getrandbits(128), version=4))


def _add_adjustment(
    db: sqlite3.Connection, rng: random.Random, at: str, user: str, credits_: int, reason: str, purchase: str | None
) -> None:
    db.execute(
        "INSERT INTO credit_adjustments (id, created_at, user_id, credits, reason, credit_purchase_id)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (identifier(rng), at, user, credits_, reason, purchase),
    )


def _written(instant: datetime, shape: int) -> str:
    """Return *instant* in one of the three shapes of a Rapua database, or as a hand once typed it."""
    in_utc = instant.astimezone(UTC)
    if shape == 0:
        return f"{in_utc:%Y-%m-%d %H:%M:%S}"
    if shape == 1:
        return format_time(in_utc.replace(microsecond=0))
    if shape == 2:
        return format_time(in_utc.replace(microsecond=510_800))
    return f"{in_utc:%Y-%m-%dT%H:%M:%SZ}"
