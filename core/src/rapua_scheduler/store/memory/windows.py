"""The windows of a store in memory: when jobs did not run, and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from attrs import evolve

from rapua_scheduler.run import Window, WindowKind
from rapua_scheduler.store.texts import storable


class Windows:
    """Windows of all jobs; of each job and kind, one at most lasts."""

    def __init__(self) -> None:
        """Begin without any."""
        self._ended: list[Window] = []
        self._lasting: dict[tuple[str, WindowKind], Window] = {}

    def begin(self, job_key: str, kind: WindowKind, at: datetime, reason: str, by: str) -> bool:
        """Begin a window, unless there is one; tell whether there was none."""
        if (job_key, kind) in self._lasting:
            return False
        self._lasting[job_key, kind] = Window(job_key, kind, at, None, storable(reason), storable(by))
        return True

    def end(self, job_key: str, kind: WindowKind, at: datetime) -> bool:
        """End a window; tell whether there was one.

        One that began later than it ended, by a clock that was wrong, never was.
        """
        window = self._lasting.pop((job_key, kind), None)
        if window is not None:
            self._ended.append(evolve(window, since=min(window.since, at), until=at))
        return window is not None

    def rename(self, former: str, job_key: str) -> None:
        """Give the windows of one job to another, which has none."""
        self._ended = [
            evolve(window, job_key=job_key) if window.job_key == former else window for window in self._ended
        ]
        for kind in WindowKind:
            window = self._lasting.pop((former, kind), None)
            if window is not None:
                self._lasting[job_key, kind] = evolve(window, job_key=job_key)

    def forget(self, before: datetime, mark_of: Callable[[str], datetime | None]) -> None:
        """Forget those that ended before *before*, and that the mark of what they are of is past."""
        self._ended = [window for window in self._ended if not _is_past(window, before, mark_of(window.job_key))]

    def listed(self, job_key: str | None, since: datetime | None) -> list[Window]:
        """See `Store.windows`."""
        found = [
            window
            for window in (*self._ended, *self._lasting.values())
            if (job_key is None or window.job_key in ("", job_key))
            and (since is None or window.until is None or window.until > since)
        ]
        return sorted(found, key=_order)


def _is_past(window: Window, before: datetime, mark: datetime | None) -> bool:
    return window.until is not None and window.until < before and (mark is None or window.until <= mark)


def _order(window: Window) -> tuple[object, ...]:
    return window.since, window.job_key, window.kind
