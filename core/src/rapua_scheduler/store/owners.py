"""The openings of the store in the database: which there are, which is the host, and that it lives."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from rapua_scheduler.store.rows import to_micros
from rapua_scheduler.store.texts import storable

NOBODY = 0
"""The owner of runs that wait for the host to take them."""


def next_owner(connection: sqlite3.Connection) -> int:
    """Return a number that no opening of the store has had, as far as the database knows."""
    (highest,) = connection.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'owners'"
    ).fetchone()
    return int(highest) + 1


def add_owner(connection: sqlite3.Connection, owner: int, pid: int, host_name: str, started_at: datetime) -> None:
    """Record an opening of the store."""
    row = (owner, pid, storable(host_name), to_micros(started_at))
    connection.execute("INSERT INTO owners VALUES (?, ?, ?, ?)", row)


def set_host(connection: sqlite3.Connection, owner: int) -> None:
    """Record which opening is the active host's."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('host', ?)", (str(owner),))


def note_alive(connection: sqlite3.Connection, owner: int, at: datetime) -> None:
    """See `Store.note_alive`."""
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('alive_at', ?), ('alive_owner', ?)", (str(to_micros(at)), str(owner))
    )
