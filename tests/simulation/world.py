"""A machine with a clock, a disk and a host on it, to which things happen."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from attrs import define, evolve, frozen

from rapua_scheduler import CatchUp, Job, JobContext, Retry, Run, Trigger, cron, daily, every, monthly, weekly
from rapua_scheduler.fire_times import part_until
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import RunStatus, WindowKind
from rapua_scheduler.schedules import BuiltInSchedule
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing import ManualClock, VirtualScheduler
from tests.core.schedules.oracle import Rule, at
from tests.simulation.faulty_store import Crash, FaultyStore

ZONES = ("Pacific/Auckland", "America/Havana", "Australia/Lord_Howe", "Africa/Casablanca", "Europe/London", "UTC")
DAY = timedelta(days=1)
GROUP = "database"


@define
class Effect:
    """One call of a job, as the job itself and the machine saw it.

    Attributes:
        key: Job key and fire key.
        started: When it began, on the machine's monotonic scale.
        ends: When it comes to its end, unless it is cut short.
        is_cut: Whether its host died or was stopped before that.
        fails: Whether it ends with an error.
    """

    job_key: str
    key: str
    fire_time: datetime
    run_id: str
    attempt: int
    started: float
    ends: float
    fails: bool
    is_cut: bool = False


@frozen
class Line:
    """A job of the world, and what its schedule is said to do."""

    job: Job
    rule: Rule | None
    grid: timedelta | None = None


def _second_tuesday(day: date) -> bool:
    return day.weekday() == 1


class World:
    """Everything that happens in it follows from its seed.

    Attributes:
        effects: What the jobs did, kept outside the store.
        cancelled: The runs that somebody has asked to cancel, each with the attempt that it was at.
        grids: The period of the job `grid`, by the fingerprint of its schedule.
        crashes: When hosts died, on the monotonic scale.
        story: What happened, for a person who looks into a failing seed.
    """

    def __init__(self, seed: int, path: Path, *, years: float) -> None:
        self.chance = random.Random(seed)
        self.path = path
        self.zone = ZoneInfo(self.chance.choice(ZONES))
        start = datetime(2026, self.chance.randint(1, 12), self.chance.randint(1, 28), tzinfo=UTC)
        self.start = start + timedelta(seconds=self.chance.randint(0, 86_400))
        self.years = years
        self.clock = ManualClock(self.start)
        self.effects: list[Effect] = []
        self.crashes: set[float] = set()
        self.story: list[str] = []
        self.cancelled: dict[str, int] = {}
        self.grids: dict[str, timedelta] = {}
        self.lines = {line.job.key: line for line in self._jobs()}
        self._note_grid()
        self.absent: set[str] = set()
        self._ids = count(1)
        self._inner = SqliteStore.open(path, create=True, clock=self.clock)
        self.store = self.make_store()
        self.host: VirtualScheduler | None = None

    def make_store(self) -> FaultyStore:
        """Return what a host that starts now takes for its store."""
        return FaultyStore(self._inner)

    def _jobs(self) -> Iterator[Line]:
        chance = self.chance

        def line(
            key: str, schedule: BuiltInSchedule, rule: Rule | None, grid: timedelta | None = None, **policies: Any
        ) -> Line:
            return Line(Job(key, lambda ctx: self._work(ctx), schedule, key=key, **policies), rule, grid)

        def each_day(day: date) -> bool:
            return True

        def is_first(day: date) -> bool:
            return day.day == 1

        def is_last(day: date) -> bool:
            return (day + timedelta(days=1)).day == 1

        half_past_two = daily("02:30")
        yield line("daily", half_past_two, Rule(half_past_two, each_day, (at("02:30"),)), retry=Retry(3, "20m", "2h"))
        first = monthly(1)
        yield line(
            "a-first",
            first,
            Rule(first, is_first, (0,)),
            concurrency_key=GROUP,
            catch_up=CatchUp.latest("45d"),
            retry=9,
        )
        midnight = daily()
        yield line("b-daily", midnight, Rule(midnight, each_day, (0,)), concurrency_key=GROUP, overlap="queue_one")
        tuesdays = weekly("tue", at="00:30")
        yield line("tuesdays", tuesdays, Rule(tuesdays, _second_tuesday, (at("00:30"),)), catch_up="all")
        last = monthly(31, at="23:59")
        yield line("last-day", last, Rule(last, is_last, (at("23:59"),)), if_unfinished="leave", catch_up="none")
        twice = cron("15 1,13 * * *")
        yield line(
            "twice", twice, Rule(twice, each_day, (at("01:15"), at("13:15"))), catch_up="all", overlap="queue_all"
        )
        hours = timedelta(hours=chance.randint(9, 60))
        yield line("grid", every(hours), None, hours, overlap=chance.choice(["skip", "queue_one", "queue_all"]))
        own = timedelta(hours=chance.randint(20, 90))
        epoch = datetime(2026, 1, 1, tzinfo=UTC)

        def next_(after: datetime) -> datetime:
            return epoch + ((after - epoch) // own + 1) * own

        yield Line(
            Job("own", lambda ctx: self._work(ctx), next_, key="own", catch_up=chance.choice(["all", "latest"])),
            None,
            own,
        )

    # -- what jobs do

    def _work(self, ctx: JobContext) -> None:
        chance = random.Random(f"{ctx.run_key} {ctx.attempt} {len(self.effects)}")
        fails = chance.random() < 0.05
        now = self.clock.monotonic()
        self.effects.append(
            Effect(
                ctx.job_key,
                ctx.run_key,
                ctx.fire_time.astimezone(UTC),
                ctx.run_id,
                ctx.attempt,
                now,
                now + _duration(ctx.run_id, ctx.attempt).total_seconds(),
                fails,
            )
        )
        if fails:
            raise RuntimeError("failed by the seed")

    # -- hosts come and go

    def start_host(self) -> None:
        if self.store.is_dead:
            self._inner.close()
            self._inner = SqliteStore.open(self.path, create=False, clock=self.clock)
            self.store = self.make_store()
        self._inner.mark_lost(self.clock.now())
        known = self._inner.jobs()
        absent = {job.key: (WindowKind.ABSENT, "plugin is not installed") for job in known if job.key in self.absent}
        store: Any = self.store
        self.host = VirtualScheduler(
            store,
            start=self.start,
            timezone=self.zone,
            clock=self.clock,
            takes=lambda run: _duration(run.run_id, run.attempt),
            new_run_id=lambda _: f"r{next(self._ids):06}",
        )
        with self._deadly():
            self._inner.set_absent(absent, self.clock.now())
            self.host.add_absent(job for job in known if job.key in absent)
            present = [line.job for key, line in self.lines.items() if key not in self.absent]
            self.host.add(RegisteredJob(job) for job in present)

    @contextmanager
    def _deadly(self) -> Iterator[None]:
        """Let the host die in the block, if it must."""
        try:
            yield
        except Crash:
            self.crash("died in a change of the store")

    def crash(self, how: str = "was killed") -> None:
        self.note(f"host {how}")
        now = self.clock.monotonic()
        self.crashes.add(now)
        self._cut(now)
        self.store.is_dead = True
        if self.host is not None:
            self.host.crash()
        self.host = None

    def stop_host(self) -> None:
        assert self.host is not None
        with self._deadly():
            self._cut(self.clock.monotonic())
            self.host.stop()
            self.host = None
            self.store.is_dead = True  # its owner is gone

    def _cut(self, now: float) -> None:
        for effect in reversed(self.effects):
            if effect.ends > now:
                effect.is_cut = True

    def passes(self, duration: timedelta) -> None:
        if self.host is None:
            self.clock.advance(duration)
            return
        end = self.clock.monotonic() + duration.total_seconds()
        with self._deadly():
            self.host.advance(duration)
        left = end - self.clock.monotonic()
        if self.host is None and left > 0:
            self.clock.advance(timedelta(seconds=left))

    def note(self, what: str) -> None:
        self.story.append(f"{self.clock.now().isoformat()} {what}")

    # -- what happens

    def live(self) -> None:
        """Let everything happen that the seed holds in store."""
        self.start_host()
        end = timedelta(days=365.25 * self.years).total_seconds()
        while self.clock.monotonic() < end:
            self.passes(timedelta(seconds=self.chance.expovariate(1 / (5 * 86_400))))
            if self.host is None:
                self.start_host()
            else:
                self.chance.choice(self.events())()
        self.store.failures_due, self.store.crash_in = 0, None
        if self.host is None:
            self.start_host()
        self.passes(3 * DAY)

    def events(self) -> list[Callable[[], None]]:
        """Return what may happen, as often as it is more likely than the rest."""
        return [
            self._goes_down,
            self._goes_down,
            self._will_die,
            self._will_die,
            self._clock_is_set,
            self._clock_is_set,
            self._disk_fails,
            self._pauses,
            self._resumes,
            self._plugin_goes_or_comes,
            self._is_away_for_long,
            self._clock_was_ahead,
            self._asks_by_hand,
            self._cancels,
        ]

    def _goes_down(self) -> None:
        if self.chance.random() < 0.5:
            self.note("host is stopped")
            self.stop_host()
        else:
            self.crash()
        self.passes(timedelta(seconds=self.chance.expovariate(1 / (3 * 86_400))))

    def _will_die(self) -> None:
        self.store.crash_in = self.chance.randint(0, 30)
        self.store.dies_after = self.chance.random() < 0.5

    def _clock_is_set(self) -> None:
        seconds = self.chance.choice([1, 60, 3600, 86_400]) * self.chance.uniform(-2, 2)
        self.note(f"clock is set by {seconds:.0f} s")
        self.clock.step(timedelta(seconds=round(seconds)))

    def _disk_fails(self) -> None:
        self.note("disk fails for a while")
        self.store.failures_due = self.chance.randint(1, 20)

    def _pauses(self) -> None:
        key = self.chance.choice(list(self.lines))
        if key not in self.absent:
            self.note(f"{key} is paused")
            self._inner.pause(key, self.clock.now(), "by the seed", "operator")

    def _resumes(self) -> None:
        for key in self.lines:
            if self._inner.resume(key, self.clock.now()):
                self.note(f"{key} is resumed")

    def _plugin_goes_or_comes(self) -> None:
        key = self.chance.choice(list(self.lines))
        self.stop_host()
        self.absent ^= {key}
        self.note(f"absent now: {sorted(self.absent)}")

    def _is_away_for_long(self) -> None:
        self.note("host is away for long")
        self.crash()
        self.passes(timedelta(days=self.chance.uniform(30, 70)))
        self.start_host()
        self.passes(timedelta(hours=self.chance.uniform(0, 48)))
        self._release()

    def _clock_was_ahead(self) -> None:
        ahead = timedelta(seconds=round(self.chance.choice([3_600, 86_400]) * self.chance.uniform(1, 60)))
        self.note(f"clock is ahead by {ahead}")
        self.clock.step(ahead)
        self.passes(timedelta(hours=self.chance.uniform(0, 48)))
        self.clock.step(-ahead)
        if self.chance.random() < 0.5:
            self.passes(timedelta(hours=self.chance.uniform(0, 48)))
        self._release()

    def _release(self) -> None:
        self.note("released")
        with self._deadly():
            self._inner.release(self.clock.now(), part_until=partial(part_until, zone=self.zone))

    def _asks_by_hand(self) -> None:
        key = self.chance.choice(list(self.lines))
        now = self.clock.now()
        self._inner.enqueue([Run(f"m{next(self._ids):06}", key, now, f"hand {now}", Trigger.MANUAL)])

    def _cancels(self) -> None:
        under_way = self._inner.runs(statuses={RunStatus.QUEUED, RunStatus.RUNNING})
        if under_way:
            run = self.chance.choice(list(under_way))
            self.note(f"{run.run_id} is cancelled")
            self._inner.request_cancel(run.run_id, "operator")
            for effect in self.effects:
                if effect.run_id == run.run_id and effect.ends > self.clock.monotonic():
                    effect.is_cut = True
            self.cancelled[run.run_id] = run.attempt

    def _note_grid(self) -> None:
        job, grid = self.lines["grid"].job, self.lines["grid"].grid
        assert isinstance(job.next, BuiltInSchedule)
        assert grid is not None
        self.grids[job.next.fingerprint] = grid

    def close(self) -> None:
        self._inner.close()


def _duration(run_id: str, attempt: int) -> timedelta:
    """Return how long an attempt takes: most no time, some minutes, a few for hours or days."""
    chance = random.Random(f"{run_id} {attempt}")
    kind = chance.random()
    if kind < 0.6:
        return timedelta(0)
    return timedelta(seconds=round(chance.uniform(1, 3600 if kind < 0.95 else 200_000)))


class ChangingWorld(World):
    """One in which a job's schedule changes again and again, by a clock that is right."""

    def events(self) -> list[Callable[[], None]]:
        """Return what may happen, as often as it is more likely than the rest."""
        of_clocks = (self._clock_is_set, self._clock_was_ahead, self._is_away_for_long)
        return [*(event for event in super().events() if event not in of_clocks), *[self._schedule_changes] * 4]

    def _schedule_changes(self) -> None:
        if self.host is not None:
            self.stop_host()
        line, period = self.lines["grid"], timedelta(hours=self.chance.randint(1, 60))
        self.note(f"grid is {period} from now on")
        job = evolve(line.job, next=every(period), catch_up=self.chance.choice(["all", "latest", "none"]))
        self.lines["grid"] = evolve(line, job=job, grid=period)
        self._note_grid()
        if self.chance.random() < 0.7:
            self.start_host()
            if self.chance.random() < 0.5 and self.host is not None:
                self.crash()
