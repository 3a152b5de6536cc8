"""What became of the jobs' fire times, in memory: runs with their attempts and logs, and gaps."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice

from attrs import evolve

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import Decision, Gap, LogLine, Outcome, PastAttempt, Run, RunStatus, Start, Trigger, fold_gaps
from rapua_scheduler.store.memory.instants import optional_utc, utc
from rapua_scheduler.store.rules import MOST_LINES, MOST_LOGGED, left_out
from rapua_scheduler.store.texts import storable, storable_error, storable_line

PATH = "in memory"
"""What an error of the store names in the place of a file."""

_UNFINISHED_ENDS = {RunStatus.LOST, RunStatus.INTERRUPTED}


class _NumberedGap:
    __slots__ = ("after_run", "gap", "number")

    def __init__(self, number: int, gap: Gap, after_run: str | None) -> None:
        self.number = number
        self.gap = gap
        self.after_run = after_run  # the job's newest claim when the gap was recorded


class _History:
    """What became of one job's fire times; made when the first thing did."""

    __slots__ = ("fire_keys", "forgotten_until", "gaps", "lowered_from", "pruned_until", "run_ids", "unfinished")

    def __init__(self) -> None:
        self.run_ids: list[str] = []  # oldest claim first
        self.unfinished = 0
        self.fire_keys: set[str] = set()  # claimed ones
        self.gaps: list[_NumberedGap] = []  # oldest first
        self.pruned_until: datetime | None = None  # newest fire time whose claim is forgotten
        self.forgotten_until: datetime | None = None  # newest fire time whose record is forgotten
        self.lowered_from: datetime | None = None  # claims up to here may lie ahead of the mark


class _More:
    """What few runs have: past attempts, lines of a log, somebody who wants it cancelled."""

    __slots__ = ("attempts", "cancel_by", "left_out", "lines", "size")

    def __init__(self) -> None:
        self.attempts: dict[int, PastAttempt] = {}
        self.lines: deque[LogLine] = deque()
        self.size = 0  # of the lines, in bytes
        self.left_out = 0
        self.cancel_by: str | None = None

    def keep_attempt(self, run: Run) -> None:
        """Keep what *run* says of its last attempt, unless that is there already."""
        if run.attempt not in self.attempts:
            self.attempts[run.attempt] = PastAttempt(
                run.attempt, run.status, run.started_at, run.finished_at, run.error
            )

    def add_lines(self, lines: Iterable[LogLine]) -> None:
        """Add lines to the log, and forget the oldest of those that are too many."""
        for line in lines:
            kept = LogLine(utc(line.at), line.attempt, storable(line.level), storable_line(line.text))
            self.lines.append(kept)
            self.size += len(kept.text.encode())
        while len(self.lines) > MOST_LINES or self.size > MOST_LOGGED:
            self.size -= len(self.lines.popleft().text.encode())
            self.left_out += 1


class Histories:
    """Runs and gaps of all jobs."""

    def __init__(self, keep: int, mark_of: Callable[[str], datetime | None]) -> None:
        """Begin without any.

        Args:
            keep: Finished runs kept of each job, and gaps as many.
            mark_of: Returns a job's mark; None if it was never declared.
        """
        self._keep = keep
        self._mark_of = mark_of
        self._histories: dict[str, _History] = {}
        self._runs: dict[str, Run] = {}  # oldest claim first
        self._more: dict[str, _More] = {}
        self._nobodys: set[str] = set()
        self._unanswered: set[str] = set()
        self._gaps_recorded = 0

    # -- claims

    def record(self, decision: Decision) -> bool:
        """Record the runs and gaps of a decision that the mark allows; False if a claim is taken."""
        runs = decision.runs
        if not runs and not decision.gaps:
            return True
        history = self._history(decision.job_key)
        if runs and self._are_taken(history, runs):
            return False
        if decision.gaps:
            self._add_gaps(history, decision.gaps, [run.fire_time for run in runs])
        for run in runs:
            history.fire_keys.add(run.fire_key)
            self._add(history, _claimed(run, run.status, 1))
        return True

    def claim(self, run: Run) -> None:
        """See `Store.claim`."""
        self._refuse_taken([run])
        self._add(self._history(run.job_key), _claimed(run, RunStatus.RUNNING, run.attempt))

    def enqueue(self, runs: Sequence[Run]) -> None:
        """See `Store.enqueue`."""
        self._refuse_taken(runs)
        for run in runs:
            self._add(self._history(run.job_key), _claimed(run, RunStatus.QUEUED, run.attempt))
            self._nobodys.add(run.run_id)

    def take_queued(self) -> list[Run]:
        """See `Store.take_queued`."""
        taken = self._in_order(self._nobodys)
        self._nobodys.clear()
        return taken

    def _history(self, job_key: str) -> _History:
        history = self._histories.get(job_key)
        if history is None:
            history = self._histories[job_key] = _History()
        return history

    def _are_taken(self, history: _History, runs: Sequence[Run]) -> bool:
        for run in runs:
            if run.fire_key in history.fire_keys or run.run_id in self._runs:
                return True
        if len(runs) == 1:
            return False
        return not len({run.fire_key for run in runs}) == len({run.run_id for run in runs}) == len(runs)

    def _refuse_taken(self, runs: Sequence[Run]) -> None:
        run_ids: set[str] = set()
        for run in runs:
            if run.run_id in self._runs or run.run_id in run_ids:
                raise StoreError(PATH, f"has a run {run.run_id} already")
            run_ids.add(run.run_id)

    def _add(self, history: _History, run: Run) -> None:
        self._runs[run.run_id] = run
        history.run_ids.append(run.run_id)
        history.unfinished += 1

    def _add_gaps(self, history: _History, gaps: Sequence[Gap], claimed: Collection[datetime]) -> None:
        last_run = history.run_ids[-1] if history.run_ids else None
        newest = history.gaps[-1] if history.gaps and history.gaps[-1].after_run == last_run else None
        older = None if newest is None else newest.gap
        folded = fold_gaps(older, gaps, claimed, lowered_from=history.lowered_from)
        if newest is not None:
            newest.gap = folded.pop(0)
        for gap in folded:
            self._gaps_recorded += 1
            gap = evolve(gap, first=utc(gap.first), last=utc(gap.last), detail=storable(gap.detail))
            insort(history.gaps, _NumberedGap(self._gaps_recorded, gap, last_run), key=_age)
        self._forget_gaps(history, max(len(history.gaps) - self._keep, 0))

    # -- attempts

    def begin(self, start: Start) -> bool:
        """Let one queued run execute; False if it is not queued, or nobody's."""
        run = self._runs.get(start.run_id)
        if run is None or run.status is not RunStatus.QUEUED or run.run_id in self._nobodys:
            return False
        if self._is_to_be_cancelled(run.run_id):
            return False
        self._runs[run.run_id] = evolve(
            run, status=RunStatus.RUNNING, attempt=start.attempt, started_at=utc(start.at), done=None, total=None
        )
        return True

    def drop(self, run_id: str, outcome: Outcome) -> bool:
        """See `Store.drop`."""
        run = self._runs.get(run_id)
        if run is None or run.status is not RunStatus.QUEUED:
            return False
        self._nobodys.discard(run_id)
        self._end(run, outcome)
        return True

    def finish(self, run_id: str, attempt: int, outcome: Outcome, *, again: bool, log: Sequence[LogLine]) -> bool:
        """Record the end of an attempt; False if it is not the running one."""
        run = self._running(run_id, attempt)
        if run is None:
            return False
        if log:
            self._more_of(run_id).add_lines(log)
        if again:
            self._more_of(run_id).keep_attempt(_ended(run, outcome))
            self._runs[run_id] = evolve(run, status=RunStatus.QUEUED, failures=run.failures + 1)
            return True
        if outcome.status is RunStatus.INTERRUPTED and self._is_to_be_cancelled(run_id):
            outcome = evolve(outcome, status=RunStatus.CANCELLED)
        self._end(run, outcome)
        return True

    def report(self, run_id: str, attempt: int, *, done: int | None, total: int | None, log: Sequence[LogLine]) -> None:
        """See `Store.report`."""
        run = self._running(run_id, attempt)
        if run is None:
            return
        if log:
            self._more_of(run_id).add_lines(log)
        if done is not None or total is not None:
            done = run.done if done is None else done
            total = run.total if total is None else total
            self._runs[run_id] = evolve(run, done=done, total=total)

    def rerun(self, run_id: str) -> Run | None:
        """See `Store.rerun`."""
        return self._queue_again(self._runs[run_id]) if run_id in self._unanswered else None

    def reopen(self, job_key: str, fire_key: str) -> Run | None:
        """See `Store.reopen`."""
        for run in self.newest_first(job_key):
            if run.fire_key == fire_key and run.trigger.consumes_fire_time:
                if not run.status.is_final:
                    return None
                self._more_of(run.run_id).cancel_by = None  # it was asked of what has ended
                return self._queue_again(run)
        return None

    def leave(self, run_ids: Iterable[str]) -> None:
        """See `Store.leave`."""
        self._unanswered.difference_update(run_ids)

    def unanswered(self) -> list[Run]:
        """See `Store.unanswered`."""
        return self._in_order(self._unanswered)

    def request_cancel(self, run_id: str, by: str) -> bool:
        """See `Store.request_cancel`."""
        run = self._runs.get(run_id)
        if run is None or (run.status.is_final and run_id not in self._unanswered):
            return False
        more = self._more_of(run_id)
        if run_id in self._unanswered:
            self._unanswered.discard(run_id)
            more.cancel_by = storable(by)
            self._runs[run_id] = evolve(run, status=RunStatus.CANCELLED, error=f"cancelled by {more.cancel_by}")
            return True
        more.cancel_by = storable(by) if more.cancel_by is None else more.cancel_by
        return True

    def cancel_requests(self) -> dict[str, str]:
        """See `Store.cancel_requests`."""
        return {
            run_id: more.cancel_by
            for run_id, more in self._more.items()
            if more.cancel_by is not None and not self._runs[run_id].status.is_final and run_id not in self._nobodys
        }

    def _is_to_be_cancelled(self, run_id: str) -> bool:
        more = self._more.get(run_id)
        return more is not None and more.cancel_by is not None

    def _running(self, run_id: str, attempt: int) -> Run | None:
        run = self._runs.get(run_id)
        return None if run is None or run.attempt != attempt or run.status is not RunStatus.RUNNING else run

    def _end(self, run: Run, outcome: Outcome) -> None:
        self._runs[run.run_id] = _ended(run, outcome)
        if outcome.status in _UNFINISHED_ENDS and run.trigger is not Trigger.MANUAL:
            self._unanswered.add(run.run_id)
        history = self._histories[run.job_key]
        history.unfinished -= 1
        if len(history.run_ids) - history.unfinished > self._keep:
            self._forget_oldest(history)

    def _queue_again(self, run: Run) -> Run:
        self._unanswered.discard(run.run_id)
        if run.started_at is not None:  # it was not dropped before it began
            self._more_of(run.run_id).keep_attempt(run)
        self._histories[run.job_key].unfinished += 1
        self._runs[run.run_id] = queued = evolve(
            run,
            status=RunStatus.QUEUED,
            trigger=run.trigger if run.trigger is Trigger.BACKFILL else Trigger.RERUN,
            finished_at=None,
            result=None,
            error=None,
        )
        return queued

    def _more_of(self, run_id: str) -> _More:
        more = self._more.get(run_id)
        if more is None:
            more = self._more[run_id] = _More()
        return more

    # -- looking

    def run(self, run_id: str) -> Run | None:
        """See `Store.run`."""
        return self._runs.get(run_id)

    def newest_first(self, job_key: str | None) -> Iterable[Run]:
        """Return all runs, or those of one job, newest claim first."""
        if job_key is None:
            return reversed(self._runs.values())
        history = self._histories.get(job_key)
        return () if history is None else (self._runs[run_id] for run_id in reversed(history.run_ids))

    def last_runs(self) -> dict[str, Run]:
        """See `Store.last_runs`."""
        return {
            key: self._runs[history.run_ids[-1]] for key, history in sorted(self._histories.items()) if history.run_ids
        }

    def attempts(self, run_id: str) -> list[PastAttempt]:
        """See `Store.attempts`."""
        more = self._more.get(run_id)
        return [] if more is None else [more.attempts[number] for number in sorted(more.attempts)]

    def log_lines(self, run_id: str) -> list[LogLine]:
        """See `Store.log_lines`."""
        more = self._more.get(run_id)
        if more is None:
            return []
        return [left_out(more.left_out, more.lines[0]), *more.lines] if more.left_out else list(more.lines)

    def gaps(self, job_key: str | None, since: datetime | None, limit: int | None) -> list[Gap]:
        """See `Store.gaps`."""
        histories = self._histories.values() if job_key is None else [self._histories.get(job_key, _History())]
        found = [
            numbered
            for history in histories
            for numbered in history.gaps
            if since is None or numbered.gap.last >= since
        ]
        found.sort(key=_age, reverse=True)
        return [numbered.gap for numbered in found[:limit]]

    def pruned_until(self, job_key: str) -> datetime | None:
        """Return the newest fire time of a job whose claim is forgotten."""
        history = self._histories.get(job_key)
        return None if history is None else history.pruned_until

    def forgotten_until(self, job_key: str) -> datetime | None:
        """See `Store.forgotten_until`."""
        history = self._histories.get(job_key)
        return None if history is None else history.forgotten_until

    # -- forgetting and renaming

    def claims_after(self, job_key: str, mark: datetime) -> list[datetime]:
        """Return the claimed fire times of a job that are later than its mark, oldest first."""
        history = self._histories.get(job_key)
        if history is None or history.lowered_from is None or history.lowered_from <= mark:
            return []
        runs = [self._runs[run_id] for run_id in history.run_ids]
        return sorted(run.fire_time for run in runs if run.fire_time > mark and run.trigger.consumes_fire_time)

    def take_back_gaps(
        self, job_key: str, mark: datetime, lowered_from: datetime, part_until: Callable[[Gap, datetime], Gap]
    ) -> None:
        """Forget what is recorded of fire times later than *mark*, which was *lowered_from*, as not run."""
        history = self._history(job_key)
        history.lowered_from = max(lowered_from, history.lowered_from or lowered_from)
        history.gaps = [numbered for numbered in history.gaps if numbered.gap.first <= mark]
        for numbered in history.gaps:
            if numbered.gap.last > mark:
                numbered.gap = part_until(numbered.gap, mark)
        history.gaps.sort(key=_age)

    def rename(self, former: str, job_key: str) -> None:
        """Give the history of one job to another, which may have been run by hand before."""
        history = self._histories.pop(former, None)
        if history is None:
            return
        for run_id in history.run_ids:
            self._runs[run_id] = evolve(self._runs[run_id], job_key=job_key)
        for numbered in history.gaps:
            numbered.gap = evolve(numbered.gap, job_key=job_key)
        by_hand = self._histories.get(job_key)
        if by_hand is not None:
            both = {*history.run_ids, *by_hand.run_ids}
            history.run_ids = [run_id for run_id in self._runs if run_id in both]
            history.unfinished += by_hand.unfinished
        self._histories[job_key] = history

    def prune(self, before: datetime, keep_runs: int, most: int) -> int:
        """Forget runs and gaps as `Store.prune` says, and return how many."""
        gone = self._forget_all([run for run in self._runs.values() if _ended_before(run, before)], most)
        beyond = [
            self._runs[run_id]
            for history in self._histories.values()
            for run_id in history.run_ids[: max(len(history.run_ids) - keep_runs, 0)]
        ]
        gone += self._forget_all(beyond, most - gone)
        for history in self._histories.values():
            old = sum(numbered.gap.last < before for numbered in history.gaps)
            going = min(max(old, len(history.gaps) - keep_runs), most - gone)
            self._forget_gaps(history, going)
            gone += going
        return gone

    def _forget_all(self, runs: Sequence[Run], most: int) -> int:
        """Forget those that may go, *most* at most, and return how many."""
        may_go = (run for run in runs if self._may_go(self._histories[run.job_key], run))
        going = {run.run_id: run for run in islice(may_go, most)}
        for job_key in {run.job_key for run in going.values()}:
            history = self._histories[job_key]
            history.run_ids = [run_id for run_id in history.run_ids if run_id not in going]
        for run in going.values():
            self._forget(self._histories[run.job_key], run)
        return len(going)

    def _forget_oldest(self, history: _History) -> None:
        for position, run_id in enumerate(history.run_ids):
            run = self._runs[run_id]
            if self._may_go(history, run):
                del history.run_ids[position]
                self._forget(history, run)
                return

    def _may_go(self, history: _History, run: Run) -> bool:
        if not run.status.is_final or run.run_id in self._unanswered or run.run_id == history.run_ids[-1]:
            return False
        mark = self._mark_of(run.job_key)
        if run.trigger.consumes_fire_time and (mark is None or run.fire_time > mark):
            return False  # its claim alone still guards that fire time
        return run.status is not RunStatus.SUCCEEDED or run is not self._newest_success(history)

    def _newest_success(self, history: _History) -> Run:
        """Return the newest run that succeeded, of which there is one at least."""
        runs = (self._runs[run_id] for run_id in reversed(history.run_ids))
        return next(run for run in runs if run.status is RunStatus.SUCCEEDED)

    def _forget(self, history: _History, run: Run) -> None:
        del self._runs[run.run_id]
        self._more.pop(run.run_id, None)
        if run.trigger.consumes_fire_time:
            history.fire_keys.discard(run.fire_key)
            history.pruned_until = max(run.fire_time, history.pruned_until or run.fire_time)
            history.forgotten_until = max(run.fire_time, history.forgotten_until or run.fire_time)

    @staticmethod
    def _forget_gaps(history: _History, number: int) -> None:
        for numbered in history.gaps[:number]:
            history.forgotten_until = max(numbered.gap.last, history.forgotten_until or numbered.gap.last)
        del history.gaps[:number]

    def _in_order(self, run_ids: Collection[str]) -> list[Run]:
        return [run for run in self._runs.values() if run.run_id in run_ids] if run_ids else []


def _ended_before(run: Run, before: datetime) -> bool:
    has_begun_before = run.started_at is None or run.started_at < before
    return has_begun_before and run.finished_at is not None and run.finished_at < before


def _age(numbered: _NumberedGap) -> tuple[datetime, int]:
    return numbered.gap.last, numbered.number


def _claimed(run: Run, status: RunStatus, attempt: int) -> Run:
    if _is_as_claimed(run, status, attempt):  # as nearly always
        return run
    return Run(
        run.run_id,
        run.job_key,
        utc(run.fire_time),
        run.fire_key,
        run.trigger,
        status,
        attempt,
        optional_utc(run.started_at),
        asked_by=storable(run.asked_by),
    )


def _is_as_claimed(run: Run, status: RunStatus, attempt: int) -> bool:
    """Tell whether a run can be kept as it is: in UTC, and without what it can only have later."""
    return (
        run.status is status
        and run.attempt == attempt
        and run.fire_time.tzinfo is UTC
        and (run.started_at is None or run.started_at.tzinfo is UTC)
        and run.finished_at is None
        and run.result is None
        and run.error is None
        and run.done is None
        and run.total is None
        and not (run.failures or run.losses or run.asked_by)
    )


def _ended(run: Run, outcome: Outcome) -> Run:
    return Run(
        run.run_id,
        run.job_key,
        run.fire_time,
        run.fire_key,
        run.trigger,
        outcome.status,
        run.attempt,
        run.started_at,
        utc(outcome.finished_at),
        None if outcome.result is None else dict(outcome.result),
        None if outcome.error is None else storable_error(outcome.error),
        run.failures,
        run.losses,
        run.asked_by,
        run.done,
        run.total,
    )
