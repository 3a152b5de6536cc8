"""The rows of `uploads` that are left over when their files have gone."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import unquote

from attrs import frozen

from rapua_orphaned_uploads.hosts import Hosts, host_of
from rapua_orphaned_uploads.references import IN_USE
from rapua_scheduler import Site

REQUIRED = {
    "blocks": ("id", "data"),
    "team_block_states": ("player_data",),
    "notifications": ("content",),
    "uploads": ("id", "original_url", "team_code", "block_id", "storage"),
}
"""The columns that the job goes by."""

Value = str | bytes | int | float | None

_PAGE = 2000
_BATCH = 200
_UNUSED = f"""
    SELECT rowid, id, original_url FROM uploads
    WHERE rowid > ? AND storage = 'local' AND NOT {IN_USE} ORDER BY rowid LIMIT {_PAGE}
"""  # noqa: S608  constants only
_DELETE = f"DELETE FROM uploads WHERE id = ? AND original_url = ? AND storage = 'local' AND NOT {IN_USE}"  # noqa: S608
_QUERY = re.compile("[?#].*", re.DOTALL)


@frozen
class UploadRow:
    """A row of `uploads`, by what identifies it."""

    id: str
    original_url: str


def require_tables(site: Site) -> None:
    """Check that the columns that the job goes by are there.

    Raises:
        SiteError: One is missing; names it.
    """
    for table, columns in REQUIRED.items():
        site.require(table, columns)


def batches_of(
    db: sqlite3.Connection, gone: Mapping[str, Collection[str]], hosts: Hosts
) -> Iterator[Sequence[UploadRow]]:
    """Yield the rows that are not in use and whose files are among *gone*, a few at a time.

    The last row that names a former address of the site is left out: it is what shows that the site
    minted URLs under that address, which the next decision rests on.

    Args:
        db: A connection for reading; the rows may be deleted on another one meanwhile.
        gone: Names of files, by date folder.
        hosts: The hosts that are known to be the site's own without any row.
    """
    db.row_factory = None
    db.text_factory = _text
    witnesses = _Witnesses(db, hosts)
    last = -(2**63)
    while page := db.execute(_UNUSED, (last,)).fetchall():
        last = page[-1][0]
        rows = [UploadRow(*row) for _, *row in page if _is_of(row, gone)]
        leaving = [row for row in rows if witnesses.can_spare(row)]
        for start in range(0, len(leaving), _BATCH):
            yield leaving[start : start + _BATCH]


class _Witnesses:
    """Counts down the rows that name one of the site's former addresses."""

    def __init__(self, db: sqlite3.Connection, hosts: Hosts) -> None:
        self._db = db
        self._known = hosts.own
        self._left: Counter[str | None] | None = None

    def can_spare(self, row: UploadRow) -> bool:
        """Tell whether *row* is not the last one of its host, and if so, count it as gone."""
        host = host_of(row.original_url)
        if host is None or host in self._known:
            return True
        if self._left is None:
            urls = self._db.execute("SELECT original_url FROM uploads WHERE typeof(original_url) = 'text'")
            self._left = Counter(host_of(url) for (url,) in urls)
        if self._left[host] <= 1:
            return False
        self._left[host] -= 1
        return True


def whole_rows(db: sqlite3.Connection, rows: Sequence[UploadRow]) -> Iterator[dict[str, Value]]:
    """Yield every column of *rows*, as far as they are still there."""
    db.row_factory = None
    db.text_factory = _text
    for row in rows:
        cursor = db.execute("SELECT * FROM uploads WHERE id = ?", (row.id,))
        columns = [column[0] for column in cursor.description]
        for values in cursor:
            yield dict(zip(columns, values, strict=True))


def delete(db: sqlite3.Connection, rows: Sequence[UploadRow]) -> int:
    """Delete those *rows* that are still not in use; return how many they were."""
    return sum(db.execute(_DELETE, (row.id, row.original_url)).rowcount for row in rows)


def _is_of(row: Sequence[object], gone: Mapping[str, Collection[str]]) -> bool:
    identity, url = row
    if not isinstance(identity, str) or not isinstance(url, str) or not _is_utf8(identity + url):
        return False
    folders, _, name = unquote(_QUERY.sub("", url)).rpartition("/")
    return name in gone.get("/".join(folders.split("/")[-3:]), ())


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")  # broken text must not end the run
