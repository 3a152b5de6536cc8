"""Sites with purchases of every kind, and an oracle that shares no code with the plugin."""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rapua_scheduler import Job, Site
from rapua_scheduler.demo.database import create_database
from rapua_scheduler.testing import run_job
from rapua_stale_purchases import StalePurchasesSettings, register_jobs

FIRE = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
CUTOFF = FIRE - timedelta(hours=7 * 24)
LONG_AGO = "2025-01-01 00:00:00+00:00"

Row = dict[str, Any]


def new_site(folder: Path, **fields: Any) -> Site:
    create_database(folder / "site.db")
    return Site(database=folder / "site.db", state_dir=folder / "state", **fields)


def stale_job(site: Site, **settings: Any) -> Job:
    [job] = register_jobs(StalePurchasesSettings(**settings), site)
    return job


def run_on(site: Site, **options: Any) -> dict[str, int]:
    result: dict[str, int] = run_job(stale_job(site), **{"fire_time": FIRE, **options})
    return result


def purchase(**fields: Any) -> Row:
    """A purchase that is stale, but for *fields*."""
    identifier = str(uuid.uuid4())
    return {
        "id": identifier,
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "user_id": "user-1",
        "credits": 10,
        "amount_paid": 500,
        "stripe_payment_id": None,
        "stripe_session_id": f"cs_{identifier}",
        "stripe_customer_id": None,
        "receipt_url": None,
        "status": "pending",
    } | fields


def insert(site: Site, purchases: Iterable[Row], *, named: Iterable[Any] = ()) -> None:
    """Store *purchases*, and an adjustment for each id in *named*."""
    assert site.database is not None
    with closing(sqlite3.connect(site.database)) as db, db:
        for row in purchases:
            columns = ", ".join(row)
            marks = ", ".join("?" * len(row))
            db.execute(f"INSERT INTO credit_purchases ({columns}) VALUES ({marks})", tuple(row.values()))
        for identifier in named:
            name_it(db, identifier)


def name_it(db: sqlite3.Connection, identifier: Any) -> None:
    db.execute(
        "INSERT INTO credit_adjustments (id, user_id, credits, reason, credit_purchase_id)"
        " VALUES (?, 'user-1', 10, 'Purchase', ?)",
        (str(uuid.uuid4()), identifier),
    )


def purchases_in(site: Site) -> dict[Any, Row]:
    """Every purchase, to the last column and type."""
    assert site.database is not None
    with closing(sqlite3.connect(site.database)) as db:
        db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        db.row_factory = sqlite3.Row
        return {row["id"]: dict(row) for row in db.execute("SELECT * FROM credit_purchases")}


def named_in(site: Site) -> set[Any]:
    assert site.database is not None
    with closing(sqlite3.connect(site.database)) as db:
        return {identifier for (identifier,) in db.execute("SELECT credit_purchase_id FROM credit_adjustments")}


def trash_files(site: Site) -> list[Path]:
    assert site.state_dir is not None
    return sorted((site.state_dir / "trash" / "stale-purchases").glob("*"))


def thrown_away(files: Iterable[Path]) -> list[Row]:
    """Every row that a trash file says was deleted; a line torn by a kill says nothing."""
    rows: list[Row] = []
    for file in files:
        of_this_file: dict[int, Row] = {}
        lines = file.read_bytes().split(b"\n")
        for number, line in enumerate(map(json.loads, lines[:-1]), start=1):
            if "row" in line:
                row = {
                    name: bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
                    for name, value in line["row"].items()
                }
                of_this_file[number] = row
            for kept in line.get("kept", ()):
                del of_this_file[kept]
        rows += of_this_file.values()
    return rows


def same(first: Row, second: Row) -> bool:
    """Equal in every column, and of the same types: 1 is not 1.0, and "1" is not b"1"."""
    return [(name, type(value), value) for name, value in first.items()] == [
        (name, type(value), value) for name, value in second.items()
    ]


def instant_of(text: object) -> datetime | None:
    """The oracle's own reading of a time."""
    if not isinstance(text, str):
        return None
    for shape in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%d %H:%M:%S.%f+00:00"):
        try:
            return datetime.strptime(text, shape).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def stale_by_oracle(rows: Mapping[Any, Row], named: set[Any], cutoff: datetime) -> set[Any]:
    """Ids of the purchases that the specification says are to be deleted."""
    stale = set()
    for identifier, row in rows.items():
        created_at = instant_of(row["created_at"])
        if (
            row["status"] in {"pending", "failed"}
            and created_at is not None
            and created_at < cutoff
            and (row["stripe_payment_id"] is None or row["stripe_payment_id"] == "")
            and identifier not in named
        ):
            stale.add(identifier)
    return stale


def in_shape(instant: datetime, shape: int) -> str:
    """*instant* in one of the three shapes of a Rapua database; the first two drop its fraction."""
    text = f"{instant:%Y-%m-%d %H:%M:%S}"
    if shape == 2 and instant.microsecond:
        return text + f".{instant.microsecond:06d}".rstrip("0") + "+00:00"
    return text if shape == 0 else text + "+00:00"


def fill_with_every_kind(site: Site, count: int, seed: int, *, cutoff: datetime = CUTOFF) -> None:
    """Store *count* purchases that differ in everything the job goes by."""
    rng = random.Random(seed)
    around = [
        timedelta(0),
        timedelta(microseconds=1),
        timedelta(milliseconds=1),
        timedelta(seconds=1),
        timedelta(hours=1),
        timedelta(days=1),
        timedelta(days=6),
        timedelta(days=400),
    ]
    unreadable = ["", "yesterday", "2025-01-01T00:00:00Z", "2025-01-01", 1735689600, 1735689600.5, b"\x00\xff"]
    statuses = ["completed", "cancelled", "Pending", "PENDING", "pending ", " failed", "failed\n", "", b"pending"]
    rows: list[Row] = []
    for _ in range(count):
        distance = rng.choice(around) * rng.choice((-1, -1, 1))
        created_at: Any = in_shape(cutoff + distance, rng.randrange(3))
        if rng.random() < 0.05:
            created_at = rng.choice(unreadable)
        rows.append(
            purchase(
                id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                stripe_session_id=f"cs_{rng.getrandbits(200):x}",
                created_at=created_at,
                status=rng.choice(statuses) if rng.random() < 0.3 else rng.choice(("pending", "failed")),
                stripe_payment_id=rng.choice(("pi_1", " ", "0", b"")) if rng.random() < 0.1 else rng.choice((None, "")),
                receipt_url=rng.choice(
                    (None, "", "https://example.org/ā?a=1&b=2", "two\nlines\x00and more", b"\x00\xfe")
                ),
                amount_paid=rng.choice((0, 500, 2**62, 12.5, "free")),
            )
        )
    named = [row["id"] for row in rows if rng.random() < 0.1]
    insert(site, rows, named=[*named, None, "of-no-purchase", *(identifier.upper() for identifier in named[:3])])
