"""Jobs in processes of their own: a crash ends one run, and a kill is a kill."""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rapua_scheduler.errors import JobCancelled, JobProcessError
from rapua_scheduler.executors.children import Child, Children
from rapua_scheduler.executors.port import Assignment, Work
from rapua_scheduler.executors.wire import ChildSetup, Limits, Order, ProtocolError, encode
from rapua_scheduler.logs import get_logger
from rapua_scheduler.outcomes import PlainResult

_LONGEST_PRINTED = 2000
_log = get_logger("rapua_scheduler.executors")


class ProcessExecutor:
    """Executes each attempt in a process of its own, at most *cap* at a time.

    A cancelled job is told, and killed if it goes on for longer than the setup grants; one that is
    written off is killed at once. What it has started in its process group goes with it.
    """

    def __init__(self, children: Children, setup: ChildSetup, cap: int) -> None:
        """Make an executor.

        Args:
            children: Starts the processes, for all executors of the host.
            setup: How a process finds what the host found.
            cap: How many there may be at a time; at least 1.
        """
        self._children = children
        self._setup = setup
        self._cap = cap
        self._queue: deque[Work] = deque()
        self._executing: dict[Work, _Execution] = {}
        self._closed = False

    def submit(self, work: Work) -> None:
        """Execute *work* in a process, once there are less than *cap*."""
        self._children.post(partial(self._take, work))

    def cancel(self, work: Work) -> None:
        """Tell the job in its process, and give it the grace period to end."""
        self._children.post(partial(self._cancel, work))

    def write_off(self, work: Work) -> None:
        """Kill the process of *work*."""
        self._children.post(partial(self._kill, work))

    def close(self) -> None:
        """Start no more processes; those there are end with the `Children`."""
        self._closed = True

    # -- in the thread of the children

    def _take(self, work: Work) -> None:
        self._queue.append(work)
        self._start_next()

    def _start_next(self) -> None:
        while self._queue and len(self._executing) < self._cap and not self._closed:
            work = self._queue.popleft()
            if work.begin():
                self._start(work)

    def _start(self, work: Work) -> None:
        try:
            execution = _Execution(self, work, _assignment(work))
            self._executing[work] = execution
            execution.child = self._children.start(
                _command(execution.assignment),
                _order(execution.assignment, self._setup).encode(),
                execution,
                cwd=self._setup.cwd,
                environment=self._setup.environment,
            )
        except Exception as error:  # the system has no process, memory or descriptor left
            self._executing.pop(work, None)
            work.end(None, error)
        else:
            if execution.assignment.cancellation.is_set:
                self._cancel(work)

    def _cancel(self, work: Work) -> None:
        execution = self._executing.get(work)
        if execution is not None and execution.child is not None:
            self._children.send(execution.child, encode({"cancel": execution.assignment.cancellation.reason}))
            self._children.kill_within(execution.child, self._setup.grace.total_seconds())

    def _kill(self, work: Work) -> None:
        execution = self._executing.get(work)
        if execution is not None and execution.child is not None:
            execution.child.kill()

    def note_end(self, work: Work, returned: object, error: BaseException | None) -> None:
        """End *work*, and start what waits; called by its execution."""
        self._executing.pop(work, None)
        work.end(returned, error)
        self._start_next()


class _Execution:
    """One piece of work in its process."""

    def __init__(self, executor: ProcessExecutor, work: Work, assignment: Assignment) -> None:
        self._executor = executor
        self._work = work
        self.assignment = assignment
        self.child: Child | None = None

    def note_message(self, message: Mapping[str, Any]) -> None:
        if "progress" in message:
            done, total = message["progress"]
            self.assignment.note_progress(done, total)
        elif "line" in message:
            level, text = message["line"]
            self.assignment.note_line(level, text, message.get("event"))
        else:
            raise ProtocolError("a message of no known kind")

    def note_lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.assignment.note_line("info", line, None)

    def note_exit(self, child: Child) -> None:
        returned: object = None
        error: BaseException | None = None
        if child.final is None:
            error = self._death(child)
        elif "result" in child.final:
            result = child.final["result"]
            returned = None if result is None else PlainResult(result)
            if child.exit_code:
                _log.warning(
                    "Process of a job ended badly after its result",
                    job_key=self.assignment.run.job_key,
                    run_id=self.assignment.run.run_id,
                    problem=_ending(child.exit_code),
                )
        elif "cancelled" in child.final:
            error = JobCancelled(child.final["cancelled"])
        else:
            error = JobProcessError(child.final["error"])
        self._executor.note_end(self._work, returned, error)

    def _death(self, child: Child) -> BaseException:
        if self.assignment.cancellation.is_set:
            return JobCancelled(self.assignment.cancellation.reason)
        lines = [f"  {_cut(line)}" for line in child.tail]
        if lines:
            lines.insert(0, "the last output of the job's process:")
        # last, as the error of a traceback is: where there is room for one line, it is this
        lines.append(f"the job's process {_ending(child.exit_code or 0)} before the job came to its end")
        return JobProcessError("\n".join(lines))


def _assignment(work: Work) -> Assignment:
    if work.assignment is None:
        raise TypeError("only attempts at runs execute in processes of their own")
    return work.assignment


def _command(assignment: Assignment) -> list[str]:
    if not sys.executable:
        raise JobProcessError("this Python does not know its own interpreter, so that it cannot start a process")
    # -P: what lies in the working directory must not stand in for what is installed
    return [sys.executable, "-P", "-m", "rapua_scheduler.child", assignment.run.job_key]


def _order(assignment: Assignment, setup: ChildSetup) -> Order:
    registered = assignment.registered
    return Order(
        plugin=registered.plugin,
        distribution=registered.distribution,
        version=registered.version,
        run=assignment.run,
        dry_run=assignment.dry_run,
        now=assignment.now,
        remaining=assignment.remaining,
        last_success=assignment.find_last_success(),
        config=setup.config,
        site=setup.site,
        cwd=setup.cwd,
        import_path=setup.import_path,
        limits=Limits(memory=registered.memory_limit),
    )


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_PRINTED else f"{line[:_LONGEST_PRINTED]}…"


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (for want of memory, perhaps)" if code == -signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
