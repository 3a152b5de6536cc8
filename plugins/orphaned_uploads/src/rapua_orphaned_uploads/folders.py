"""Date folders, reached from an open folder downwards without ever following a link."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from contextlib import contextmanager
from datetime import date

_PATTERNS = (re.compile("[0-9]{4}"), re.compile("[0-9]{2}"), re.compile("[0-9]{2}"))
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

OnError = Callable[[str, OSError], None]
"""Told of a path and of what went wrong with it."""


@contextmanager
def opened(parent: int, path: str, *, make: bool = False) -> Iterator[int]:
    """Open the folder *path* below the open folder *parent*, for the block.

    Args:
        parent: Descriptor of a folder.
        path: Folders divided by slashes; empty is the parent itself.
        make: Make those that are missing.

    Raises:
        OSError: One of them is missing, is a link, or may not be opened.
    """
    folder = os.dup(parent)
    try:
        for part in path.split("/") if path else ():
            if make:
                _make(folder, part)
            child = os.open(part, _OPEN, dir_fd=folder)
            os.close(folder)
            folder = child
        yield folder
    finally:
        os.close(folder)


def date_folders(parent: int, on_error: OnError) -> list[str]:
    """Return the folders of real, padded dates below *parent*, such as "2026/11/23", oldest first."""
    return list(_date_folders(parent, "", on_error))


def names_in(folder: int) -> list[str]:
    """Return the names of everything in the open *folder*."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def exists(name: str, folder: int) -> bool:
    """Tell whether the open *folder* holds anything called *name*, a broken link included."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def remove_empty(
    parent: int,
    *,
    keep: Callable[[str], bool],
    leaving: Mapping[str, Container[str]],
    dry_run: bool,
    on_error: OnError,
) -> list[str]:
    """Remove the date folders below *parent* that are empty, days before months before years.

    Args:
        parent: Descriptor of a folder, which stays.
        keep: Tells of the path of a day, month or year whether it must stay though it is empty.
        leaving: Per folder, the files to be thought away; for a dry run.
        dry_run: Remove nothing.
        on_error: Told of what could not be opened or removed.

    Returns:
        The paths of what was removed.
    """
    removed: list[str] = []
    _remove_empty(parent, "", keep, leaving, dry_run, on_error, removed)
    return removed


def is_real(path: str) -> bool:
    """Tell whether *path* is a year, a month or a day that exists: "2026", "2026/11", "2026/11/23"."""
    parts = path.split("/")
    if len(parts) > len(_PATTERNS) or not all(map(re.Pattern.fullmatch, _PATTERNS, parts)):
        return False
    try:
        date(*[int(part) for part in [*parts, "01", "01"][:3]])
    except ValueError:
        return False
    return True


def _date_folders(folder: int, path: str, on_error: OnError) -> Iterator[str]:
    try:
        names = _subfolders(folder, path)
    except OSError as error:
        on_error(path, error)
        return
    for name in names:
        inside = _join(path, name)
        if inside.count("/") == 2:
            yield inside
            continue
        try:
            with opened(folder, name) as child:
                yield from _date_folders(child, inside, on_error)
        except OSError as error:
            on_error(inside, error)


def _remove_empty(
    folder: int,
    path: str,
    keep: Callable[[str], bool],
    leaving: Mapping[str, Container[str]],
    dry_run: bool,
    on_error: OnError,
    removed: list[str],
) -> None:
    for name in _subfolders(folder, path):
        inside = _join(path, name)
        try:
            with opened(folder, name) as child:
                if inside.count("/") < 2:
                    _remove_empty(child, inside, keep, leaving, dry_run, on_error, removed)
                if keep(inside) or not _is_empty(child, inside, leaving.get(inside, ()), removed if dry_run else ()):
                    continue
            if not dry_run:
                os.rmdir(name, dir_fd=folder)
            removed.append(inside)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:  # somebody has just put something there
                on_error(inside, error)


def _is_empty(folder: int, path: str, leaving: Container[str], removed: Collection[str]) -> bool:
    with os.scandir(folder) as entries:
        return all(entry.name in leaving or _join(path, entry.name) in removed for entry in entries)


def _subfolders(folder: int, path: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if is_real(_join(path, entry.name)) and entry.is_dir(follow_symlinks=False)
        )


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _make(folder: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return
