"""What must hold before a single file is looked at."""

from __future__ import annotations

from pathlib import Path

from rapua_orphaned_uploads.settings import OrphanedUploadsSettings
from rapua_orphaned_uploads.trash import KIND
from rapua_scheduler import Site, SiteError


def uploads_root(site: Site) -> Path:
    """Return the uploads folder, links resolved.

    Raises:
        SiteError: There is none, or what is configured can hardly be one.
    """
    if site.uploads_dir is None:
        raise SiteError("no uploads folder is configured; set [rapua_scheduler.site] uploads_dir, or pass --site DIR")
    try:
        root = site.uploads_dir.resolve(strict=True)
    except OSError as error:
        raise SiteError(f"uploads folder {site.uploads_dir}: {error.strerror}") from error
    if not root.is_dir():
        raise SiteError(f"uploads folder {site.uploads_dir}: it is not a folder")
    if root == Path(root.anchor):
        raise SiteError(f"uploads folder {site.uploads_dir}: it is the root of the file system; none was taken")
    if site.database is not None and site.database.resolve().is_relative_to(root):
        raise SiteError(f"uploads folder {root} holds the database {site.database}: set uploads_dir; none was taken")
    return root


def trash_folder(site: Site, settings: OrphanedUploadsSettings, root: Path) -> Path:
    """Return where files are set aside, links resolved; it need not exist yet.

    Args:
        site: The site.
        settings: The operator's.
        root: The uploads folder, links resolved.

    Raises:
        SiteError: There is no such place, or one that the site shows to everybody.
    """
    folder = settings.trash_dir
    if folder is None:
        if site.state_dir is None:
            raise SiteError(
                "there is nowhere to set files aside, so none was taken; "
                "set trash_dir under [rapua_scheduler.plugins.orphaned_uploads]"
            )
        folder = site.state_dir / "trash" / KIND
    folder = folder.resolve()
    served = root.parent if root.parent.name == "static" else root
    if folder.is_relative_to(served) or root.is_relative_to(folder):
        raise SiteError(
            f"the trash {folder} and the uploads folder {root} must lie apart, because the site shows {served} "
            "to everybody; set trash_dir under [rapua_scheduler.plugins.orphaned_uploads]. No file was taken"
        )
    return folder
