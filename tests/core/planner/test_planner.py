"""What becomes of fire times: the planner's decisions on surveys of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler import CatchUp, Overlap, Retry, daily, every
from rapua_scheduler.fire_times import Circumstances, FireTime, Stretch, Survey, survey
from rapua_scheduler.planner import (
    IDLE,
    MOST_CAUGHT_UP,
    MOST_WAITING,
    Place,
    Standing,
    Verdict,
    decide,
    kept_by,
    lag_of,
    piece_by_piece,
    place_of,
    retry_delay,
)
from rapua_scheduler.run import Gap, GapReason, Run, RunStatus, Trigger, Window, WindowKind

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
LATEST = CatchUp.latest()
RUNNING, QUEUED = RunStatus.RUNNING, RunStatus.QUEUED


def decided(
    found: Survey,
    now: datetime,
    *,
    catch_up: CatchUp = LATEST,
    overlap: Overlap = Overlap.SKIP,
    standing: Standing = IDLE,
) -> Verdict:
    ids = count(1)
    return decide(
        "job",
        found,
        now,
        catch_up=catch_up,
        overlap=overlap,
        standing=standing,
        new_run_id=lambda: f"r{next(ids)}",
        started_at=now,
    )


def hourly(hours: int, *, late: timedelta, catch_up: CatchUp = LATEST) -> tuple[Survey, datetime]:
    """The survey of so many fire times, an hour apart, the newest of them so late."""
    now = START + (hours - 1) * HOUR + late
    return survey(every(hours=1), START, now, UTC, keep=kept_by(catch_up)), now


def told(gaps: tuple[Gap, ...]) -> list[tuple[datetime, datetime, int | None, GapReason]]:
    return [(gap.first, gap.last, gap.count, gap.reason) for gap in gaps]


def why(gaps: tuple[Gap, ...]) -> set[tuple[GapReason, str]]:
    return {(gap.reason, gap.detail) for gap in gaps}


# -- catch-up


@pytest.mark.parametrize(
    ("late", "trigger"),
    [(0, Trigger.SCHEDULE), (60, Trigger.SCHEDULE), (61, Trigger.CATCH_UP), (1_000_000, Trigger.CATCH_UP)],
)
def test_a_fire_time_is_run_as_scheduled_when_it_is_at_most_a_minute_late(late: int, trigger: Trigger) -> None:
    now = START + timedelta(seconds=late)

    decision = decided(survey(every(days=1000), START, now, UTC), now).decision

    (run,) = decision.runs
    assert (run.trigger, run.fire_time, run.status, run.started_at) == (trigger, START, RUNNING, now)
    assert (decision.gaps, decision.mark) == ((), START)


def test_latest_runs_the_newest_and_supersedes_the_rest() -> None:
    found, now = hourly(6, late=2 * MINUTE)

    decision = decided(found, now).decision

    assert [(run.fire_time, run.trigger) for run in decision.runs] == [(START + 5 * HOUR, Trigger.CATCH_UP)]
    assert told(decision.gaps) == [(START, START + 4 * HOUR, 5, GapReason.SUPERSEDED)]
    assert why(decision.gaps) == {(GapReason.SUPERSEDED, "")}


def test_latest_runs_one_that_is_on_time_and_supersedes_what_it_is_late_for() -> None:
    found, now = hourly(6, late=MINUTE)

    decision = decided(found, now).decision

    assert [(run.fire_time, run.trigger) for run in decision.runs] == [(START + 5 * HOUR, Trigger.SCHEDULE)]
    assert told(decision.gaps) == [(START, START + 4 * HOUR, 5, GapReason.SUPERSEDED)]


def test_none_makes_up_nothing() -> None:
    found, now = hourly(6, late=2 * MINUTE)

    decision = decided(found, now, catch_up=CatchUp.none()).decision

    assert decision.runs == ()
    assert sum(gap.count or 0 for gap in decision.gaps) == 6
    assert why(decision.gaps) == {(GapReason.MISSED, "")}


def test_all_runs_every_one_oldest_first_and_one_after_another() -> None:
    found, now = hourly(6, late=2 * MINUTE, catch_up=CatchUp.all())

    decision = decided(found, now, catch_up=CatchUp.all()).decision

    assert [run.fire_time for run in decision.runs] == [START + hour * HOUR for hour in range(6)]
    assert [run.status for run in decision.runs] == [RUNNING, *[QUEUED] * 5]
    assert {run.trigger for run in decision.runs} == {Trigger.CATCH_UP}
    assert decision.gaps == ()


def test_all_runs_the_newest_hundred() -> None:
    found, now = hourly(150, late=2 * MINUTE, catch_up=CatchUp.all())

    decision = decided(found, now, catch_up=CatchUp.all()).decision

    assert len(decision.runs) == MOST_CAUGHT_UP
    assert decision.runs[0].fire_time == START + 50 * HOUR
    assert told(decision.gaps) == [(START, START + 49 * HOUR, 50, GapReason.MISSED)]
    assert why(decision.gaps) == {(GapReason.MISSED, "only 100 are made up")}


@pytest.mark.parametrize("held", [None, 30, 70])
def test_all_runs_the_newest_hundred_besides_one_that_is_on_time(held: int | None) -> None:
    catch_up = CatchUp.all()
    now = START + 149 * HOUR + MINUTE
    windows = () if held is None else (window(WindowKind.HELD, START, START + held * HOUR),)
    found = survey(every(hours=1), START, now, UTC, keep=kept_by(catch_up), circumstances=Circumstances(windows))

    decision = decided(found, now, catch_up=catch_up).decision

    assert [run.fire_time for run in decision.runs] == [START + hour * HOUR for hour in range(49, 150)]
    assert [run.trigger for run in decision.runs] == [*[Trigger.CATCH_UP] * MOST_CAUGHT_UP, Trigger.SCHEDULE]
    assert (decision.gaps[0].first, decision.gaps[-1].last) == (START, START + 48 * HOUR)
    assert sum(gap.count or 0 for gap in decision.gaps) == 49


def test_one_that_is_on_time_joins_the_end_of_what_is_made_up() -> None:
    found, now = hourly(3, late=MINUTE, catch_up=CatchUp.all())

    decision = decided(found, now, catch_up=CatchUp.all()).decision

    assert [run.trigger for run in decision.runs] == [Trigger.CATCH_UP, Trigger.CATCH_UP, Trigger.SCHEDULE]
    assert [run.status for run in decision.runs] == [RUNNING, QUEUED, QUEUED]


@pytest.mark.parametrize(("within", "runs"), [("59m", 1), ("58m", 0)])
def test_what_is_too_late_is_not_made_up_by_latest(within: str, runs: int) -> None:
    found, now = hourly(6, late=59 * MINUTE)

    decision = decided(found, now, catch_up=CatchUp.latest(within=within)).decision

    assert len(decision.runs) == runs
    assert sum(gap.count or 0 for gap in decision.gaps) == 6 - runs


def test_what_is_too_late_is_not_made_up_by_all() -> None:
    catch_up = CatchUp.all(within="150m")
    found, now = hourly(6, late=2 * MINUTE, catch_up=catch_up)

    decision = decided(found, now, catch_up=catch_up).decision

    assert [run.fire_time for run in decision.runs] == [START + hour * HOUR for hour in (3, 4, 5)]
    assert why(decision.gaps) == {(GapReason.MISSED, "more than 2:30:00 late")}


def test_a_stretch_too_long_to_look_at_is_recorded_as_such() -> None:
    now = START + 30 * timedelta(days=1)
    found = survey(lambda after: after + timedelta(seconds=1), START, now, UTC)

    decision = decided(found, now).decision

    assert decision.mark == now
    first = found.stretches[-1].first
    assert decision.gaps[-1] == Gap("job", first, now, None, GapReason.MISSED, "too many to count")


def test_what_comes_after_a_stretch_too_long_to_look_at_is_decided_on() -> None:
    unknown = Stretch(START, (), None, None, until=START + HOUR)
    newest = FireTime(START + 2 * HOUR, "b")

    decision = decided(Survey((unknown, Stretch(newest.at, (newest,))), None), newest.at).decision

    assert [run.fire_key for run in decision.runs] == ["b"]
    assert told(decision.gaps) == [(START, START + HOUR, None, GapReason.MISSED)]


# -- windows


def window(kind: WindowKind, since: datetime, until: datetime | None) -> Window:
    return Window("job", kind, since, until, "moving house", by="ann")


def met(*windows: Window) -> Circumstances:
    return Circumstances(windows)


@pytest.mark.parametrize(
    ("kind", "reason", "detail"),
    [
        (WindowKind.PAUSED, GapReason.PAUSED, "paused by ann: moving house"),
        (WindowKind.ABSENT, GapReason.MISSED, "absent: moving house"),
    ],
)
@pytest.mark.parametrize("late", [0, 3600])
def test_fire_times_of_a_pause_or_an_absence_are_recorded_and_not_made_up(
    kind: WindowKind, reason: GapReason, detail: str, late: int
) -> None:
    now = START + 5 * HOUR + timedelta(seconds=late // 2)
    found = survey(every(hours=1), START, now, UTC, circumstances=met(window(kind, START, None)))

    decision = decided(found, now).decision

    assert decision.runs == ()
    assert sum(gap.count or 0 for gap in decision.gaps) == 6
    assert why(decision.gaps) == {(reason, detail)}


def test_what_was_missed_before_a_pause_is_made_up() -> None:
    now = START + 5 * HOUR
    found = survey(
        every(hours=1), START, now, UTC, circumstances=met(window(WindowKind.PAUSED, START + 3 * HOUR, None))
    )

    decision = decided(found, now).decision

    assert [(run.fire_time, run.trigger) for run in decision.runs] == [(START + 2 * HOUR, Trigger.CATCH_UP)]
    assert told(decision.gaps)[0] == (START, START + HOUR, 2, GapReason.SUPERSEDED)
    assert sum(gap.count or 0 for gap in decision.gaps if gap.reason is GapReason.PAUSED) == 3


def test_of_what_was_held_the_newest_is_made_up_and_the_rest_says_so() -> None:
    now = START + 5 * HOUR + 2 * MINUTE
    found = survey(every(hours=1), START, now, UTC, circumstances=met(window(WindowKind.HELD, START, now)))

    decision = decided(found, now).decision

    assert [run.fire_time for run in decision.runs] == [START + 5 * HOUR]
    assert {gap.reason for gap in decision.gaps} == {GapReason.HELD}


# -- what has its run already, as after a release


def test_no_gap_reaches_over_what_has_its_run_already() -> None:
    now = START + 5 * HOUR + 2 * MINUTE
    claimed = Circumstances(claimed=(START + HOUR, START + 3 * HOUR))
    found = survey(every(hours=1), START, now, UTC, circumstances=claimed)

    decision = decided(found, now, catch_up=CatchUp.none()).decision

    assert [(gap.first, gap.last, gap.count) for gap in decision.gaps] == [
        (START, START, 1),
        (START + 2 * HOUR, START + 2 * HOUR, 1),
        (START + 4 * HOUR, START + 5 * HOUR, 2),
    ]


@pytest.mark.parametrize("late", [timedelta(0), 2 * MINUTE])
def test_what_has_its_run_already_makes_what_is_older_superseded(late: timedelta) -> None:
    now = START + 2 * HOUR + late
    found = survey(every(hours=1), START, now, UTC, circumstances=Circumstances(claimed=(START + 2 * HOUR,)))

    decision = decided(found, now).decision

    assert decision.runs == ()
    assert told(decision.gaps) == [(START, START + HOUR, 2, GapReason.SUPERSEDED)]
    assert decision.mark == START + 2 * HOUR


def test_of_a_single_fire_time_that_has_its_run_already_only_the_mark_tells() -> None:
    found = survey(every(hours=1), START, START, UTC, circumstances=Circumstances(claimed=(START,)))

    decision = decided(found, START).decision

    assert (decision.runs, decision.gaps, decision.mark) == ((), (), START)


# -- every fire time, once


@st.composite
def surveys(draw: st.DrawFn) -> tuple[Survey, datetime, CatchUp, list[datetime]]:
    catch_up = draw(
        st.sampled_from([CatchUp.none(), CatchUp.latest(), CatchUp.all(), CatchUp.latest("2h"), CatchUp.all("30h")])
    )
    period = draw(st.sampled_from([HOUR, timedelta(seconds=20)]))
    number = draw(st.integers(1, 130))
    now = START + (number - 1) * period + draw(st.just(timedelta(0)) | st.timedeltas(timedelta(0), period * 0.99))
    windows = [
        window(
            draw(st.sampled_from(WindowKind)),
            START + draw(st.integers(-5, 130)) * period,
            None if draw(st.booleans()) else START + draw(st.integers(0, 200)) * period,
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    expected = [START + position * period for position in range(number)]
    claimed = sorted(draw(st.sets(st.sampled_from(expected), max_size=8)))
    circumstances = Circumstances(tuple(windows), tuple(claimed))
    found = survey(every(period), START, now, UTC, keep=kept_by(catch_up), circumstances=circumstances)
    return found, now, catch_up, expected


standings = st.just(IDLE) | st.builds(
    Standing,
    active=st.sampled_from([(), ("a1",), ("a1", "a2")]),
    waiting=st.sampled_from([(), ("w1",), tuple(f"w{number}" for number in range(MOST_WAITING))]),
    is_catching_up=st.booleans(),
    must_wait=st.booleans(),
)


@given(case=surveys(), overlap=st.sampled_from(Overlap), standing=standings)
def test_every_fire_time_has_exactly_one_run_or_one_place_in_a_gap(
    case: tuple[Survey, datetime, CatchUp, list[datetime]], overlap: Overlap, standing: Standing
) -> None:
    found, now, catch_up, expected = case

    decision = decided(found, now, catch_up=catch_up, overlap=overlap, standing=standing).decision

    claimed = [stretch.first for stretch in found.stretches if stretch.is_claimed]
    ran = [run.fire_time for run in decision.runs]
    gone = [instant for gap in decision.gaps for instant in expected if gap.first <= instant <= gap.last]
    assert sorted(claimed + ran + gone) == expected
    assert sum(gap.count or 0 for gap in decision.gaps) == len(gone)
    assert decision.mark == expected[-1]
    assert len({run.run_id for run in decision.runs}) == len(ran)
    assert ran == sorted(ran)
    assert [gap.first for gap in decision.gaps] == sorted(gap.first for gap in decision.gaps)


@given(case=surveys(), overlap=st.sampled_from(Overlap), standing=standings)
def test_nothing_starts_beside_what_it_must_not(
    case: tuple[Survey, datetime, CatchUp, list[datetime]], overlap: Overlap, standing: Standing
) -> None:
    found, now, catch_up, _ = case

    decision = decided(found, now, catch_up=catch_up, overlap=overlap, standing=standing).decision

    started = [run for run in decision.runs if run.status is RUNNING]
    assert not (started and standing.must_wait)
    if overlap is not Overlap.ALLOW or standing.is_catching_up:
        assert not (started and (standing.active or standing.waiting))
    if standing.active or standing.waiting:
        assert all(run.trigger is Trigger.SCHEDULE for run in started)
    assert len(started) <= 1


@pytest.mark.parametrize("catch_up", [CatchUp.none(), CatchUp.latest(), CatchUp.all()], ids=lambda one: one.mode)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("held", [0, 1, 2, 3, 4])
def test_the_usual_case_is_decided_as_the_long_way_would(catch_up: CatchUp, number: int, held: int) -> None:
    apart = timedelta(seconds=10)
    now = START + (number - 1) * apart
    circumstances = met(window(WindowKind.HELD, START - HOUR, START + held * apart))
    found = survey(every(apart), START, now, UTC, keep=kept_by(catch_up), circumstances=circumstances)

    short = decided(found, now, catch_up=catch_up)
    long = decided(found, now, catch_up=catch_up, standing=Standing())

    assert short == long


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize(
    ("standing", "status"),
    [
        (IDLE, RUNNING),
        (Standing(active=("r0",)), QUEUED),
        (Standing(waiting=("w1",)), QUEUED),
        (Standing(must_wait=True), QUEUED),
    ],
)
def test_what_is_made_up_starts_beside_nothing_whatever_the_overlap(
    overlap: Overlap, standing: Standing, status: RunStatus
) -> None:
    found, now = hourly(1, late=2 * MINUTE)

    decision = decided(found, now, overlap=overlap, standing=standing).decision

    assert [(run.trigger, run.status) for run in decision.runs] == [(Trigger.CATCH_UP, status)]


# -- overlap


ACTIVE = Standing(active=("r0",))
WITH_ONE_WAITING = Standing(active=("r0",), waiting=("w1",), replaceable=("w1",))


@pytest.mark.parametrize(
    ("overlap", "standing", "place"),
    [
        (Overlap.SKIP, IDLE, Place(RUNNING)),
        (Overlap.SKIP, ACTIVE, Place(None, "run r0 had not ended")),
        (Overlap.SKIP, Standing(waiting=("w1",)), Place(None, "run w1 had not ended")),
        (Overlap.QUEUE_ONE, ACTIVE, Place(QUEUED)),
        (Overlap.QUEUE_ONE, WITH_ONE_WAITING, Place(QUEUED, replaces=("w1",))),
        (Overlap.QUEUE_ALL, WITH_ONE_WAITING, Place(QUEUED)),
        (Overlap.CANCEL_PREVIOUS, ACTIVE, Place(QUEUED, cancels=("r0",))),
        (Overlap.CANCEL_PREVIOUS, WITH_ONE_WAITING, Place(QUEUED, cancels=("r0",), replaces=("w1",))),
        (Overlap.ALLOW, ACTIVE, Place(RUNNING)),
        (Overlap.ALLOW, Standing(active=("r0",), must_wait=True), Place(QUEUED)),
        (Overlap.SKIP, Standing(must_wait=True), Place(QUEUED)),
        (Overlap.SKIP, Standing(active=("r0",), is_catching_up=True), Place(QUEUED)),
    ],
)
def test_a_run_has_its_place_beside_what_is_under_way(overlap: Overlap, standing: Standing, place: Place) -> None:
    assert place_of(overlap, standing) == place


@pytest.mark.parametrize(("is_catching_up", "most"), [(False, MOST_WAITING), (True, MOST_WAITING + MOST_CAUGHT_UP)])
def test_a_queue_has_an_end(is_catching_up: bool, most: int) -> None:
    waiting = tuple(str(number) for number in range(most))

    full = place_of(Overlap.QUEUE_ALL, Standing(("r0",), waiting, is_catching_up=is_catching_up))
    roomy = place_of(Overlap.QUEUE_ALL, Standing(("r0",), waiting[1:], is_catching_up=is_catching_up))

    assert full == Place(None, f"{most} runs were waiting already")
    assert roomy == Place(QUEUED)


def test_what_is_made_up_counts_among_those_that_wait() -> None:
    found, now = hourly(50, late=MINUTE, catch_up=CatchUp.all())
    waiting = tuple(f"w{number}" for number in range(MOST_WAITING + MOST_CAUGHT_UP - 49))

    full = decided(found, now, catch_up=CatchUp.all(), standing=Standing(waiting=waiting)).decision
    roomy = decided(found, now, catch_up=CatchUp.all(), standing=Standing(waiting=waiting[1:])).decision

    assert why(full.gaps) == {(GapReason.SKIPPED, "200 runs were waiting already")}
    assert len(full.runs) == 49
    assert len(roomy.runs) == 50
    assert roomy.gaps == ()


def test_a_skipped_fire_time_names_the_run_it_was_skipped_for() -> None:
    verdict = decided(survey(daily(tz="UTC"), START, START, UTC), START, standing=ACTIVE)

    assert verdict.decision.runs == ()
    assert [(gap.reason, gap.detail) for gap in verdict.decision.gaps] == [(GapReason.SKIPPED, "run r0 had not ended")]


def test_what_gives_way_is_named() -> None:
    verdict = decided(
        survey(daily(tz="UTC"), START, START, UTC), START, overlap=Overlap.CANCEL_PREVIOUS, standing=WITH_ONE_WAITING
    )

    assert (verdict.cancels, verdict.replaces) == (("r0",), ("w1",))


# -- retry


def attempts(retry: Retry) -> Iterator[timedelta]:
    failures = 0
    while True:
        delay = retry_delay(retry, Run("r", "job", START, "key", Trigger.SCHEDULE, failures=failures))
        if delay is None:
            return
        failures += 1
        yield delay


def test_waits_double_up_to_the_cap_and_end_with_the_attempts() -> None:
    delays = list(attempts(Retry(attempts=6, delay="10s", cap="60s")))

    for delay, least in zip(delays, [10, 20, 40, 60, 60], strict=True):
        assert timedelta(seconds=least) <= delay <= timedelta(seconds=least * 1.1)


def test_one_attempt_is_not_tried_again() -> None:
    assert list(attempts(Retry())) == []


def test_waits_are_the_same_each_time_they_are_worked_out() -> None:
    retry = Retry(attempts=200, delay="1s", cap="1h")

    assert list(attempts(retry)) == list(attempts(retry))
    assert max(attempts(retry)) <= timedelta(hours=1.1)


# -- jitter


@given(key=st.text("abc", min_size=1), jitter=st.integers(1, 10_000), gap=st.none() | st.integers(1, 10_000))
def test_a_lag_is_stable_and_stays_below_jitter_and_gap(key: str, jitter: int, gap: int | None) -> None:
    shortest = None if gap is None else timedelta(seconds=gap)

    found = lag_of(key, timedelta(seconds=jitter), shortest)

    assert timedelta(0) <= found < min(timedelta(seconds=jitter), shortest or timedelta.max)
    assert found == lag_of(key, timedelta(seconds=jitter), shortest)


def test_without_jitter_there_is_no_lag() -> None:
    assert lag_of("job", None, HOUR) == timedelta(0)


def test_keys_have_lags_of_their_own() -> None:
    assert len({lag_of(f"job-{number}", HOUR, None) for number in range(100)}) > 90


def test_lags_and_waits_reach_over_the_whole_of_what_they_may() -> None:
    lags = [lag_of(f"job-{number}", HOUR, None) for number in range(100)]
    waits = list(attempts(Retry(attempts=100, delay="1h", cap="1h")))

    assert min(lags) < 0.1 * HOUR
    assert max(lags) > 0.9 * HOUR
    assert min(waits) < 1.01 * HOUR
    assert max(waits) > 1.09 * HOUR


def test_a_lone_stretch_of_unknown_fire_times_starts_nothing() -> None:
    found = Survey((Stretch(START, (), None, None, until=START + HOUR),), None)

    assert decided(found, START + HOUR).decision.runs == ()


def test_two_stretches_of_one_fire_time_each_are_both_accounted_for() -> None:
    pause = window(WindowKind.PAUSED, START + HOUR, None)
    stretches = (
        Stretch(START, (FireTime(START, "a"),)),
        Stretch(START + HOUR, (FireTime(START + HOUR, "b"),), window=pause),
    )

    decision = decided(Survey(stretches, None), START + HOUR).decision

    assert [run.fire_key for run in decision.runs] == ["a"]
    assert [gap.reason for gap in decision.gaps] == [GapReason.PAUSED]


def test_a_decision_in_pieces_decides_the_same_one_fire_time_after_another() -> None:
    pause = window(WindowKind.PAUSED, START + HOUR, None)
    stretches = (
        Stretch(START, (FireTime(START, "a"), FireTime(START + MINUTE, "b"))),
        Stretch(START + HOUR, (FireTime(START + HOUR, "c"),), window=pause),
    )
    whole = decided(Survey(stretches, START + 2 * HOUR), START + HOUR, catch_up=CatchUp.all()).decision

    pieces = piece_by_piece(whole)

    assert [len(piece.runs) + len(piece.gaps) for piece in pieces] == [1, 1, 1, 0]
    assert [piece.mark for piece in pieces] == [START, START + MINUTE, START + HOUR, whole.mark]
    assert tuple(run for piece in pieces for run in piece.runs) == whole.runs
    assert tuple(gap for piece in pieces for gap in piece.gaps) == whole.gaps
    assert {(piece.job_key, piece.next_fire_time) for piece in pieces} == {("job", START + 2 * HOUR)}
