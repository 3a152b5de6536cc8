"""The whole comparison: `python -m bench.peers` (medians of five rounds; needs bench/requirements.txt)."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

ALL = ("ours, durable", "ours, in memory", "APScheduler 3", "limit: heap")
PLAN: list[tuple[str, int, tuple[str, ...]]] = [
    ("burst", 1, ALL),
    ("burst", 100, ALL),
    ("burst", 10_000, ALL),
    ("lateness", 200, ALL[:2]),
    ("registered", 1_000, ALL[:3]),
    ("registered", 100_000, ALL[:3]),
    ("recorded", 10_000, ("ours, durable", "limit: sqlite3")),
]


def main() -> None:
    """Run every measurement in turn, round after round, and print one table a workload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=sorted({workload for workload, _, _ in PLAN}))
    options = parser.parse_args()
    for workload, jobs, contenders in PLAN:
        if options.only in {None, workload}:
            figures: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
            for _ in range(options.rounds):
                for name in contenders:
                    figures[name].append(measure(workload, name, jobs))
            show(workload, jobs, figures)


def measure(workload: str, contender: str, jobs: int) -> dict[str, float]:
    """Measure once, in a process of its own."""
    command = [sys.executable, "-m", "bench.peers.measure", workload, contender, str(jobs)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return result


def show(workload: str, jobs: int, figures: dict[str, list[dict[str, float]]]) -> None:
    """Print medians, and least and greatest, as a Markdown table."""
    names = list(next(iter(figures.values()))[0])
    print(f"\n### {workload}, {jobs:,} jobs\n")
    print("| contender | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for contender, rounds in figures.items():
        cells = []
        for name in names:
            values = sorted(one[name] for one in rounds)
            cells.append(f"{statistics.median(values):.4g} [{values[0]:.4g}…{values[-1]:.4g}]")
        print(f"| {contender} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
