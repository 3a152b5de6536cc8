"""Resized copies, which Rapua keeps inside the uploads folder and makes again when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rapua_orphaned_uploads.folders import OnError, date_folders, names_in, opened

PLACES = tuple(f".cache/{size}" for size in ("small", "medium", "large"))
"""Where they lie below the uploads folder; below each, as the originals do below theirs."""


@contextmanager
def copies_of(root: int, folder: str, on_error: OnError) -> Iterator[dict[str, int]]:
    """Open, for a block, those folders that hold copies of the files in *folder*.

    Yields:
        Their descriptors, by path below the uploads folder.
    """
    with ExitStack() as stack:
        found: dict[str, int] = {}
        for place in PLACES:
            path = f"{place}/{folder}"
            try:
                found[path] = stack.enter_context(opened(root, path))
            except OSError as error:
                on_error(path, error)
        yield found


def count_alone(root: int, on_error: OnError) -> int:
    """Return how many copies there are whose original is not where it should be."""
    alone = 0
    for place in PLACES:
        try:
            with opened(root, place) as descriptor:
                for folder in date_folders(descriptor, on_error):
                    alone += len(names_below(descriptor, folder, on_error) - names_below(root, folder, on_error))
        except OSError as error:
            on_error(place, error)
    return alone


def names_below(parent: int, folder: str, on_error: OnError) -> set[str]:
    """Return what is in *folder* below the open folder *parent*; nothing if it is not there."""
    try:
        with opened(parent, folder) as descriptor:
            return set(names_in(descriptor))
    except OSError as error:
        on_error(folder, error)
        return set()
