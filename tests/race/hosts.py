"""Those who race to be the host of one store, again and again; some die of it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from attrs import frozen

from rapua_scheduler.errors import AnotherHostError
from rapua_scheduler.store.locks import HOST, LockFile
from rapua_scheduler.store.sqlite import SqliteStore
from tests.kills.processes import Child, killed
from tests.race.claimants import STORE, prepare

_LOG = "hosts"
_DEATHS = 0.2


@frozen
class Reigns:
    """What came of it.

    Attributes:
        hosts: How often one became the host.
        refused: How often one was refused.
        deaths: How many died as the host.
        overlaps: How often one became the host while another one was.
    """

    hosts: int
    refused: int
    deaths: int
    overlaps: int


def look_only() -> None:
    """Have this process see whether there is a host, and lock nothing. A control."""
    lock = LockFile.lock
    LockFile.lock = (  # type: ignore[method-assign]
        lambda self, byte: not self.is_locked(byte) if byte == HOST else lock(self, byte)
    )
    unlock = LockFile.unlock
    LockFile.unlock = lambda self, byte: None if byte == HOST else unlock(self, byte)  # type: ignore[method-assign]


def reign(folder: Path, seed: int, turns: int, prepare_process: Callable[[], object]) -> None:
    """Try to be the host so many times, and write down when it begins and ends; perhaps die of it."""
    prepare_process()
    chance = random.Random(seed)
    log = os.open(folder / _LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def say(word: str) -> None:
        os.write(log, f"{word} {os.getpid()}\n".encode())

    for _ in range(turns):
        with closing(SqliteStore.open(folder / STORE, create=False)) as store:
            try:
                store.become_host()
            except AnotherHostError:
                say("refused")
                time.sleep(chance.uniform(0, 0.004))
                continue
            say("enter")
            time.sleep(chance.uniform(0, 0.004))
            if chance.random() < _DEATHS:
                say("die")
                os.kill(os.getpid(), signal.SIGKILL)
            say("leave")


def run_hosts(folder: Path, processes: int, turns: int, prepare_process: Callable[[], object]) -> Reigns:
    """Let processes race until each generation of them has had so many turns.

    Raises:
        RuntimeError: A process failed; what it said is in the folder.
    """
    prepare(folder, 1)
    for generation in range(4):
        seeds = [generation * processes + number for number in range(processes)]
        works = [partial(reign, folder, seed, turns, prepare_process) for seed in seeds]
        children = [Child.start(work, folder / "log") for work in works]
        statuses = [child.wait() for child in children]
        if any(status and not killed(status) for status in statuses):
            raise RuntimeError((folder / "log").read_text())
    return _judge([line.split() for line in (folder / _LOG).read_text().splitlines()])


def _judge(lines: list[list[str]]) -> Reigns:
    words = [word for word, _ in lines]
    reigning: str | None = None
    overlaps = 0
    for word, pid in lines:
        if word == "enter":
            overlaps += reigning is not None
            reigning = pid
        elif word in {"leave", "die"} and reigning == pid:
            reigning = None
    return Reigns(words.count("enter"), words.count("refused"), words.count("die"), overlaps)
