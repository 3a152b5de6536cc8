"""What became of fire times: the words for it, and stretches that were not run, folded into one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler.run import Gap, GapReason, Outcome, Run, RunStatus, Trigger, Window, WindowKind, fold_gaps

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def gap(first: int, last: int | None = None, *, count: int | None = 1, detail: str = "") -> Gap:
    last = first if last is None else last
    return Gap("job", START + first * HOUR, START + last * HOUR, count, GapReason.MISSED, detail)


def test_the_words_that_stores_keep_stay_as_they_are() -> None:
    written = [",".join(kind) for kind in (RunStatus, Trigger, GapReason, WindowKind)]

    assert written == [
        "queued,running,succeeded,failed,timed_out,cancelled,interrupted,lost",
        "schedule,catch_up,rerun,manual,backfill",
        "missed,superseded,skipped,paused,held",
        "paused,absent,failed,held",
    ]


def test_a_run_is_under_way_until_it_has_come_to_an_end() -> None:
    assert {status for status in RunStatus if not status.is_final} == {RunStatus.QUEUED, RunStatus.RUNNING}


def test_runs_by_hand_leave_a_fire_time_to_others() -> None:
    assert {trigger for trigger in Trigger if not trigger.consumes_fire_time} == {Trigger.MANUAL, Trigger.BACKFILL}


def test_every_attempt_at_a_fire_time_has_the_same_key() -> None:
    run = Run("r1", "sweep", START, "2026-11-01T00:00", Trigger.SCHEDULE)

    assert run.run_key == "sweep@2026-11-01T00:00"
    assert (run.status, run.attempt, run.failures, run.losses, run.asked_by) == (RunStatus.QUEUED, 1, 0, 0, "")


def test_what_is_not_said_is_empty() -> None:
    outcome = Outcome(RunStatus.SUCCEEDED, START)

    assert (outcome.result, outcome.error) == (None, None)
    assert Gap("job", START, START, 1, GapReason.MISSED).detail == ""
    assert Window("job", WindowKind.HELD, START, None, "clock").by == ""


def test_a_window_covers_its_first_instant_and_not_its_last() -> None:
    tick = timedelta(microseconds=1)
    ended, lasting = (Window("job", WindowKind.HELD, START, until, "") for until in (START + HOUR, None))

    assert [ended.covers(START + offset) for offset in (-tick, 0 * tick, HOUR - tick, HOUR)] == [
        False,
        True,
        True,
        False,
    ]
    assert [lasting.covers(START + offset) for offset in (-tick, 0 * tick, 9999 * HOUR)] == [False, True, True]


@given(
    fates=st.lists(st.sampled_from(["run", "", "", "late"]), min_size=1, max_size=8),
    recorded=st.integers(0, 3),
    lowered=st.none() | st.integers(-1, 7),
)
def test_what_adjoins_and_says_the_same_is_one_gap(fates: list[str], recorded: int, lowered: int | None) -> None:
    gaps = [gap(hour, detail=fate) for hour, fate in enumerate(fates) if fate != "run"]
    newest = gap(-recorded, -1, count=recorded) if recorded else None
    claimed = [START + hour * HOUR for hour, fate in enumerate(fates) if fate == "run"]
    lowered_from = None if lowered is None else START + lowered * HOUR

    folded = fold_gaps(newest, gaps, claimed, lowered_from=lowered_from)

    rest = gaps if newest is None else [newest, *gaps]
    for one in folded:
        mine = [other for other in rest if one.first <= other.first and other.last <= one.last]
        assert (one.first, one.last) == (mine[0].first, mine[-1].last)
        assert one.count == sum(other.count or 0 for other in mine)
        assert {other.detail for other in mine} == {one.detail}
        assert not any(one.first <= fire_time <= one.last for fire_time in claimed)
        assert lowered_from is None or len(mine) == 1 or mine[0].last > lowered_from
        rest = rest[len(mine) :]
    assert rest == []
    for older, newer in pairwise(folded):
        assert (
            older.detail != newer.detail
            or any(older.last < fire_time < newer.first for fire_time in claimed)
            or (lowered_from is not None and older.last <= lowered_from)
        )


def test_the_newest_recorded_gap_is_returned_as_it_is_unless_it_grew() -> None:
    newest = gap(0)

    assert fold_gaps(newest, [], [])[0] is newest
    assert fold_gaps(newest, [gap(1, detail="late")], [])[0] is newest
    assert fold_gaps(newest, [gap(1)], []) == [gap(0, 1, count=2)]
    assert fold_gaps(None, [], []) == []


@pytest.mark.parametrize("counts", [(None, 1), (1, None), (None, None)])
def test_what_was_too_many_to_count_stays_so(counts: tuple[int | None, int | None]) -> None:
    older, newer = counts

    assert fold_gaps(gap(0, count=older), [gap(1, count=newer)], []) == [gap(0, 1, count=None)]


@pytest.mark.parametrize("first", [0, 1, 2])
def test_gaps_that_share_fire_times_stay_two(first: int) -> None:
    older, newer = gap(0, 2, count=3), gap(first, 4, count=5 - first)

    assert fold_gaps(older, [newer], []) == [older, newer]
