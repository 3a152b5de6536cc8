"""The lock file beside a store: whose store it is, what it has noted, which openings live, and which is the host's.

Its locks are the operating system's, so they end with their process, however that ends. On Linux they
belong to the opened file. Elsewhere they are those of POSIX, which belong to the process, and which
closing *any* descriptor of the file drops; so a process opens the file once, however many openings of
the store it has, and a job there that reads the file, as to copy its folder, takes the host's lock away.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import struct
import sys
import threading
from pathlib import Path

from rapua_scheduler.errors import StoreError

HOST = 0
"""The byte that the active host has locked; byte n > 0 is that of owner n."""

IS_LINUX = sys.platform == "linux"
"""Whether locks belong to the opened file rather than to the process."""

SET_LOCK = fcntl.F_OFD_SETLK if IS_LINUX else fcntl.F_SETLK
"""The request that takes or drops a lock, or fails at once."""

_HELD_ELSEWHERE = {errno.EACCES, errno.EAGAIN}
_ASK = fcntl.F_OFD_GETLK if IS_LINUX else fcntl.F_GETLK
_LONGEST_TEXT = 200
_OWN = re.compile(rb"rapua-scheduler store (\w+)\n")
_NOTE = b"commits %020d\n"
_NOTED = re.compile(rb"[^\n]*\ncommits (\d{20})\n")

_registry_lock = threading.RLock()
_registry: dict[Path, LockFile] = {}


def lock_path(store: Path) -> Path:
    """Return the path of the lock file of the store at *store*."""
    return store.with_name(f"{store.name}.lock")


class LockFile:
    """The lock file of one store, shared by all openings of the store in this process."""

    def __init__(self, store: Path, descriptor: int) -> None:
        """Use `share`; there must be one of these a file."""
        self._store = store
        self._descriptor = descriptor
        self._first_line = b""
        self._held: set[int] = set()
        self._users = 0

    @classmethod
    def share(cls, store: Path, store_id: str | None) -> LockFile:
        """Return the lock file of the store at *store*; made if there is none, to be given back with `leave`.

        Args:
            store: Absolute path of the store's file.
            store_id: The id of the store there; None to lock whatever is there, or nothing.

        Raises:
            StoreError: It cannot be opened, or belongs to a store with another id.
        """
        with _registry_lock:
            shared = _registry.get(store)
            if shared is None:
                shared = cls(store, _open(store))
                try:
                    shared._claim_for(store_id)
                except BaseException:
                    os.close(shared._descriptor)
                    raise
                _registry[store] = shared
            else:
                shared._claim_for(store_id)
            shared._users += 1
            return shared

    def leave(self) -> None:
        """Give it back; the last one that does closes it."""
        with _registry_lock:
            self._users -= 1
            if not self._users and _registry.get(self._store) is self:  # in a forked child it is closed already
                del _registry[self._store]
                os.close(self._descriptor)

    def text(self) -> bytes:
        """Return what it says."""
        return os.pread(self._descriptor, _LONGEST_TEXT, 0)

    def noted(self) -> int:
        """Return the highest number of commits that was noted; 0 if none was."""
        with _registry_lock:
            return _number_in(self.text())

    def note(self, commits: int) -> None:
        """Note that the store has had so many commits, unless more are noted already.

        What cannot be noted is left: the commit is durable all the same.
        """
        with _registry_lock, contextlib.suppress(OSError):
            if self._users and commits > _number_in(self.text()):
                os.pwrite(self._descriptor, self._first_line + _NOTE % commits, 0)

    def hand_over(self, store_id: str, commits: int) -> None:
        """Let it belong to another store, or to another state of its own, that has been put in place.

        Raises:
            StoreError: It could not be written.
        """
        self._first_line = _first_line(store_id)
        try:
            os.pwrite(self._descriptor, self._first_line + _NOTE % commits, 0)
        except OSError as error:
            raise StoreError(
                self._store, f"its lock file {lock_path(self._store)} cannot be written ({error.strerror})"
            ) from error

    def lock(self, byte: int) -> bool:
        """Lock *byte* until `unlock` or the end of this process; False if somebody, here or elsewhere, has."""
        with _registry_lock:
            if byte in self._held or not self._try(byte):
                return False
            self._held.add(byte)
            return True

    def unlock(self, byte: int) -> None:
        """Unlock *byte*, which this process has locked."""
        with _registry_lock:
            self._held.remove(byte)
            fcntl.fcntl(self._descriptor, SET_LOCK, lock_request(fcntl.F_UNLCK, byte, 1))

    def is_locked(self, byte: int) -> bool:
        """Tell whether somebody, here or elsewhere, has locked *byte*; it is not taken to find out."""
        with _registry_lock:
            return byte in self._held or _is_held_elsewhere(self._store, self._descriptor, byte)

    def _try(self, byte: int) -> bool:
        try:
            fcntl.fcntl(self._descriptor, SET_LOCK, lock_request(fcntl.F_WRLCK, byte, 1))
        except OSError as error:
            if error.errno in _HELD_ELSEWHERE:
                return False
            raise _no_locks(self._store, error) from error
        return True

    def _claim_for(self, store_id: str | None) -> None:
        path = lock_path(self._store)
        try:
            there = path.stat()
        except OSError:
            there = None
        here = os.fstat(self._descriptor)
        if there is None or (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            raise StoreError(self._store, f"its lock file {path} was deleted while in use; start this process anew")
        if store_id is None:
            return
        expected = self._first_line = _first_line(store_id)
        text = self.text()
        if text.startswith(expected):
            return
        if not expected.startswith(text.rstrip(b"\0")):  # not merely new, or cut off by a crash
            raise StoreError(
                self._store,
                f"is not the store that its lock file {path} belongs to; put the right file back, or, if this one is "
                "to take its place, stop everything that uses either and delete the lock file",
            )
        os.pwrite(self._descriptor, expected, 0)


def noted_beside(store: Path) -> int:
    """Return the number of commits that the lock file of the store at *store* has noted; 0 if there is none."""
    return _number_in(_text_beside(store))


def store_id_beside(store: Path) -> str:
    """Return the id of the store that the lock file at *store* belongs to; empty if there is none."""
    found = _OWN.match(_text_beside(store))
    return "" if found is None else found[1].decode()


def _text_beside(store: Path) -> bytes:
    with _registry_lock:
        shared = _registry.get(store)
        if shared is not None:
            return shared.text()
        try:
            return lock_path(store).read_bytes()  # no lock of this process is on it: it would be shared
        except OSError:
            return b""


def _first_line(store_id: str) -> bytes:
    return f"rapua-scheduler store {store_id}\n".encode()


def _number_in(text: bytes) -> int:
    found = _NOTED.match(text)
    return 0 if found is None else int(found[1])


def is_held(store: Path, byte: int) -> bool:
    """Tell whether somebody, here or elsewhere, has locked *byte*, whoever asks; it is not taken to find out.

    Raises:
        StoreError: That cannot be told.
    """
    with _registry_lock:
        shared = _registry.get(store)
        if shared is not None:
            return shared.is_locked(byte)
        try:
            descriptor = os.open(lock_path(store), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(store, f"its lock file cannot be read ({error.strerror})") from error
        try:
            return _is_held_elsewhere(store, descriptor, byte)
        finally:
            os.close(descriptor)  # this process has no locks on it to lose


def _is_held_elsewhere(store: Path, descriptor: int, byte: int) -> bool:
    """Ask for the lock without taking it, so that nobody who wants it is refused meanwhile."""
    try:
        answer = fcntl.fcntl(descriptor, _ASK, lock_request(fcntl.F_WRLCK, byte, 1))
    except OSError as error:
        raise _no_locks(store, error) from error
    return bool(struct.unpack(_LAYOUT, answer)[0 if IS_LINUX else 3] != fcntl.F_UNLCK)


_LAYOUT = "hhqqi" if IS_LINUX else "qqihh"  # of `struct flock`


def lock_request(kind: int, start: int, length: int) -> bytes:
    """Return what the system is asked for: a lock of *kind* on *length* bytes from *start*."""
    fields = (kind, os.SEEK_SET, start, length, 0) if IS_LINUX else (start, length, 0, kind, os.SEEK_SET)
    return struct.pack(_LAYOUT, *fields)


def _no_locks(store: Path, error: OSError) -> StoreError:
    return StoreError(store, f"the file system of its lock file has no locks ({error})")


def _open(store: Path) -> int:
    path = lock_path(store)
    try:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            _give_like(descriptor, store)
            return descriptor
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(
            store, f"its lock file {path} cannot be opened ({error.strerror}); make both writable for this user"
        ) from error


def _give_like(descriptor: int, store: Path) -> None:
    """Give the lock file to the store's owner, so that a command run by root leaves it open to the host."""
    like = store if store.exists() else store.parent
    status = like.stat()
    with contextlib.suppress(PermissionError):
        os.fchmod(descriptor, status.st_mode & 0o666)
        os.fchown(descriptor, status.st_uid, status.st_gid)


def _forget() -> None:
    global _registry_lock
    _registry_lock = threading.RLock()
    for shared in _registry.values():
        os.close(shared._descriptor)
        shared._descriptor = -1
    _registry.clear()


# A forked child must not keep alive the locks of its parent.
os.register_at_fork(after_in_child=_forget)
