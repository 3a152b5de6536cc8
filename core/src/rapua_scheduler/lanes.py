"""Whose turn it is: the runs that are claimed, by job and by concurrency key, until they are at their end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from attrs import define

from rapua_scheduler.planner import IDLE, Standing
from rapua_scheduler.policy import Overlap
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run, Trigger

_PAST = {Trigger.CATCH_UP, Trigger.RERUN}
_NOT_ITS_OWN = {*_PAST, Trigger.BACKFILL}


@define(eq=False)
class Entry:
    """A claimed run on its way.

    Attributes:
        registered: Its job.
        run: The run; its attempt is the one that executes, or the next one.
        rank: Tells who comes first among those that wait for one concurrency key.
        is_active: Whether it has been started, and is not at its end; it may wait between two attempts.
        again_at: When its next attempt is due, on the clock's monotonic scale; None if it does not wait
            for one.
    """

    registered: RegisteredJob
    run: Run
    rank: tuple[int, str, int]
    is_active: bool
    again_at: float | None = None

    @property
    def ignores_pauses(self) -> bool:
        """Whether it was asked for by hand."""
        return self.run.trigger is Trigger.MANUAL


class Lanes:
    """The runs of all jobs that are under way; a job with none takes no room here.

    Belongs to the timing thread.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, list[Entry]] = {}  # of each job: the active ones in the order of their starts
        self._pending: set[str] = set()
        self._busy: dict[str, str] = {}
        self._admitted = 0
        self._tick = 0

    def standing(self, registered: RegisteredJob) -> Standing:
        """Return what is under way of a job."""
        lane = self._lanes.get(registered.job.key)
        is_group_busy = registered.job.concurrency_key is not None and not self._is_free(registered)
        if lane is None:
            return Standing(must_wait=True) if is_group_busy else IDLE
        active = [entry.run for entry in lane if entry.is_active]
        waiting = [entry.run for entry in _waiting(lane) if entry.run.trigger is not Trigger.BACKFILL]
        return Standing(
            tuple(run.run_id for run in active),
            tuple(run.run_id for run in waiting),
            tuple(run.run_id for run in waiting if run.trigger is Trigger.SCHEDULE),
            any(run.trigger in _PAST for run in waiting) or any(run.trigger in _NOT_ITS_OWN for run in active),
            is_group_busy,
        )

    @property
    def has_pending(self) -> bool:
        """Whether anything waits for its turn; may be asked from any thread."""
        return bool(self._pending)

    def is_idle(self, job_key: str) -> bool:
        """Tell whether nothing of a job is under way."""
        return job_key not in self._lanes

    def find(self, run_id: str, job_key: str) -> Entry | None:
        """Return the entry of a run that is under way; None if it is not."""
        return next((entry for entry in self._lanes.get(job_key, ()) if entry.run.run_id == run_id), None)

    def entries(self) -> Iterator[Entry]:
        """Yield everything that is under way."""
        for lane in list(self._lanes.values()):
            yield from list(lane)

    def start(self, registered: RegisteredJob, run: Run) -> Entry:
        """Admit a run that executes from now on."""
        entry = self._admit(registered, run, is_active=True)
        if registered.job.concurrency_key is not None:
            self._busy[registered.job.concurrency_key] = run.run_id
        return entry

    def wait(self, registered: RegisteredJob, run: Run) -> Entry:
        """Admit a run that waits for its turn."""
        entry = self._admit(registered, run, is_active=False)
        self._pending.add(registered.job.key)
        return entry

    def wait_again(self, entry: Entry, again_at: float) -> None:
        """Note that an attempt has ended, and that the next one is due at *again_at*."""
        entry.again_at = again_at
        self._free_group(entry)
        self._pending.add(entry.registered.job.key)

    def end(self, entry: Entry) -> None:
        """Forget a run that is at its end, or that will not be started."""
        job_key = entry.registered.job.key
        lane = self._lanes.get(job_key)
        if lane is None:
            return
        if entry in lane:
            lane.remove(entry)
        self._free_group(entry)
        if not lane:
            del self._lanes[job_key]
            self._pending.discard(job_key)

    def take_ready(self, now: float, paused: Collection[str]) -> list[Entry]:
        """Return the entries whose turn it is, and take each for executing.

        Args:
            now: The time on the clock's monotonic scale.
            paused: Keys of jobs of which nothing starts but what was asked for by hand.
        """
        self._tick += 1  # what is admitted from now on comes after what was
        if not self._pending:
            return []
        candidates = [entry for key in self._pending for entry in self._next(key, now, paused)]
        ready: list[Entry] = []
        for entry in sorted(candidates, key=_rank):
            if self._is_free(entry.registered):
                self._take(entry)
                ready.append(entry)
        return ready

    def seconds_to_wait(self, now: float) -> float | None:
        """Return in how many seconds the next wait between two attempts is over; None if nothing waits so.

        What is due already waits for something else, whose end will be told.
        """
        due = [
            entry.again_at
            for key in self._pending
            for entry in self._lanes[key]
            if entry.again_at is not None and entry.again_at > now
        ]
        return min(due) - now if due else None

    def _next(self, job_key: str, now: float, paused: Collection[str]) -> list[Entry]:
        """Return the entries of a job that may start as far as that job is concerned."""
        lane = self._lanes[job_key]
        entries = [entry for entry in lane if entry.again_at is not None and entry.again_at <= now]
        active = [entry for entry in lane if entry.is_active]
        waiting = sorted(_waiting(lane), key=_is_backfill)
        if job_key in paused:
            entries = [entry for entry in entries if entry.ignores_pauses]
            waiting = [entry for entry in waiting if entry.ignores_pauses]
        if not active:  # nor does any wait between two attempts
            return waiting[:1]
        if waiting and waiting[0].registered.job.overlap is Overlap.ALLOW:
            past = [entry for entry in waiting if entry.run.trigger in _NOT_ITS_OWN]
            if not any(entry.run.trigger in _NOT_ITS_OWN for entry in active):
                entries += past[:1]  # one after another, but beside the others
            entries += [entry for entry in waiting if entry not in past]
        return entries

    def _take(self, entry: Entry) -> None:
        job = entry.registered.job
        lane = self._lanes[job.key]
        entry.again_at = None
        if not entry.is_active:
            entry.is_active = True
            lane.remove(entry)
            lane.append(entry)
        if all(other.is_active and other.again_at is None for other in lane):
            self._pending.discard(job.key)
        if job.concurrency_key is not None:
            self._busy[job.concurrency_key] = entry.run.run_id

    def _admit(self, registered: RegisteredJob, run: Run, *, is_active: bool) -> Entry:
        self._admitted += 1
        job_key = registered.job.key
        entry = Entry(registered, run, (self._tick, job_key, self._admitted), is_active)
        lane = self._lanes.get(job_key)
        if lane is None:
            self._lanes[job_key] = [entry]
        else:
            lane.append(entry)
        return entry

    def _is_free(self, registered: RegisteredJob) -> bool:
        group = registered.job.concurrency_key
        return group is None or group not in self._busy

    def _free_group(self, entry: Entry) -> None:
        group = entry.registered.job.concurrency_key
        if group is not None and self._busy.get(group) == entry.run.run_id:
            del self._busy[group]


def _waiting(lane: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in lane if not entry.is_active]


def _is_backfill(entry: Entry) -> bool:
    return entry.run.trigger is Trigger.BACKFILL


def _rank(entry: Entry) -> tuple[int, str, int]:
    return entry.rank
