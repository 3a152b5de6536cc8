"""Jobs in processes of their own, real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rapua_scheduler import InvalidJobError, Isolation, JobCancelled
from rapua_scheduler.errors import JobProcessError
from rapua_scheduler.executors.children import Children
from rapua_scheduler.executors.pools import ExecutorPools
from rapua_scheduler.executors.processes import ProcessExecutor
from rapua_scheduler.outcomes import describe_error
from tests.core.executors.works import FIRE_TIME, PATIENCE, TestWork, setup_for
from tests.core.plugins.packages import Packages

PLUGIN = """
    import asyncio, faulthandler, os, signal, subprocess, sys, threading, time
    from rapua_scheduler import Job, every, hookimpl

    def tell(ctx):
        "Return everything that the context says."
        ctx.log.info("Telling", about="everything")
        ctx.log.debug("Too much")
        ctx.progress(1, 3)
        ctx.progress(2, 3)
        return {
            "fire_time": ctx.fire_time.isoformat(), "run_key": ctx.run_key, "run_id": ctx.run_id,
            "attempt": ctx.attempt, "trigger": str(ctx.trigger), "dry_run": ctx.dry_run,
            "last_success": ctx.last_success.isoformat(), "zone": str(ctx.now().tzinfo),
            "remaining": ctx.remaining().total_seconds(), "pid": os.getpid(), "cwd": os.getcwd(),
            "cancelled": ctx.cancelled,
        }

    async def tell_async(ctx):
        await asyncio.sleep(0.01)
        return {"run_key": ctx.run_key}

    def fail(ctx):
        raise ValueError("no such thing")

    def leave(ctx):
        sys.exit("enough")

    def vanish(ctx):
        print("last words", flush=True)
        os._exit(7)

    def vanish_wordily(ctx):
        for _ in range(20):
            print("word" * 2000)
        sys.stdout.flush()
        os._exit(7)

    def crash(ctx):
        print("before the crash", flush=True)
        faulthandler._sigsegv()

    def be_killed(ctx):
        os.kill(os.getpid(), signal.SIGKILL)

    def hang(ctx):
        print(os.getpid(), flush=True)
        while True:
            time.sleep(60)

    def hang_with_a_child(ctx):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(os.getpid(), child.pid, flush=True)
        child.wait()

    def wait_to_be_cancelled(ctx):
        print("waiting", flush=True)
        ctx.sleep(60)

    async def wait_asynchronously(ctx):
        print("waiting", flush=True)
        await asyncio.sleep(60)

    def tidy_up(ctx):
        print("waiting", flush=True)
        while not ctx.cancelled:
            time.sleep(0.01)
        return {"tidied": True}

    def heed_signals(ctx):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(os.getpid(), flush=True)
        while not ctx.cancelled:
            time.sleep(0.01)
        child.terminate()
        return child.wait()

    def print_without_end(ctx):
        while True:
            print("x" * 100)

    def print_much(ctx):
        for number in range(400_000):
            print("line", number)
        sys.stderr.write("an error, unfinished")

    def allocate(ctx):
        return len(bytearray(1024 * 1024 * 1024))

    def open_files(ctx):
        return len([open(os.devnull) for _ in range(500)])

    def leave_a_thread(ctx):
        threading.Thread(target=lambda: time.sleep(600)).start()
        return "done"

    def close_everything(ctx):
        os.closerange(3, 1000)
        opened = [os.open("mine", os.O_RDWR | os.O_CREAT) for _ in range(100)]
        assert int(sys.argv[2]) in opened

    def close_output(ctx):
        os.close(1)
        os.close(2)
        sys.stdout = None
        return "quiet"

    def fork(ctx):
        if os.fork() == 0:
            return "child"
        os.wait()
        return "parent"

    def return_much(ctx):
        return {str(number): chr(0x1F600) * 9999 for number in range(1000)}

    def return_oddities(ctx):
        return {"surrogate": "\\ud800", "nul": "a\\0b", "object": object, "nan": float("nan"), 3: "number"}

    def log_without_end(ctx):
        for number in range(20_000):
            ctx.log.info("Line", number=number)

    def environment(ctx):
        return {"secret": os.environ.get("TEST_OF_PROCESSES"), "path": str("" in sys.path)}

    @hookimpl
    def register_jobs():
        for name, run in list(globals().items()):
            if getattr(run, "__module__", None) == __name__ and name not in ("register_jobs", "hookimpl"):
                yield Job(name, run, every(hours=1), key=name)
"""


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    (tmp_path / "site-packages").mkdir()
    packages = Packages(tmp_path / "site-packages")
    packages.install("tried", PLUGIN)
    return packages


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.close()


@pytest.fixture
def make_executor(tmp_path: Path, packages: Packages, children: Children) -> Callable[..., ProcessExecutor]:
    def make(*, cap: int = 4, grace: float = 10.0) -> ProcessExecutor:
        return ProcessExecutor(children, setup_for(tmp_path, grace=grace), cap)

    return make


@pytest.fixture
def executor(make_executor: Callable[..., ProcessExecutor]) -> ProcessExecutor:
    return make_executor()


def carried_out(executor: ProcessExecutor, key: str, **differences: object) -> TestWork:
    work = submitted(executor, key, **differences)
    work.wait()
    assert work.ends == 1
    return work


def submitted(executor: ProcessExecutor, key: str, **differences: object) -> TestWork:
    work = TestWork(key=key, plugin="tried", **differences)  # type: ignore[arg-type]
    executor.submit(work)
    return work


def death_of(work: TestWork) -> str:
    assert isinstance(work.error, JobProcessError)
    return work.error.description


def exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(done: Callable[[], bool]) -> None:
    waiter = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if done():
            return
        waiter.wait(0.01)
    pytest.fail("waited in vain")


def test_a_job_in_a_process_is_handed_the_same_context(executor: ProcessExecutor, tmp_path: Path) -> None:
    last_success = FIRE_TIME - timedelta(days=1)

    work = carried_out(executor, "tell", last_success=last_success, dry_run=True, remaining=100.0)

    assert work.error is None
    told = dict(work.returned)  # type: ignore[call-overload]
    assert told.pop("pid") != os.getpid()
    assert 90 < told.pop("remaining") < 100
    assert told == {
        "fire_time": "2026-11-01T13:00:00+13:00",
        "run_key": "tell@2026-11-01T00:00Z",
        "run_id": "run-tell",
        "attempt": 2,
        "trigger": "manual",
        "dry_run": True,
        "last_success": "2026-10-31T13:00:00+13:00",
        "zone": "Pacific/Auckland",
        "cwd": str(tmp_path),
        "cancelled": False,
    }
    assert work.lines == [("info", "Telling about='everything'")]
    assert work.events == [{"event": "Telling", "about": "everything"}]
    assert work.progress[-1] == (2, 3)


def test_an_asynchronous_job_has_an_event_loop_in_its_process(executor: ProcessExecutor) -> None:
    work = carried_out(executor, "tell_async")

    assert (work.returned, work.error) == ({"run_key": "tell_async@2026-11-01T00:00Z"}, None)


def test_what_a_job_raises_there_is_described_as_here(executor: ProcessExecutor) -> None:
    failed, left = carried_out(executor, "fail"), carried_out(executor, "leave")

    assert failed.error is not None
    assert describe_error(failed.error).splitlines()[-1] == "ValueError: no such thing"
    assert "in fail" in describe_error(failed.error)
    assert death_of(left).endswith("SystemExit: enough")


@pytest.mark.parametrize(
    ("key", "ending", "printed"),
    [
        ("vanish", "ended with exit code 7", "last words"),
        ("crash", "was killed by SIGSEGV", "in crash"),
        ("be_killed", "was killed by SIGKILL", ""),
    ],
)
def test_a_process_that_dies_is_a_failed_attempt_that_says_how(
    executor: ProcessExecutor, key: str, ending: str, printed: str
) -> None:
    description = death_of(carried_out(executor, key))

    assert printed in description
    assert description.splitlines()[-1].startswith(f"the job's process {ending}"), "as a traceback ends with its error"


def test_what_a_process_printed_last_does_not_hide_how_it_died(executor: ProcessExecutor) -> None:
    description = death_of(carried_out(executor, "vanish_wordily"))

    assert description.endswith("the job's process ended with exit code 7 before the job came to its end")


def test_a_job_that_is_written_off_is_killed_with_what_it_has_started(executor: ProcessExecutor) -> None:
    work = submitted(executor, "hang_with_a_child")
    assert work.lined.wait(PATIENCE)
    pids = [int(pid) for pid in work.texts[0].split()]

    executor.write_off(work)
    work.wait()

    wait_until(lambda: not any(exists(pid) for pid in pids))


@pytest.mark.parametrize("key", ["wait_to_be_cancelled", "wait_asynchronously"])
def test_a_cancelled_job_ends_as_cancelled(executor: ProcessExecutor, key: str) -> None:
    work = submitted(executor, key)
    assert work.lined.wait(PATIENCE)

    work.cancellation.cancel("enough of it")
    executor.cancel(work)
    work.wait()

    assert isinstance(work.error, JobCancelled)
    assert str(work.error) == "enough of it"


def test_a_cancelled_job_may_come_to_its_own_end(executor: ProcessExecutor) -> None:
    work = submitted(executor, "tidy_up")
    assert work.lined.wait(PATIENCE)

    work.cancellation.cancel("enough")
    executor.cancel(work)
    work.wait()

    assert work.returned == {"tidied": True}


def test_a_job_that_was_cancelled_before_its_process_was_there_is_told_at_once(executor: ProcessExecutor) -> None:
    work = TestWork(key="wait_to_be_cancelled", plugin="tried")
    work.cancellation.cancel("never mind")

    executor.submit(work)
    work.wait()

    assert isinstance(work.error, JobCancelled)


def test_a_job_that_ignores_its_cancellation_is_killed_after_the_grace_period(
    make_executor: Callable[..., ProcessExecutor],
) -> None:
    executor = make_executor(grace=0.2)
    work = submitted(executor, "hang")
    assert work.lined.wait(PATIENCE)
    pid = int(work.texts[0])

    work.cancellation.cancel("the operator says so")
    executor.cancel(work)
    work.wait()

    assert isinstance(work.error, JobCancelled)
    assert not exists(pid)


def test_signals_that_ask_a_whole_service_to_stop_are_the_host_s_business(executor: ProcessExecutor) -> None:
    work = submitted(executor, "heed_signals")
    assert work.lined.wait(PATIENCE)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(int(work.texts[0]), number)
    assert not work.ended.wait(0.3)
    work.cancellation.cancel("enough")
    executor.cancel(work)
    work.wait()

    assert work.returned == {"result": -signal.SIGTERM}


def test_output_is_bounded_and_comes_as_lines_with_its_end(executor: ProcessExecutor) -> None:
    work = carried_out(executor, "print_much")

    assert work.error is None
    assert work.texts[-2:] == ["line 399999", "an error, unfinished"]
    assert len(work.lines) < 20_000
    assert any("bytes left out" in text for text in work.texts)


def test_a_job_that_prints_without_end_can_be_killed(executor: ProcessExecutor) -> None:
    work = submitted(executor, "print_without_end")
    assert work.lined.wait(PATIENCE)
    other = carried_out(executor, "tell_async")

    executor.write_off(work)
    work.wait()

    assert other.error is None
    assert "SIGKILL" in death_of(work)


def test_a_job_that_logs_without_end_leaves_a_bounded_record(executor: ProcessExecutor) -> None:
    work = carried_out(executor, "log_without_end")

    assert work.error is None
    assert work.texts[-1] == "Line number=19999"
    assert len(work.lines) < 3000
    assert any("left out" in text for text in work.texts)


def test_a_limit_of_memory_fails_the_job_and_not_the_host(executor: ProcessExecutor) -> None:
    assert "MemoryError" in death_of(carried_out(executor, "allocate", memory=512 * 1024 * 1024))
    assert carried_out(executor, "allocate").returned == {"result": 1024 * 1024 * 1024}


def test_a_thread_that_a_job_leaves_behind_does_not_keep_its_run(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rapua_scheduler.executors.children.LINGER", 0.2)

    assert carried_out(executor, "leave_a_thread").returned == {"result": "done"}


def test_a_job_that_closes_what_it_does_not_own_fails_and_nothing_is_written_elsewhere(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    work = carried_out(executor, "close_everything")

    assert "closed what its process speaks to the host through" in death_of(work)
    assert (tmp_path / "mine").read_bytes() == b""


def test_a_job_may_close_its_output(executor: ProcessExecutor) -> None:
    assert carried_out(executor, "close_output").returned == {"result": "quiet"}


def test_a_fork_of_the_process_of_a_job_says_nothing_in_its_name(executor: ProcessExecutor) -> None:
    assert carried_out(executor, "fork").returned == {"result": "parent"}


def test_results_are_plain_and_bounded(executor: ProcessExecutor) -> None:
    much, odd = carried_out(executor, "return_much"), carried_out(executor, "return_oddities")

    assert "too many" in str(much.returned)
    assert odd.returned == {
        "surrogate": "\\ud800",
        "nul": "a\\x00b",
        "object": "<class 'object'>",
        "nan": "nan",
        "3": "number",
    }


def test_a_process_has_the_environment_that_the_host_had_when_it_started(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_OF_PROCESSES", "set by a job meanwhile")

    assert carried_out(executor, "environment").returned == {"secret": None, "path": "False"}


def test_a_job_that_its_plugin_does_not_bring_any_more_fails(executor: ProcessExecutor) -> None:
    assert "brings no job 'gone' any more" in death_of(carried_out(executor, "gone"))


def test_a_plugin_that_cannot_be_loaded_there_is_said_to_be_broken(
    executor: ProcessExecutor, packages: Packages
) -> None:
    (packages.folder / "tried.py").write_text("import nothing_of_that_name")

    assert "cannot be loaded in the job's process: import: ModuleNotFoundError" in death_of(
        carried_out(executor, "tell")
    )


def test_no_more_than_the_cap_execute_at_a_time(make_executor: Callable[..., ProcessExecutor]) -> None:
    executor = make_executor(cap=1)
    first, second = submitted(executor, "hang"), submitted(executor, "tell_async")
    assert first.lined.wait(PATIENCE)

    assert not second.begun.is_set()

    executor.write_off(first)
    second.wait()
    assert second.error is None


def test_work_that_was_settled_before_its_turn_is_not_begun(executor: ProcessExecutor) -> None:
    work = TestWork(key="tell", plugin="tried")
    work.may_begin = False

    executor.submit(work)
    carried_out(executor, "tell_async")

    assert work.ends == 0


def test_a_process_that_cannot_be_started_fails_the_attempt(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")

    work = carried_out(executor, "tell")

    assert isinstance(work.error, FileNotFoundError)


def test_a_process_ends_with_its_host_however_that_ends(tmp_path: Path, packages: Packages) -> None:
    source = """
import sys
from pathlib import Path
from rapua_scheduler.executors.children import Children
from rapua_scheduler.executors.processes import ProcessExecutor
from tests.core.executors.works import PATIENCE, TestWork, setup_for

work = TestWork(key="hang", plugin="tried")
ProcessExecutor(Children(), setup_for(Path(sys.argv[1])), 1).submit(work)
work.lined.wait(PATIENCE)
print(*work.texts, flush=True)
work.wait()
"""
    root = Path(__file__).parent.parent.parent.parent
    host = subprocess.Popen([sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, text=True)
    assert host.stdout is not None
    pid = int(host.stdout.readline())
    assert exists(pid)

    host.kill()
    host.communicate(timeout=PATIENCE)

    wait_until(lambda: not exists(pid))


def test_processes_end_with_the_pools(tmp_path: Path, packages: Packages) -> None:
    pools = ExecutorPools(setup_for(tmp_path))
    work = TestWork(key="hang", plugin="tried")
    object.__setattr__(work.registered.job, "isolation", Isolation.PROCESS)
    pools.of_job(work.registered).submit(work)
    assert work.lined.wait(PATIENCE)

    pools.close()

    assert not exists(int(work.texts[0]))


def test_a_job_that_no_process_could_find_is_refused_a_process(tmp_path: Path) -> None:
    work = TestWork(key="job")
    object.__setattr__(work.registered.job, "isolation", Isolation.PROCESS)

    for pools in (ExecutorPools(), ExecutorPools(setup_for(tmp_path))):
        with pytest.raises(InvalidJobError, match="an installed plugin brings"):
            pools.of_job(work.registered)
