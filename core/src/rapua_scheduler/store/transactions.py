"""Transactions and savepoints, said explicitly: connections here are in autocommit mode."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the database's write lock for the block, and commit at its end; roll back if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo the open transaction, unless SQLite has already done so."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@contextmanager
def savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    """Undo what the block did if it raises; what was done before it in the same transaction stays.

    After some errors, such as a full disk, SQLite rolls back the whole transaction: then
    `connection.in_transaction` is False when the error comes through.
    """
    connection.execute("SAVEPOINT attempted")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK TO attempted")
            connection.execute("RELEASE attempted")
        raise
    connection.execute("RELEASE attempted")
