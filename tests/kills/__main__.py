"""Kill hosts as often as one likes: `python -m tests.kills --kills 10000 --seed 1`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.kills.calendar_campaign import CalendarCampaign
from tests.kills.campaign import CounterCampaign
from tests.kills.naive import claim_afterwards, kill_in_memory
from tests.kills.reports import Report

_A_TURN = 300


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description="Kill hosts, and judge what they did.")
    parser.add_argument("--kills", type=int, default=200, help="how many processes to kill")
    parser.add_argument("--seed", type=int, help="decides who is killed when")
    parser.add_argument("--of", choices=["counter", "top-up", "both"], default="both", help="which jobs the hosts run")
    parser.add_argument("--folder", type=Path, help="where sites are made; those with faults stay")
    parser.add_argument(
        "--control", choices=["claims-afterwards", "in-memory"], help="kill a naive scheduler instead; exits 1"
    )
    options = parser.parse_args(arguments)
    seed = time.time_ns() if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="rapua-kills-"))
    print(f"seed {seed}; sites with faults stay in {folder}", flush=True)
    report = Report()
    began = time.monotonic()
    if options.control == "in-memory":
        kill_in_memory(folder, seed, report)
    elif options.control == "claims-afterwards":
        CounterCampaign(folder, seed, report, prepare_process=claim_afterwards).run(options.kills)
    else:
        kill(options.kills, folder, seed, report, of=options.of)
    print(f"{time.monotonic() - began:.0f} s")
    print("\n".join(report.lines()))
    return 1 if report.faults else 0


def kill(kills: int, folder: Path, seed: int, report: Report, *, of: str) -> None:
    """Kill hosts of one kind, or two of the counting jobs for each of the top-up."""
    counting = CounterCampaign(folder, seed, report)
    calendar = CalendarCampaign(folder, seed, report)
    while (left := kills - report.kills.total()) > 0 and not report.faults:
        turn = min(left, _A_TURN)
        if of != "top-up":
            counting.run(turn if of == "counter" else turn * 2 // 3)
        if of != "counter":
            calendar.run(turn if of == "top-up" else turn - turn * 2 // 3)
        print(f"{report.kills.total()} kills", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
