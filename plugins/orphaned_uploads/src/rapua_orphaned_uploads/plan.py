"""Which files would go: a date folder walked, every file in it decided on, nothing touched."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from attrs import frozen

from rapua_orphaned_uploads.counts import Counts
from rapua_orphaned_uploads.folders import OnError, opened
from rapua_orphaned_uploads.references import References
from rapua_orphaned_uploads.spelling import name_in_texts


class Orphan(NamedTuple):
    """A file that nothing refers to, as the walk found it.

    Attributes:
        name: Its name.
        stamp: Tells later whether it is still the same.
    """

    name: str
    stamp: int

    @classmethod
    def of(cls, name: str, found: os.stat_result) -> Orphan:
        """Return the orphan called *name* that *found* describes."""
        return cls(name, _stamp(found))

    def is_still(self, found: os.stat_result) -> bool:
        """Tell whether *found* describes this very file, unchanged."""
        return stat.S_ISREG(found.st_mode) and self.stamp == _stamp(found)


@frozen
class Walk:
    """Decides on the files of one folder after another.

    Attributes:
        root: Descriptor of the uploads folder.
        references: What is referred to.
        oldest_kept_ns: Files last written at this time or later stay; nanoseconds since the epoch.
        counts: Added to; every file that does not become an orphan is counted.
        on_error: Told of what cannot be read.
    """

    root: int
    references: References
    oldest_kept_ns: int
    counts: Counts
    on_error: OnError

    def orphans(self, folder: str) -> list[Orphan]:
        """Return the files in *folder*, such as "2026/11/23", that would go."""
        try:
            with opened(self.root, folder) as descriptor, os.scandir(descriptor) as entries:
                found = list(entries)
                regular = {entry.name: entry for entry in found if entry.is_file(follow_symlinks=False)}
                self.counts.not_regular += len(found) - len(regular)
                unreferenced = self.references.unreferenced(folder, regular)
                self.counts.files += len(regular)
                self.counts.referenced += len(regular) - len(unreferenced)
                judged = [self._judge(regular[name], folder) for name in unreferenced]
        except OSError as error:
            self.on_error(folder, error)
            return []
        return [orphan for orphan in judged if orphan is not None]

    def _judge(self, entry: os.DirEntry[str], folder: str) -> Orphan | None:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError as error:
            self.on_error(f"{folder}/{entry.name}", error)
            return None
        if found.st_mtime_ns >= self.oldest_kept_ns:
            self.counts.too_young += 1
        elif name_in_texts(entry.name) is None:
            self.counts.unsearchable += 1
        else:
            return Orphan.of(entry.name, found)
        return None


def _stamp(found: os.stat_result) -> int:
    return hash((found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size))  # one number: there may be many
