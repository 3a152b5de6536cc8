"""Run jobs of every kind for long, and see whether anything grows."""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path

from rapua_scheduler import Scheduler, housekeeping
from rapua_scheduler.housekeeping import Retention
from tests.soak.jobs import Jobs
from tests.soak.measures import MIB, Measure, judge, measure

KEEP_RUNS = 100
"""Of each job."""

WARM_AFTER = 10_000
MOST_FILE = 64 * MIB

_LOOK_EVERY = 0.5
_SAY_EVERY = 10.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Run jobs for long; see what grows.")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--prune-every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--folder", type=Path, help="where the store is made")
    parser.add_argument("--leak", action="store_true", help="let a job keep what it is given; exits 1")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="rapua-soak-"))
    housekeeping.LOOK_EVERY = options.prune_every
    measures = run(folder / "store.db", options.runs, leak=options.leak)
    print(measures[-1])
    faults = [*judge(measures, WARM_AFTER, MOST_FILE), *kept(folder / "store.db")]
    print("\n".join(faults) or "nothing grew")
    return 1 if faults else 0


def run(path: Path, runs: int, *, leak: bool = False) -> list[Measure]:
    """Run until there were so many runs, and return what was measured meanwhile."""
    jobs = Jobs()
    scheduler = Scheduler(path, timezone=UTC, retention=Retention(runs=KEEP_RUNS), shutdown_grace=timedelta(seconds=10))
    number = jobs.add_to(scheduler)
    print(f"{number} jobs", flush=True)
    leaked: list[bytes] = []
    measures: list[Measure] = []
    began = said = time.monotonic()
    with scheduler:
        while (count := jobs.runs.total()) < runs:
            time.sleep(_LOOK_EVERY)
            measures.append(measure(count, path))
            if leak:
                leaked.append(b"x" * (2 * MIB))
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                print(measures[-1], flush=True)
        measures.append(measure(jobs.runs.total(), path))
    print(f"{jobs.runs.total() / (time.monotonic() - began):.0f} runs a second: {dict(jobs.runs)}")
    return measures


def kept(path: Path) -> list[str]:
    """Return what is wrong with the store that is left, in words."""
    with closing(sqlite3.connect(path)) as db:
        found = [text for (text,) in db.execute("PRAGMA integrity_check") if text != "ok"]
        orphans = "SELECT count(*) FROM {} WHERE run NOT IN (SELECT id FROM runs)"
        for table in ("attempts", "log_lines"):
            (left,) = db.execute(orphans.format(table)).fetchone()
            found += [f"{left} rows of {table} belong to nothing"] if left else []
        counts = "SELECT key FROM jobs WHERE run_count <> (SELECT count(*) FROM runs WHERE job_key = key)"
        found += [f"the runs of {key} are not as many as it says" for (key,) in db.execute(counts)]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
