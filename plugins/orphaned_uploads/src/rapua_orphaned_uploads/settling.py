"""Bringing what was set aside to its end: back what is referred to after all, and the rows after the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from attrs import define

from rapua_orphaned_uploads import rows
from rapua_orphaned_uploads.copies import PLACES, names_below
from rapua_orphaned_uploads.counts import Counts
from rapua_orphaned_uploads.folders import OnError, opened
from rapua_orphaned_uploads.hosts import Hosts
from rapua_orphaned_uploads.moving import move
from rapua_orphaned_uploads.references import References
from rapua_orphaned_uploads.trash import SetAside
from rapua_scheduler import JobContext, Site

PAUSE = 0.01
"""Seconds between two transactions, in which Rapua's own writes get their turn."""


@define
class Settler:
    """Settles one run after another.

    Attributes:
        root: Descriptor of the uploads folder.
        counts: Added to.
        on_error: Told of what cannot be put back.
    """

    _ctx: JobContext
    _site: Site
    _hosts: Hosts
    root: int
    counts: Counts
    on_error: OnError

    def settle(self, aside: SetAside, references: References) -> None:
        """Put back those files of *aside* that *references* holds, and delete the rows of the others.

        A run of which something could not be put back stays unsettled: it does not expire, and the next
        run tries again.
        """
        gone: dict[str, set[str]] = {}
        is_complete = True
        for folder in aside.folders(self.on_error):
            self._ctx.raise_if_cancelled()
            taken, in_place = set(aside.names(folder)), names_below(self.root, folder, self.on_error)
            unreferenced = set(references.unreferenced(folder, taken | in_place))
            for name in sorted(taken - unreferenced - in_place):
                is_complete &= self._put_back(aside, name, folder)
            gone[folder] = taken & unreferenced - in_place
        self.delete_rows(gone, aside)
        if is_complete:
            aside.settle()
        else:
            self._ctx.log.error("Uploads in use not put back", trash=aside.name)

    def delete_rows(self, gone: Mapping[str, Collection[str]], aside: SetAside | None) -> None:
        """Delete the rows of the files that are *gone*, by date folder, after writing them to *aside*.

        Args:
            gone: Names of files.
            aside: Where the rows are kept; None in a dry run, which only counts.
        """
        with self._site.read() as db:
            for batch in rows.batches_of(db, gone, self._hosts):
                if aside is None:
                    self.counts.rows_deleted += len(batch)
                    continue
                aside.keep_rows(rows.whole_rows(db, batch))
                self.counts.rows_deleted += self._site.transact(partial(rows.delete, rows=batch), sleep=self._ctx.sleep)
                self._ctx.sleep(PAUSE)

    def _put_back(self, aside: SetAside, name: str, folder: str) -> bool:
        for path in (folder, *(f"{place}/{folder}" for place in PLACES)):
            try:
                with aside.place(path) as source, opened(self.root, path, make=True) as target:
                    move(name, source, target)
            except FileNotFoundError:
                continue
            except OSError as error:
                self.on_error(f"{path}/{name}", error)
                if path == folder:
                    return False
        self.counts.put_back += 1
        return True
