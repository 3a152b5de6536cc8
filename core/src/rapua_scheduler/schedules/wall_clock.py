"""The rule for schedules that fire at a time of day: every nominal time that exists, once."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from attrs import field, frozen

from rapua_scheduler.schedules.base import BuiltInSchedule
from rapua_scheduler.schedules.zones import SECOND, only_offset_change, spans_of_one_offset

DAY = timedelta(days=1)
RESOLUTION = timedelta.resolution
_MIDNIGHT = time()
_LONGEST_FOLD = DAY  # where the date line was moved


@frozen(eq=False)
class ZonedSchedule(BuiltInSchedule):
    """A schedule that reads the wall clock of a zone.

    Attributes:
        tz: The zone; None to use the one of the datetime that the schedule is asked about.
    """

    tz: ZoneInfo | None = field(default=None, kw_only=True)

    def _zone(self, asked: datetime) -> tzinfo:
        return self.tz or asked.tzinfo or UTC

    def _in_zone(self, text: str, form: str) -> str:
        """Return *text*, followed by the schedule's own zone, in *form*, if it has one."""
        return text if self.tz is None else text + form.format(self.tz.key)


@frozen(eq=False)
class WallClockSchedule(ZonedSchedule):
    """A schedule that fires at nominal wall times, each of them once.

    A nominal time within a gap of the wall clock fires at the instant the gap ends, one that comes
    twice at its first. One on a date that does not exist at all does not fire. Nominal times that
    would fire at one instant, because a gap swallows several, fire once, as the first of them.
    Source: cron(8) of Debian, for jobs that run at a specific time.

    Subclasses tell the nominal times. They take and return datetimes in the zone asked for, whose
    arithmetic and comparisons are those of the wall clock, as everywhere within one zone.
    """

    @abstractmethod
    def _nominal_after(self, wall: datetime) -> datetime | None:
        """Return the first nominal time strictly later than *wall*; None at the calendar's end."""

    @abstractmethod
    def _nominal_until(self, wall: datetime) -> datetime | None:
        """Return the newest nominal time at or before *wall*; None at the calendar's start."""

    @abstractmethod
    def _count_nominals(self, first: datetime, last: datetime) -> int:
        """Return how many nominal times lie in `[first, last)`, which are wall times without their zone."""

    def _first_after(self, start: datetime, zone: tzinfo) -> datetime | None:
        # A nominal time that the clock has shown, or jumped over, has fired: look at later ones. When
        # the clock was put back, these may have fired as well: compare instants.
        nominal = self._nominal_after(start.astimezone(zone))
        while nominal is not None:
            fire_time = _fire_time(nominal)
            if fire_time is not None and fire_time > start:
                return fire_time
            nominal = self._nominal_after(nominal)
        return None

    def _newest_until(self, end: datetime, zone: tzinfo) -> datetime | None:
        wall = end.astimezone(zone)
        nominal = self._nominal_until(wall)
        newest = None
        # On the calendar's first date nothing fires, and UTC cannot express all of it.
        while nominal is not None and nominal.toordinal() > 1 and (newest := _fire_time(nominal)) is None:
            nominal = self._nominal_until(nominal - RESOLUTION)
        nominal = self._nominal_after(wall)
        while nominal is not None:
            fire_time = _fire_time(nominal)
            if fire_time is not None:
                if fire_time > end:
                    break
                newest = fire_time
            nominal = self._nominal_after(nominal)
        return newest

    def _count_between(self, start: datetime, end: datetime, zone: tzinfo) -> int:
        first, last = start + RESOLUTION, end + RESOLUTION  # as `[first, last)`
        number = 0
        before = None
        for since, until, offset in spans_of_one_offset(zone, first - _LONGEST_FOLD, last):
            if until > first:
                wall = _wall(max(since, first), offset)
                if before is not None:
                    shown = _wall(since, before)  # the clock has shown, or jumped over, all before this
                    if since >= first and shown < wall and self._count_gap(shown, wall):
                        number += 1
                        wall += RESOLUTION  # what is nominal where the gap ends fires with the gap
                    wall = max(wall, shown)
                number += self._count_nominals(wall, max(wall, _wall(until, offset)))
            before = offset
        return number

    def _count_gap(self, start: datetime, end: datetime) -> int:
        """Return how many nominal times fire together where a gap of the wall clock ends.

        Args:
            start: The first time that the clock does not show.
            end: What it shows instead; counts as well.
        """
        first_midnight, last_midnight = datetime.combine(start, _MIDNIGHT), datetime.combine(end, _MIDNIGHT)
        if first_midnight < start:
            first_midnight += DAY
        if first_midnight >= last_midnight:
            return self._count_nominals(start, end + RESOLUTION)
        # a date that does not exist at all has no nominal times
        before, after = (start, first_midnight), (last_midnight, end + RESOLUTION)
        return self._count_nominals(*before) + self._count_nominals(*after)

    def fire_key(self, fire_time: datetime) -> str:
        """Return the nominal wall time that fires at *fire_time*, such as `2026-11-01T00:00`.

        Seconds follow if there are any. The key is the same whichever rules the zone has at that
        time, so that a newer tz database neither repeats nor drops a fire time.

        Args:
            fire_time: A fire time of this schedule, aware; see `__call__` for its zone.
        """
        instant, zone = self._instant(fire_time), self._zone(fire_time)
        wall = instant.astimezone(zone)
        second_before = (instant - SECOND).astimezone(zone)
        gap_start = second_before + SECOND  # on the wall clock, were there no gap
        if gap_start < wall:
            nominal = self._nominal_after(gap_start - RESOLUTION)
            while nominal is not None and nominal <= wall:
                if _fire_time(nominal) == instant:
                    return _written(nominal)
                nominal = self._nominal_after(nominal)
        return _written(wall)


def _wall(instant: datetime, offset: timedelta) -> datetime:
    """Return what the clock shows at *instant*, without its zone."""
    return instant.replace(tzinfo=None) + offset


def _fire_time(nominal: datetime) -> datetime | None:
    """Return the instant, in UTC, at which the clock of its zone first shows or passes *nominal*.

    None if the whole date of *nominal* does not exist there, or UTC cannot express the instant.
    """
    try:
        instant = nominal.astimezone(UTC)
        wall = instant.astimezone(nominal.tzinfo)
    except OverflowError:
        return None
    if wall == nominal:
        return instant
    # In a gap, the offset before it was used (PEP 495): the clock shows a later time, by the gap's length.
    gap = wall - nominal
    change = only_offset_change(wall.tzinfo or UTC, instant - gap, instant)
    gap_end = change.astimezone(nominal.tzinfo)
    midnight = datetime.combine(nominal, _MIDNIGHT, nominal.tzinfo)
    if gap_end - gap <= midnight and midnight + DAY <= gap_end:
        return None
    return change


def _written(wall: datetime) -> str:
    return wall.replace(tzinfo=None).isoformat().removesuffix(":00")
