"""Taking orphans, one batch after another, each decided on once more at the last moment."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import ExitStack

from attrs import define, field

from rapua_orphaned_uploads.copies import copies_of
from rapua_orphaned_uploads.counts import Counts
from rapua_orphaned_uploads.folders import OnError, names_in, opened
from rapua_orphaned_uploads.moving import move
from rapua_orphaned_uploads.plan import Orphan
from rapua_orphaned_uploads.references import References
from rapua_orphaned_uploads.trash import SetAside

Batch = Sequence[tuple[str, Sequence[Orphan]]]
"""Orphans by date folder."""


def batches(orphans: MutableMapping[str, list[Orphan]], size: int) -> Iterator[Batch]:
    """Yield all *orphans*, *size* at a time, and empty it on the way: there may be many."""
    batch: list[tuple[str, Sequence[Orphan]]] = []
    room = size
    while orphans:
        folder = next(iter(orphans))
        found = orphans.pop(folder)
        start = 0
        while start < len(found):
            part = found[start : start + room]
            batch.append((folder, part))
            start += len(part)
            room -= len(part)
            if not room:
                yield batch
                batch, room = [], size
    if batch:
        yield batch


@define
class Taker:
    """Sets files aside; in a dry run, only counts them.

    Attributes:
        root: Descriptor of the uploads folder.
        aside: Where to; None in a dry run.
        counts: Added to.
        on_error: Told of what cannot be moved.
        gone: What was taken, or would have been, by folder; kept in a dry run only.
    """

    root: int
    aside: SetAside | None
    counts: Counts
    on_error: OnError
    gone: dict[str, set[str]] = field(factory=dict)

    def take(self, batch: Batch, references: References) -> None:
        """Take what of *batch* has not changed, and is not in *references*."""
        for folder, orphans in batch:
            try:
                self._take_from(folder, orphans, references)
            except OSError as error:
                self.on_error(folder, error)

    def _take_from(self, folder: str, orphans: Sequence[Orphan], references: References) -> None:
        with ExitStack() as stack:
            source = stack.enter_context(opened(self.root, folder))
            target = stack.enter_context(self.aside.place(folder, make=True)) if self.aside else None
            copies = stack.enter_context(copies_of(self.root, folder, self.on_error))
            unreferenced = set(references.unreferenced(folder, names_in(source)))
            for orphan in orphans:
                try:
                    found = os.stat(orphan.name, dir_fd=source, follow_symlinks=False)
                    if not orphan.is_still(found):
                        self.counts.changed += 1
                    elif orphan.name not in unreferenced:
                        self.counts.referenced += 1
                    else:
                        # Copies first: after a crash the original is still there to lead to the others.
                        for path, descriptor in copies.items():
                            self._take_copy(orphan.name, path, descriptor)
                        if target is not None:
                            move(orphan.name, source, target)
                        else:
                            self.gone.setdefault(folder, set()).add(orphan.name)
                        self.counts.taken += 1
                        self.counts.taken_bytes += found.st_size
                except FileNotFoundError:
                    self.counts.changed += 1
                except OSError as error:
                    self.on_error(f"{folder}/{orphan.name}", error)

    def _take_copy(self, name: str, path: str, source: int) -> None:
        try:
            if not stat.S_ISREG(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
                return
            if self.aside is not None:
                with self.aside.place(path, make=True) as target:
                    move(name, source, target)
        except FileNotFoundError:
            return
        except OSError as error:
            self.on_error(f"{path}/{name}", error)
        else:
            self.counts.copies_taken += 1
