"""Moving one file between two open folders, so that a crash leaves it whole in at least one."""

from __future__ import annotations

import errno
import os
import shutil
import stat

from rapua_orphaned_uploads.folders import exists

UNFINISHED = ".orphaned-uploads-unfinished"
"""Name of a copy that is not complete yet; what a crash leaves of it is never taken for a file."""


def move(name: str, source: int, target: int) -> None:
    """Move the file *name* from the folder *source* to the folder *target*; never over another file.

    Both are descriptors. On one file system it is renamed; between two it is copied, synced, and then
    removed at its source.

    Raises:
        FileExistsError: The target holds something of that name.
        OSError: It cannot be moved.
    """
    if exists(name, target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    try:
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(name, source, target)
        os.unlink(name, dir_fd=source)


def _copy(name: str, source: int, target: int) -> None:
    with os.fdopen(_open_file(name, source), "rb") as original:
        found = os.fstat(original.fileno())
        if exists(UNFINISHED, target):
            os.unlink(UNFINISHED, dir_fd=target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(UNFINISHED, flags, 0o600, dir_fd=target), "wb") as copy:
                shutil.copyfileobj(original, copy, 1024 * 1024)
                copy.flush()
                os.fchmod(copy.fileno(), stat.S_IMODE(found.st_mode))
                os.utime(copy.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
                os.fsync(copy.fileno())
            os.rename(UNFINISHED, name, src_dir_fd=target, dst_dir_fd=target)
            os.fsync(target)
        except BaseException:
            if exists(UNFINISHED, target):
                os.unlink(UNFINISHED, dir_fd=target)
            raise


def _open_file(name: str, folder: int) -> int:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", name)
