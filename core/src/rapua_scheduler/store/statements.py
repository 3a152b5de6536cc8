"""How the statements of the store are put: many rows as one JSON text, and all of them or none.

Every step of a statement gives up the interpreter lock, and a plugin that computes may keep it for 5 ms
each time: 300 claims, one by one beside two such threads, were measured to take up to 5.5 s, and at once
0.1 s.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from rapua_scheduler.errors import UnknownJobError

UNFINISHED = "status IN ('queued', 'running')"
"""Word for word as in the index of the unfinished, which SQLite uses for nothing else."""

UNANSWERED = "status IN ('lost', 'interrupted') AND trigger <> 'manual' AND NOT is_answered"
"""Word for word as in the index of the unanswered."""

CONSUMING = "trigger IN ('schedule', 'catch_up', 'rerun')"
"""Word for word as in the index of the claims."""


def field(position: int) -> str:
    """Return the SQL for a field of the row that is at hand in the JSON text `given`."""
    return f"json_extract(given.value, '$[{position}]')"


class RefusedError(Exception):
    """Some of what was to be recorded must not be; undoes the savepoint it leaves."""


def require(is_so: bool) -> None:
    """Leave the savepoint unless *is_so*.

    Raises:
        RefusedError: It is not so.
    """
    if not is_so:
        raise RefusedError


def refuse_undeclared(connection: sqlite3.Connection, job_keys: Iterable[str]) -> None:
    """Refuse jobs that were never declared.

    Raises:
        UnknownJobError: One of them was not.
    """
    declared = {key for (key,) in connection.execute("SELECT key FROM jobs WHERE mark IS NOT NULL")}
    for job_key in job_keys:
        if job_key not in declared:
            raise UnknownJobError(job_key, tuple(declared))
