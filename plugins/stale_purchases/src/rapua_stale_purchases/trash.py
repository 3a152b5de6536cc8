"""The trash: deleted purchases as lines of JSON, on the disk before they leave the database."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from rapua_scheduler import JobContext, Site, SiteError
from rapua_stale_purchases.purchases import Purchase, Value
from rapua_stale_purchases.settings import StalePurchasesSettings

_KIND = "stale-purchases"
_LONGEST_HEADER = 4096


class Trash:
    """What one attempt at one run threw away: a file that is made with the first purchase.

    Its first line says what it is: `{"trash": "stale-purchases", "written_at": …}`. A line
    `{"row": {…}}` is a purchase about to be deleted, a line `{"kept": [17, …]}` gives the numbers of
    those lines, from 1, whose purchase was not deleted after all. Bytes are written as `{"hex": …}`.
    """

    def __init__(self, folder: Path, ctx: JobContext) -> None:
        self._folder = folder
        self._name = re.sub(r"[^\w.-]", "_", ctx.run_id)
        self._header = {
            "trash": _KIND,
            "written_at": ctx.now().astimezone(UTC).isoformat(),
            "job": ctx.job_key,
            "run_id": ctx.run_id,
            "fire_time": ctx.fire_time.isoformat(),
        }
        self._file: IO[bytes] | None = None
        self._lines = 0

    def add(self, purchases: Sequence[Purchase]) -> range:
        """Write *purchases*; once this returns, they outlive a crash of the machine.

        Returns:
            The numbers of their lines.

        Raises:
            OSError: They could not be written; delete nothing.
        """
        if self._file is None:
            self._file = self._create()
            self._write(self._file, [self._header])
        self._write(self._file, [{"row": purchase.row} for purchase in purchases])
        os.fsync(self._file.fileno())
        return range(self._lines - len(purchases) + 1, self._lines + 1)

    def mark_kept(self, lines: Sequence[int]) -> None:
        """Note that the purchases of these *lines*, though written, were not deleted."""
        if self._file is not None and lines:
            self._write(self._file, [{"kept": list(lines)}])

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _write(self, file: IO[bytes], entries: Sequence[Mapping[str, object]]) -> None:
        lines = [json.dumps(entry, default=_escaped, separators=(",", ":")).encode() + b"\n" for entry in entries]
        file.write(b"".join(lines))
        file.flush()
        self._lines += len(lines)

    def _create(self) -> IO[bytes]:
        _make_folder(self._folder)
        for number in range(1, 10_000):
            path = self._folder / (f"{self._name}.jsonl" if number == 1 else f"{self._name}.{number}.jsonl")
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:  # an earlier attempt's, perhaps torn at its end
                continue
            _sync_folder(self._folder)
            return os.fdopen(descriptor, "wb")
        raise FileExistsError(f"{self._folder}: too many files of run {self._name}")


@contextmanager
def open_trash(folder: Path, ctx: JobContext) -> Iterator[Trash]:
    """Give a trash for this attempt, closed at the end of the block."""
    trash = Trash(folder, ctx)
    try:
        yield trash
    finally:
        trash.close()


def trash_folder(site: Site, settings: StalePurchasesSettings) -> Path:
    """Return where deleted purchases go; it need not exist yet.

    Raises:
        SiteError: There is no such place, or one that the site shows to everybody.
    """
    folder = settings.trash_dir
    if folder is None:
        if site.state_dir is None:
            raise SiteError(
                "there is nowhere to keep deleted purchases, so none is deleted; "
                "set trash_dir under [rapua_scheduler.plugins.stale_purchases]"
            )
        folder = site.state_dir / "trash" / _KIND
    if site.uploads_dir is not None:
        uploads = site.uploads_dir.resolve()
        served = uploads.parent if uploads.parent.name == "static" else uploads
        if folder.resolve().is_relative_to(served):
            raise SiteError(
                f"the trash {folder} lies in {served}, which the site shows to everybody, so no purchase is deleted; "
                "set trash_dir under [rapua_scheduler.plugins.stale_purchases]"
            )
    return folder


def remove_expired(folder: Path, ctx: JobContext, keep_for: timedelta) -> int:
    """Remove the trash files in *folder* that are older than *keep_for*, and nothing that is not one.

    One that cannot be read or removed is logged, and stays.

    Returns:
        How many were removed.
    """
    removed = 0
    for path in sorted(folder.glob("*.jsonl")):
        try:
            written_at = _written_at(path)
            if written_at is not None and ctx.now() - written_at > keep_for:
                path.unlink()
                removed += 1
        except OSError as error:
            ctx.log.warning("Old trash not removed", path=str(path), error=str(error))
    return removed


def _written_at(path: Path) -> datetime | None:
    """Return when the trash file *path* was begun; None if it is something else."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        first = file.readline(_LONGEST_HEADER)
    try:
        header = json.loads(first)
        if header["trash"] != _KIND:
            return None
        written_at = datetime.fromisoformat(header["written_at"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return written_at if written_at.tzinfo else None


def _escaped(value: Value) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    raise TypeError(f"{type(value).__name__} is not a value of SQLite")


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
