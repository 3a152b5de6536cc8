"""The process of one job: told by its host what to run, it finds the job by its key, and tells how it ended.

Started by the host as `python -m rapua_scheduler.child KEY DESCRIPTOR`; see `executors.wire` for what the
two say to each other. Here the job runs in the main thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import importlib
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, cast

import attrs

from rapua_scheduler.clock import Clock, ShiftedClock, SystemClock
from rapua_scheduler.config import Config, load_config
from rapua_scheduler.context import Cancellation, JobContext, is_cancellation
from rapua_scheduler.errors import JobProcessError
from rapua_scheduler.executors.forks import leave_if_forked
from rapua_scheduler.executors.wire import LONGEST_MESSAGE, Limits, Messages, Order, ProtocolError, encode
from rapua_scheduler.job import call_run, is_async
from rapua_scheduler.logs import configure_logging
from rapua_scheduler.outcomes import describe_error, plain_result
from rapua_scheduler.plugin_loader import KnownProviders, load_plugins
from rapua_scheduler.plugin_loader.plugins import Provider
from rapua_scheduler.recorder import LoggedLine, Recorder
from rapua_scheduler.registry import RegisteredJob

TELL_EVERY = 0.2
"""Seconds after which what the job has logged, and how far it is, is told to the host."""

_PIECE = 64 * 1024
_SAME_CLOCK = 60.0
_PR_SET_PDEATHSIG = 1
_JOB_LOGGER = "rapua_scheduler.job"


class Channel:
    """This process's end of what it speaks to its host through."""

    def __init__(self, descriptor: int) -> None:
        """Take over *descriptor*; what the job starts does not inherit it."""
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._identity = self._look()
        self._sending = threading.Lock()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield what the host says, until it is gone."""
        parts = Messages()
        while True:
            try:
                data = os.read(self._descriptor, _PIECE)
            except OSError:
                return
            if not data:
                return
            yield from parts.feed(data)

    def send(self, message: dict[str, object]) -> None:
        """Tell the host something; waits while the host does not take it in.

        Raises:
            OSError: The job has closed the descriptor, or it is something else by now.
        """
        data = encode(message)
        if len(data) > LONGEST_MESSAGE:
            data = encode({"result": {"result": f"<{len(data)} bytes are too many, and are left out>"}})
        view = memoryview(data)
        with self._sending:
            if self._look() != self._identity:
                raise OSError(errno.EBADF, "the job has closed what its process speaks to the host through")
            while view:
                view = view[os.write(self._descriptor, view) :]

    def _look(self) -> tuple[int, int] | None:
        try:
            status = os.fstat(self._descriptor)
        except OSError:
            return None
        return status.st_dev, status.st_ino


class Stop:
    """How the job is told to stop.

    Attributes:
        cancellation: What its context looks at.
        interrupt: Interrupts it, as far as that can be done from another thread.
    """

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self.interrupt: Callable[[], object] = lambda: None

    def ask(self, reason: str) -> None:
        """Tell the job to stop; may be called from any thread."""
        self.cancellation.cancel(reason)
        with contextlib.suppress(RuntimeError):  # its event loop is closed already
            self.interrupt()


class Reporter:
    """Tells the host, now and then, what was recorded of the attempt."""

    def __init__(self, channel: Channel, recorder: Recorder) -> None:
        self._channel = channel
        self._recorder = recorder
        self._telling = threading.Lock()
        self._never = threading.Event()

    def serve(self, clock: Clock) -> None:
        """Tell what is new, again and again."""
        with contextlib.suppress(OSError):
            while not clock.wait(self._never, TELL_EVERY):
                self.tell()

    def tell(self, *, is_last: bool = False) -> None:
        """Tell what is new."""
        with self._telling:
            report = self._recorder.drain(is_last=is_last)
            if report is None:
                return
            lines, done, total = report
            for line in lines:
                event = {"event": line.event} if isinstance(line, LoggedLine) else {}
                self._channel.send({"line": [line.level, line.text], **event})
            if done is not None:
                self._channel.send({"progress": [done, total]})


def main() -> None:
    """Run the job that the host orders, and exit."""
    channel = Channel(int(sys.argv[2]))
    faulthandler.enable()
    _die_with_the_host()
    messages = channel.messages()
    try:
        order = Order.decode(next(messages))
    except (StopIteration, ProtocolError):
        sys.exit("this program is started by a host of rapua-scheduler, which tells it what to run")
    stop = Stop()
    threading.Thread(target=_listen, args=(messages, stop), daemon=True).start()
    _leave_stopping_to_the_host()
    configure_logging("console", level=logging.ERROR)
    logging.getLogger(_JOB_LOGGER).setLevel(logging.CRITICAL + 1)  # what the job logs is told to the host

    clock = _clock(order)
    recorder = Recorder(clock, order.run.attempt, keeps_events=True)
    reporter = Reporter(channel, recorder)
    threading.Thread(target=reporter.serve, args=(clock,), daemon=True).start()
    last_word = _carry_out(order, clock, stop, recorder)
    reporter.tell(is_last=True)
    _flush()
    channel.send(last_word)


def _carry_out(order: Order, clock: Clock, stop: Stop, recorder: Recorder) -> dict[str, object]:
    """Run the job, and return what is to be told of its end."""
    home = os.getpid()
    deadline = None if order.remaining is None else clock.monotonic() + order.remaining
    context: JobContext | None = None
    try:
        _limit(order.limits)
        sys.path[:] = order.import_path
        os.chdir(order.cwd)
        config = load_config(order.config, order.site, os.environ, order.cwd)
        registered = _find_job(order, config)
        context = JobContext(
            order.run,
            fire_time=order.run.fire_time.astimezone(config.timezone),
            clock=clock,
            cancellation=stop.cancellation,
            make_log=lambda: recorder.logger(_JOB_LOGGER),
            find_last_success=lambda: order.last_success,
            deadline=deadline,
            dry_run=order.dry_run,
            on_progress=recorder.progress,
        )
        returned = _call(registered, context, stop)
        leave_if_forked(home, None)
        return {"result": plain_result(returned)}
    except BaseException as error:  # whatever the job raises; SystemExit too has ended it early
        leave_if_forked(home, error)
        if stop.cancellation.is_set and is_cancellation(error):
            return {"cancelled": stop.cancellation.reason}
        return {"error": describe_error(error)}
    finally:
        if context is not None:
            context.close()


def _find_job(order: Order, config: Config) -> RegisteredJob:
    """Load the job's plugin, and no other, and return the job.

    Raises:
        JobProcessError: It is not there as it was in the host.
    """
    alone = attrs.evolve(config, allow_plugins=(order.plugin,), deny_plugins=(), require_plugins=(), jobs={})
    provider = Provider.of(order.plugin, order.distribution)
    known = KnownProviders({provider.plugin: provider.distribution}, {order.run.job_key: provider})
    loaded = load_plugins(alone, known)
    found = loaded.registry.get(order.run.job_key)
    if found is not None:
        return found
    for report in loaded.plugins:
        if report.name == order.plugin and report.error:
            raise JobProcessError(f"the plugin {order.plugin!r} cannot be loaded in the job's process: {report.error}")
    raise JobProcessError(
        f"the plugin {order.plugin!r} brings no job {order.run.job_key!r} any more; start the host again"
    )


def _call(registered: RegisteredJob, context: JobContext, stop: Stop) -> object:
    run = registered.job.run
    if not is_async(run):
        return call_run(run, context)
    asyncio = importlib.import_module("asyncio")  # costs start-up time, and is needed for such jobs only

    async def execute() -> object:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        stop.interrupt = lambda: loop.call_soon_threadsafe(task.cancel)
        if stop.cancellation.is_set:
            task.cancel()
        return await cast("Coroutine[Any, Any, object]", call_run(run, context))

    return asyncio.run(execute())


def _listen(messages: Iterator[dict[str, Any]], stop: Stop) -> None:
    with contextlib.suppress(ProtocolError):
        for message in messages:
            stop.ask(str(message.get("cancel", "")))
    os.killpg(0, signal.SIGKILL)  # the host is gone


def _leave_stopping_to_the_host() -> None:
    """Pay no attention to signals that ask to end: a service that is stopped sends them to all of its processes.

    How long the job may take to end, and what is recorded of it, is for the host to decide. What the job
    starts does not inherit this, as it would with `SIG_IGN`.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _pay_no_attention)


def _pay_no_attention(_: int, __: FrameType | None) -> None:
    return


def _die_with_the_host() -> None:
    """Have Linux kill this process when its host dies; elsewhere, and besides, `_listen` sees to that."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(limits: Limits) -> None:
    # on Linux what it has for itself: its address space is mostly room kept for threads, and says little
    memory = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    for kind, most in ((memory, limits.memory), (resource.RLIMIT_NOFILE, limits.open_files)):
        if most is not None:
            _, hard = resource.getrlimit(kind)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))


def _clock(order: Order) -> Clock:
    """Return a clock that goes like the host's, whose time may be moved, as in a demonstration."""
    clock = SystemClock()
    if abs((order.now - clock.now()).total_seconds()) < _SAME_CLOCK:
        return clock
    return ShiftedClock.starting_at(order.now)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


if __name__ == "__main__":
    main()
