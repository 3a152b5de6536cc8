"""Back a store up while a host is at work on it."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path

from attrs import evolve, frozen

from rapua_scheduler.errors import StoreError
from rapua_scheduler.store.commits import check_complete
from rapua_scheduler.store.connections import open_for_reading, resolve
from rapua_scheduler.store.locks import lock_path, noted_beside
from rapua_scheduler.store.maintenance.condition import Condition, inspect_store
from rapua_scheduler.store.maintenance.copying import (
    copy_database,
    errors_of,
    note_moment,
    put_in_place,
    workplace,
)


@frozen
class Backup:
    """A backup that was made.

    Attributes:
        path: Absolute path of the file.
        condition: What was found in it.
    """

    path: Path
    condition: Condition


def back_up(source: Path | str, target: Path | str, at: datetime, *, overwrite: bool = False) -> Backup:
    """Copy the store at *source*, as it is at this moment, to *target*, and check the copy.

    Nobody is kept from writing meanwhile. *target* is there as a whole, and durable, or not at all; it
    needs no other file beside it.

    Args:
        source: The store.
        target: The file to make.
        at: The current time, which the backup will tell when it is restored.
        overwrite: Whether *target* may be replaced.

    Raises:
        FileExistsError: *target* is there, and may not be replaced.
        StoreError: The store cannot be read, has lost changes, or is damaged; or the copy cannot be written.
    """
    source, target = resolve(source), resolve(target)
    _refuse_own_files(source, target)
    if target.exists() and not overwrite:
        raise FileExistsError(target)
    noted = noted_beside(source)
    with closing(open_for_reading(source, is_inspected=True)) as connection, workplace(target) as folder:
        check_complete(source, connection, noted)
        copy = folder / "copy.db"
        copy_database(connection, copy)
        condition = inspect_store(copy)
        if condition.damages:
            raise StoreError(
                source, f"is damaged, and was not backed up: {'; '.join(condition.damages)}; see `store check`"
            )
        with errors_of(target):
            note_moment(copy, at)
            put_in_place(copy, target, like=source, overwrite=overwrite)
    return Backup(target, evolve(condition, path=target, size=target.stat().st_size))


def _refuse_own_files(source: Path, target: Path) -> None:
    own = {source, lock_path(source), *(source.with_name(f"{source.name}-{end}") for end in ("wal", "shm", "journal"))}
    if target in own or target.is_dir() or (target.exists() and any(_is_same(target, each) for each in own)):
        raise StoreError(target, "cannot be the backup of this store; name another file")


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)
