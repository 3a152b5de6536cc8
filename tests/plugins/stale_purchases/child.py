"""A process of its own that runs the job once, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from rapua_scheduler import Site
from rapua_scheduler.clock import ShiftedClock
from tests.plugins.stale_purchases.sites import FIRE, run_on

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    site = Site(database=folder / "site.db", state_dir=folder / "state")
    print("ready", flush=True)
    run_on(site, clock=ShiftedClock.starting_at(FIRE))
