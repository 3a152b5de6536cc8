"""Open a store's file, or say why it must not be opened: nothing here replaces or empties one."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rapua_scheduler.errors import OutdatedStoreError, StoreError
from rapua_scheduler.store.commits import check_complete
from rapua_scheduler.store.locks import HOST, is_held, lock_path, noted_beside
from rapua_scheduler.store.problems import store_error
from rapua_scheduler.store.schema import APPLICATION_ID, VERSION, migrate, read_version
from rapua_scheduler.store.transactions import roll_back

BUSY_SECONDS = 30.0
"""How long a write waits for another process that has the store locked, unless told otherwise."""

SMALL = 4 * 1024 * 1024
"""Bytes up to which every page is checked at each opening, which takes some 5 ms; beyond, a few of each table."""

_HOSTS_USER = "make it writable for the host's user, and be that user"
_OLDEST_SQLITE = (3, 33, 0)
_TABLES = ("meta", "owners", "jobs", "runs", "gaps", "attempts", "log_lines", "windows")


def resolve(path: Path | str) -> Path:
    """Return the absolute path of the file that *path* leads to, through links."""
    return Path(os.path.realpath(path))


def open_for_writing(path: Path, *, create: bool) -> tuple[sqlite3.Connection, str]:
    """Open or create the store at *path*, bring it up to date, and return the connection and the store's id.

    Raises:
        StoreError: It cannot be used as it is; says what to do.
    """
    had_lock_file = _check_presence(path, create=create)
    _check_names(path)
    with _opened(path, "rwc" if create else "rw") as connection:
        if _is_empty(path, connection) and (had_lock_file or not create):
            raise _missing(path, "is empty", had_lock_file=had_lock_file)
        _use_wal(path, connection)
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(path, connection)
        _check_pages(path, connection)
        return connection, _store_id(path, connection)


def check_writable(path: Path) -> None:
    """Refuse a store that this user could not open for writing, or create, as far as looking tells; changes nothing.

    Raises:
        StoreError: It could not; says what to do.
    """
    _check_presence(path, create=True)
    _check_names(path)
    beside = (path, lock_path(path), _wal_path(path), path.with_name(f"{path.name}-shm"))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StoreError(path, f"its directory {path.parent} cannot be written by this user; {_HOSTS_USER}")
    for file in beside:
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            raise StoreError(path, f"{file} cannot be written by this user; {_HOSTS_USER}")


def open_for_reading(path: Path, *, is_inspected: bool = False) -> sqlite3.Connection:
    """Open the store at *path* without changing anything in it.

    Args:
        path: The file.
        is_inspected: Whether the caller will look for damage by itself, and can read an older schema.

    Raises:
        StoreError: It is not there, or cannot be used as it is; says what to do.
    """
    had_lock_file = _check_presence(path, create=False)
    read = partial(_opened_for_reading, path, had_lock_file=had_lock_file, is_inspected=is_inspected)
    try:
        return read("ro")
    except StoreError as error:
        # To share a file in WAL mode takes files beside it, which must be there or be made. If nobody
        # may make them here, then nobody writes, and what is in the file is all there is.
        cause = error.__cause__
        if not isinstance(cause, sqlite3.Error) or cause.sqlite_errorcode & 0xFF not in _NO_WAY_TO_SHARE:
            raise
        if _has_content(_wal_path(path)):
            raise StoreError(
                path,
                f"its latest changes, in {_wal_path(path)}, can only be read by who may write to {path.parent}; "
                "use the host's user",
            ) from error
        return read("ro&immutable=1")


def open_complete(path: Path, *, at_one_moment: bool = False) -> sqlite3.Connection:
    """Open the store at *path* as `open_for_reading` does, if it has not lost its latest changes.

    Args:
        path: The file.
        at_one_moment: Whether nothing that is written later is to be seen.

    Raises:
        StoreError: It is not there, cannot be used as it is, or has lost changes; says what to do.
    """
    noted = noted_beside(path)  # before the database, which may be ahead of it, and never behind
    connection = open_for_reading(path)
    try:
        if at_one_moment:
            connection.execute("BEGIN")
        check_complete(path, connection, noted)
    except BaseException:
        connection.close()
        raise
    return connection


def open_second(path: Path) -> sqlite3.Connection:
    """Return a connection for reading to a store that this process has open for writing.

    Raises:
        StoreError: It cannot be opened.
    """
    with _opened(path, "ro") as connection:
        return connection


_NO_WAY_TO_SHARE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def _opened_for_reading(path: Path, mode: str, *, had_lock_file: bool, is_inspected: bool) -> sqlite3.Connection:
    with _opened(path, mode) as connection:
        if _is_empty(path, connection):
            raise _missing(path, "is empty", had_lock_file=had_lock_file)
        if is_inspected:
            return connection
        version = read_version(connection)
        if version < VERSION:
            raise OutdatedStoreError(
                path,
                f"has schema {version}, and this program reads {VERSION}; `rapua-scheduler run` brings it up to date",
            )
        _check_pages(path, connection)
        return connection


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection that is closed if the block raises, and only then."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        raise StoreError(path, f"needs SQLite {needed} or later, and this Python has {sqlite3.sqlite_version}")
    connection = None
    try:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        yield connection
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, (sqlite3.Error, OSError)):
            raise store_error(path, error) from error
        raise


def _check_presence(path: Path, *, create: bool) -> bool:
    """Refuse what is no file, or missing and not to be created; return whether there is a lock file."""
    try:
        # The lock file is made after the store: if it is there now, then so was the store, at some time.
        had_lock_file = lock_path(path).exists()
        is_there = path.exists()
    except OSError as error:
        raise store_error(path, error) from error
    if is_there:
        if not path.is_file():
            raise StoreError(path, "is not a file; name the file that `state` is to be kept in")
        return had_lock_file
    if had_lock_file or not create:
        raise _missing(path, "does not exist", had_lock_file=had_lock_file)
    if not path.parent.is_dir():
        raise StoreError(path, f"its directory {path.parent} does not exist; create it, or name another in `state`")
    if _has_content(_wal_path(path)):
        raise StoreError(
            path,
            f"does not exist, but its latest changes do, in {_wal_path(path)}; restore the file, or delete that one "
            "if the history is really to be forgotten",
        )
    return had_lock_file


def _check_names(path: Path) -> None:
    """Refuse a file that has another name: who opens it by that one sees neither our locks nor our -wal file."""
    if not path.exists():
        return
    names = path.stat().st_nlink
    if names == 1:
        return
    kept = path.parent.glob(f"{path.name}.before-restore-*")  # a restore that was killed leaves both for a moment
    if names > 1 + sum(each.samefile(path) for each in kept):
        raise StoreError(
            path,
            f"has {names} names (hard links), and two programs that use it by different ones would destroy it; find "
            f"the others by `find / -samefile {path}`, and delete or copy them",
        )


def _missing(path: Path, what: str, *, had_lock_file: bool) -> StoreError:
    if had_lock_file:
        return StoreError(
            path,
            f"{what}, but its lock file {lock_path(path)} says that it held a history; restore the file from a backup, "
            "or delete the lock file if the history is really to be forgotten",
        )
    return StoreError(path, f"{what}; `rapua-scheduler run`, `demo` and `exec` create it")


def _is_empty(path: Path, connection: sqlite3.Connection) -> bool:
    """Tell whether the database is a new one; refuse one that is not ours, or newer than we are."""
    connection.execute("BEGIN")  # so that all three are of one moment, though another process may be creating it
    try:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        version = read_version(connection)
    finally:
        roll_back(connection)
    if (application_id, version, tables) == (0, 0, 0):
        return True
    if application_id != APPLICATION_ID:
        raise StoreError(path, "is a database of another program, and was left as it is; name another file in `state`")
    if version > VERSION:
        raise StoreError(
            path,
            f"has schema {version}, and this program knows {VERSION} at most; install a newer rapua-scheduler, or "
            "restore the file from a backup that was made before the update",
        )
    return False


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, unless a host of the time before is at work: it would write what it knows."""
    version = read_version(connection)
    if 0 < version < VERSION and is_held(path, HOST):
        raise StoreError(
            path,
            f"has schema {version}, and the host that is active on it was started before the update to {VERSION}; "
            "start that host anew first",
        )
    migrate(connection)


def _use_wal(path: Path, connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging, which stays with it."""
    pause = threading.Event()
    for _ in range(int(BUSY_SECONDS * 100)):
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            # another process creates the store; for this lock SQLite does not wait by itself
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            pause.wait(0.01)
    else:
        raise StoreError(path, f"another process has kept it locked for {BUSY_SECONDS:g} s; see what it is and end it")
    if mode != "wal":
        raise StoreError(path, "its file system cannot share memory between processes; keep it on a local disk")


def _check_pages(path: Path, connection: sqlite3.Connection) -> None:
    if path.stat().st_size <= SMALL:
        found = [text for (text,) in connection.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise store_error(path, _damage("; ".join(found)))
    for table in _TABLES:
        connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()  # noqa: S608
        connection.execute(f"SELECT * FROM {table} ORDER BY 1 DESC LIMIT 1").fetchone()  # noqa: S608


def _damage(text: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _store_id(path: Path, connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT value FROM meta WHERE name = 'store_id'").fetchone()
    if row is None:
        raise StoreError(path, "has lost its id; restore the file from a backup")
    return str(row[0])


def _wal_path(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
