"""The declared jobs in memory: what is known of each, and how far its fire times are decided on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from attrs import evolve

from rapua_scheduler.errors import UnknownJobError
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.store.port import FormerSchedule, StoredJob
from rapua_scheduler.store.texts import storable

_TICK = timedelta(microseconds=1)


class Record:
    """One declared job; a `StoredJob` is made of it when one is asked for."""

    __slots__ = ("first_seen_at", "last_seen_at", "mark", "next_fire_time", "registered")

    def __init__(self, registered: RegisteredJob, at: datetime, mark: datetime) -> None:
        """Record that a job was seen for the first time."""
        self.registered = registered
        self.mark = mark
        self.next_fire_time: datetime | None = None
        self.first_seen_at = at
        self.last_seen_at = at


class Declared:
    """The jobs of a store in memory, by key."""

    def __init__(self) -> None:
        """Begin without any."""
        self._records: dict[str, Record] = {}
        self._formers: dict[str, tuple[FormerSchedule, ...]] = {}

    def declare(self, registered: RegisteredJob, at: datetime, mark: datetime) -> None:
        """Record that a job is installed; *mark* is for one that is new."""
        key = registered.job.key
        record = self._records.get(key)
        if record is None:
            self._records[key] = Record(registered, at, mark)
            return
        former = storable(record.registered.fingerprint)
        if former != storable(registered.fingerprint):
            self._formers[key] = (*self._formers.get(key, ()), FormerSchedule(former, at))
        self.end_formers(key, max(at, record.mark))
        record.registered = registered
        record.last_seen_at = at

    def take_over(self, registered: RegisteredJob, taken: Collection[str]) -> str | None:
        """Give a job that is not known under its key what is known under one it had.

        Args:
            registered: The job.
            taken: Keys that other jobs have now.

        Returns:
            The key that it had; None if there was nothing to take over.
        """
        job = registered.job
        if job.key in self._records:
            return None
        former = next((key for key in job.formerly if key in self._records and key not in taken), None)
        if former is not None:
            self._records[job.key] = self._records.pop(former)
            if former in self._formers:
                self._formers[job.key] = self._formers.pop(former)
        return former

    def mark_of(self, job_key: str) -> datetime | None:
        """Return a job's mark; None if it was never declared."""
        record = self._records.get(job_key)
        return None if record is None else record.mark

    def find(self, job_key: str) -> Record:
        """Return what is recorded of a job that was declared."""
        return self._records[job_key]

    def lower(self, job_key: str, mark: datetime) -> None:
        """Move a job's mark back."""
        record = self._records[job_key]
        record.mark = mark
        record.next_fire_time = None

    def refuse_undeclared(self, job_keys: Iterable[str]) -> None:
        """Refuse jobs that were never declared.

        Raises:
            UnknownJobError: One of them was not.
        """
        for key in job_keys:
            if key not in self._records:
                raise UnknownJobError(key, tuple(self._records))

    def stored(self, job_key: str) -> StoredJob:
        """Return a job as others see it."""
        record = self._records[job_key]
        registered = record.registered
        return StoredJob(
            registered.job.key,
            storable(registered.job.name),
            storable(registered.plugin),
            storable(registered.distribution),
            storable(registered.version),
            storable(registered.schedule),
            storable(registered.fingerprint),
            record.mark,
            record.next_fire_time,
            record.first_seen_at,
            record.last_seen_at,
            self._formers.get(job_key, ()),
        )

    def end_formers(self, job_key: str, at: datetime) -> None:
        """Let no former schedule of a job have been until a time later than *at*."""
        if job_key in self._formers:
            formers = self._formers[job_key]
            self._formers[job_key] = tuple(evolve(former, until=min(former.until, at)) for former in formers)

    def forget_formers(self, before: datetime) -> None:
        """Forget the former schedules that were until a time before *before*, and that the marks are past."""
        for key, formers in self._formers.items():
            until = min(before, self._records[key].mark + _TICK)
            self._formers[key] = tuple(former for former in formers if former.until >= until)

    def __contains__(self, job_key: object) -> bool:
        return job_key in self._records

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._records))


class StoredJobs(Mapping[str, StoredJob]):
    """Makes each `StoredJob` when it is looked at; thousands at once would stay in memory for good."""

    __slots__ = ("_declared", "_keys")

    def __init__(self, declared: Declared, keys: Collection[str]) -> None:
        """Show the jobs with these keys."""
        self._declared = declared
        self._keys = keys

    def __getitem__(self, key: str) -> StoredJob:
        if key not in self._keys:
            raise KeyError(key)
        return self._declared.stored(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
