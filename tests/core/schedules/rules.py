"""Rules of every kind, with what each is said to do: for hypothesis, and around one change of the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from rapua_scheduler.schedules import cron, daily, monthly, next_daily, next_first_of_month, weekly

from .oracle import DAY, Rule, Stretch

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def any_date(_: date) -> bool:
    return True


def clock(second: int) -> str:
    text = f"{second // 3600:02}:{second // 60 % 60:02}"
    return f"{text}:{second % 60:02}" if second % 60 else text


def last_day(day: date) -> int:
    return next(number for number in (31, 30, 29, 28) if _exists(day, number))


def _exists(day: date, number: int) -> bool:
    try:
        day.replace(day=number)
    except ValueError:
        return False
    return True


def daily_rule(second: int, tz: ZoneInfo | None = None) -> Rule:
    return Rule(daily(clock(second), tz=tz), any_date, (second,))


def weekly_rule(days: frozenset[int], second: int, tz: ZoneInfo | None = None) -> Rule:
    schedule = weekly(*(WEEKDAYS[day] for day in days), at=clock(second), tz=tz)
    return Rule(schedule, lambda day: day.weekday() in days, (second,))


def monthly_rule(number: int, second: int, tz: ZoneInfo | None = None) -> Rule:
    schedule = monthly(number, clock(second), tz=tz)
    return Rule(schedule, lambda day: day.day == min(number, last_day(day)), (second,))


def fixed_rule(hours: frozenset[int], minutes: frozenset[int], tz: ZoneInfo | None = None) -> Rule:
    expression = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    return Rule(cron(expression, tz=tz), any_date, times_of(hours, minutes))


def pattern_rule(
    hours: tuple[str, frozenset[int]], minutes: tuple[str, frozenset[int]], tz: ZoneInfo | None = None
) -> Rule:
    schedule = cron(f"{minutes[0]} {hours[0]} * * *", tz=tz)
    return Rule(schedule, any_date, times_of(hours[1], minutes[1]), in_real_time=True)


def times_of(hours: frozenset[int], minutes: frozenset[int]) -> tuple[int, ...]:
    return tuple(sorted(hour * 3600 + minute * 60 for hour in hours for minute in minutes))


# Hours and minutes as a pattern writes them, with what they mean.
PATTERN_HOURS = (
    ("*", frozenset(range(24))),
    ("*/2", frozenset(range(0, 24, 2))),
    ("0-3", frozenset({0, 1, 2, 3})),
    ("1-23/7", frozenset({1, 8, 15, 22})),
    ("22-23,0", frozenset({22, 23, 0})),
)
PATTERN_MINUTES = (
    ("*", frozenset(range(60))),
    ("*/20", frozenset({0, 20, 40})),
    ("0-2", frozenset({0, 1, 2})),
    ("59", frozenset({59})),
    ("7/26", frozenset({7, 33, 59})),
)
DAY_FIELDS = (
    ("* * *", any_date),
    ("1 * *", lambda day: day.day == 1),
    ("* * 0", lambda day: day.weekday() == 6),
    ("* * 6-7", lambda day: day.weekday() >= 5),
    ("13 * fri", lambda day: day.day == 13 or day.weekday() == 4),
    ("*/2 * mon-fri", lambda day: day.day % 2 == 1 and day.weekday() < 5),
    ("L * *", lambda day: day.day == last_day(day)),
    ("* apr,oct *", lambda day: day.month in {4, 10}),
    ("1-7 3-11/4 *", lambda day: day.day <= 7 and day.month in {3, 7, 11}),
    ("* * sun#1", lambda day: day.weekday() == 6 and day.day <= 7),
)

seconds_of_day = st.one_of(
    st.integers(0, DAY - 1), st.integers(0, 47).map(lambda halves: halves * 1800), st.sampled_from([0, DAY - 1])
)


@st.composite
def rules(draw: st.DrawFn, tz: ZoneInfo | None = None) -> Rule:
    """Draw a rule for wall times."""
    second = draw(seconds_of_day)
    kind = draw(st.sampled_from(["daily", "weekly", "monthly", "fixed", "pattern", "original"]))
    if kind == "daily":
        return daily_rule(second, tz)
    if kind == "weekly":
        return weekly_rule(draw(st.frozensets(st.integers(0, 6), min_size=1)), second, tz)
    if kind == "monthly":
        return monthly_rule(draw(st.integers(1, 31)), second, tz)
    if kind == "original" and tz is None:
        return draw(
            st.sampled_from(
                [Rule(next_daily, any_date, (0,)), Rule(next_first_of_month, lambda day: day.day == 1, (0,))]
            )
        )
    days, on = draw(st.sampled_from(DAY_FIELDS))
    if kind == "fixed":
        hours = draw(st.frozensets(st.integers(0, 23), min_size=1, max_size=4))
        minutes = draw(st.frozensets(st.integers(0, 59), min_size=1, max_size=3))
        fields = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} {days}"
        return Rule(cron(fields, tz=tz), on, times_of(hours, minutes))
    hour_text, hours = draw(st.sampled_from(PATTERN_HOURS))
    minute_text, minutes = draw(st.sampled_from(PATTERN_MINUTES[1:]))
    if "-" not in hour_text and "*" not in hour_text:
        hour_text, hours = PATTERN_HOURS[0]
    return Rule(cron(f"{minute_text} {hour_text} {days}", tz=tz), on, times_of(hours, minutes), in_real_time=True)


def rules_around(cut: Sequence[Stretch]) -> list[Rule]:
    """Return rules that have to do with the one change of the clock in *cut*."""
    before, after = next(pairwise(cut))
    left, right = before.end + before.offset, after.start + after.offset
    low, high = min(left, right), max(left, right)
    walls = {low, (low + high) // 2, high - 1, high}
    minutes = sorted({wall // 60 % 1440 for wall in walls})
    found = [daily_rule(wall % DAY) for wall in sorted(walls)]
    found += [Rule(next_daily, any_date, (0,)), Rule(cron("0 0 * * *"), any_date, (0,))]
    found.append(fixed_rule(frozenset(m // 60 for m in minutes), frozenset(m % 60 for m in minutes)))
    hour = frozenset({low // 3600 % 24, high // 3600 % 24})
    text = ",".join(f"{number}-{number}" for number in hour)
    found.append(pattern_rule((text, hour), PATTERN_MINUTES[1]))
    return found
