"""Tell whether a fire time's top-up is done, from the database that holds the credits."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from rapua_credit_topup.ledger import completion, entries
from rapua_credit_topup.period import Period
from rapua_scheduler import Site, SiteError


def is_done(site: Site, job_key: str, fire_time: datetime) -> bool | None:
    """Tell whether everybody was served in the month that *fire_time* lies in.

    Returns:
        None if the database cannot be read or is not a Rapua site's, and for a month that is not
        complete when a later one is: nobody is credited for it any more.
    """
    try:
        site.require("credit_adjustments", entries.COLUMNS)
        period = Period.containing(fire_time, site.timezone)
        with site.read() as db:
            if completion.is_complete(db, job_key, period):
                return True
            newest = completion.newest(db, job_key)
    except (SiteError, sqlite3.Error):
        return None
    return None if newest is not None and newest > period.name else False
