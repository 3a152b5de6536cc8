"""Ask next functions for fire times, check what they say, and survey those that have come; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from attrs import frozen

from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.run import Window, WindowKind
from rapua_scheduler.schedules import BuiltInSchedule, instant_key
from rapua_scheduler.schedules.base import LATEST

MOST_CALLS = 10_000
"""How many calls of a next function one look at a job may take; source: the time rules of the design."""

SHORTEST = timedelta(milliseconds=1)
"""Fire times that are closer together than this are too fast; source: the shortest interval of `every`."""

_TICK = timedelta(microseconds=1)
_FIRST_OF_ALL = (WindowKind.PAUSED, WindowKind.ABSENT, WindowKind.HELD)


@frozen
class FireTime:
    """One fire time.

    Attributes:
        at: The instant, in UTC.
        key: Its identity.
    """

    at: datetime
    key: str


@frozen
class Stretch:
    """Fire times in a row that have come under the same circumstances; at least one.

    Attributes:
        first: The oldest, in UTC.
        kept: The newest, oldest first: as many as were asked for. Empty if they were too many to find.
        last_before: The newest that is not among those kept, in UTC; None if all are.
        earlier: How many are not among those kept; None if they were too many to count.
        window: The window that they lie in, if one; never a `failed` one, which decides nothing.
        until: Where the stretch ends, in UTC, if its newest fire times were not found.
    """

    first: datetime
    kept: tuple[FireTime, ...]
    last_before: datetime | None = None
    earlier: int | None = 0
    window: Window | None = None
    until: datetime | None = None


@frozen
class Survey:
    """The fire times that have come since a job's mark.

    Attributes:
        stretches: Oldest first; empty if none has come.
        next: The first fire time after now, in UTC; None if there is none, or none is known.
        is_too_fast: Whether there were too many to look at all of them, or they are too close together.
    """

    stretches: tuple[Stretch, ...]
    next: datetime | None
    is_too_fast: bool = False


def first_after(next_function: Callable[..., object], after: datetime, zone: tzinfo) -> datetime | None:
    """Return the first fire time later than *after*, checked, in UTC; None if there is none.

    Args:
        next_function: Takes the last fire time.
        after: An instant in UTC.
        zone: The zone that the function is asked in.

    Raises:
        BrokenNextError: The function's answer is not a later instant; says what to return.
    """
    if after > LATEST:  # some zones cannot express it
        return None
    return _checked(next_function(after.astimezone(zone)), after)


def first_pending(next_function: Callable[..., object], now: datetime) -> datetime | None:
    """Return what a next function without an argument gives, checked, in UTC.

    Raises:
        BrokenNextError: The function's answer is not an instant later than *now*.
    """
    return _checked(next_function(), now)


def _checked(answer: object, after: datetime) -> datetime | None:
    if answer is None:
        return None
    if not isinstance(answer, datetime):
        raise BrokenNextError(
            f"the next function returned {type(answer).__name__}; return an aware datetime, or None for never again"
        )
    if answer.utcoffset() is None:
        raise BrokenNextError(
            f"the next function returned {answer.isoformat()} without a zone; build it from its argument, "
            "which carries the site's zone"
        )
    try:
        instant = _plain(answer).astimezone(UTC)
    except OverflowError:
        return None
    if instant > LATEST:  # where no zone can express every instant any more
        return None
    if instant <= after:
        raise BrokenNextError(
            f"the next function returned {answer.isoformat()}, which is not later than {after.isoformat()}"
        )
    return instant


def _plain(answer: datetime) -> datetime:
    """Return a datetime that compares and converts as one does; a subclass may have ways of its own."""
    if type(answer) is datetime:
        return answer
    try:
        return datetime(
            answer.year,
            answer.month,
            answer.day,
            answer.hour,
            answer.minute,
            answer.second,
            answer.microsecond,
            tzinfo=answer.tzinfo,
            fold=answer.fold,
        )
    except (TypeError, ValueError) as error:
        raise BrokenNextError(
            f"the next function returned a {type(answer).__name__} that is no time ({error}); return an aware datetime"
        ) from None


def fire_key(next_function: Callable[..., object], fire_time: datetime, zone: tzinfo) -> str:
    """Return the identity of *fire_time* (in UTC): nominal local time, or the instant itself."""
    if isinstance(next_function, BuiltInSchedule):
        return next_function.fire_key(fire_time.astimezone(zone))
    return instant_key(fire_time)


def survey(
    next_function: Callable[..., object],
    due: datetime,
    now: datetime,
    zone: tzinfo,
    *,
    keep: int = 1,
    windows: Iterable[Window] = (),
    enough: Callable[[], bool] = lambda: False,
) -> Survey:
    """Look at the fire times from *due* up to *now*, and at the one after.

    A built-in schedule jumps; any other is stepped through, at most 10,000 times.

    Args:
        next_function: Takes the last fire time.
        due: A fire time, in UTC.
        now: The current time, in UTC.
        zone: The zone that the function is asked in.
        keep: How many of the newest fire times to keep of each stretch.
        windows: The windows of the job.
        enough: Asked between two steps whether to give up counting.

    Raises:
        BrokenNextError: The function misbehaves.
    """
    if due > now:
        return Survey((), due)
    windows = tuple(windows)
    following = first_after(next_function, due, zone)
    is_too_fast = following is not None and following - due < SHORTEST
    if following is None or following > now:
        return Survey((_lone(next_function, due, zone, windows),), following, is_too_fast)
    if isinstance(next_function, BuiltInSchedule):
        return _jumped(next_function, due, now, zone, keep, windows)
    return _stepped(next_function, due, following, now, zone, keep, windows, enough)


def only(due: datetime, windows: Iterable[Window] = ()) -> Survey:
    """Return the survey of a single fire time, of which it is not known what comes after."""
    return Survey((Stretch(due, (FireTime(due, instant_key(due)),), window=_window_at(due, tuple(windows))),), None)


def _lone(next_function: Callable[..., object], due: datetime, zone: tzinfo, windows: Sequence[Window]) -> Stretch:
    window = _window_at(due, windows) if windows else None
    return Stretch(due, (FireTime(due, fire_key(next_function, due, zone)),), window=window)


def _jumped(
    schedule: BuiltInSchedule, due: datetime, now: datetime, zone: tzinfo, keep: int, windows: Sequence[Window]
) -> Survey:
    stretches: list[Stretch] = []
    first: datetime | None = due
    for end in [*(cut - _TICK for cut in _cuts(windows, due, now)), now]:
        if first is None or first > end:
            continue
        kept, last_before = _newest(schedule, first, end, zone, keep)
        earlier = None if last_before is None else schedule.count(first.astimezone(zone), last_before.astimezone(zone))
        stretches.append(
            Stretch(
                first,
                kept,
                last_before,
                0 if last_before is None else _one_more(earlier),
                _window_at(first, windows) if windows else None,
            )
        )
        first = first_after(schedule, kept[-1].at, zone)
    return Survey(tuple(stretches), first if first is None or first > now else first_after(schedule, now, zone))


def _newest(
    schedule: BuiltInSchedule, first: datetime, end: datetime, zone: tzinfo, keep: int
) -> tuple[tuple[FireTime, ...], datetime | None]:
    """Return the newest *keep* fire times from *first* to *end*, oldest first, and the one before them."""
    newest: list[FireTime] = []
    while len(newest) <= keep:
        at = _in_utc(schedule.latest(end.astimezone(zone)))
        if at is None or at < first:
            break
        newest.append(FireTime(at, schedule.fire_key(at.astimezone(zone))))
        end = at - _TICK
    if not newest:  # cannot be: the caller has seen it
        newest = [FireTime(first, schedule.fire_key(first.astimezone(zone)))]
    last_before = newest.pop().at if len(newest) > keep else None
    return tuple(reversed(newest)), last_before


def _stepped(
    next_function: Callable[..., object],
    due: datetime,
    following: datetime,
    now: datetime,
    zone: tzinfo,
    keep: int,
    windows: Sequence[Window],
    enough: Callable[[], bool],
) -> Survey:
    found = [due, following]
    after: datetime | None = first_after(next_function, following, zone)
    while after is not None and after <= now:
        found.append(after)
        if len(found) > MOST_CALLS or enough():
            rest = Stretch(after + _TICK, (), None, None, until=now)
            return Survey((*_cut(found, keep, windows), rest), first_after(next_function, now, zone), is_too_fast=True)
        after = first_after(next_function, after, zone)
    is_too_fast = found[-1] - found[0] < (len(found) - 1) * SHORTEST
    return Survey(_cut(found, keep, windows), after, is_too_fast)


def _cut(found: Sequence[datetime], keep: int, windows: Sequence[Window]) -> tuple[Stretch, ...]:
    """Return *found*, fire times oldest first, as stretches."""
    stretches: list[Stretch] = []
    start = 0
    cuts = [*_cuts(windows, found[0], found[-1]), found[-1] + _TICK]
    for cut in cuts:
        end = start
        while end < len(found) and found[end] < cut:
            end += 1
        if end > start:
            begin = max(start, end - keep)
            kept = tuple(FireTime(at, instant_key(at)) for at in found[begin:end])
            last_before = found[begin - 1] if begin > start else None
            stretches.append(Stretch(found[start], kept, last_before, begin - start, _window_at(found[start], windows)))
        start = end
    return tuple(stretches)


def _cuts(windows: Sequence[Window], after: datetime, until: datetime) -> list[datetime]:
    """Return where windows begin and end between two instants, oldest first."""
    if not windows:
        return []
    edges = {edge for window in windows for edge in (window.since, window.until) if edge is not None}
    return sorted(edge for edge in edges if after < edge <= until)


def _window_at(instant: datetime, windows: Sequence[Window]) -> Window | None:
    """Return the window that decides what becomes of a fire time; a pause comes before an absence."""
    for kind in _FIRST_OF_ALL:
        for window in windows:
            if window.kind is kind and window.covers(instant):
                return window
    return None


def _in_utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)


def _one_more(count: int | None) -> int | None:
    return None if count is None else count + 1


def is_fire_time(next_function: Callable[..., object], instant: datetime, zone: tzinfo) -> bool:
    """Tell whether a built-in schedule fires at *instant* (aware); False for any other next function."""
    if not isinstance(next_function, BuiltInSchedule):
        return False
    newest = next_function.latest(instant.astimezone(zone))
    return newest is not None and newest.astimezone(UTC) == instant.astimezone(UTC)
