"""What became of fire times, and of one run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from attrs import frozen

from rapua_scheduler.errors import RapuaSchedulerError, UnknownJobError
from rapua_scheduler.run import Gap, LogLine, PastAttempt, Run, RunStatus
from rapua_scheduler.store.port import Store

FAILED = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.INTERRUPTED, RunStatus.LOST})
"""What `history --failed` shows."""

_MOST_MATCHES = 10


@frozen
class RunRecord:
    """Everything that is kept of one run.

    Attributes:
        run: The run, with its last or current attempt.
        attempts: The attempts before that, oldest first.
        log: What it wrote to its log, oldest first.
    """

    run: Run
    attempts: tuple[PastAttempt, ...]
    log: tuple[LogLine, ...]


def history(
    store: Store,
    known: Collection[str],
    *,
    job_key: str | None = None,
    since: datetime | None = None,
    failed: bool = False,
    limit: int | None = None,
) -> Sequence[Run | Gap]:
    """Return runs, and fire times that were not run, newest first; what is queued first of all.

    Args:
        store: Where they are recorded.
        known: The keys of installed jobs, which may have no history yet.
        job_key: Only of this job.
        since: Only from this instant on.
        failed: Only runs that did not succeed.
        limit: At most so many.

    Raises:
        UnknownJobError: Neither the store nor *known* has that key.
    """
    if job_key is not None and job_key not in known:
        recorded = {*known, *(job.key for job in store.jobs()), *store.last_runs()}
        if job_key not in recorded:
            raise UnknownJobError(job_key, tuple(recorded))
    runs = store.runs(job_key=job_key, since=since, statuses=FAILED if failed else None, limit=limit)
    gaps = () if failed else store.gaps(job_key=job_key, since=since, limit=limit)
    merged: list[Run | Gap] = [*runs, *gaps]
    merged.sort(key=_when, reverse=True)
    return merged[:limit]


def _when(entry: Run | Gap) -> tuple[bool, datetime]:
    if isinstance(entry, Gap):
        return False, entry.last
    return entry.started_at is None and not entry.status.is_final, entry.started_at or entry.fire_time


def find_run(store: Store, text: str) -> Run:
    """Return the run whose id is *text*, or the only one whose id begins or ends so.

    Raises:
        RapuaSchedulerError: None is, or several are.
    """
    matches: list[Run] = []
    if text and text.isascii() and text.isprintable():  # else no id can be it, and no store can look for it
        exact = store.run(text)
        if exact is not None:
            return exact
        matches = list(store.runs(id_part=text, limit=_MOST_MATCHES))
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise RapuaSchedulerError(f"no run has the id {text!a}; `rapua-scheduler history` lists them")
    number = f"{len(matches)} or more" if len(matches) == _MOST_MATCHES else len(matches)
    raise RapuaSchedulerError(
        f"{number} runs match {text!r}, among them {', '.join(run.run_id for run in matches[:3])}; write more of the id"
    )


def read_record(store: Store, run: Run) -> RunRecord:
    """Return *run* with its past attempts and its log."""
    return RunRecord(run, tuple(store.attempts(run.run_id)), tuple(store.log_lines(run.run_id)))
