"""Read a store as it is at one moment, from end to end, however large it is."""

# ruff: noqa: S608  statements are put together from constants; what comes from elsewhere is bound

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from rapua_scheduler.run import Gap, Run
from rapua_scheduler.store.connections import open_complete, resolve
from rapua_scheduler.store.reads import SqliteReader
from rapua_scheduler.store.rows import GAP_COLUMNS, RUN_COLUMNS, to_gap, to_micros, to_run

_ROWS_AT_ONCE = 500
_EARLIEST = -(2**63)


class Snapshot(SqliteReader):
    """A store at the moment at which this was opened; what is written later is not seen.

    While it is open, the store's file of latest changes cannot be folded in, and grows.
    """

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open the store at *path*.

        Raises:
            StoreError: It is missing or cannot be read; says what to do.
        """
        path = resolve(path)
        return cls(path, open_complete(path, at_one_moment=True))

    def each_run(self, since: datetime | None = None) -> Iterator[Run]:
        """Yield runs, oldest claim first.

        Args:
            since: Only those that started at or after this, or have not started.
        """
        statement = f"SELECT {RUN_COLUMNS} FROM runs WHERE started_at >= ? OR started_at IS NULL ORDER BY id"
        return map(to_run, self._each_row(statement, since))

    def each_gap(self, since: datetime | None = None) -> Iterator[Gap]:
        """Yield gaps, oldest first.

        Args:
            since: Only those whose last fire time is at or after this.
        """
        statement = f"SELECT {GAP_COLUMNS} FROM gaps WHERE last >= ? ORDER BY last, id"
        return map(to_gap, self._each_row(statement, since))

    def _each_row(self, statement: str, since: datetime | None) -> Iterator[Any]:
        with self._exclusively() as connection:
            cursor = connection.execute(statement, (_EARLIEST if since is None else to_micros(since),))
        while True:
            with self._exclusively():
                rows = cursor.fetchmany(_ROWS_AT_ONCE)
            if not rows:
                return
            yield from rows
