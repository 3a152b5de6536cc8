"""Have processes claim the same fire times at once, and count who was given what."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.kills.processes import Child
from tests.race.claimants import CLAIMANTS, prepare, race
from tests.race.hosts import look_only, run_hosts
from tests.race.judge import Result, judge


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.race", description="Claim the same fire times at once.")
    parser.add_argument("--fire-times", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=100, help="of which each has its share of the fire times")
    parser.add_argument("--claimant", choices=list(CLAIMANTS), default="store", help="the others are controls")
    parser.add_argument("--hosts", type=int, metavar="TURNS", help="race to be the host instead, so many times each")
    parser.add_argument("--control", action="store_true", help="with --hosts: do not lock")
    parser.add_argument("--folder", type=Path, help="where the store is made")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="rapua-race-"))
    began = time.monotonic()
    if options.hosts:
        reigns = run_hosts(folder, options.processes, options.hosts, look_only if options.control else lambda: None)
        print(reigns)
        return 1 if reigns.overlaps else 0
    result = run(folder, options.claimant, options.processes, options.jobs, options.fire_times // options.jobs)
    print("\n".join(result.lines()))
    print(f"{time.monotonic() - began:.0f} s")
    is_right = (result.claims, result.duplicates, result.contradictions) == (options.fire_times, 0, 0)
    return 0 if is_right else 1


def run(folder: Path, claimant: str, processes: int, jobs: int, fire_times: int) -> Result:
    """Let so many processes race for the fire times of so many jobs.

    Raises:
        RuntimeError: A process failed; what it said is in the folder.
    """
    prepare(folder, jobs)
    meet = partial(get_context("fork").Barrier(processes).wait, 60.0)
    children = [
        Child.start(partial(race, folder, claimant, number, jobs, fire_times, meet), folder / "log")
        for number in range(processes)
    ]
    statuses = [child.wait() for child in children]
    if any(statuses):
        raise RuntimeError((folder / "log").read_text())
    return judge(folder, processes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
