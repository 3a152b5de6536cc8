"""The jobs of a host, each with the plugin that brought it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from rapua_scheduler.errors import DuplicateJobError, UnknownJobError
from rapua_scheduler.job import Job, takes_after
from rapua_scheduler.schedules import BuiltInSchedule


@frozen(eq=False, weakref_slot=False)
class RegisteredJob:
    """A job and where it came from.

    Attributes:
        job: The job as declared.
        plugin: Name of the plugin's entry point; empty for a job of an embedding application.
        distribution: The installed package that holds the plugin.
        version: That package's version.
        memory_limit: Bytes of memory that the job's process may use, as an operator says; None is no limit.
    """

    job: Job
    plugin: str = ""
    distribution: str = ""
    version: str = ""
    memory_limit: int | None = None

    @property
    def asks_after_each_run(self) -> bool:
        """Whether its next function takes no argument, and is asked at start and after each run."""
        return not takes_after(self.job.next)

    @property
    def schedule(self) -> str:
        """The schedule in words; the function's name for one that is not built in."""
        if isinstance(self.job.next, BuiltInSchedule):
            return str(self.job.next)
        return f"next function {_qualified_name(self.job.next)}"

    @property
    def fingerprint(self) -> str:
        """Text that is the same as long as the schedule is: by value for built-ins, by name for others."""
        if isinstance(self.job.next, BuiltInSchedule):
            return self.job.next.fingerprint
        return f"next {_qualified_name(self.job.next)}"


class Registry(Mapping[str, RegisteredJob]):
    """Jobs by key, in the order they were registered."""

    def __init__(self, jobs: Iterable[RegisteredJob] = ()) -> None:
        """Collect *jobs*.

        Raises:
            DuplicateJobError: Two have the same key.
        """
        self._by_key: dict[str, RegisteredJob] = {}
        for job in jobs:
            self.add(job)

    @classmethod
    def of(cls, *jobs: Job) -> Registry:
        """Return a registry of jobs that no plugin brought."""
        return cls(RegisteredJob(job) for job in jobs)

    def add(self, registered: RegisteredJob) -> None:
        """Add one job.

        Raises:
            DuplicateJobError: Its key is taken.
        """
        key = registered.job.key
        holder = self._by_key.setdefault(key, registered)
        if holder is not registered:
            raise DuplicateJobError(key, (holder.plugin or holder.job.name, registered.plugin or registered.job.name))

    def find(self, key: str) -> RegisteredJob:
        """Return the job with that key.

        Raises:
            UnknownJobError: There is none; names those there are.
        """
        try:
            return self._by_key[key]
        except KeyError:
            raise UnknownJobError(key, tuple(self._by_key)) from None

    def neighbours(self, registered: RegisteredJob) -> tuple[str, ...]:
        """Return the keys of the other jobs that share a job's concurrency key."""
        group = registered.job.concurrency_key
        return tuple(
            key
            for key, other in self.items()
            if group is not None and other.job.concurrency_key == group and other is not registered
        )

    def __getitem__(self, key: str) -> RegisteredJob:
        return self._by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)


def _qualified_name(function: object) -> str:
    try:
        module = getattr(function, "__module__", None) or type(function).__module__
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
    except Exception:  # an object with ways of its own
        return type(function).__name__
    return f"{module}.{name}"
