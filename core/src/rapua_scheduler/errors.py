"""The one tree of errors: every exception that this package raises on purpose starts here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class RapuaSchedulerError(Exception):
    """Root of all errors of rapua-scheduler."""


class ConfigurationError(RapuaSchedulerError):
    """The configuration cannot be used; all of its mistakes are listed together.

    Attributes:
        problems: One line a mistake, each naming the file and the key.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class InvalidScheduleError(RapuaSchedulerError, ValueError):
    """A schedule was written that has no meaning, or can never fire.

    Attributes:
        expression: What was written.
        problem: What is wrong with it, and what to write instead.
    """

    def __init__(self, expression: str, problem: str) -> None:
        super().__init__(expression, problem)
        self.expression, self.problem = expression, problem

    def __str__(self) -> str:
        return f"schedule {self.expression!r}: {self.problem}"


class InvalidJobError(RapuaSchedulerError, ValueError):
    """A job was declared with a value that it cannot have.

    Attributes:
        field: The argument of `Job` that is wrong.
        problem: What is wrong with it, and what to write instead.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field, self.problem = field, problem

    def __str__(self) -> str:
        return f"Job({self.field}=…): {self.problem}"


class BrokenNextError(RapuaSchedulerError):
    """A job's next function raised, hung, or returned something that is not a later fire time.

    Attributes:
        problem: What it did, and what it should do.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class PluginError(RapuaSchedulerError):
    """A plugin cannot be used; the host goes on without it."""


class DuplicateJobError(PluginError):
    """Two plugins, or one plugin twice, declared a job under the same key."""

    def __init__(self, key: str, plugins: tuple[str, str]) -> None:
        super().__init__(key, plugins)
        self.key, self.plugins = key, plugins

    def __str__(self) -> str:
        first, second = self.plugins
        return (
            f"job {self.key!r} is declared by both {first!r} and {second!r}; disable one of them, or give one "
            "of the two another key"
        )


class UnknownJobError(RapuaSchedulerError, LookupError):
    """No job has this key.

    Attributes:
        key: The key that was asked for.
        known: Every key there is.
    """

    def __init__(self, key: str, known: Sequence[str]) -> None:
        super().__init__(key, known)
        self.key, self.known = key, tuple(known)

    def __str__(self) -> str:
        if not self.known:
            return f"no job has the key {self.key!r}: there is no job at all (see `rapua-scheduler plugins`)"
        import difflib  # noqa: PLC0415  costs start-up time, and is needed for a typing error only

        close = difflib.get_close_matches(self.key, self.known, n=1)
        hint = f"did you mean {close[0]!r}? There are" if close else "there are"
        return f"no job has the key {self.key!r}; {hint}: {', '.join(sorted(self.known))}"


class RunNotEndedError(RapuaSchedulerError):
    """A job cannot be run by hand beside a run that has not ended.

    Attributes:
        job_key: The job that was to be run.
        run: What has not ended: a run id, and its job's key.
    """

    def __init__(self, job_key: str, run: tuple[str, str]) -> None:
        super().__init__(job_key, run)
        self.job_key, self.run = job_key, run

    def __str__(self) -> str:
        run_id, other = self.run
        whose = "" if other == self.job_key else f" of job {other!r}, which it must not run beside,"
        return (
            f"job {self.job_key!r} was not run: run {run_id}{whose} has not ended; wait for it, or "
            f"`rapua-scheduler cancel {run_id}`"
        )


class StoreError(RapuaSchedulerError):
    """The store cannot be used.

    Attributes:
        path: Absolute path of the store's file.
        problem: What is wrong, and what to do.
    """

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"store {self.path}: {self.problem}"


class OutdatedStoreError(StoreError):
    """The store is of an earlier version, and is brought up to date by what opens it for writing."""


class AnotherHostError(RapuaSchedulerError):
    """Another host is active on this store.

    Attributes:
        path: Absolute path of the store's file.
        holder: What is known of the other host, such as its process id.
    """

    def __init__(self, path: Path | str, holder: str) -> None:
        super().__init__(path, holder)
        self.path, self.holder = path, holder

    def __str__(self) -> str:
        return f"store {self.path}: another host is active ({self.holder}); stop it first"


class SiteError(RapuaSchedulerError):
    """The site a job works on lacks something the job needs, or cannot be read."""


class FolderNotEmptyError(RapuaSchedulerError):
    """A folder that is to be filled holds something already.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"folder {self.path} is not empty; name one that is, or that does not exist yet"


class ContextClosedError(RapuaSchedulerError):
    """A job's context was used after its run had ended.

    Attributes:
        run_id: The run that the context belonged to.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"run {self.run_id} has ended; its context cannot be used any more"


class JobProcessError(RapuaSchedulerError):
    """A job that executes in a process of its own raised there, or its process died.

    Attributes:
        description: What was raised, with its traceback, as described in that process; or how it died.
    """

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description

    def __str__(self) -> str:
        return self.description


class JobCancelled(BaseException):
    """Raised inside a job by its context once the run is cancelled.

    A `BaseException`, so that `except Exception` around one item of a loop lets it through.
    """
