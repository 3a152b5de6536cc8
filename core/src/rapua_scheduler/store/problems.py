"""Say what an error of SQLite means for the store, and what to do about it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from rapua_scheduler.errors import StoreError

_NOT_A_DATABASE = (
    "is not a database, or its beginning is damaged; restore the file from a backup, or move it away and keep it"
)
_DAMAGED = (
    "is damaged ({error}); it was left as it is: restore it from a backup, or save what can be read with "
    "`sqlite3 {path} .recover`"
)
_NOT_WRITABLE = "cannot be written ({error}); make the file and its directory {parent} writable for this user"
_REPLACED = "was moved or replaced while it was opened; try again"
_NO_ACCESS = "cannot be opened ({error}); the directory {parent} must exist, and it and the file be open to this user"
_FULL = "the disk, or what this user may have of it, is full ({error}); make room, nothing that was recorded is lost"
_LOCKED = "another process has kept it locked for too long ({error}); see what it is and end it"
_IO = "the file system failed ({error}); see the system's log"

_TEXTS = {
    sqlite3.SQLITE_NOTADB: _NOT_A_DATABASE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: _NO_ACCESS,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_IOERR: _IO,
}


def store_error(path: Path, error: Exception) -> StoreError:
    """Return *error*, which an operation on the store's file met, as one of ours."""
    text = "failed: {error}"
    if isinstance(error, PermissionError):
        text = _NO_ACCESS
    elif isinstance(error, sqlite3.Error) and hasattr(error, "sqlite_errorcode"):  # not those of the module itself
        code = error.sqlite_errorcode
        text = _REPLACED if code == sqlite3.SQLITE_READONLY_DBMOVED else _TEXTS.get(code & 0xFF, text)
    return StoreError(path, text.format(error=error, path=path, parent=path.parent))
