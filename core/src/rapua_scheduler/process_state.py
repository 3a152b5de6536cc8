"""Notice what jobs change of the process that everybody shares, and change it back."""

from __future__ import annotations

import contextlib
import fcntl
import locale
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rapua_scheduler.clock import Clock
from rapua_scheduler.executors.port import Work
from rapua_scheduler.logs import ROOT, get_logger

LOOK_EVERY = 1.0
"""Seconds between two looks of the host."""

FULLEST = 0.8
"""Share of the descriptors that there may be; beyond it nothing starts."""

_CANNOT_BE_TOLD = ""
_PATIENCE = 2
"""Looks after which what is changed is changed back: whoever changes it for a moment may do so."""

_COUNT_EVERY = 0.1
_SAY_AGAIN_AFTER = 60.0
_OUR_DESCRIPTORS = 10  # the copies of the standard streams go above this
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_TORN = (
    "error: a job has closed descriptors that are the host's, which can do nothing more; start the host again "
    '(isolation = "process" is for jobs that close what they have not opened)\n'
)
_log = get_logger("rapua_scheduler.host")


class _Aspect:
    """One thing that the process has one of, as it was when the host had set it up."""

    def __init__(self, name: str, read: Callable[[], Any], restore: Callable[[Any], object]) -> None:
        self._name = name
        self._read = read
        self._restore = restore
        self._home = self._look()
        self._looks = 0

    def _look(self) -> Any:
        try:
            return self._read()
        except Exception as error:  # as a working directory that is gone, or a stream that is closed
            return type(error).__name__

    def hold(self, *, patience: int = _PATIENCE, **told: object) -> None:
        """Change it back, if this is the *patience*th look in a row at which it is another."""
        now = self._look()
        if now in (self._home, _CANNOT_BE_TOLD):
            self._looks = 0
            return
        self._looks += 1
        if self._looks < patience:
            return
        self._looks = 0
        problem = None
        try:
            self._restore(self._home)
        except Exception as error:
            problem = type(error).__name__
        _log.error(
            "Process changed by a job",
            what=self._name,
            was=str(self._home),
            became=str(now),
            problem=problem,
            hint='isolation = "process" is for jobs that need this',
            **told,
        )


class ProcessState:
    """The state of the host's process; to be made in its main thread, when the plugins are loaded.

    `look` belongs to the main thread, the rest to any.

    Attributes:
        has_room: Whether there are descriptors enough to start something.
    """

    def __init__(self, clock: Clock) -> None:
        """Take the process as it is for right."""
        self._clock = clock
        self.has_room = True
        self._is_closed = False
        self._count_at = 0.0
        self._counting = threading.Lock()
        self._say_again_at = 0.0
        self._folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._cwd = _Aspect("working directory", _cwd, lambda _: os.fchdir(self._folder))
        self._cwd_home = os.fstat(self._folder)
        self._streams = {number: copy for number in range(3) if (copy := _copy(number)) is not None}
        self._aspects = [
            _Aspect("umask", _umask, lambda home: os.umask(int(home, 8))),
            _Aspect(
                "locale", lambda: locale.setlocale(locale.LC_ALL), lambda home: locale.setlocale(locale.LC_ALL, home)
            ),
            _Aspect("default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
            _Aspect("switch interval of threads", sys.getswitchinterval, sys.setswitchinterval),
            _Aspect("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
            *(self._stream_aspect(number, copy) for number, copy in self._streams.items()),
            _python_stream("stdout", 1),
            _python_stream("stderr", 2),
        ]
        self._handlers = list(logging.getLogger().handlers)
        self._level = logging.getLogger(ROOT).level
        self._disabled = logging.root.manager.disable
        self._signals = {number: signal.getsignal(number) for number in _SIGNALS}
        self._environment = self._environment_home = dict(os.environ)
        self._environment_looks = 0

    @staticmethod
    def _stream_aspect(number: int, copy: int) -> _Aspect:
        return _Aspect(
            f"descriptor {number}", lambda: _identity(number), lambda _: os.dup2(copy, number, inheritable=True)
        )

    def close(self) -> None:
        """Change back what is another now, and let go of what was kept to do so."""
        for aspect in self._aspects:
            aspect.hold(patience=1)
        self._is_closed = True
        for descriptor in (self._folder, *self._streams.values()):
            os.close(descriptor)

    def look_after(self, work: Work) -> None:
        """Look at what a run that has just ended may have left behind; quick, and never raises."""
        self._end_if_torn()
        if self._clock.monotonic() >= self._count_at:
            self._count_descriptors()
        try:
            here = os.stat(".")  # noqa: PTH116  the quickest there is
            if (here.st_ino, here.st_dev) == (self._cwd_home.st_ino, self._cwd_home.st_dev):
                return
        except OSError:
            pass
        with contextlib.suppress(Exception):
            run = work.assignment and work.assignment.run
            self._cwd.hold(patience=1, job_key=run and run.job_key, run_id=run and run.run_id)

    def look(self) -> None:
        """Look at everything, and change back what has been another for a while."""
        self._end_if_torn()
        self._hold_logging()  # first, so that the rest is heard
        for aspect in self._aspects:
            aspect.hold()
        self._hold_signals()
        self._look_at_environment()
        self._count_descriptors()

    def _hold_logging(self) -> None:
        root, ours = logging.getLogger(), logging.getLogger(ROOT)
        missing = [handler for handler in self._handlers if handler not in root.handlers]
        disabled = [
            logger
            for name, logger in list(logging.root.manager.loggerDict.items())
            if name.partition(".")[0] == ROOT and isinstance(logger, logging.Logger) and logger.disabled
        ]
        is_cut_off = ours.level != self._level or not ours.propagate or root.manager.disable != self._disabled
        if missing or disabled or is_cut_off:
            logging.disable(self._disabled)
            for handler in missing:
                root.addHandler(handler)
            for logger in disabled:
                logger.disabled = False
            ours.setLevel(self._level)
            ours.propagate = True
            _log.error("Process changed by a job", what="logging", hint="leave the loggers of others alone")

    def _hold_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in self._signals.items():
            if handler is None:
                continue
            found = signal.signal(number, handler)  # set anew even if nothing shows: C code may have changed it
            if found is not handler:
                _log.error("Process changed by a job", what=f"handler of {number.name}")

    def _end_if_torn(self) -> None:
        """End the process if somebody has closed descriptors that are not theirs.

        Then the store is not to be touched any more: the lock that made this the host has gone, and
        the numbers of its files may be those of others. What runs is lost, and run again by the next host.
        """
        with contextlib.suppress(OSError):
            if _identity(self._folder) == (self._cwd_home.st_dev, self._cwd_home.st_ino):
                return
        if not self._is_closed:
            with contextlib.suppress(OSError):
                os.write(2, _TORN.encode())  # the log has lost its descriptor as well
            os._exit(1)

    def _look_at_environment(self) -> None:
        home = self._environment_home
        try:
            now = dict(os.environ)
        except (KeyError, RuntimeError):  # a job changes it at this very moment: the next look sees
            return
        if now != self._environment:
            _log.warning("Environment changed by a job", names=_differing(now, self._environment))
        self._environment = now
        changed = {name: value for name, value in home.items() if now.get(name) != value}
        self._environment_looks = self._environment_looks + 1 if changed else 0
        if self._environment_looks >= _PATIENCE:
            self._environment_looks = 0
            os.environ.update(changed)
            self._environment = dict(os.environ)
            _log.error("Process changed by a job", what="environment", names=sorted(changed))

    def _count_descriptors(self) -> None:
        with self._counting:
            now = self._clock.monotonic()
            self._count_at = now + _COUNT_EVERY
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            count = open_descriptors()
            had_room, self.has_room = self.has_room, limit == resource.RLIM_INFINITY or count < limit * FULLEST
            if self.has_room:
                if not had_room:
                    _log.warning("Descriptors suffice again", open=count, limit=limit)
            elif had_room or now >= self._say_again_at:
                self._say_again_at = now + _SAY_AGAIN_AFTER
                _log.error(
                    "Nothing starts: descriptors run out",
                    open=count,
                    limit=limit,
                    most=_most_open(),
                    hint="a job leaves files or connections open; start the host again",
                )


def _differing(some: dict[str, str], others: dict[str, str]) -> list[str]:
    """Return the names, and never the values, which may be secret."""
    return sorted(name for name in some.keys() | others.keys() if some.get(name) != others.get(name))


def open_descriptors() -> int:
    """Return how many descriptors this process has open; if there is none left to count them with, all."""
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _most_open() -> list[str]:
    """Return what most descriptors are open for, such as "/var/log/x (800)"."""
    found: Counter[str] = Counter()
    with contextlib.suppress(OSError):
        for descriptor in Path("/dev/fd").iterdir():
            with contextlib.suppress(OSError):
                found[str(descriptor.readlink()).partition(":")[0]] += 1
    return [f"{name} ({count})" for name, count in found.most_common(3)]


def _cwd() -> str:
    return str(Path.cwd())


def _umask() -> str:
    """Return the umask, which can only be read without changing it where there is /proc."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return line.split()[1]
    return _CANNOT_BE_TOLD


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _copy(descriptor: int) -> int | None:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _OUR_DESCRIPTORS)
    except OSError:
        return None


def _python_stream(name: str, number: int) -> _Aspect:
    home = getattr(sys, name)

    def read() -> str:
        stream = getattr(sys, name)  # somebody may have put another in its place for a while
        return "closed" if stream is None or stream.closed else "open"

    def restore(_: str) -> None:
        usable = home if home is not None and not home.closed else open(number, "w", closefd=False)  # noqa: SIM115
        setattr(sys, name, usable)

    return _Aspect(f"sys.{name}", read, restore)
