"""Keep other processes from taking a store's -wal file away beneath a host whose locks a job has dropped.

SQLite's locks are those of POSIX: a job in the host's process that reads the store's files, as to copy
their folder, drops them all when it closes one. The next command that ends would then take itself for
the last user, fold the -wal file in and delete it, and whatever the host commits from then on would be
in a file without a name. So a host holds two locks more, of the kind that belongs to the opened file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from rapua_scheduler.store.locks import IS_LINUX, SET_LOCK, lock_request

# Source: SQLite's os_unix.c and "File Locking And Concurrency": a reader's lock on the database, which
# the last user needs for itself alone, and that of a user of the -shm file, without which it is emptied.
_LOCKS = (("", 0x4000_0002, 510), ("-shm", 128, 1))

_guards: set[Guard] = set()


class Guard:
    """The locks of one opening. Its files are closed last: that drops what SQLite holds in this process."""

    def __init__(self, store: Path) -> None:
        """Take the locks, as far as the system has such; a connection to *store* must be open."""
        self._descriptors: list[int] = []
        if IS_LINUX:
            with contextlib.suppress(OSError):
                for end, start, length in _LOCKS:
                    descriptor = os.open(store.with_name(store.name + end), os.O_RDONLY | os.O_CLOEXEC)
                    self._descriptors.append(descriptor)
                    fcntl.fcntl(descriptor, SET_LOCK, lock_request(fcntl.F_RDLCK, start, length))
        _guards.add(self)

    def release(self) -> None:
        """Drop the locks, so that the last connection to be closed folds the -wal file in."""
        for descriptor, (_, start, length) in zip(self._descriptors, _LOCKS, strict=False):
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, SET_LOCK, lock_request(fcntl.F_UNLCK, start, length))

    def close(self) -> None:
        """Close the files; no connection of this process to the store may be open any more."""
        _guards.discard(self)
        while self._descriptors:
            os.close(self._descriptors.pop())


def _forget() -> None:
    for guard in list(_guards):
        guard.close()


# A forked child must not keep alive the locks of its parent.
os.register_at_fork(after_in_child=_forget)
