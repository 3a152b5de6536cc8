"""What a host and the process of a job say to each other: JSON objects, one a line; nothing is pickled.

The host sends an `Order`, and later perhaps `{"cancel": reason}`. The process sends `{"progress": [done,
total]}` and `{"line": [level, text], "event": fields}` as it goes, and at last one of `{"result": mapping or
null}`, `{"error": text}` and `{"cancelled": reason}`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from attrs import field, frozen

from rapua_scheduler.run import Run, Trigger

LONGEST_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message at most."""

FINAL = ("result", "error", "cancelled")
"""What a process says last."""


class ProtocolError(Exception):
    """The other side said something that it never says."""


def encode(message: Mapping[str, object]) -> bytes:
    """Return *message* as a line; a lone surrogate becomes an escape of JSON."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


class Messages:
    """Puts messages together from the pieces in which they arrive."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the messages that *data* completes.

        Raises:
            ProtocolError: A message is no JSON object, or longer than `LONGEST_MESSAGE`.
        """
        *complete, rest = data.split(b"\n")
        for piece in complete:
            line = b"".join([*self._pieces, piece])
            self._pieces, self._length = [], 0
            yield _decode(line)
        if rest:
            self._pieces.append(rest)
            self._length += len(rest)
            if self._length > LONGEST_MESSAGE:
                raise ProtocolError(f"a message longer than {LONGEST_MESSAGE} bytes")


def _decode(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("a message that is not JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("a message that is no object")
    return message


@frozen
class Limits:
    """What the process of a job may use at most; None is what the host may.

    Attributes:
        memory: Bytes of memory that it does not share; about 60 MiB are Python's and ours.
        open_files: Descriptors.
    """

    memory: int | None = None
    open_files: int | None = None


@frozen(kw_only=True)
class ChildSetup:
    """How a host makes the processes of jobs, so that these find what it found.

    Attributes:
        config: The configuration file that the host was asked to read; None if it looked for one.
        site: The site's folder that it was given.
        cwd: The host's working directory, absolute.
        grace: How long a job may go on once it is cancelled, before its process is killed.
        environment: The host's environment, as it was before any job could change it.
        import_path: Where the host imports from, likewise.
    """

    config: Path | None
    site: Path | None
    cwd: Path
    grace: timedelta = timedelta(seconds=30)
    environment: Mapping[str, str] = field(factory=lambda: dict(os.environ), repr=False)
    import_path: tuple[str, ...] = field(factory=lambda: tuple(sys.path), repr=False)


@frozen(kw_only=True)
class Order:
    """What a process is to do, and how it finds it.

    Attributes:
        plugin: Name of the plugin that brings the job.
        distribution: The package that holds it.
        version: That package's version as the host knows it.
        run: The run, with the number of the attempt.
        dry_run: Whether the job must stop short of every effect.
        now: The host's time, in UTC.
        remaining: Seconds until the attempt times out; None is never.
        last_success: Fire time of the job's newest run that succeeded, in UTC.
        config: The configuration file that the host was asked to read; None if it looked for one.
        site: The site's folder that it was given.
        cwd: The host's working directory, absolute.
        import_path: Where the host imports from.
        limits: What the process may use.
    """

    plugin: str
    distribution: str
    version: str
    run: Run
    dry_run: bool
    now: datetime
    remaining: float | None
    last_success: datetime | None
    config: Path | None
    site: Path | None
    cwd: Path
    import_path: tuple[str, ...]
    limits: Limits

    def encode(self) -> bytes:
        """Return the order as a line."""
        run = self.run
        return encode(
            {
                "plugin": self.plugin,
                "distribution": self.distribution,
                "version": self.version,
                "run_id": run.run_id,
                "job_key": run.job_key,
                "fire_time": run.fire_time.isoformat(),
                "fire_key": run.fire_key,
                "trigger": run.trigger.value,
                "attempt": run.attempt,
                "dry_run": self.dry_run,
                "now": self.now.isoformat(),
                "remaining": self.remaining,
                "last_success": None if self.last_success is None else self.last_success.isoformat(),
                "config": _text(self.config),
                "site": _text(self.site),
                "cwd": str(self.cwd),
                "import_path": self.import_path,
                "memory": self.limits.memory,
                "open_files": self.limits.open_files,
            }
        )

    @classmethod
    def decode(cls, message: Mapping[str, Any]) -> Self:
        """Return the order that *message* is."""
        last_success = message["last_success"]
        return cls(
            plugin=message["plugin"],
            distribution=message["distribution"],
            version=message["version"],
            run=Run(
                message["run_id"],
                message["job_key"],
                datetime.fromisoformat(message["fire_time"]),
                message["fire_key"],
                Trigger(message["trigger"]),
                attempt=message["attempt"],
            ),
            dry_run=message["dry_run"],
            now=datetime.fromisoformat(message["now"]),
            remaining=message["remaining"],
            last_success=None if last_success is None else datetime.fromisoformat(last_success),
            config=_path(message["config"]),
            site=_path(message["site"]),
            cwd=Path(message["cwd"]),
            import_path=tuple(message["import_path"]),
            limits=Limits(message["memory"], message["open_files"]),
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
