"""The processes of a host's jobs: started, heard and ended by one thread, which waits for none of them."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rapua_scheduler.clock import SystemClock
from rapua_scheduler.executors.output import Output
from rapua_scheduler.executors.wire import FINAL, Messages, ProtocolError
from rapua_scheduler.logs import get_logger
from rapua_scheduler.outcomes import describe_error

LINGER = 5.0
"""Seconds that a process may take to end once it has said its last word, before it is killed."""

_PIECE = 64 * 1024
_MUCH = _PIECE // 4
_MOST_DRAINED = 32  # pieces; a process that has left its group may go on to print
_LINES_EVERY = 0.2
_LOOK_EVERY = 0.5  # in case somebody else holds the end of the channel of a process that is gone
_LOOK_SOON = 0.005
_BREATH = 0.001
_CLOSE_WITHIN = 2.0
_log = get_logger("rapua_scheduler.executors")


class Listener(Protocol):
    """Is told what becomes of a process; quickly, and in the thread of the `Children`."""

    def note_message(self, message: Mapping[str, Any]) -> None:
        """Note what it says, but for its last word."""

    def note_lines(self, lines: Sequence[str]) -> None:
        """Note what it prints."""

    def note_exit(self, child: Child) -> None:
        """Note that it has ended; everything that it said and printed was told."""


class Child:
    """One process.

    Attributes:
        pid: Its id, and that of the process group which it leads.
        channel: The host's end of what it speaks through.
        output: The host's end of what it prints into.
        final: What it said last; None if it did not come to that.
        exit_code: How it ended, as `subprocess` tells it; None while it lives.
        is_silent: Whether it can say no more.
        kill_at: When it is killed if it lives on, on the monotonic clock.
    """

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket, listener: Listener) -> None:
        assert process.stdout is not None  # noqa: S101  it was asked for
        self._process = process
        self._stdout = process.stdout
        self._listener = listener
        self._printed = Output()
        self._messages = Messages()
        self._unsent = b""
        self.pid = process.pid
        self.channel = channel
        self.output = self._stdout.fileno()
        self.final: Mapping[str, Any] | None = None
        self.exit_code: int | None = None
        self.is_silent = False
        self.kill_at: float | None = None
        channel.setblocking(False)
        os.set_blocking(self.output, False)

    @property
    def has_printed(self) -> bool:
        """Whether lines wait to be told."""
        return self._printed.is_waiting

    @property
    def tail(self) -> Sequence[str]:
        """The newest lines that it printed, oldest first."""
        return self._printed.tail()

    def send(self, message: bytes = b"") -> bool:
        """Tell it *message* after whatever was not sent yet; False if something is left to be sent."""
        self._unsent += message
        try:
            while self._unsent:
                self._unsent = self._unsent[self.channel.send(self._unsent) :]
        except BlockingIOError:
            return False
        except OSError:  # it has ended, or closed its end: what comes of that is heard elsewhere
            self._unsent = b""
        return True

    def hear(self) -> int:
        """Take in what it says, and return how many bytes that were; none, if it says nothing right now.

        Raises:
            ProtocolError: It says what it never says.
        """
        data = _read(lambda: self.channel.recv(_PIECE))
        if data is None:
            return 0
        if not data:
            self.is_silent = True
        for message in self._messages.feed(data):
            if self.final is None and any(word in message for word in FINAL):
                self.final = message
            elif self.final is None:
                self._listener.note_message(message)
        return len(data)

    def take_output(self) -> int | None:
        """Take in what it prints, and return how many bytes that were; None if it will print no more."""
        data = _read(lambda: os.read(self.output, _PIECE))
        if data is None:
            return 0
        if not data:
            return None
        self._printed.feed(data)
        return len(data)

    def tell_lines(self, *, is_last: bool = False) -> None:
        """Tell the listener what it has printed."""
        lines = self._printed.take_lines(is_last=is_last)
        if lines:
            self._listener.note_lines(lines)

    def tell_exit(self) -> None:
        """Tell the listener that it has ended."""
        self._listener.note_exit(self)

    def has_exited(self) -> bool:
        """Tell whether it has ended; what it leaves behind in its process group is killed."""
        if self.exit_code is None and self._process.poll() is not None:
            self.kill()
            self.exit_code = self._process.returncode
        return self.exit_code is not None

    def kill(self) -> None:
        """Kill it, and whatever it has started in its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill it, and close the host's ends."""
        if self.exit_code is None:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_WITHIN)
        self.channel.close()
        self._stdout.close()


class Children:
    """Starts processes, hears what they say and print, and learns how they end.

    All of it happens in one daemon thread. `post` and `close` are for any thread, the other methods for
    that one. On Linux a process can be made to die with the *thread* that started it, so this one lives
    as long as the host needs it.
    """

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._never = threading.Event()
        self._posted: deque[Callable[[], None]] = deque()
        self._children: set[Child] = set()
        self._lines_at = self._look_at = 0.0
        self._closed = False
        self._is_over = False
        self._ringing = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._hush)
        self._thread = threading.Thread(target=self._serve, name="children", daemon=True)
        self._thread.start()

    def post(self, call: Callable[[], None]) -> None:
        """Have the thread call *call*; does nothing once closed."""
        self._posted.append(call)
        with self._ringing:
            if not self._is_over:
                with contextlib.suppress(BlockingIOError):  # a full pipe rings too
                    os.write(self._ring, b"\0")

    def close(self) -> None:
        """Kill every process, and end the thread."""
        self._closed = True
        self.post(lambda: None)
        self._thread.join(_CLOSE_WITHIN)

    def start(
        self,
        command: Iterable[str],
        greeting: bytes,
        listener: Listener,
        *,
        cwd: Path,
        environment: Mapping[str, str],
    ) -> Child:
        """Start a process.

        Args:
            command: The program and its arguments; the number of the descriptor that it is to speak
                through is added to them.
            greeting: What it is told first.
            listener: Is told what becomes of it.
            cwd: Its working directory.
            environment: Its environment.

        Raises:
            OSError: It could not be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    cwd=cwd,
                    env=environment,
                    bufsize=0,
                )
            except BaseException:
                ours.close()
                raise
        child = Child(process, ours, listener)
        self._children.add(child)
        try:
            self._selector.register(child.output, selectors.EVENT_READ, partial(self._take_output, child))
            self._selector.register(child.channel, selectors.EVENT_READ, partial(self._hear, child))
            self.send(child, greeting)
        except BaseException:  # nobody would hear of its end
            self._children.discard(child)
            for source in (child.output, child.channel):
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(source)
            child.close()
            raise
        return child

    def send(self, child: Child, message: bytes) -> None:
        """Tell *child* something, in pieces if it takes its time."""
        is_sent = child.send(message)
        if child in self._children and not child.is_silent:
            events = selectors.EVENT_READ | (0 if is_sent else selectors.EVENT_WRITE)
            self._selector.modify(child.channel, events, partial(self._hear, child))

    def kill_within(self, child: Child, seconds: float) -> None:
        """Kill *child* if it lives on for *seconds*, or for less, if that was said before."""
        at = self._clock.monotonic() + seconds
        child.kill_at = at if child.kill_at is None else min(child.kill_at, at)

    # -- the thread

    def _serve(self) -> None:
        while not self._closed:
            if self._attempt(self._turn) is None:  # whatever is wrong, the others are not to be left alone
                self._clock.wait(self._never, _LOOK_EVERY)
        for child in self._children:
            child.close()
        self._selector.close()
        with self._ringing:
            self._is_over = True
            os.close(self._bell)
            os.close(self._ring)

    def _turn(self) -> bool:
        is_flooded = False
        for key, _ in self._selector.select(self._patience()):
            is_flooded |= key.data()
        while self._posted:
            self._attempt(self._posted.popleft())
        self._look_after_all()
        if is_flooded:  # leave the processor to others for a moment
            self._clock.wait(self._never, _BREATH)
        return True

    def _hush(self) -> bool:
        os.read(self._bell, _PIECE)
        return False

    def _patience(self) -> float | None:
        if not self._children:
            return None
        now = self._clock.monotonic()
        waits = [_LOOK_EVERY]
        for child in self._children:
            if child.kill_at is not None:
                waits.append(child.kill_at - now)
            if child.is_silent:
                waits.append(_LOOK_SOON)
            if child.has_printed:
                waits.append(self._lines_at - now)
        return max(0.0, min(waits))

    def _look_after_all(self) -> None:
        now = self._clock.monotonic()
        is_time_for_lines, is_time_to_look = now >= self._lines_at, now >= self._look_at
        if is_time_for_lines:
            self._lines_at = now + _LINES_EVERY
        if is_time_to_look:
            self._look_at = now + _LOOK_EVERY
        for child in list(self._children):
            if is_time_for_lines and child.has_printed:
                self._attempt(child.tell_lines, child)
            if child.kill_at is not None and child.kill_at <= now:
                child.kill_at = None
                child.kill()
            if (child.is_silent or is_time_to_look) and child.has_exited():
                self._see_off(child)

    def _hear(self, child: Child) -> bool:
        self.send(child, b"")
        heard = self._attempt(child.hear, child) or 0
        if child.is_silent:
            self._selector.unregister(child.channel)
        if child.is_silent or child.final is not None:
            self.kill_within(child, LINGER)
        return heard >= _MUCH

    def _take_output(self, child: Child) -> bool:
        taken = child.take_output()
        if taken is None:
            self._selector.unregister(child.output)
        return (taken or 0) >= _MUCH

    def _see_off(self, child: Child) -> None:
        self._children.discard(child)
        for end in (child.channel, child.output):
            with contextlib.suppress(KeyError):
                self._selector.unregister(end)
        for take in (child.hear, child.take_output):
            for _ in range(_MOST_DRAINED):
                if not self._attempt(take, child):
                    break
        self._attempt(partial(child.tell_lines, is_last=True), child)
        child.close()
        self._attempt(child.tell_exit)

    def _attempt(self, step: Callable[[], int | None], child: Child | None = None) -> int | None:
        """Call *step*; if it raises, *child* is done for, and the other processes are not."""
        try:
            return step()
        except ProtocolError as error:
            _log.error("Process of a job killed", pid=child and child.pid, problem=f"it sent {error}")
        except Exception as error:
            _log.error("Process executor failed", pid=child and child.pid, exception=describe_error(error))
        if child is not None:
            child.is_silent = True
            child.kill()
        return None


def _read(read: Callable[[], bytes]) -> bytes | None:
    try:
        return read()
    except BlockingIOError:
        return None
    except OSError:
        return b""
