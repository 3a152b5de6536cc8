"""A small but lively Rapua site, made from nothing, on which the jobs find something to do."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rapua_scheduler.demo.accounts import add_accounts
from rapua_scheduler.demo.database import create_database
from rapua_scheduler.demo.snapshot import DATABASE, MADE_FOR, UPLOADS, SiteSnapshot, changes, snapshot
from rapua_scheduler.demo.uploads import SiteFiles
from rapua_scheduler.errors import FolderNotEmptyError

__all__ = ["SiteSnapshot", "changes", "make_site", "snapshot"]

_SEED = 20110  # any: the same arguments make the same site
_URL = "https://demo.example"
_ENV = f"""\
DB_TYPE=sqlite3
DB_CONNECTION={DATABASE}
SITE_URL={_URL}
{MADE_FOR}={{now}}
"""
_CONFIGURATION = f"""\
[rapua_scheduler]
timezone = "{{zone}}"
state = "rapua-scheduler.db"

[rapua_scheduler.site]
database = "{DATABASE}"
url = "{_URL}"
uploads_dir = "{UPLOADS}"
"""


def make_site(folder: Path, now: datetime, zone: ZoneInfo) -> Path:
    """Make a Rapua site in *folder*, with its database, its uploads, and the host's configuration.

    Twelve users are below, at and above their limits; some purchases and some uploads are to be
    cleaned up, and others look like it and are not. The same arguments make the same site.

    Args:
        folder: Made if it does not exist.
        now: The time, aware, that the site has been in use until; nothing of it is younger.
        zone: The site's.

    Returns:
        The configuration file.

    Raises:
        FolderNotEmptyError: There is something in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FolderNotEmptyError(folder)
    rng = random.Random(_SEED)  # noqa: S311  no secret
    (folder / ".env").write_text(_ENV.format(now=now.isoformat()), encoding="utf-8")
    configuration = folder / "rapua-scheduler.toml"
    configuration.write_text(_CONFIGURATION.format(zone=zone.key), encoding="utf-8")
    uploads = folder / UPLOADS
    uploads.mkdir(parents=True)
    create_database(folder / DATABASE)
    with closing(sqlite3.connect(folder / DATABASE)) as db, db:
        add_accounts(db, now, zone, rng)
        SiteFiles(db, uploads, _URL, zone, rng).fill(now)
    return configuration
