"""Copy the database of a store to a file of its own, whole and durable, and put it in place at once."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from rapua_scheduler.errors import StoreError
from rapua_scheduler.store.problems import store_error
from rapua_scheduler.store.rows import from_micros, to_micros

_LAST_RECORDED = """
    SELECT max(at) FROM (
        SELECT max(started_at) AS at FROM owners
        UNION ALL SELECT max(last_seen_at) FROM jobs
        UNION ALL SELECT max(started_at) FROM runs
        UNION ALL SELECT max(finished_at) FROM runs
        UNION ALL SELECT CAST(value AS INTEGER) FROM meta WHERE name IN ('alive_at', 'backed_up_at')
    )
"""


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Turn what the block meets into the `StoreError` of *path*; that a file is there is left to the caller."""
    try:
        yield
    except FileExistsError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise store_error(path, error) from error


@contextmanager
def workplace(beside: Path) -> Iterator[Path]:
    """Yield an empty folder on the same file system as the file *beside*; removed in the end.

    Raises:
        StoreError: None can be made there.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{beside.name}.", dir=beside.parent))
    except OSError as error:
        raise StoreError(beside, f"cannot be written: {beside.parent} {error.strerror}; name another place") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy what *source* sees at this moment to a new file, which needs no other file beside it.

    Whoever writes meanwhile goes on writing. The copy is not durable yet.

    Raises:
        StoreError: It could not be written, or what is copied is no database.
    """
    with errors_of(target), closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute("PRAGMA synchronous = OFF")
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def note_moment(copy: Path, at: datetime) -> None:
    """Record in a copy when it was made."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('backed_up_at', ?)", (str(to_micros(at)),))


def moment_of(connection: sqlite3.Connection) -> datetime | None:
    """Return the last time that a store knows of; None if it knows of none."""
    (at,) = connection.execute(_LAST_RECORDED).fetchone()
    return None if at is None else from_micros(at)


def put_in_place(copy: Path, target: Path, *, like: Path | None = None, overwrite: bool) -> None:
    """Make *copy* durable, and give it the name *target*, so that nobody ever sees half of it.

    Args:
        copy: On the same file system; gone afterwards.
        target: The name.
        like: A file whose owner and mode it is to have; by default those of its folder's owner, and
            what it has.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        FileExistsError: There is one, and it may not.
        OSError: The file system refused.
    """
    _give_like(copy, like if like is not None and like.exists() else None, target.parent)
    _sync(copy)
    if overwrite:
        copy.replace(target)
    else:
        _put_if_free(copy, target)
    _sync(target.parent)


def _put_if_free(copy: Path, target: Path) -> None:
    try:
        os.link(copy, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if target.exists():
            raise FileExistsError(target) from None
        copy.replace(target)


def _give_like(copy: Path, like: Path | None, folder: Path) -> None:
    status = (like or folder).stat()
    with suppress(PermissionError):
        if like is not None:
            copy.chmod(status.st_mode & 0o777)
        os.chown(copy, status.st_uid, status.st_gid)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
