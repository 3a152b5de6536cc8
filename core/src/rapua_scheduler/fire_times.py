"""Ask next functions for fire times, check what they say, and survey those that have come; pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from attrs import evolve, frozen

from rapua_scheduler.errors import BrokenNextError
from rapua_scheduler.run import Gap, Window, WindowKind
from rapua_scheduler.schedules import BuiltInSchedule, from_fingerprint, instant_key
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
class Circumstances:
    """What a job's fire times may meet with.

    Attributes:
        windows: The windows of the job, and of all jobs.
        claimed: Its fire times later than its mark that are claimed already, as after a release; in UTC,
            oldest first.
    """

    windows: tuple[Window, ...] = ()
    claimed: tuple[datetime, ...] = ()

    def cuts(self, after: datetime, until: datetime) -> list[datetime]:
        """Return where they change between two instants, oldest first."""
        if not self.windows and not self.claimed:
            return []
        claimed = self.claimed[bisect_left(self.claimed, after) : bisect_right(self.claimed, until)]
        edges = {edge for window in self.windows for edge in (window.since, window.until) if edge is not None}
        edges.update(claimed, (fire_time + _TICK for fire_time in claimed))
        return sorted(edge for edge in edges if after < edge <= until)

    def window_at(self, instant: datetime) -> Window | None:
        """Return the window that decides what becomes of a fire time; a pause comes before an absence."""
        for kind in _FIRST_OF_ALL:
            for window in self.windows:
                if window.kind is kind and window.covers(instant):
                    return window
        return None

    def is_claimed(self, instant: datetime) -> bool:
        """Tell whether a fire time has its run already."""
        return bool(self.claimed) and instant in self.claimed[bisect_left(self.claimed, instant) :][:1]


PLAIN = Circumstances()
"""Nothing in the way of any fire time."""


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
        is_claimed: Whether it is a single fire time that has its run already.
        unknown: Why its fire times are not known, if they are not.
    """

    first: datetime
    kept: tuple[FireTime, ...]
    last_before: datetime | None = None
    earlier: int | None = 0
    window: Window | None = None
    until: datetime | None = None
    is_claimed: bool = False
    unknown: str = ""

    @property
    def end(self) -> datetime:
        """Its newest fire time, or where it ends if that was not found."""
        return self.kept[-1].at if self.kept else self.until or self.first


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
    circumstances: Circumstances = PLAIN,
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
        circumstances: What the fire times may meet with.
        enough: Asked between two steps whether to give up counting.

    Raises:
        BrokenNextError: The function misbehaves.
    """
    if due > now:
        return Survey((), due)
    following = first_after(next_function, due, zone)
    is_too_fast = following is not None and following - due < SHORTEST
    if following is None or following > now:
        return Survey((_lone(next_function, due, zone, circumstances),), following, is_too_fast)
    if isinstance(next_function, BuiltInSchedule):
        return _jumped(next_function, due, now, zone, keep, circumstances)
    return _stepped(next_function, due, following, now, zone, keep, circumstances, enough)


def only(due: datetime, circumstances: Circumstances = PLAIN) -> Survey:
    """Return the survey of a single fire time, of which it is not known what comes after."""
    return Survey((_one(FireTime(due, instant_key(due)), circumstances),), None)


def _lone(next_function: Callable[..., object], due: datetime, zone: tzinfo, circumstances: Circumstances) -> Stretch:
    return _one(FireTime(due, fire_key(next_function, due, zone)), circumstances)


def _one(fire_time: FireTime, circumstances: Circumstances) -> Stretch:
    if circumstances is PLAIN:
        return Stretch(fire_time.at, (fire_time,))
    at = fire_time.at
    return Stretch(at, (fire_time,), window=circumstances.window_at(at), is_claimed=circumstances.is_claimed(at))


def _jumped(
    schedule: BuiltInSchedule, due: datetime, now: datetime, zone: tzinfo, keep: int, circumstances: Circumstances
) -> Survey:
    stretches: list[Stretch] = []
    first: datetime | None = due
    for end in [*(cut - _TICK for cut in circumstances.cuts(due, now)), now]:
        if first is None or first > end:
            continue
        kept, last_before = _newest(schedule, first, end, zone, keep)
        earlier = 0 if last_before is None else 1 + schedule.count(first.astimezone(zone), last_before)
        stretches.append(
            Stretch(
                first,
                kept,
                last_before,
                earlier,
                circumstances.window_at(first),
                is_claimed=circumstances.is_claimed(first),
            )
        )
        first = first_after(schedule, kept[-1].at, zone)
    return Survey(tuple(stretches), first)


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
    if not newest:  # the schedule has no such fire time any more
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
    circumstances: Circumstances,
    enough: Callable[[], bool],
) -> Survey:
    found = [due, following]
    after: datetime | None = first_after(next_function, following, zone)
    while after is not None and after <= now:
        found.append(after)
        if len(found) > MOST_CALLS or enough():
            stretches = _cut(found, keep, circumstances)
            if after < now:
                stretches += (Stretch(after + _TICK, (), None, None, until=now, unknown="too many to count"),)
            return Survey(stretches, first_after(next_function, now, zone), is_too_fast=True)
        after = first_after(next_function, after, zone)
    is_too_fast = found[-1] - found[0] < (len(found) - 1) * SHORTEST
    return Survey(_cut(found, keep, circumstances), after, is_too_fast)


def _cut(found: Sequence[datetime], keep: int, circumstances: Circumstances) -> tuple[Stretch, ...]:
    """Return *found*, fire times oldest first, as stretches."""
    stretches: list[Stretch] = []
    start = 0
    cuts = [*circumstances.cuts(found[0], found[-1]), found[-1] + _TICK]
    for cut in cuts:
        end = start
        while end < len(found) and found[end] < cut:
            end += 1
        if end > start:
            begin = max(start, end - keep)
            kept = tuple(FireTime(at, instant_key(at)) for at in found[begin:end])
            last_before = found[begin - 1] if begin > start else None
            stretches.append(
                Stretch(
                    found[start],
                    kept,
                    last_before,
                    begin - start,
                    circumstances.window_at(found[start]),
                    is_claimed=circumstances.is_claimed(found[start]),
                )
            )
        start = end
    return tuple(stretches)


def _in_utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)


def is_fire_time(next_function: Callable[..., object], instant: datetime, zone: tzinfo) -> bool:
    """Tell whether a built-in schedule fires at *instant* (aware); False for any other next function."""
    if not isinstance(next_function, BuiltInSchedule):
        return False
    newest = next_function.latest(instant.astimezone(zone))
    return newest is not None and newest.astimezone(UTC) == instant.astimezone(UTC)


def part_until(fingerprint: str, gap: Gap, until: datetime, *, zone: tzinfo) -> Gap:
    """Return the part of a gap up to an instant that it reaches beyond; see `Store.release`.

    Its count is unknown if the schedule of *fingerprint* is not built in, or is not the one of the gap.

    Args:
        fingerprint: Of the schedule that the job has now.
        gap: The gap.
        until: An instant in UTC, not before the first fire time of the gap.
        zone: The zone that the schedule is asked in.
    """
    schedule = from_fingerprint(fingerprint)
    first = gap.first.astimezone(zone)
    if schedule is not None and gap.count is not None:
        further = schedule.count(first, gap.last)
        if further == gap.count - 1 and is_fire_time(schedule, gap.last, zone):
            newest = _in_utc(schedule.latest(until.astimezone(zone)))
            if newest is not None and newest >= gap.first:
                return evolve(gap, last=newest, count=1 + schedule.count(first, newest))
    return evolve(gap, last=until, count=None)
