"""What operators have said, as the host last saw it in the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from attrs import evolve

from rapua_scheduler.fire_times import PLAIN, Circumstances
from rapua_scheduler.run import Window, WindowKind
from rapua_scheduler.store.port import Store


class Controls:
    """What fire times may meet with, of all jobs, read again whenever the store says that there is news.

    Belongs to the timing thread.

    Attributes:
        paused: Keys of the jobs that are paused now.
        is_held: Whether nothing may start until a release.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._word: int | None = None
        self._windows: Mapping[str, list[Window]] = {}
        self._claimed: Mapping[str, tuple[datetime, ...]] = {}
        self.paused: frozenset[str] = frozenset()
        self.is_held = False

    def has_news(self) -> int | None:
        """Return the store's word, if anything was said since the last one that was heeded; None if not.

        Raises:
            StoreError: The store cannot be asked.
        """
        word = self._store.word()
        return None if word == self._word else word

    def forget(self) -> None:
        """Let `has_news` tell that there is some."""
        self._word = None

    def read(self, since: datetime, now: datetime) -> None:
        """Read what holds.

        Args:
            since: Windows that ended earlier are of no interest any more.
            now: The current time, in UTC. One that lasts has begun by now, whatever a clock showed then.

        Raises:
            StoreError: The store cannot be read.
        """
        windows: dict[str, list[Window]] = {}
        for window in self._store.windows(since=since):
            if window.until is None and window.since > now:
                window = evolve(window, since=min([now, *(same.since for same in self._lasting(window))]))
            windows.setdefault(window.job_key, []).append(window)
        self._windows = windows
        self._claimed = {key: tuple(claimed) for key, claimed in self._store.claims_ahead().items()}
        self.paused = frozenset(
            window.job_key
            for of_job in windows.values()
            for window in of_job
            if window.kind is WindowKind.PAUSED and window.until is None
        )
        self.is_held = any(window.until is None for window in windows.get("", ()))

    def note_heeded(self, word: int) -> None:
        """Note that everything has been done that was said up to *word*, which `has_news` returned."""
        self._word = word

    def _lasting(self, window: Window) -> Iterator[Window]:
        """Give the same window as it was read before."""
        for known in self._windows.get(window.job_key, ()):
            if known.kind is window.kind and known.until is None:
                yield known

    def circumstances_of(self, job_key: str) -> Circumstances:
        """Return what a job's fire times may meet with."""
        if not self._windows and not self._claimed:
            return PLAIN
        windows = (*self._windows.get(job_key, ()), *self._windows.get("", ()))
        return Circumstances(windows, self._claimed.get(job_key, ()))
