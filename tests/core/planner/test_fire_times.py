"""What next functions say: checked, and surveyed against plain enumeration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler import cron, daily, every, next_daily, next_first_of_month, once
from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.fire_times import (
    MOST_CALLS,
    Circumstances,
    FireTime,
    Stretch,
    Survey,
    first_after,
    first_pending,
    is_fire_time,
    only,
    part_until,
    survey,
)
from rapua_scheduler.run import Gap, GapReason, Window, WindowKind
from rapua_scheduler.schedules import BuiltInSchedule, instant_key
from rapua_scheduler.schedules.base import LATEST

AUCKLAND = ZoneInfo("Pacific/Auckland")
START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULES: list[BuiltInSchedule] = [
    next_daily,
    next_first_of_month,
    every(minutes=7),
    daily(at="02:30"),
    cron("*/20 1-3 * * *"),
]


def stepped(schedule: BuiltInSchedule, after: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    fire_time = first_after(schedule, after, AUCKLAND)
    while fire_time is not None and fire_time <= until:
        found.append(fire_time)
        fire_time = first_after(schedule, fire_time, AUCKLAND)
    return found


def window(kind: WindowKind, since: datetime, until: datetime | None) -> Window:
    return Window("job", kind, since, until, "for a test")


def window_of(instant: datetime, windows: Sequence[Window]) -> Window | None:
    covering = [one for one in windows if one.covers(instant) and one.kind is not WindowKind.FAILED]
    order = [WindowKind.PAUSED, WindowKind.ABSENT, WindowKind.HELD]
    return min(covering, key=lambda one: (order.index(one.kind), windows.index(one)), default=None)


instants = st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31)).map(lambda t: t.replace(tzinfo=UTC))
lengths = st.timedeltas(timedelta(0), timedelta(days=12))


@st.composite
def stories(draw: st.DrawFn) -> tuple[datetime, datetime, list[Window]]:
    """A mark, a time to look back from, and windows that lie anywhere around the two."""
    mark = draw(instants)
    now = mark + draw(lengths)
    windows = []
    for _ in range(draw(st.integers(0, 4))):
        since = mark + draw(st.timedeltas(timedelta(days=-2), timedelta(days=12)))
        until = None if draw(st.booleans()) else since + draw(lengths)
        windows.append(window(draw(st.sampled_from(WindowKind)), since, until))
    return mark, now, windows


@given(
    story=stories(),
    schedule=st.sampled_from(SCHEDULES),
    is_stepped=st.booleans(),
    keep=st.sampled_from([1, 3, 100]),
    data=st.data(),
)
def test_a_survey_accounts_for_every_fire_time_and_its_circumstances(
    story: tuple[datetime, datetime, list[Window]],
    schedule: BuiltInSchedule,
    is_stepped: bool,
    keep: int,
    data: st.DataObject,
) -> None:
    mark, now, windows = story
    expected = stepped(schedule, mark, now)
    if not expected:
        return
    claimed = sorted(data.draw(st.sets(st.sampled_from(expected), max_size=5)))
    asked: Callable[[datetime], datetime | None] = (lambda after: schedule(after)) if is_stepped else schedule
    key_of = instant_key if is_stepped else lambda at: schedule.fire_key(at.astimezone(AUCKLAND))

    found = survey(
        asked, expected[0], now, AUCKLAND, keep=keep, circumstances=Circumstances(tuple(windows), tuple(claimed))
    )

    rest = list(expected)
    for stretch in found.stretches:
        assert stretch.earlier is not None
        number = stretch.earlier + len(stretch.kept)
        mine, rest = rest[:number], rest[number:]
        assert stretch.first == mine[0]
        assert [one.at for one in stretch.kept] == mine[-len(stretch.kept) :]
        assert [one.key for one in stretch.kept] == [key_of(one.at) for one in stretch.kept]
        assert all(one.at.tzinfo is UTC for one in stretch.kept)
        assert len(stretch.kept) == min(keep, len(mine))
        assert stretch.last_before == (mine[-keep - 1] if len(mine) > keep else None)
        assert {window_of(instant, windows) for instant in mine} == {stretch.window}
        assert {instant in claimed for instant in mine} == {stretch.is_claimed}
    assert rest == []
    assert found.next == first_after(schedule, now, AUCKLAND)


@given(mark=instants, down=lengths, schedule=st.sampled_from(SCHEDULES))
def test_a_kept_fire_time_has_the_identity_that_its_schedule_gives(
    mark: datetime, down: timedelta, schedule: BuiltInSchedule
) -> None:
    expected = stepped(schedule, mark, mark + down)
    if not expected:
        return

    found = survey(schedule, expected[0], mark + down, AUCKLAND, keep=3)

    assert found.stretches[0].first == expected[0]
    for one in found.stretches[0].kept:
        assert one.key == schedule.fire_key(one.at.astimezone(AUCKLAND))


def test_a_stretch_too_long_to_step_through_ends_in_one_of_unknown_count() -> None:
    calls = 0

    def each_second(after: datetime) -> datetime:
        nonlocal calls
        calls += 1
        assert after.tzinfo is AUCKLAND
        return after + timedelta(seconds=1)

    now = START + timedelta(days=30)
    found = survey(each_second, START, now, AUCKLAND)

    assert calls <= MOST_CALLS + 2
    known, unknown = found.stretches
    assert (known.first, known.earlier) == (START, MOST_CALLS)
    assert known.end < unknown.first <= known.end + timedelta(seconds=1)
    assert (unknown.kept, unknown.earlier, unknown.until) == ((), None, now)
    assert found.is_too_fast
    assert found.next is not None
    assert found.next > now


@pytest.mark.parametrize(("microseconds", "is_too_fast"), [(1000, False), (999, True)])
@pytest.mark.parametrize("times", [1, 2, 50])
def test_fire_times_less_than_a_millisecond_apart_are_too_fast(
    microseconds: int, is_too_fast: bool, times: int
) -> None:
    apart = timedelta(microseconds=microseconds)

    found = survey(lambda after: after + apart, START, START + (times - 1) * apart, UTC)

    assert found.is_too_fast is is_too_fast
    assert found.next == START + times * apart


def test_a_survey_that_has_taken_enough_time_gives_up() -> None:
    found = survey(
        lambda after: after + timedelta(seconds=1), START, START + timedelta(hours=1), UTC, enough=lambda: True
    )

    assert found.is_too_fast
    assert sum(stretch.earlier or 0 for stretch in found.stretches) < 10


def test_a_built_in_schedule_jumps_over_a_long_stretch() -> None:
    now = START + timedelta(days=36500)

    (stretch,) = survey(every(milliseconds=1), START, now, UTC).stretches

    assert stretch.kept[0].at == now
    assert stretch.earlier == 36500 * 86_400_000


def test_a_fire_time_that_the_schedule_no_longer_has_is_surveyed_as_well() -> None:
    due, change = START + timedelta(minutes=30), START + timedelta(hours=1)
    pause = window(WindowKind.PAUSED, change, None)

    found = survey(daily(), due, START + timedelta(days=2), AUCKLAND, circumstances=Circumstances((pause,)))

    gone, paused = found.stretches
    assert gone == Stretch(due, (FireTime(due, "2026-01-01T13:30"),))
    assert (paused.first, paused.earlier, paused.window) == (START + timedelta(hours=11), 1, pause)


def test_a_fire_time_from_before_all_of_its_schedule_is_surveyed_as_well() -> None:
    later, claimed = START + timedelta(hours=2), Circumstances(claimed=(START,))

    found = survey(once(later), START, START + timedelta(hours=3), UTC, circumstances=claimed)

    assert [(one.first, one.is_claimed) for one in found.stretches] == [(START, True), (later, False)]
    assert found.next is None


@pytest.mark.parametrize("is_stepped", [True, False])
def test_a_window_that_begins_just_after_a_fire_time_does_not_have_it(is_stepped: bool) -> None:
    hourly = every(hours=1)
    asked: Callable[[datetime], datetime | None] = (lambda after: hourly(after)) if is_stepped else hourly
    second, end = START + timedelta(hours=1), START + timedelta(hours=3)
    pause = window(WindowKind.PAUSED, second + timedelta(microseconds=1), None)

    found = survey(asked, START, end, UTC, circumstances=Circumstances((pause,)))

    assert [(one.end, one.earlier, one.window) for one in found.stretches] == [(second, 1, None), (end, 1, pause)]


def test_the_fire_times_of_a_built_in_schedule_are_counted_however_many_they_are() -> None:
    (stretch,) = survey(cron("* * * * *"), START, START + timedelta(days=3000), UTC).stretches

    assert (stretch.first, stretch.end, stretch.earlier) == (START, START + timedelta(days=3000), 3000 * 24 * 60)


def test_fire_times_are_counted_in_the_zone_that_the_schedule_is_asked_in() -> None:
    fold = datetime(2026, 4, 4, 13, tzinfo=UTC)

    (stretch,) = survey(cron("*/30 2 * * *"), fold, fold + timedelta(hours=2), AUCKLAND).stretches

    assert (stretch.earlier, len(stretch.kept)) == (3, 1)


def test_a_single_fire_time_meets_its_circumstances_and_nothing_is_known_of_the_next() -> None:
    pause = window(WindowKind.PAUSED, START, None)

    assert only(START) == Survey((Stretch(START, (FireTime(START, instant_key(START)),)),), None)
    (stretch,) = only(START, Circumstances((pause,), (START,))).stretches
    assert (stretch.window, stretch.is_claimed) == (pause, True)


def test_before_the_first_fire_time_there_is_nothing_to_survey() -> None:
    found = survey(next_daily, START + timedelta(days=1), START, UTC)

    assert (found.stretches, found.next) == ((), START + timedelta(days=1))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (5, "^the next function returned int; return an aware datetime, or None for never again$"),
        ("2999-01-01", "returned str"),
        (timedelta(1), "returned timedelta"),
        (START.date(), "returned date"),
        (float("nan"), "returned float"),
        (
            datetime(2999, 1, 1),
            "returned 2999-01-01T00:00:00 without a zone; build it from its argument, which carries the site's zone$",
        ),
        (START, r"^the next function returned (\S+), which is not later than \1$"),
        (START - timedelta(microseconds=1), "not later"),
    ],
)
def test_an_answer_that_is_no_later_instant_is_refused(answer: object, problem: str) -> None:
    with pytest.raises(BrokenNextError, match=problem):
        first_after(lambda _: answer, START, UTC)
    with pytest.raises(BrokenNextError, match=problem):
        first_pending(lambda: answer, START)


def test_the_next_function_is_asked_in_the_sites_zone_and_answered_in_utc() -> None:
    asked: list[datetime] = []

    def tomorrow(after: datetime) -> datetime:
        asked.append(after)
        return after + timedelta(days=1)

    answer = first_after(tomorrow, START, AUCKLAND)

    assert asked[0].tzinfo is AUCKLAND
    assert answer is not None
    assert answer.tzinfo is UTC


def test_a_later_answer_in_the_second_hour_of_a_fold_is_later() -> None:
    first_half_past_two = datetime(2026, 4, 5, 2, 30, tzinfo=AUCKLAND)
    second = first_half_past_two.replace(fold=1)

    assert first_after(lambda _: second, first_half_past_two.astimezone(UTC), AUCKLAND) == second.astimezone(UTC)


def test_only_fire_times_are_fire_times() -> None:
    midnight = datetime(2026, 11, 1, tzinfo=AUCKLAND)

    assert is_fire_time(next_first_of_month, midnight, AUCKLAND)
    assert not is_fire_time(next_first_of_month, midnight + timedelta(seconds=1), AUCKLAND)
    assert not is_fire_time(lambda after: after, midnight, AUCKLAND)


class NotATime(datetime):
    """As some libraries have one: no comparison with it holds, and no conversion changes it."""

    def __le__(self, other: object) -> bool:
        return False

    def __lt__(self, other: object) -> bool:
        return False

    def astimezone(self, tz: object = None) -> NotATime:
        return self


def test_a_subclass_of_datetime_is_taken_for_the_time_it_shows() -> None:
    shown = (2026, 4, 5, 2, 34, 56, 789)
    answer = first_after(lambda _: NotATime(*shown, tzinfo=AUCKLAND, fold=1), START, UTC)

    assert type(answer) is datetime
    assert answer == datetime(*shown, tzinfo=AUCKLAND, fold=1).astimezone(UTC)
    with pytest.raises(BrokenNextError, match="not later"):
        first_after(lambda _: NotATime(1999, 1, 1, tzinfo=UTC), START, UTC)


class WithoutAnHour(datetime):
    """As a broken library might have one."""

    @property
    def hour(self) -> int:
        return 24

    def utcoffset(self) -> timedelta:
        return timedelta(0)


def test_a_subclass_of_datetime_that_shows_no_time_is_refused() -> None:
    with pytest.raises(BrokenNextError, match=r"returned a WithoutAnHour that is no time \(hour must be in 0\.\.23"):
        first_after(lambda _: WithoutAnHour(2999, 1, 1, tzinfo=UTC), START, UTC)


def test_nothing_is_due_after_the_last_instant_that_every_zone_can_express() -> None:
    assert first_after(lambda _: LATEST, START, UTC) == LATEST
    assert first_after(lambda _: LATEST + timedelta(microseconds=1), START, UTC) is None
    assert first_after(lambda _: 1 / 0, LATEST + timedelta(microseconds=1), UTC) is None


# -- the part of a gap


@given(first=instants, whole=lengths, part=st.floats(0, 1), schedule=st.sampled_from(SCHEDULES))
def test_the_part_of_a_gap_has_the_fire_times_up_to_where_it_is_cut(
    first: datetime, whole: timedelta, part: float, schedule: BuiltInSchedule
) -> None:
    expected = stepped(schedule, first, first + whole)
    if not expected:
        return
    gap = Gap("job", expected[0], expected[-1], len(expected), GapReason.MISSED)
    until = gap.first + part * (gap.last - gap.first)

    cut = part_until(schedule.fingerprint, gap, until, zone=AUCKLAND)

    left = [instant for instant in expected if instant <= until]
    assert (cut.first, cut.last, cut.count) == (left[0], left[-1], len(left))


@pytest.mark.parametrize(
    ("fingerprint", "first", "last", "count", "until"),
    [
        ("", 0, 5, 6, 2.5),  # a function of its own
        (every(hours=2).fingerprint, 0, 5, 6, 2.5),  # the schedule has changed meanwhile
        (every(hours=1).fingerprint, 0, 5, None, 2.5),
        (every(hours=1).fingerprint, 0, 5.5, 6, 2.5),
        (every(hours=1).fingerprint, 0.5, 5, 6, 0.75),
    ],
)
def test_the_count_of_a_part_is_unknown_unless_the_schedule_is_that_of_the_gap(
    fingerprint: str, first: float, last: float, count: int | None, until: float
) -> None:
    gap = Gap("job", START + timedelta(hours=first), START + timedelta(hours=last), count, GapReason.MISSED)
    end = START + timedelta(hours=until)

    cut = part_until(fingerprint, gap, end, zone=UTC)

    assert (cut.first, cut.last, cut.count) == (gap.first, end, None)
