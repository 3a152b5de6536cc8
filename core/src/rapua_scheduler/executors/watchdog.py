"""Tell of event loops that do not come round: which jobs are on them, and where they stand."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Protocol

from rapua_scheduler.clock import SystemClock
from rapua_scheduler.executors.port import Work
from rapua_scheduler.logs import get_logger

BLOCKED_AFTER = 1.0
"""Seconds after which a loop that has not come round is told of."""

_LOOK_EVERY = 0.1
_ASK_EVERY = 0.25
_OVERSLEPT = 0.5
_MOST_FRAMES = 30
_log = get_logger("rapua_scheduler.executors")


class Watched(Protocol):
    """A loop, as the watchdog sees it."""

    @property
    def thread(self) -> threading.Thread:
        """The thread that it runs in."""

    @property
    def is_busy(self) -> bool:
        """Whether there is anything that could block it."""

    @property
    def beats(self) -> int:
        """How often it has answered; may be asked from any thread."""

    def ask(self) -> None:
        """Have it answer as soon as it comes round."""

    def executing(self) -> Sequence[Work]:
        """Return the work that may be blocking it."""

    def note_blocked(self) -> None:
        """Note that it is blocked; called at every look while it is."""


class Watchdog:
    """One daemon thread for all loops of a host; while none of them is busy, it sleeps."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._watches: dict[Watched, _Watch] = {}
        self._wakeup = threading.Event()
        self._changing = threading.Lock()
        self._is_started = False
        self._closed = False

    def watch(self, loop: Watched) -> None:
        """Look after *loop* from now on."""
        with self._changing:
            self._watches[loop] = _Watch(loop)
            if not self._is_started:
                self._is_started = True
                threading.Thread(target=self._serve, name="watchdog", daemon=True).start()

    def unwatch(self, loop: Watched) -> None:
        """Look after *loop* no more."""
        with self._changing:
            self._watches.pop(loop, None)

    def wake(self) -> None:
        """Note that a loop has become busy."""
        self._wakeup.set()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._wakeup.set()

    def _serve(self) -> None:
        last = self._clock.monotonic()
        never = threading.Event()
        while not self._closed:
            with self._changing:
                watches = [watch for watch in self._watches.values() if watch.is_needed]
            if not watches:
                self._wakeup.wait()
                self._wakeup.clear()
                last = self._clock.monotonic()
                continue
            now = self._clock.monotonic()
            if now - last > _LOOK_EVERY + _OVERSLEPT:  # we were held up ourselves: the process was stopped
                for watch in watches:
                    watch.forgive(now)
            last = now
            for watch in watches:
                watch.look(now)
            self._clock.wait(never, _LOOK_EVERY)


class _Watch:
    """What the watchdog keeps in mind of one loop."""

    def __init__(self, loop: Watched) -> None:
        self._loop = loop
        self._asked_at: float | None = None
        self._ask_again_at = 0.0
        self._beats = 0
        self._is_told = False

    @property
    def is_needed(self) -> bool:
        return self._loop.is_busy or self._asked_at is not None

    def forgive(self, now: float) -> None:
        if self._asked_at is not None and not self._is_told:
            self._asked_at = now

    def look(self, now: float) -> None:
        if self._asked_at is None:
            if now >= self._ask_again_at:
                self._asked_at, self._beats = now, self._loop.beats
                self._ask_again_at = now + _ASK_EVERY
                self._loop.ask()
            return
        seconds = now - self._asked_at
        if self._loop.beats != self._beats:
            self._asked_at = None
            if self._is_told:
                self._is_told = False
                _log.warning("Event loop goes on", thread=self._loop.thread.name, blocked_s=round(seconds, 1))
            return
        if seconds >= BLOCKED_AFTER:
            if not self._is_told:
                self._is_told = True
                _tell_of(self._loop, seconds)
            self._loop.note_blocked()


def _tell_of(loop: Watched, seconds: float) -> None:
    runs = [work.assignment for work in loop.executing()]
    _log.error(
        "Event loop blocked",
        thread=loop.thread.name,
        blocked_s=round(seconds, 1),
        jobs=[{"job_key": run.run.job_key, "run_id": run.run.run_id} for run in runs if run is not None],
        stack=_stack(loop.thread),
        hint='await, or isolation = "process"',
    )


def _stack(thread: threading.Thread) -> str:
    """Return where *thread* stands, innermost last, without the values of variables."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return ""
    frames = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=_MOST_FRAMES, lookup_lines=True)
    frames.reverse()
    return "".join(frames.format())
