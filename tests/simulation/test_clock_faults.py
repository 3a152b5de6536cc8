"""Weeks of a host's life in a moment: clock steps, down-time and failing jobs from a seed, and an oracle outside.

The jobs write down what they did in a log of their own. A failing seed replays exactly.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rapua_scheduler import JobContext, cron, every, monthly, next_daily, next_first_of_month, weekly
from rapua_scheduler.schedules import BuiltInSchedule
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.testing import VirtualScheduler

ZONES = ("Pacific/Auckland", "America/Havana", "Australia/Lord_Howe", "Africa/Casablanca", "UTC")


def live(scheduler: VirtualScheduler, chance: random.Random) -> None:
    """Let time pass with the host up, with the host down, and with its clock set forward or back."""
    for _ in range(60):
        scheduler.advance(timedelta(minutes=chance.randint(0, 3000)))
        fault = chance.random()
        if fault < 0.3:
            scheduler.clock.step(timedelta(seconds=chance.choice([-1, 1]) * chance.randint(0, 200_000)))
        elif fault < 0.5:
            scheduler.clock.advance(timedelta(seconds=chance.randint(0, 400_000)))
        scheduler.advance(timedelta(0))


@pytest.mark.parametrize("seed", range(20))
def test_every_fire_time_is_run_once_or_recorded_whatever_the_clock_does(seed: int) -> None:
    chance = random.Random(seed)
    zone = ZoneInfo(chance.choice(ZONES))
    start = datetime(2026, chance.randint(1, 12), chance.randint(1, 28), chance.randint(0, 23), tzinfo=UTC)
    schedules: dict[str, BuiltInSchedule] = {
        "daily": next_daily,
        "first": next_first_of_month,
        "hours": every(hours=chance.randint(1, 30)),
        "pattern": cron("*/17 3-5 * * *"),
        "fixed": cron("30 2 * * *"),
        "weekly": weekly("mon", "sun", at="02:30"),
        "last-day": monthly(day=31, at="00:30"),
    }
    effects: Counter[str] = Counter()

    def work(ctx: JobContext) -> None:
        effects[ctx.run_key] += 1
        if chance.random() < 0.1:
            raise RuntimeError("failed by the seed")

    store = MemoryStore(keep_runs=100_000)
    scheduler = VirtualScheduler(store, start=start, timezone=zone)
    for key, schedule in schedules.items():
        scheduler.add_job(key, work, schedule)
    live(scheduler, chance)

    assert set(effects.values()) <= {1}
    assert sum(effects.values()) == len(store.runs())
    for job in store.jobs():
        answered = sorted(
            [(run.fire_time, run.fire_time, 1) for run in store.runs(job_key=job.key)]
            + [(gap.first, gap.last, gap.count or 0) for gap in store.gaps(job_key=job.key)]
        )
        expected = []
        fire_time = schedules[job.key](start.astimezone(zone))
        while fire_time is not None and fire_time.astimezone(UTC) <= job.mark:
            expected.append(fire_time.astimezone(UTC))
            fire_time = schedules[job.key](fire_time)
        covered = [time for time in expected for first, last, _ in answered if first <= time <= last]
        assert covered == expected
        assert sum(count for *_, count in answered) == len(expected)
