"""The trash: what runs have set aside, each run's files in a folder that mirrors the uploads folder.

Beside the folder `<run>` lies `<run>.jsonl`. Its first line says whose it is and when it was begun; a
line `{"row": …}` holds a row of `uploads` that went after its file; the line `{"settled": true}` is
written when the run has come to its end. A folder without such a file is nobody's and is left alone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from attrs import define, field

from rapua_orphaned_uploads.errors import CleanUpAtWorkError
from rapua_orphaned_uploads.folders import OnError, date_folders, exists, names_in, opened
from rapua_orphaned_uploads.moving import UNFINISHED
from rapua_scheduler import JobContext

KIND = "orphaned-uploads"
_LONGEST_HEADER = 16 * 1024
_LOCK = ".lock"


@define
class SetAside:
    """What one attempt at one run has set aside.

    Attributes:
        name: Name of its folder in the trash, and of its journal without ".jsonl".
        begun_at: When it was begun.
        uploads_dir: The uploads folder that its files are from.
    """

    _trash: int
    name: str
    begun_at: datetime
    uploads_dir: str
    _journal: IO[bytes] | None = field(default=None, init=False)

    def place(self, folder: str, *, make: bool = False) -> AbstractContextManager[int]:
        """Open, for a block, where files taken from *folder*, such as "2026/11/23", are kept.

        Args:
            folder: Path below the uploads folder.
            make: Make it if it is missing.
        """
        return opened(self._trash, f"{self.name}/{folder}", make=make)

    def folders(self, on_error: OnError) -> list[str]:
        """Return the date folders that files of this run were taken from."""
        try:
            with opened(self._trash, self.name) as descriptor:
                return date_folders(descriptor, on_error)
        except FileNotFoundError:
            return []

    def names(self, folder: str) -> list[str]:
        """Return the names of the files that were taken from *folder*."""
        try:
            with self.place(folder) as descriptor:
                return [name for name in names_in(descriptor) if name != UNFINISHED]
        except FileNotFoundError:
            return []

    def keep_rows(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Write *rows* down; once this returns they outlive a crash of the machine."""
        self._write([{"row": row} for row in rows])

    def settle(self) -> None:
        """Write down that nothing is left to do for this run."""
        self._write([{"settled": True}])

    def begin(self, header: Mapping[str, object]) -> None:
        """Create folder and journal, with *header* as its first line.

        Raises:
            FileExistsError: There is one of that name.
        """
        os.mkdir(self.name, mode=0o700, dir_fd=self._trash)  # first, so that no journal stands beside another's folder
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._journal = os.fdopen(os.open(f"{self.name}.jsonl", flags, 0o600, dir_fd=self._trash), "ab")
        self._write([header])
        os.fsync(self._trash)

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _write(self, lines: Iterable[Mapping[str, object]]) -> None:
        if self._journal is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._journal = os.fdopen(os.open(f"{self.name}.jsonl", flags, dir_fd=self._trash), "ab")
            self._journal.write(b"\n")  # whatever a crash left half written ends here
        for line in lines:
            self._journal.write(json.dumps(line, default=_hex, separators=(",", ":")).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())


class Trash:
    """The trash folder, opened by one process at a time."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def begin(self, ctx: JobContext, uploads_dir: Path) -> SetAside:
        """Begin to set aside files of *uploads_dir* for the run of *ctx*."""
        stem = re.sub(r"[^\w-]", "_", ctx.run_id)
        begun_at = ctx.now().astimezone(UTC)
        header = {
            "trash": KIND,
            "written_at": begun_at.isoformat(),
            "job": ctx.job_key,
            "run_id": ctx.run_id,
            "uploads_dir": str(uploads_dir),
        }
        for number in range(1, 10_000):
            name = stem if number == 1 else f"{stem}.{number}"  # an earlier attempt's keeps its own
            begun = SetAside(self._descriptor, name, begun_at, str(uploads_dir))
            try:
                begun.begin(header)
            except FileExistsError:
                continue
            return begun
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), stem)

    def unsettled(self, uploads_dir: Path) -> list[SetAside]:
        """Return what runs on *uploads_dir* have set aside without coming to their end, oldest first."""
        return [run for run, is_settled in self._runs() if not is_settled and run.uploads_dir == str(uploads_dir)]

    def remove_expired(self, now: datetime, keep_for: timedelta, on_error: OnError) -> int:
        """Delete what settled runs set aside *keep_for* ago or earlier; return of how many runs."""
        removed = 0
        for run, is_settled in self._runs():
            if not is_settled or now.astimezone(UTC) - run.begun_at < keep_for:
                continue
            try:
                if exists(run.name, self._descriptor):
                    shutil.rmtree(run.name, dir_fd=self._descriptor)
                os.unlink(f"{run.name}.jsonl", dir_fd=self._descriptor)
            except OSError as error:
                on_error(f"{self._path}/{run.name}", error)
            else:
                removed += 1
        return removed

    def _runs(self) -> Iterator[tuple[SetAside, bool]]:
        for name in sorted(names_in(self._descriptor)):
            stem, dot, suffix = name.rpartition(".")
            if dot and suffix == "jsonl" and (read := _read_journal(name, self._descriptor)):
                begun_at, uploads_dir, is_settled = read
                yield SetAside(self._descriptor, stem, begun_at, uploads_dir), is_settled


@contextmanager
def open_trash(path: Path) -> Iterator[Trash]:
    """Open the trash folder *path*, made if it is missing, for this process alone.

    Raises:
        CleanUpAtWorkError: Another process has it open.
        OSError: It cannot be made, or may not be written.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=descriptor)
        try:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise CleanUpAtWorkError(str(path)) from None
            yield Trash(path, descriptor)
        finally:
            os.close(lock)
    finally:
        os.close(descriptor)


def _read_journal(name: str, folder: int) -> tuple[datetime, str, bool] | None:
    """Return when a journal was begun, for which folder, and whether it is settled; None if it is not one."""
    try:
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as journal:
            header = json.loads(journal.readline(_LONGEST_HEADER))
            if header["trash"] != KIND:
                return None
            begun_at, uploads_dir = datetime.fromisoformat(header["written_at"]), str(header["uploads_dir"])
            journal.seek(max(0, os.fstat(journal.fileno()).st_size - 32))
            is_settled = journal.read().endswith(b'\n{"settled":true}\n')
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return (begun_at, uploads_dir, is_settled) if begun_at.tzinfo else None


def _hex(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    raise TypeError(f"{type(value).__name__} is not a value of SQLite")
