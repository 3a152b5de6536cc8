"""What a job can ask of its context."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rapua_scheduler import Job, JobCancelled, JobContext, next_first_of_month
from rapua_scheduler.context import Cancellation
from rapua_scheduler.errors import ContextClosedError
from rapua_scheduler.run import Run, Trigger
from rapua_scheduler.testing import ManualClock, run_job

AUCKLAND = ZoneInfo("Pacific/Auckland")
FIRST = datetime(2026, 11, 1, tzinfo=AUCKLAND)


def context_of(
    clock: ManualClock, *, deadline: float | None = None, progress: list[tuple[int, int | None]] | None = None
) -> tuple[JobContext, Cancellation]:
    cancellation = Cancellation()
    context = JobContext(
        Run("r1", "job", FIRST.astimezone(UTC), "2026-11-01T00:00", Trigger.SCHEDULE),
        fire_time=FIRST,
        clock=clock,
        cancellation=cancellation,
        make_log=lambda: None,
        find_last_success=lambda: None,
        deadline=deadline,
        on_progress=(lambda done, total: progress.append((done, total))) if progress is not None else None,
    )
    return context, cancellation


def test_a_run_knows_its_fire_time_in_the_sites_zone_and_its_key() -> None:
    seen: dict[str, object] = {}

    def run(ctx: JobContext) -> None:
        seen.update(time=ctx.fire_time.isoformat(), key=ctx.run_key, now=ctx.now().isoformat(), dry=ctx.dry_run)

    run_job(Job("Top up", run, next_first_of_month), fire_time=FIRST)

    assert seen == {
        "time": "2026-11-01T00:00:00+13:00",
        "key": "top-up@2026-11-01T00:00",
        "now": "2026-11-01T00:00:00+13:00",
        "dry": False,
    }


def test_a_cancelled_run_ends_at_its_next_item_even_inside_except_exception() -> None:
    context, cancellation = context_of(ManualClock())
    done: list[int] = []

    def go_through() -> None:
        for item in context.track(range(10)):
            try:
                if item == 3:
                    cancellation.cancel("enough")
                context.raise_if_cancelled()
            except Exception:
                continue
            done.append(item)

    with pytest.raises(JobCancelled):
        go_through()
    assert done == [0, 1, 2]


def test_track_reports_progress_with_the_total_it_can_see() -> None:
    progress: list[tuple[int, int | None]] = []
    context, _ = context_of(ManualClock(), progress=progress)

    assert list(context.track(["a", "b"])) == ["a", "b"]
    assert list(context.track(iter("c"))) == ["c"]
    assert progress == [(1, 2), (2, 2), (1, None)]


def test_remaining_counts_down_and_stops_at_zero() -> None:
    clock = ManualClock()
    context, _ = context_of(clock, deadline=10.0)

    clock.advance(timedelta(seconds=4))
    assert context.remaining() == timedelta(seconds=6)
    clock.advance(timedelta(seconds=40))
    assert context.remaining() == timedelta(0)


def test_sleep_wakes_when_cancelled() -> None:
    context, cancellation = context_of(ManualClock())
    cancellation.cancel("stop")

    with pytest.raises(JobCancelled, match="stop"):
        context.sleep(3600)


def test_sleep_takes_no_real_time_in_a_test() -> None:
    slept: list[timedelta] = []

    def run(ctx: JobContext) -> None:
        before = ctx.now()
        ctx.sleep(86400)
        slept.append(ctx.now() - before)

    run_job(Job("Sleep", run, next_first_of_month), fire_time=FIRST)

    assert slept == [timedelta(days=1)]


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.fire_time,
        lambda c: c.run_key,
        lambda c: c.log,
        lambda c: c.now(),
        lambda c: c.cancelled,
        lambda c: c.progress(1),
        lambda c: c.raise_if_cancelled(),
        lambda c: list(c.track([1])),
        lambda c: c.remaining(),
        lambda c: c.last_success,
    ],
)
def test_using_a_context_after_its_run_has_ended_raises(use: object) -> None:
    context, _ = context_of(ManualClock())
    context.close()

    with pytest.raises(ContextClosedError, match="r1"):
        use(context)  # type: ignore[operator]
