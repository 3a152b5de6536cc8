"""Put a backup in the place of a store, and answer for the time since, of which it knows nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from attrs import frozen

from rapua_scheduler.clock import Clock
from rapua_scheduler.errors import AnotherHostError, StoreError
from rapua_scheduler.run import Decision, Gap, GapReason, Outcome, RunStatus
from rapua_scheduler.store.connections import open_for_reading, resolve
from rapua_scheduler.store.locks import HOST, LockFile, lock_path, store_id_beside
from rapua_scheduler.store.maintenance.condition import Condition, inspect_store
from rapua_scheduler.store.maintenance.copying import (
    copy_database,
    errors_of,
    moment_of,
    put_in_place,
    workplace,
)
from rapua_scheduler.store.port import StoredJob
from rapua_scheduler.store.schema import APPLICATION_ID
from rapua_scheduler.store.sqlite import SqliteStore

_TICK = timedelta(microseconds=1)
_BESIDE = ("-wal", "-shm", "-journal")
_DROPPED = "dropped: the store was restored from a backup, and what has run since is not known"


@frozen
class Restored:
    """What a restore did.

    Attributes:
        path: Absolute path of the store.
        source: The file that it was restored from.
        as_of: The last time that this file knew of, in UTC; None if it knew of none.
        condition: What was found in it.
        kept: Where the file that was there before is now; None if there was none.
        jobs: Keys of the jobs whose fire times since then are recorded as missed.
        dropped: Ids of the runs that were queued, or unfinished, and will not be run (again).
        was_another: Whether the lock file belonged to another store.
    """

    path: Path
    source: Path
    as_of: datetime | None
    condition: Condition
    kept: Path | None
    jobs: Sequence[str]
    dropped: Sequence[str]
    was_another: bool


def restore(path: Path | str, source: Path | str, clock: Clock, *, catch_up: bool = False) -> Restored:
    """Put a copy of *source* in the place of the store at *path*; both may be the same file.

    What has run since the backup is not known. So nothing of that time is run: each job's mark moves
    to now, with one gap, and what was queued or unfinished is dropped. With *catch_up*, all this is
    left as it was, for the host to catch up by each job's policies.

    The file that was there is kept beside, its latest changes in it. Until the copy takes its place in
    one step, nothing has changed.

    Args:
        path: Where the store is, or was.
        source: A backup, or a store that nothing has open.
        clock: Tells the time that marks move to.
        catch_up: Whether to leave the time since the backup to the host.

    Raises:
        AnotherHostError: A host is active on the store at *path*.
        StoreError: *source* is no sound store, or the file at *path* is in use, or one of another program.
    """
    path, source = resolve(path), resolve(source)
    condition = _inspected(source, is_in_place=source == path)
    _refuse_strangers(path)
    with _no_host(path) as locks, workplace(path) as folder:
        copy = folder / path.name
        as_of = _copied(source, copy)
        jobs, dropped = ((), ()) if catch_up else _forgo(copy, as_of, clock)
        _note_alive(copy, clock)
        store_id, commits = _sealed(copy, locks.noted())
        was_another = store_id_beside(path) not in {"", store_id}
        kept = _change_places(copy, path, clock.now())
        locks.hand_over(store_id, commits)
    return Restored(path, source, as_of, condition, kept, jobs, dropped, was_another)


def _inspected(source: Path, *, is_in_place: bool) -> Condition:
    try:
        condition = inspect_store(source)
    except StoreError as error:
        if is_in_place:
            raise
        problem = error.problem.partition(";")[0]  # what to do about a store is not what to do about a backup
        raise StoreError(
            source, f"is no backup to restore: {problem}; name a file that `rapua-scheduler store backup` has made"
        ) from error
    if condition.damages:
        raise StoreError(source, f"is damaged: {'; '.join(condition.damages)}; restore another backup")
    return condition


# -- who else is there


def _refuse_strangers(path: Path) -> None:
    """Refuse to move the database of another program away."""
    if not path.parent.is_dir():
        raise StoreError(path, f"its directory {path.parent} does not exist; create it, or name another in `state`")
    if not path.exists():
        return
    if not path.is_file():
        raise StoreError(path, "is not a file; name the file that `state` is to be kept in")
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        if tables and application_id != APPLICATION_ID:
            raise StoreError(path, "is a database of another program, and was left as it is; name another in `state`")


@contextmanager
def _no_host(path: Path) -> Iterator[LockFile]:
    """Be the host of *path* for the block, so that nobody else is."""
    had_lock_file = lock_path(path).exists()
    locks = LockFile.share(path, None)
    try:
        if not locks.lock(HOST):
            raise AnotherHostError(path, _active_host(path))
        try:
            yield locks
        except BaseException:
            if not had_lock_file and not path.exists():
                lock_path(path).unlink(missing_ok=True)  # or it would say that there was a store
            raise
        finally:
            locks.unlock(HOST)
    finally:
        locks.leave()


def _active_host(path: Path) -> str:
    with suppress(StoreError), closing(SqliteStore.open_read_only(path)) as store:
        host = store.host()
        if host is not None:
            return f"process {host.pid} on {host.host_name}, since {host.started_at.isoformat(timespec='seconds')}"
    return "a process that cannot be named"


# -- what the copy says


def _copied(source: Path, copy: Path) -> datetime | None:
    with closing(open_for_reading(source, is_inspected=True)) as connection:
        copy_database(connection, copy)
        with errors_of(source):
            return moment_of(connection)


def _forgo(copy: Path, as_of: datetime | None, clock: Clock) -> tuple[Sequence[str], Sequence[str]]:
    """Record that nothing is run of what the copy does not know."""
    now = clock.now()
    since = "an unknown time" if as_of is None else as_of.isoformat(timespec="seconds")
    detail = f"store restored from a backup of {since}; what ran since is not known"
    with closing(SqliteStore.open(copy, create=False, clock=clock)) as store:
        decisions = [_missed(job, now, detail) for job in store.jobs() if job.mark < now]
        store.decide(decisions)
        store.mark_lost(now)
        queued = store.runs(statuses={RunStatus.QUEUED})
        for run in queued:
            store.drop(run.run_id, Outcome(RunStatus.CANCELLED, now, error=_DROPPED))
        unanswered = store.unanswered()
        store.leave([run.run_id for run in unanswered])
        return (
            [decision.job_key for decision in decisions if decision.gaps],
            [run.run_id for run in (*queued, *unanswered)],
        )


def _missed(job: StoredJob, now: datetime, detail: str) -> Decision:
    if job.next_fire_time is not None and job.next_fire_time > now:
        return Decision(job.key, now, job.next_fire_time)
    first = job.next_fire_time or job.mark + _TICK
    return Decision(job.key, now, None, gaps=(Gap(job.key, first, now, None, GapReason.MISSED, detail),))


def _note_alive(copy: Path, clock: Clock) -> None:
    """Let the restore count as a sign of life, or an old backup would make the clock look wrong."""
    with closing(SqliteStore.open(copy, create=False, clock=clock)) as store:
        store.note_alive(clock.now())


def _sealed(copy: Path, noted: int) -> tuple[str, int]:
    """Make the copy one file, with more commits than any state of the store that was noted before."""
    with errors_of(copy), closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("DELETE FROM meta WHERE name = 'backed_up_at'")
        connection.execute(
            "UPDATE meta SET value = max(CAST(value AS INTEGER), ?) + 1 WHERE name = 'commits'", (noted,)
        )
        connection.execute("PRAGMA journal_mode = DELETE")
        values = dict(connection.execute("SELECT name, value FROM meta WHERE name IN ('store_id', 'commits')"))
    return values["store_id"], int(values["commits"])


# -- changing places


def _change_places(copy: Path, path: Path, now: datetime) -> Path | None:
    """Put the copy in place, and return where the file is now that was there before; None if none was."""
    kept = _free_name(path, now)
    is_there = path.exists()
    with errors_of(path), _alone(path) if is_there else nullcontext():
        for end in _BESIDE:  # what is still there after the latest changes were folded in is of a damaged store
            with suppress(FileNotFoundError):
                path.with_name(path.name + end).rename(kept.with_name(kept.name + end))
        if is_there:
            _keep(path, kept)
        try:
            put_in_place(copy, path, like=kept, overwrite=is_there)
        except OSError:
            _take_back(kept, path)
            raise
    return kept if is_there else None


def _free_name(path: Path, now: datetime) -> Path:
    name = f"{path.name}.before-restore-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return next(
        each
        for number in count(1)
        if not (each := path.with_name(name if number == 1 else f"{name}-{number}")).exists()
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Fold the latest changes into the file at *path*, if it is sound, and keep others from it for the block."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=1)) as connection:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise StoreError(
                    path, "is open in another process; end it (a standby host, a run by hand), and try again"
                ) from error
        yield


def _keep(path: Path, kept: Path) -> None:
    """Give the file a second name, or, where the file system has no links, another one."""
    try:
        os.link(path, kept)
    except OSError:
        path.rename(kept)


def _take_back(kept: Path, path: Path) -> None:
    if not path.exists() and kept.exists():
        kept.rename(path)
    elif kept.exists() and kept.samefile(path):
        kept.unlink()
