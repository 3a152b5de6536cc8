"""Removing date folders that are empty, but for those that Rapua may be about to put a file in."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import date, timedelta

from rapua_orphaned_uploads.copies import PLACES
from rapua_orphaned_uploads.folders import OnError, exists, opened, remove_empty


def sweep(root: int, today: date, *, leaving: Mapping[str, Container[str]], dry_run: bool, on_error: OnError) -> int:
    """Remove the empty date folders below *root*, and those of resized copies; return how many.

    Rapua makes a folder and then a file in it; it fails if the folder goes in between. It does so for
    the server's date, which may be a day before or after *today*, the site's, and for the date of an
    original that it resizes.

    Args:
        root: Descriptor of the uploads folder.
        today: The site's date.
        leaving: Per folder, files to be thought away; for a dry run.
        dry_run: Remove nothing.
        on_error: Told of what cannot be opened or removed.
    """
    recent = {(today + timedelta(days)).isoformat().replace("-", "/") for days in (-1, 0, 1)}
    recent |= {path[:length] for path in recent for length in (4, 7)}
    removed = remove_empty(root, keep=recent.__contains__, leaving=leaving, dry_run=dry_run, on_error=on_error)

    def may_be_needed(path: str) -> bool:
        return path in recent or (path not in removed and exists(path, root))

    count = len(removed)
    for place in PLACES:
        try:
            with opened(root, place) as copies:
                count += len(
                    remove_empty(copies, keep=may_be_needed, leaving=leaving, dry_run=dry_run, on_error=on_error)
                )
        except OSError as error:
            on_error(place, error)
    return count
