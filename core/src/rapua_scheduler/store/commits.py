"""The number of a store's commits, by which one that has lost its latest is known.

It is kept in the database, and after each commit also in the lock file beside it. The database may be
ahead, if a process ended in between; if it is behind, then something that was durable has gone.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from rapua_scheduler.errors import StoreError
from rapua_scheduler.store.problems import store_error

_COUNT = "INSERT INTO meta VALUES ('commits', '1') ON CONFLICT (name) DO UPDATE SET value = value + 1"
_READ = "SELECT value FROM meta WHERE name = 'commits'"


def count_commit(connection: sqlite3.Connection) -> int:
    """Count the transaction that is open, and return its number, from 1."""
    connection.execute(_COUNT)
    return read_commits(connection)


def read_commits(connection: sqlite3.Connection) -> int:
    """Return how many commits a database has had; 0 for one of a time when they were not counted."""
    row = connection.execute(_READ).fetchone()
    return 0 if row is None else int(row[0])


def check_complete(path: Path, connection: sqlite3.Connection, noted: int) -> int:
    """Return how many commits the database has had.

    Args:
        path: The store's file.
        connection: To that file.
        noted: What its lock file says, read before.

    Raises:
        StoreError: It has had fewer than were noted, or cannot be read; says what to do.
    """
    try:
        there = read_commits(connection)
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    if there < noted:
        raise StoreError(
            path,
            f"misses its latest {noted - there} changes: its -wal file was deleted, or an older file was put in its "
            "place; put the right file back, or go on with this one by `rapua-scheduler store restore --as-is`",
        )
    return there
