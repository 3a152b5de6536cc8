"""Tell observers what happened, each in a thread of its own, so that none can hold up anything."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping

from rapua_scheduler.events import Event
from rapua_scheduler.logs import get_logger
from rapua_scheduler.outcomes import summarize_error

MOST_WAITING = 10_000
"""Events that wait for one observer at most; the oldest are lost, and counted."""

_A_LOOK = 0.05
_log = get_logger("rapua_scheduler.observers")


class _Observer:
    def __init__(self, plugin: str, hear: Callable[[Event], object]) -> None:
        self._plugin = plugin
        self._hear = hear
        self._waiting: deque[Event] = deque(maxlen=MOST_WAITING)
        self._news = threading.Semaphore(0)
        self._lost = 0
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=f"{plugin}-observer", daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        if len(self._waiting) == MOST_WAITING:
            self._lost += 1
        self._waiting.append(event)
        self._news.release()

    def close(self) -> None:
        self._closed = True
        self._news.release()

    def has_heard_all(self, seconds: float) -> bool:
        """Wait until it has heard what was waiting when it was closed, at most for *seconds*."""
        if self._thread is threading.current_thread():
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            self._news.acquire()
            if not self._waiting:
                if self._closed:
                    return
                continue
            event = self._waiting.popleft()
            if self._lost:
                _log.error("Observer too slow", plugin=self._plugin, events_lost=self._lost)
                self._lost = 0
            try:
                self._hear(event)
            except BaseException as error:
                _log.error(
                    "Observer failed",
                    plugin=self._plugin,
                    kind=type(event).__name__,
                    problem=summarize_error(error),
                )


class Observers:
    """Hands events to the observers of all plugins; returns at once."""

    def __init__(self, observers: Mapping[str, Callable[[Event], object]]) -> None:
        """Start a thread for each of *observers*, by plugin."""
        self._observers = [_Observer(plugin, hear) for plugin, hear in observers.items()]

    @property
    def is_heard(self) -> bool:
        """Whether there is any observer."""
        return bool(self._observers)

    def __call__(self, event: Event) -> None:
        """Hand *event* to every observer."""
        for observer in self._observers:
            observer.tell(event)

    def close(self, seconds: float) -> None:
        """Let observers hear what is waiting, all of them together for at most *seconds*."""
        for observer in self._observers:
            observer.close()
        looks = int(seconds / _A_LOOK)
        for observer in self._observers:
            while not observer.has_heard_all(_A_LOOK) and looks > 0:
                looks -= 1
