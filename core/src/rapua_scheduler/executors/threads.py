"""Plain jobs: a capped set of reused daemon threads."""

from __future__ import annotations

import contextvars
import os
import threading
from queue import SimpleQueue

from rapua_scheduler.executors.forks import leave_if_forked
from rapua_scheduler.executors.port import LookAfter, Work, leave_alone
from rapua_scheduler.logs import get_logger

_log = get_logger("rapua_scheduler.executors")


class ThreadExecutor:
    """Executes work in at most *cap* daemon threads, started when needed and then reused.

    Daemon threads, because one that hangs must not keep the host from ending; not the standard
    library's pool, whose threads are joined at exit and which cannot replace one that hangs.
    """

    def __init__(self, name: str, cap: int, look_after: LookAfter = leave_alone) -> None:
        """Make an executor.

        Args:
            name: Prefix of the threads' names.
            cap: How many pieces of work may execute at a time; at least 1.
            look_after: Called with work whose job has returned or raised, before that is told.
        """
        self._name = name
        self._cap = cap
        self._look_after = look_after
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting = 0
        self._executing: set[Work] = set()
        self._written_off: set[Work] = set()
        self._started = 0
        self._closed = False

    def prepare(self, threads: int) -> None:
        """Start threads until there are *threads*, or the cap is reached."""
        with self._lock:
            while self._threads < min(threads, self._cap) and self._start_thread():
                pass

    def submit(self, work: Work) -> None:
        """Execute *work* in the first thread that is free.

        Raises:
            RuntimeError: There is no thread, and the system has none to give.
        """
        with self._lock:
            if self._threads == 0 and not self._closed and not self._start_thread():
                raise RuntimeError("the system has no thread left to run this in")
            self._queue.put(work)
            self._start_thread_if_needed()

    def cancel(self, work: Work) -> None:
        """Do nothing: a thread cannot be interrupted; the job's context tells it."""

    def write_off(self, work: Work) -> None:
        """Stop counting the thread that *work* holds, and start another in its stead if needed."""
        with self._lock:
            if work in self._executing:
                self._executing.discard(work)
                self._written_off.add(work)
                self._threads -= 1
                self._start_thread_if_needed()

    def close(self) -> None:
        """Let idle threads end; the others end after their work."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._queue.put(None)

    def _start_thread_if_needed(self) -> None:
        if self._queue.qsize() > self._waiting and self._threads < self._cap:
            self._start_thread()

    def _start_thread(self) -> bool:
        if self._closed:
            return False
        self._started += 1
        thread = threading.Thread(target=self._serve, name=f"{self._name}-{self._started}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread left; those there are go on
            _log.error("Thread not started", thread=thread.name, problem=str(error), threads=self._threads)
            return False
        self._threads += 1
        return True

    def _serve(self) -> None:
        base = contextvars.copy_context()
        home = os.getpid()
        while True:
            with self._lock:
                self._waiting += 1
            work = self._queue.get()
            with self._lock:
                self._waiting -= 1
                if work is None:
                    self._threads -= 1
                    return
                self._executing.add(work)
            try:
                if work.begin():
                    self._execute(work, base, home)
            finally:
                with self._lock:
                    is_written_off = work in self._written_off
                    self._written_off.discard(work)
                    self._executing.discard(work)
            if is_written_off:
                return
            del work

    def _execute(self, work: Work, base: contextvars.Context, home: int) -> None:
        returned: object = None
        try:
            returned = base.copy().run(work.call)
        except BaseException as error:
            leave_if_forked(home, error)
            self._look_after(work)
            work.end(None, error)
        else:
            leave_if_forked(home, None)
            self._look_after(work)
            work.end(returned, None)
