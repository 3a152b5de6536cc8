"""One job on one clock and one store, and hosts that come and go; and the loop that the original is, beside it."""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from rapua_scheduler import JobContext, every
from rapua_scheduler.schedules import BuiltInSchedule
from rapua_scheduler.store.port import Store
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing import ManualClock, VirtualScheduler

MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Host(Protocol):
    """What stories are told of."""

    clock: ManualClock
    effects: list[str]

    def passes(self, duration: timedelta) -> None:
        """Let time pass."""

    def steps(self, distance: timedelta) -> None:
        """Set the wall clock, forward or back."""

    def restarts(self) -> None:
        """Let the process end, and another one begin."""


class Ours:
    """Our engine on a real store.

    Attributes:
        effects: The fire key of each run, as the job itself saw it.
        lags: How long after its fire time each run began, by the wall clock.
    """

    def __init__(
        self,
        folder: Path,
        next_function: Callable[[datetime], datetime | None] | None = None,
        *,
        start: datetime = MIDNIGHT,
        zone: tzinfo = UTC,
        clock: ManualClock | None = None,
        store: Store | None = None,
        **policies: Any,
    ) -> None:
        self.clock = clock or ManualClock(start)
        self.zone = zone
        self.effects: list[str] = []
        self.instants: list[datetime] = []
        self.lags: list[timedelta] = []
        self.next_function = next_function or every(hours=1)
        self.policies = {"catch_up": "all", **policies}
        self.store: Store = store or SqliteStore.open(folder / "store.db", create=True, clock=self.clock)
        self.takes = timedelta(0)
        self.start()

    def start(self) -> None:
        self.host = VirtualScheduler(
            self.store, start=MIDNIGHT, timezone=self.zone, clock=self.clock, takes=lambda _: self.takes
        )
        self.host.add_job("Job", self._run, self.next_function, **self.policies)

    def _run(self, ctx: JobContext) -> None:
        self.effects.append(ctx.run_key.removeprefix("job@"))
        self.instants.append(ctx.fire_time.astimezone(UTC))
        self.lags.append(ctx.now() - ctx.fire_time)

    def passes(self, duration: timedelta) -> None:
        self.host.advance(duration)

    def steps(self, distance: timedelta) -> None:
        self.clock.step(distance)
        self.host.advance(timedelta(0))

    def restarts(self) -> None:
        self.host.stop()
        self.start()

    def is_down_for(self, duration: timedelta) -> None:
        self.host.stop()
        self.clock.advance(duration)
        self.start()

    @property
    def fired(self) -> list[tuple[str, str]]:
        """The instant and the fire key of each run, oldest first, as texts."""
        return [(f"{at:%Y-%m-%dT%H:%M:%SZ}", key) for at, key in zip(self.instants, self.effects, strict=True)]


class Original:
    """The loop of the original: ask for the next time from now on, wait on a timer, run, begin again."""

    def __init__(self, schedule: BuiltInSchedule | None = None, *, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock(MIDNIGHT)
        self.schedule = schedule or every(hours=1)
        self.effects: list[str] = []
        self._set_timer()

    def _set_timer(self) -> None:
        now = self.clock.now()
        following = self.schedule(now)
        assert following is not None
        self.timer = self.clock.monotonic() + (following - now).total_seconds()

    def passes(self, duration: timedelta) -> None:
        end = self.clock.monotonic() + duration.total_seconds()
        while self.timer <= end:
            self.clock.advance(timedelta(seconds=max(0, self.timer - self.clock.monotonic())))
            nearest = self.schedule.latest(self.clock.now() + MINUTE)
            assert nearest is not None
            self.effects.append(self.schedule.fire_key(nearest))
            self._set_timer()
        self.clock.advance(timedelta(seconds=max(0, end - self.clock.monotonic())))

    def steps(self, distance: timedelta) -> None:
        self.clock.step(distance)

    def restarts(self) -> None:
        self._set_timer()


class Drifting(ManualClock):
    """A clock whose wall time runs fast or slow by so many parts of a million."""

    def __init__(self, start: datetime, ppm: float) -> None:
        super().__init__(start)
        self._ppm = ppm

    def advance(self, duration: timedelta) -> None:
        super().advance(duration)
        self.step(duration * (self._ppm / 1_000_000))


def hours(*numbers: int) -> list[str]:
    """Return the keys of these hours, counted from MIDNIGHT."""
    return [f"{MIDNIGHT + number * HOUR:%Y-%m-%dT%H:%M:%SZ}" for number in numbers]


def assert_once_each(effects: Iterable[str], expected: Iterable[str]) -> None:
    """Assert that every fire time had its effect, and none had it twice."""
    assert Counter(effects) == Counter(expected)


def make_zone(*offsets: tuple[datetime | None, timedelta], key: str = "Test/Island") -> ZoneInfo:
    """Return a zone with these offsets from UTC, each from an instant on; the first of them from ever."""
    return ZoneInfo.from_file(io.BytesIO(zone_file(*offsets)), key=key)


def zone_file(*offsets: tuple[datetime | None, timedelta]) -> bytes:
    """Return a zone as a file of the tz database. Source: RFC 8536, version 1."""
    kinds: list[int] = []
    for _, offset in offsets:
        seconds = round(offset.total_seconds())
        if seconds not in kinds:
            kinds.append(seconds)
    changes: Sequence[tuple[int, int]] = [
        (int(since.timestamp()), kinds.index(round(offset.total_seconds()))) for since, offset in offsets if since
    ]
    header = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, len(changes), len(kinds), 4)
    times = struct.pack(f">{len(changes)}l", *(at for at, _ in changes)) + bytes(kind for _, kind in changes)
    return header + times + b"".join(struct.pack(">l?B", seconds, False, 0) for seconds in kinds) + b"TST\0"
