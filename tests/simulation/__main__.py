"""Live worlds on demand: `python -m tests.simulation --years 100 --seeds 20`."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.simulation.verdict import judge
from tests.simulation.world import World


def main() -> int:
    """Live as many worlds as are asked for, and return 1 if anything is wrong in one."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--years", type=float, default=100)
    parser.add_argument("--seeds", type=int, default=20, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--story", action="store_true", help="tell what happened")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    totals: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.seeds):
        totals += _live(seed, options.years, tells=options.story)
    print(dict(totals))
    return 1 if totals["problems"] else 0


def _live(seed: int, years: float, *, tells: bool) -> Counter[str]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, Path(folder) / "state.db", years=years)
        world.live()
        problems = judge(world)
        world.close()
    if tells:
        print("\n".join(world.story))
    for problem in problems:
        print(f"  {problem}")
    totals = Counter(
        worlds=1,
        effects=len(world.effects),
        deaths=len(world.crashes),
        events=len(world.story),
        problems=len(problems),
    )
    print(f"seed {seed} ({world.zone}): {dict(totals)} in {time.monotonic() - began:.0f} s", flush=True)
    return totals


if __name__ == "__main__":
    sys.exit(main())
