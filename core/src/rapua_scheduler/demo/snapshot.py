"""What the demonstration's site looks like at one moment, and what has changed since."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from rapua_scheduler.site import parse_time

DATABASE = "scanscout.db"
UPLOADS = "static/uploads"
MADE_FOR = "RAPUA_DEMO_NOW"
"""The line of a demonstration's `.env` that says which time it was made for."""


@frozen
class Purchase:
    """A credit purchase.

    Attributes:
        status: As stored.
        age: In words, at the time that the site was made for.
    """

    status: str
    age: str


@frozen
class SiteSnapshot:
    """A site at one moment.

    Attributes:
        balances: Free credits by e-mail address.
        purchases: By id.
        files: Paths of the uploads, relative to the site's folder.
        trash: Paths of what lies in the trash, likewise.
    """

    balances: Mapping[str, int | None]
    purchases: Mapping[str, Purchase]
    files: frozenset[str]
    trash: frozenset[str]


def snapshot(folder: Path) -> SiteSnapshot:
    """Return what the site in *folder*, one that `make_site` has made, looks like now."""
    made_for = _made_for(folder)
    with closing(sqlite3.connect(folder / DATABASE)) as db:
        balances = dict(db.execute("SELECT email, free_credits FROM users ORDER BY email").fetchall())
        purchases = {
            identifier: Purchase(status, _age(created_at, made_for))
            for identifier, status, created_at in db.execute(
                "SELECT id, status, created_at FROM credit_purchases ORDER BY created_at"
            )
        }
    return SiteSnapshot(balances, purchases, _files(folder, UPLOADS), _files(folder, "trash"))


def changes(before: SiteSnapshot, after: SiteSnapshot) -> list[str]:
    """Return a line for each thing that differs, for people to read."""
    return [*_balance_changes(before, after), *_purchase_changes(before, after), *_file_changes(before, after)]


def _balance_changes(before: SiteSnapshot, after: SiteSnapshot) -> Iterator[str]:
    changed = [
        email
        for email in before.balances
        if before.balances[email] != after.balances.get(email, before.balances[email])
    ]
    width = max(map(len, changed), default=0)
    for email in changed:
        yield f"{email:{width}}  {before.balances[email]} → {after.balances[email]} credits"


def _purchase_changes(before: SiteSnapshot, after: SiteSnapshot) -> Iterator[str]:
    for identifier, purchase in before.purchases.items():
        what = f"purchase {identifier[:8]}, {purchase.status}, {purchase.age}"
        now = after.purchases.get(identifier)
        if now is None:
            yield f"{what}: deleted"
        elif now.status != purchase.status:
            yield f"{what}: {now.status}"


def _file_changes(before: SiteSnapshot, after: SiteSnapshot) -> Iterator[str]:
    for path in sorted(before.files - after.files):
        below_uploads = path.removeprefix(UPLOADS)
        in_trash = any(kept.endswith(below_uploads) for kept in after.trash - before.trash)
        yield f"{path}: {'moved to trash' if in_trash else 'deleted'}"
    for path in sorted(after.files - before.files):
        yield f"{path}: added"


def _files(folder: Path, below: str) -> frozenset[str]:
    return frozenset(path.relative_to(folder).as_posix() for path in (folder / below).rglob("*") if path.is_file())


def _made_for(folder: Path) -> datetime:
    for line in (folder / ".env").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if name == MADE_FOR:
            return datetime.fromisoformat(value).astimezone(UTC)
    raise ValueError(f"{folder / '.env'} lacks {MADE_FOR}; it is not of a demonstration")


def _age(created_at: object, made_for: datetime) -> str:
    instant = parse_time(created_at)
    if instant is None:
        return "of an unreadable time"
    days = (made_for - instant).days
    if days:
        return f"{days} day{'s' if days > 1 else ''} old"
    return "less than a day old"
