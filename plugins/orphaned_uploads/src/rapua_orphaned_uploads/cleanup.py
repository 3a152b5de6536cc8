"""The job itself: refuse or read, walk, take, settle, and sweep up empty folders, in this order."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from attrs import asdict, frozen

from rapua_orphaned_uploads.copies import count_alone
from rapua_orphaned_uploads.counts import Counts
from rapua_orphaned_uploads.errors import TooManyOrphansError
from rapua_orphaned_uploads.folders import date_folders
from rapua_orphaned_uploads.hosts import Hosts
from rapua_orphaned_uploads.plan import Orphan, Walk
from rapua_orphaned_uploads.preconditions import trash_folder, uploads_root
from rapua_orphaned_uploads.problems import Problems
from rapua_orphaned_uploads.references import ReferenceReader
from rapua_orphaned_uploads.rows import require_tables
from rapua_orphaned_uploads.settings import OrphanedUploadsSettings
from rapua_orphaned_uploads.settling import Settler
from rapua_orphaned_uploads.sweeping import sweep
from rapua_orphaned_uploads.taking import Taker, batches
from rapua_orphaned_uploads.trash import Trash, open_trash
from rapua_scheduler import JobContext, Site, SiteError

FEW = 100
"""So many files may go however many there are."""

_EXAMPLES = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def clean_up(ctx: JobContext, site: Site, settings: OrphanedUploadsSettings) -> dict[str, int]:
    """Set aside the orphaned uploads of *site*; return the fields of `Counts`.

    Raises:
        SiteError: The site lacks something, there is no place for the trash, or the database cannot be
            read or stayed locked.
        TooManyOrphansError: Most files would go; none was taken.
        CleanUpAtWorkError: Another process is at it; nothing was taken.
        OSError: The uploads folder cannot be read, or the trash cannot be written.
        JobCancelled: The run was cancelled; the next one takes up what is left.
    """
    root = uploads_root(site)
    trash = trash_folder(site, settings, root)
    with ExitStack() as stack:
        try:
            require_tables(site)
            db = stack.enter_context(site.read())
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            opened_trash = None if ctx.dry_run else stack.enter_context(open_trash(trash))
            return _CleanUp(ctx, site, settings, root, descriptor, db, Counts(), Problems(ctx)).run(opened_trash)
        except sqlite3.Error as error:
            raise SiteError(
                f"database {site.database}: {error}. The clean-up went no further; the next run takes it up"
            ) from error


@frozen
class _CleanUp:
    """One run."""

    ctx: JobContext
    site: Site
    settings: OrphanedUploadsSettings
    root_path: Path
    root: int
    db: sqlite3.Connection
    counts: Counts
    problems: Problems

    def run(self, trash: Trash | None) -> dict[str, int]:
        """Do it all; without *trash* it is a dry run."""
        settler = self._settler()
        folders = date_folders(self.root, self.problems.note)
        unsettled = trash.unsettled(self.root_path) if trash else []
        reader = self._reader({*folders, *(folder for run in unsettled for folder in run.folders(self.problems.note))})
        if trash:
            for run in unsettled:
                settler.settle(run, reader.current())
                run.close()
            self._remove_expired(trash)

        orphans = self._plan(folders, reader)
        gone = self._take(orphans, reader, settler, trash)
        self.counts.folders_removed = sweep(
            self.root, self.ctx.now().date(), leaving=gone, dry_run=trash is None, on_error=self.problems.note
        )
        if trash:
            self._remove_expired(trash)

        self.counts.problems = self.problems.count
        result = asdict(self.counts)
        event = "Orphaned uploads found" if self.ctx.dry_run else "Orphaned uploads set aside"
        self.ctx.log.info(event, passes=reader.passes, **result)
        return result

    def _settler(self) -> Settler:
        known = Hosts.of(self.site.url, self.settings.alias_urls)
        return Settler(self.ctx, self.site, known, self.root, self.counts, self.problems.note)

    def _reader(self, folders: Collection[str]) -> ReferenceReader:
        return ReferenceReader(
            self.db,
            folders=folders,
            site_url=self.site.url,
            aliases=self.settings.alias_urls,
            checkpoint=self.ctx.raise_if_cancelled,
        )

    def _plan(self, folders: Sequence[str], reader: ReferenceReader) -> dict[str, list[Orphan]]:
        walk = Walk(self.root, reader.current(), self._oldest_kept_ns(), self.counts, self.problems.note)
        orphans: dict[str, list[Orphan]] = {}
        for folder in folders:
            self.ctx.raise_if_cancelled()
            if found := walk.orphans(folder):
                orphans[folder] = found
        self.counts.copies_alone = count_alone(self.root, self.problems.note)

        going = sum(map(len, orphans.values()))
        self.ctx.log.info("Uploads examined", files=self.counts.files, orphans=going, folders=len(folders))
        if going > FEW and going * 2 > self.counts.files and not self.settings.allow_more_than_half:
            raise TooManyOrphansError(going, self.counts.files)
        return orphans

    def _take(
        self, orphans: dict[str, list[Orphan]], reader: ReferenceReader, settler: Settler, trash: Trash | None
    ) -> Mapping[str, set[str]]:
        if not orphans:
            return {}
        aside = trash.begin(self.ctx, self.root_path) if trash else None
        try:
            taker = Taker(self.root, aside, self.counts, self.problems.note)
            done, total = 0, sum(map(len, orphans.values()))
            for batch in batches(orphans, self.settings.batch_size):
                self.ctx.raise_if_cancelled()
                taker.take(batch, reader.current())
                done += sum(len(found) for _, found in batch)
                self.ctx.progress(done, total)
            self.ctx.raise_if_cancelled()
            if aside:
                settler.settle(aside, reader.current())
            else:
                settler.delete_rows(taker.gone, None)
                examples = (f"{folder}/{name}" for folder, names in taker.gone.items() for name in sorted(names))
                self.ctx.log.info("Orphaned uploads", examples=list(islice(examples, _EXAMPLES)))
        finally:
            if aside:
                aside.close()
        return taker.gone

    def _oldest_kept_ns(self) -> int:
        # The earlier of both: a fire time made up late must not take what was young then, nor one in the
        # future what is young now.
        now = min(self.ctx.now().astimezone(UTC), self.ctx.fire_time.astimezone(UTC))
        return (now - self.settings.min_age - _EPOCH) // timedelta(microseconds=1) * 1000

    def _remove_expired(self, trash: Trash) -> None:
        self.counts.trash_removed += trash.remove_expired(self.ctx.now(), self.settings.trash_for, self.problems.note)
