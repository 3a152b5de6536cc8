"""Every zone, every date and every month from 1970 to 2037, on demand: `python -m tests.zones`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.zones.census import FIRST_YEAR, LAST_YEAR, count, distinct_zones


def main() -> int:
    """Check them all, and return 1 if anything is wrong in one."""
    parser = argparse.ArgumentParser(prog="python -m tests.zones", description=__doc__)
    parser.add_argument("--at", default="00:00", metavar="HH:MM", help="the time of day [default: 00:00]")
    options = parser.parse_args()
    began = time.monotonic()
    zones = distinct_zones()
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        tallies = list(processes.map(partial(count, time=options.at), zones, chunksize=8))
    problems = [problem for tally in tallies for problem in tally.problems]
    print("\n".join(problems), end="\n" if problems else "")
    print(
        f"{sum(map(len, zones.values()))} names of {len(zones)} zones that differ, {FIRST_YEAR} to {LAST_YEAR}, "
        f"at {options.at}: {sum(tally.dates for tally in tallies):,} dates and "
        f"{sum(tally.months for tally in tallies):,} months, each fired once but for {len(problems)} problems, "
        f"in {time.monotonic() - began:.0f} s"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
