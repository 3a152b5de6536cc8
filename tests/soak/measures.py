"""What a process holds, as the system counts it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

MIB = 1024 * 1024
MOST_MEMORY = 10 * MIB
"""By how much resident memory may grow after the first runs."""

MOST_MORE = 3
"""By how many descriptors, or threads, they may differ; each second one may just be open."""


@frozen
class Measure:
    """What a process holds at one moment.

    Attributes:
        runs: How many runs it has had.
        memory: Resident bytes.
        descriptors: Open ones.
        threads: Living ones.
        file: Bytes of the store's file.
        log: Bytes of its write-ahead log.
    """

    runs: int
    memory: int
    descriptors: int
    threads: int
    file: int
    log: int

    def __str__(self) -> str:
        return (
            f"{self.runs:9} runs {self.memory / MIB:7.1f} MiB {self.descriptors:3} descriptors {self.threads:3} threads"
            f" file {self.file / MIB:6.1f} MiB, its log {self.log / MIB:5.1f} MiB"
        )


def measure(runs: int, store: Path) -> Measure:
    """Measure this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Measure(
        runs,
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(list(Path("/proc/self/fd").iterdir())),
        len(list(Path("/proc/self/task").iterdir())),
        store.stat().st_size,
        store.with_name(f"{store.name}-wal").stat().st_size,
    )


def judge(measures: Sequence[Measure], warm_after: int, most_file: int) -> Iterator[str]:
    """Yield what grew that must not, in words.

    Args:
        measures: In their order.
        warm_after: Runs after which nothing may grow any more.
        most_file: Bytes that the store's file may have.
    """
    warm = [each for each in measures if each.runs >= warm_after]
    if len(warm) < 2:
        yield "there are too few measures"
        return
    first = warm[0]
    grown = max(each.memory for each in warm) - first.memory
    if grown > MOST_MEMORY:
        yield f"memory grew by {grown / MIB:.1f} MiB"
    for name in ("descriptors", "threads"):
        values = [getattr(each, name) for each in warm]
        if max(values) - values[0] > MOST_MORE:
            yield f"{name} went from {values[0]} to {max(values)}"
    largest = max(each.file + each.log for each in measures)
    if largest > most_file:
        yield f"the store's file came to {largest / MIB:.1f} MiB"
