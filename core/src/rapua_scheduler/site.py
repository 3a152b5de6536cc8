"""The web site that jobs work on: its database, its uploads, its zone, and its formats."""

from __future__ import annotations

import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

from attrs import field, frozen

from rapua_scheduler.errors import SiteError
from rapua_scheduler.logs import get_logger

T = TypeVar("T")

LONG_LOCK = timedelta(milliseconds=50)
"""A write lock held longer than this is logged: Rapua's own writes fail while it is held."""

_ENV_KEYS = ("DB_TYPE", "DB_CONNECTION", "SITE_URL")
_RAPUA_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{1,9})?(\+00:00)?", re.ASCII)
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{1,9})? ([+-]\d{4})(?: \S+)?(?: m=\S+)?", re.ASCII)
_log = get_logger("rapua_scheduler.site")


@frozen
class Site:
    """A web site; every field is optional, and a job checks that what it needs is there.

    Attributes:
        url: Where the site is served, such as "https://rapua.nz"; no slash at its end.
        uploads_dir: Folder of the uploaded files, absolute.
        timezone: The zone in which the site's days and months begin.
        database: The SQLite file, absolute.
        busy_timeout: How long a connection waits for a lock before it gives up.
        state_dir: Folder of the host's own state, where a job may keep what it sets aside; absolute.
    """

    url: str | None = None
    uploads_dir: Path | None = None
    timezone: ZoneInfo = field(factory=lambda: ZoneInfo("UTC"))
    database: Path | None = None
    busy_timeout: timedelta = timedelta(seconds=5)
    state_dir: Path | None = None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Open the database for reading; rows are reached by column name.

        Every statement sees the newest data, unless the caller opens a transaction; a long one
        keeps the database's log from being folded in.

        Raises:
            SiteError: There is no database configured, or no such file.
            sqlite3.Error: It cannot be read.
        """
        db = self._connect("ro")
        try:
            db.execute("PRAGMA query_only = 1")
            yield db
        finally:
            db.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one `BEGIN IMMEDIATE` transaction, committed at its end.

        Whoever else wants to write waits or fails meanwhile, so do nothing slow inside; a lock held
        longer than 50 ms is logged. An exception rolls back.

        Raises:
            SiteError: There is no database configured, or no such file.
            sqlite3.OperationalError: It stayed locked for longer than `busy_timeout`.
        """
        db = self._connect("rw")
        try:
            db.execute("BEGIN IMMEDIATE")
            began = time.perf_counter()
            try:
                yield db
            except BaseException:
                db.rollback()
                raise
            db.execute("COMMIT")
            held = timedelta(seconds=time.perf_counter() - began)
        finally:
            db.close()
        if held > LONG_LOCK:
            _log.warning("Write lock held long", seconds=round(held.total_seconds(), 3), database=str(self.database))

    def transact(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        sleep: Callable[[float], None],
        attempts: int = 6,
        delay: timedelta = timedelta(milliseconds=50),
    ) -> T:
        """Return what *work* returns in one write transaction, tried again while the database is busy.

        Waits between attempts grow exponentially from *delay*, with full jitter.

        Args:
            work: Called with the connection, inside the transaction; once per attempt.
            sleep: Waits that many seconds; `ctx.sleep` makes the wait cancellable.
            attempts: Tries in all.
            delay: Upper bound of the first wait; doubled for each further one.

        Raises:
            sqlite3.OperationalError: Still busy or locked at the last attempt, or broken otherwise.
        """
        for attempt in range(1, attempts + 1):
            try:
                with self.write() as db:
                    return work(db)
            except sqlite3.OperationalError as error:
                if attempt == attempts or not is_busy(error):
                    raise
            sleep(random.uniform(0, delay.total_seconds() * 2 ** (attempt - 1)))  # noqa: S311  no secret
        raise AssertionError("unreachable")

    def require(self, table: str, columns: Iterable[str]) -> None:
        """Check that *table* of the database has all of *columns*.

        Raises:
            SiteError: Something is missing; names all of it.
        """
        with self.read() as db:
            present = {row["name"] for row in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        if not present:
            raise SiteError(f"database {self.database}: table {table!r} is missing; is this a Rapua site's database?")
        missing = [column for column in columns if column not in present]
        if missing:
            raise SiteError(
                f"database {self.database}: table {table!r} lacks {', '.join(missing)}; "
                "this version of Rapua is not supported"
            )

    def _connect(self, mode: str) -> sqlite3.Connection:
        if self.database is None:
            raise SiteError("no database is configured; set [rapua_scheduler.site] database, or pass --site DIR")
        if not self.database.is_file():
            raise SiteError(f"database {self.database}: there is no such file")
        db = sqlite3.connect(
            f"file:{quote(str(self.database))}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=self.busy_timeout.total_seconds(),
        )
        db.row_factory = sqlite3.Row
        return db


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether *error* only says that somebody else holds a lock."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def format_time(instant: datetime) -> str:
    """Return *instant* (aware) as Rapua's application stores it: `2026-11-23 17:09:12.510803+00:00`."""
    in_utc = instant.astimezone(UTC)
    fraction = f".{in_utc.microsecond:06d}".rstrip("0") if in_utc.microsecond else ""
    return f"{in_utc.replace(microsecond=0, tzinfo=None).isoformat(' ')}{fraction}+00:00"


def parse_time(value: object, *, hand_edited: bool = False) -> datetime | None:
    """Return the instant that a time column holds, in UTC; None if it cannot be read for certain.

    Args:
        value: What the column gave.
        hand_edited: Read also what the application never writes: ISO 8601 with `T` and `Z` or an
            offset, Go's long form, and Unix seconds.
    """
    if isinstance(value, str):
        match = _RAPUA_TIME.fullmatch(value)
        if match:
            return _instant(match[1] + (match[2] or "")[:7] + "+00:00")
    if not hand_edited or value is None or isinstance(value, (bool, bytes)):
        return None
    text = str(value).strip()
    match = _GO_TIME.fullmatch(text)
    if match:
        return _instant(match[1] + (match[2] or "")[:7] + match[3])
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        return _instant(text)


def _instant(text: str) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def read_env_file(path: Path) -> Mapping[str, str]:
    """Return those lines of a Rapua `.env` file that say where the site's parts are.

    Nothing else of the file is kept, and nothing is exported to the environment.

    Raises:
        OSError: The file cannot be read.
    """
    values: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and key.strip() in _ENV_KEYS:
            values[key.strip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    if value[:1] in {'"', "'"}:
        return value[1:].partition(value[0])[0]
    return value.partition(" #")[0].strip()


def database_path(connection: str, folder: Path) -> Path:
    """Return the file that Rapua's `DB_CONNECTION` means: a path, a `file:` URI or a Go DSN.

    Args:
        connection: The setting's value, perhaps with `?_pragma=…` at its end.
        folder: The site's folder; relative paths are relative to it.
    """
    return folder / connection.removeprefix("file:").partition("?")[0]
