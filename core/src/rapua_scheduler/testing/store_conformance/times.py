"""What every store must do with times."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from attrs import evolve

from rapua_scheduler.run import Decision, Trigger
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    finish,
    job_of,
    some_gap,
    some_job,
    some_run,
)

_NOT_UTC = timezone(timedelta(hours=13, minutes=45))


class Times:
    """Tests of times."""

    @pytest.mark.parametrize(
        "instant",
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2038, 1, 19, 3, 14, 8, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        ],
        ids=str,
    )
    def test_times_come_back_to_the_microsecond(self, store: Store, instant: datetime) -> None:
        store.claim(evolve(some_run(1, trigger=Trigger.MANUAL), run_id="it", fire_time=instant, started_at=instant))

        finish(store, "it", at=instant)

        run = store.run("it")
        assert run is not None
        assert (run.fire_time, run.started_at, run.finished_at) == (instant, instant, instant)

    def test_times_of_another_zone_come_back_in_utc(self, store: Store) -> None:
        store.declare([some_job()], START.astimezone(_NOT_UTC))
        there = (START + HOUR).astimezone(_NOT_UTC)
        run = evolve(some_run(1), fire_time=there, started_at=there)
        gap = evolve(some_gap(1), first=there, last=there, detail="elsewhere")

        store.decide([Decision("sweep", there, there, (run,), (gap,))])
        finish(store, run.run_id, at=there)

        (stored,) = store.runs()
        job = job_of(store)
        times = [stored.fire_time, stored.started_at, stored.finished_at, job.mark, job.next_fire_time]
        times += [store.gaps()[0].first, store.gaps()[0].last]
        assert times == [START + HOUR] * 7
        assert {time and time.tzinfo for time in [*times, job.first_seen_at, job.last_seen_at]} == {UTC}

    @pytest.mark.parametrize("which", ["fire_time", "started_at"])
    def test_each_time_of_a_run_comes_back_in_utc(self, store: Store, which: str) -> None:
        run = some_run(1, trigger=Trigger.MANUAL)

        store.claim(evolve(run, **{which: getattr(run, which).astimezone(_NOT_UTC)}))

        (stored,) = store.runs()
        assert stored == run
        assert (stored.fire_time.tzinfo, stored.started_at and stored.started_at.tzinfo) == (UTC, UTC)

    def test_a_time_without_a_zone_is_an_error(self, store: Store) -> None:
        naive = datetime(2026, 11, 2)  # noqa: DTZ001

        with pytest.raises(TypeError, match="naive"):
            store.note_alive(naive)
        with pytest.raises(TypeError, match="naive"):
            store.declare([some_job()], naive)

        assert store.alive() is None
        assert store.jobs() == []
