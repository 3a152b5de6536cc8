"""Faults 37 to 59 again, in real host processes: what a job may do to the process that it shares.

One host lives through most of them, one after another, beside a healthy job of another plugin.
"""

from __future__ import annotations

import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import frozen

from rapua_scheduler.cli.ending import PATIENCE
from rapua_scheduler.run import RunStatus, Trigger
from tests.faults.hosts import HEALTHY, FaultyHosts
from tests.system.hosts import Hosts, wait_until

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

VANDAL = """
    import asyncio, ctypes, locale, logging, os, random, signal, socket, sys, threading, time, warnings
    from rapua_scheduler import Job, every, hookimpl

    def interrupt_itself():
        raise KeyboardInterrupt

    def leave():
        sys.exit(3)

    def leave_a_thread():
        threading.Thread(target=time.sleep, args=(600,)).start()

    def fork():
        if os.fork() == 0:
            return "in the fork"
        return str(os.waitstatus_to_exitcode(os.wait()[1]))

    def fork_and_go_on():
        if os.fork() == 0:
            time.sleep(1)
            return "in the fork"

    def close_output():
        os.close(1)
        os.close(2)
        sys.stdout = None

    def open_files():
        open(os.path.join(os.environ["FOLDER"], "reused"), "w")

    def move():
        os.chdir("/")

    def tell_where():
        return os.getcwd()

    def mask():
        os.umask(0o077)

    def speak():
        locale.setlocale(locale.LC_ALL, "POSIX" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8")

    def leave_a_variable():
        os.environ["LEFT_BEHIND"] = "hunter2"

    def switch_seldom():
        sys.setswitchinterval(30)

    def replace_handlers():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def replace_handlers_in_c():
        libc = ctypes.CDLL(None)
        for number in (signal.SIGTERM, signal.SIGINT):
            libc.signal(int(number), ctypes.c_void_p(1))

    class NoLoops(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            raise RuntimeError("no loop for you")

    def settle_in():
        warnings.simplefilter("error")
        socket.setdefaulttimeout(0.001)
        random.seed(0)
        asyncio.set_event_loop_policy(NoLoops())

    def silence():
        logging.disable(logging.CRITICAL)
        logging.getLogger().handlers.clear()
        for name in list(logging.root.manager.loggerDict):
            logging.getLogger(name).disabled = True
        logging.getLogger("rapua_scheduler").propagate = False

    STEPS = [
        interrupt_itself, leave, leave_a_thread, fork, fork_and_go_on, move, tell_where, close_output, open_files,
        mask, speak, leave_a_variable, switch_seldom, replace_handlers, replace_handlers_in_c, settle_in, silence,
    ]

    def vandalize(ctx):
        if not STEPS:
            return {"step": "none"}
        step = STEPS.pop(0)
        ctx.log.info("Step", step=step.__name__)
        return {"step": step.__name__, "returned": step()}

    @hookimpl
    def register_jobs():
        return [Job(name="Vandal", run=vandalize, next=every(milliseconds=200), overlap="skip")]
"""
BLOCKER = """
    import asyncio, time
    from rapua_scheduler import Job, every, hookimpl

    async def block(ctx):
        time.sleep(2.5)

    async def flutter(ctx):
        await asyncio.sleep(0.01)

    @hookimpl
    def register_jobs():
        return [
            Job(name="Block", run=block, next=every(seconds=3), timeout="500ms"),
            Job(name="Flutter", run=flutter, next=every(milliseconds=100)),
        ]
"""
HANGER = """
    import threading
    from rapua_scheduler import Job, every, hookimpl

    def hang(ctx):
        threading.Event().wait()

    @hookimpl
    def register_jobs():
        return [
            Job(name=f"Hang {number}", run=hang, next=every(seconds=1), timeout="500ms", overlap="skip")
            for number in range(15)
        ]
"""
PRINTER = """
    from rapua_scheduler import Job, every, hookimpl

    def chatter(ctx):
        for number in range(2000):
            print("x" * 200)
            if number % 100 == 0:
                ctx.log.info("Chattering", about="x" * 200)

    @hookimpl
    def register_jobs():
        return [Job(name="Chatter", run=chatter, next=every(milliseconds=500))]
"""
LEAKER = """
    import os
    from rapua_scheduler import Job, every, hookimpl

    def leak(ctx):
        for _ in range(10):
            os.open(os.devnull, os.O_RDONLY)

    @hookimpl
    def register_jobs():
        return [Job(name="Leak", run=leak, next=every(milliseconds=500))]
"""


BARE = """
import sys, time
start, ticks = time.monotonic(), 0
while True:
    ticks += 1
    time.sleep(max(0.0, start + ticks * 0.05 - time.monotonic()))
    print(time.monotonic() - start - ticks * 0.05, flush=True)
"""


@frozen
class Aftermath:
    """What is left of a host that has lived through it all.

    Attributes:
        hosts: Its folder.
        pid: Its process.
        exit_code: How it ended when it got SIGTERM.
        seconds: How long that took.
        bare_lateness: How late a bare process was on the same machine meanwhile, in seconds.
    """

    hosts: FaultyHosts
    pid: int
    exit_code: int
    seconds: float
    bare_lateness: list[float]

    def step(self, name: str) -> list[RunStatus]:
        """Return how the runs ended that took a step."""
        with self.hosts.reading() as store:
            return [
                run.status
                for run in store.runs(job_key="vandal")
                if any(f"step='{name}'" in line.text for line in store.log_lines(run.run_id))
            ]

    def changed(self, what: str) -> bool:
        """Tell whether the log says that a job has changed that."""
        return bool(self.hosts.said("Process changed by a job", what=what))


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    folder = tmp_path_factory.mktemp("aftermath")
    plugins = {"healthy": HEALTHY, "vandal": VANDAL, "blocker": BLOCKER, "hanger": HANGER}
    hosts = FaultyHosts(folder, plugins | {"printer": PRINTER, "leaker": LEAKER})

    def is_over() -> bool:
        with hosts.reading() as store:
            newest = store.runs(job_key="vandal", limit=1)
        is_done = bool(newest) and (newest[0].result or {}).get("step") == "none"
        return is_done and len(hosts.breaths()) >= 120

    bare = subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True)
    with hosts.start() as host:
        wait_until(is_over, "everything has happened")
        wait_until(lambda: bool(hosts.said("Process changed by a job", what="logging")), "logging is back")
        time.sleep(1.1)  # the host has looked at its signal handlers since
        began = time.monotonic()
        exit_code, seconds = host.stop(), time.monotonic() - began
    bare.kill()
    lateness = [float(line) for line in bare.communicate()[0].split()[:-1]]
    return Aftermath(hosts, host.pid, exit_code, seconds, lateness)


def test_a_healthy_job_beside_all_of_them_starts_in_time(aftermath: Aftermath) -> None:
    lateness = [late for _, late, _ in aftermath.hosts.breaths()]

    assert len(lateness) >= 100
    # a start is a turn of three threads and of the disk; how late each is by itself is not the host's doing
    assert p99(lateness) < 0.1 + 4 * p99(aftermath.bare_lateness)


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def test_each_fire_time_of_the_healthy_job_has_been_run_once_or_is_explained(aftermath: Aftermath) -> None:
    keys = Counter(key for key, _, _ in aftermath.hosts.breaths())
    with aftermath.hosts.reading() as store:
        runs, gaps = store.runs(job_key="breathe"), store.gaps(job_key="breathe")

    assert set(keys.values()) == {1}
    assert {run.run_key for run in runs if run.status is RunStatus.SUCCEEDED} <= set(keys)
    fire_times = [run.fire_time for run in runs] + [end for gap in gaps for end in (gap.first, gap.last)]
    answers = len(runs) + sum(gap.count or 0 for gap in gaps)
    assert answers == round((max(fire_times) - min(fire_times)).total_seconds() * 20) + 1


def test_fault_37_fault_38_what_is_no_exception_does_not_end_the_host(aftermath: Aftermath) -> None:
    assert aftermath.step("interrupt_itself") == aftermath.step("leave") == [RunStatus.FAILED]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_fault_38_a_real_signal_still_stops_it(tmp_path: Path, number: signal.Signals) -> None:
    source = VANDAL.replace("STEPS = [", "STEPS = [interrupt_itself] * 1000 + [")
    hosts = FaultyHosts(tmp_path, {"vandal": source})
    with hosts.start() as host:
        wait_until(lambda: "KeyboardInterrupt" in host.log, "a job has raised it")
        host.send(number)
        assert host.end() == 0


def test_fault_41_the_one_that_blocks_its_loop_is_named_and_its_plugin_goes_on(aftermath: Aftermath) -> None:
    (told, *_) = aftermath.hosts.said("Event loop blocked")
    with aftermath.hosts.reading() as store:
        blocked, other = store.runs(job_key="block"), store.runs(job_key="flutter", limit=100_000)

    assert [job["job_key"] for job in told["jobs"]] == ["block"]
    assert "in block" in told["stack"]
    assert aftermath.hosts.said("Event loop replaced")
    assert {run.status for run in blocked} <= {RunStatus.TIMED_OUT, RunStatus.INTERRUPTED}
    assert sum(run.status is RunStatus.SUCCEEDED for run in other) > 5


def test_fault_43_those_that_hang_time_out_and_are_not_joined_by_others(aftermath: Aftermath) -> None:
    with aftermath.hosts.reading() as store:
        runs = [run for run in store.runs() if run.job_key.startswith("hang-")]

    assert Counter(run.job_key for run in runs) == dict.fromkeys((f"hang-{number}" for number in range(15)), 1)
    assert {run.status for run in runs} == {RunStatus.TIMED_OUT}


def test_fault_44_a_thread_that_a_job_leaves_behind_does_not_keep_the_host(aftermath: Aftermath) -> None:
    assert aftermath.step("leave_a_thread") == [RunStatus.SUCCEEDED]
    assert aftermath.exit_code == 0
    assert aftermath.seconds < 3.0 + 1.0


def processes_of(folder: Path) -> list[str]:
    """Return the processes whose command line names that folder, as those of a host and its forks do."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has gone
            if str(folder).encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


LEAVERS = {
    "a pool of threads": "concurrent.futures.ThreadPoolExecutor().submit(time.sleep, 600)",
    "a pool of processes": "concurrent.futures.ProcessPoolExecutor(1).submit(time.sleep, 600)",
    "a process": "multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,)).start()",
    "an exit handler": "atexit.register(time.sleep, 600)",
}


@pytest.mark.parametrize("left", LEAVERS.values(), ids=LEAVERS)
def test_fault_44_nor_does_anything_else_that_python_waits_for(tmp_path: Path, left: str) -> None:
    source = f"""
        import atexit, concurrent.futures, multiprocessing, time
        from rapua_scheduler import Job, every, hookimpl

        def leave(ctx):
            {left}

        @hookimpl
        def register_jobs():
            return [Job(name="Leave", run=leave, next=every(seconds=1))]
    """
    hosts = FaultyHosts(tmp_path, {"leaver": source})
    with hosts.start() as host:
        host.wait_for("Job completed successfully")
        began = time.monotonic()
        assert host.stop() == 0
        seconds = time.monotonic() - began

    assert hosts.said("Scheduler stopped")
    assert hosts.lines[-1]["event"].startswith("Ending despite what a plugin left behind")
    assert seconds < PATIENCE + 4.0
    wait_until(lambda: not processes_of(tmp_path), "no process is left")


def test_fault_44_nor_does_it_change_what_a_command_exits_with(tmp_path: Path) -> None:
    source = """
        import atexit, time
        from rapua_scheduler import Job, every, hookimpl

        def fail(ctx):
            atexit.register(time.sleep, 600)
            raise ValueError

        @hookimpl
        def register_jobs():
            return [Job(name="Fail", run=fail, next=every(hours=1))]
    """
    hosts = Hosts(tmp_path, plugin=source)

    done = hosts.command("exec", "fail", "--json")

    assert done.returncode == 1
    assert '"failed"' in done.stdout
    assert "Ending despite what a plugin left behind" in done.stderr


def test_fault_44_control_python_waits_for_it() -> None:
    source = "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", source], timeout=1, check=False)


def test_fault_49_forks_of_jobs_touch_neither_store_nor_clock(aftermath: Aftermath) -> None:
    assert aftermath.step("fork") == aftermath.step("fork_and_go_on") == [RunStatus.SUCCEEDED]
    assert {pid for _, _, pid in aftermath.hosts.breaths()} == {aftermath.pid}
    with sqlite3.connect(aftermath.hosts.state) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


def test_fault_51_the_log_goes_on_when_a_job_closes_the_output(aftermath: Aftermath) -> None:
    assert aftermath.step("close_output") == [RunStatus.SUCCEEDED]
    assert aftermath.changed("descriptor 2")
    assert aftermath.changed("sys.stdout")
    ends = aftermath.hosts.said("Job completed successfully", job_key="vandal")
    completed = [end["result"]["step"] for end in ends]
    assert completed.index("open_files") == completed.index("close_output") + 1
    assert (aftermath.hosts.folder / "reused").stat().st_size == 0  # it has got the number of one of them


def test_fault_51_control_what_is_written_to_standard_error_is_lost_or_in_another_file(tmp_path: Path) -> None:
    source = (
        "import logging, os; logging.basicConfig(); os.close(2); f = open('reused', 'w'); logging.error('a secret')"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, check=False)

    assert done.stderr == b""
    assert "a secret" in (tmp_path / "reused").read_text()


def test_fault_52_what_jobs_change_of_the_process_is_told_and_changed_back(aftermath: Aftermath) -> None:
    (moved,) = aftermath.hosts.said("Process changed by a job", what="working directory")
    with aftermath.hosts.reading() as store:
        wheres = [run.result for run in store.runs(job_key="vandal") if (run.result or {}).get("step") == "tell_where"]

    assert (moved["job_key"], moved["became"]) == ("vandal", "/")
    assert wheres == [{"step": "tell_where", "returned": str(aftermath.hosts.folder)}]
    assert aftermath.changed("umask")
    assert aftermath.changed("locale")
    assert aftermath.changed("switch interval of threads")
    (environment,) = aftermath.hosts.said("Environment changed by a job")
    assert environment["names"] == ["LEFT_BEHIND"]
    assert "hunter2" not in str(aftermath.hosts.lines)


def test_fault_52_variables_that_a_job_takes_from_the_others_are_put_back(tmp_path: Path) -> None:
    source = """
        import os
        from rapua_scheduler import Job, every, hookimpl

        cleared = []

        def clear(ctx):
            if not cleared:
                cleared.append(True)
                os.environ.clear()
                os.environ["ADDED"] = "hunter2"
            return {"added": os.environ.get("ADDED") is not None}

        @hookimpl
        def register_jobs():
            return [Job(name="Clear", run=clear, next=every(seconds=1))]
    """
    hosts = FaultyHosts(tmp_path, {"healthy": HEALTHY, "clearing": source})
    with hosts.start() as host:
        wait_until(lambda: bool(hosts.said("Process changed by a job", what="environment")), "it is put back")
        before = len(hosts.breaths())
        wait_until(lambda: len(hosts.breaths()) > before + 5, "the healthy job runs again")
        assert host.stop() == 0

    (told,) = hosts.said("Process changed by a job", what="environment")
    assert "BREATHS" in told["names"]
    assert "ADDED" not in told["names"]
    with hosts.reading() as store:
        assert store.runs(job_key="clear", limit=1)[0].result == {"added": True}
    assert "hunter2" not in str(hosts.lines)


def test_fault_52_a_job_that_closes_the_host_s_descriptors_ends_it_and_is_paused_in_the_end(tmp_path: Path) -> None:
    source = """
        import os
        from rapua_scheduler import Job, every, hookimpl

        def close(ctx):
            os.closerange(3, 200)

        @hookimpl
        def register_jobs():
            return [Job(name="Close", run=close, next=every(seconds=1))]
    """
    hosts = FaultyHosts(tmp_path, {"closing": source})
    for _ in range(3):
        with hosts.start() as host:
            assert host.end() == 1
            assert "a job has closed descriptors that are the host's" in host.log
    with hosts.start() as host:
        host.wait_for("Job paused")

    assert len(hosts.said("Unfinished run is run again")) == 2


def test_fault_53_signal_handlers_stay_the_host_s(aftermath: Aftermath) -> None:
    assert aftermath.step("replace_handlers") == [RunStatus.FAILED]
    assert aftermath.step("replace_handlers_in_c") == [RunStatus.SUCCEEDED]
    assert aftermath.exit_code == 0


def test_fault_53_control_c_code_can_take_a_signal_from_python() -> None:
    source = (
        "import ctypes, signal, sys; signal.signal(15, lambda *_: sys.exit(0));"
        "ctypes.CDLL(None).signal(15, ctypes.c_void_p(1)); print('ready', flush=True); signal.pause()"
    )
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.kill()
    process.communicate()


def test_fault_54_the_host_goes_on_and_is_heard_whatever_a_job_sets(aftermath: Aftermath) -> None:
    assert aftermath.step("settle_in") == aftermath.step("silence") == [RunStatus.SUCCEEDED]
    assert aftermath.changed("default timeout of sockets")
    assert aftermath.changed("logging")
    assert aftermath.hosts.said("Scheduler stopped")


def test_fault_45_a_host_that_runs_out_of_descriptors_waits_and_misses_nothing(tmp_path: Path) -> None:
    source = """
        import os, threading
        from rapua_scheduler import Job, every, hookimpl

        leaked = []

        def close_all():
            while leaked:
                os.close(leaked.pop())

        def leak(ctx):
            if not leaked:
                threading.Timer(4, close_all).start()
            leaked.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(10))

        @hookimpl
        def register_jobs():
            return [Job(name="Leak", run=leak, next=every(milliseconds=100))]
    """
    hosts = FaultyHosts(tmp_path, {"healthy": HEALTHY.replace("50", "100"), "leaker": source})

    with hosts.start(descriptors=200) as host:
        host.wait_for("Nothing starts: descriptors run out")
        host.wait_for("Descriptors suffice again")
        before = len(hosts.breaths())
        wait_until(lambda: len(hosts.breaths()) > before + 5, "the healthy job runs again")
        assert host.stop() == 0

    (told, *_) = hosts.said("Nothing starts: descriptors run out")
    assert told["limit"] == 200
    assert told["open"] >= 160
    assert any(line.startswith("/dev/null (") for line in told["most"])
    with hosts.reading() as store:
        runs, gaps = store.runs(), store.gaps()
    assert {run.status for run in runs} <= {RunStatus.SUCCEEDED, RunStatus.INTERRUPTED}
    assert hosts.said("Store failed; nothing starts until it works") == []
    runs, gaps = [run for run in runs if run.job_key == "breathe"], [gap for gap in gaps if gap.job_key == "breathe"]
    fire_times = [run.fire_time for run in runs] + [end for gap in gaps for end in (gap.first, gap.last)]
    answers = len(runs) + sum(gap.count or 0 for gap in gaps)
    assert answers == round((max(fire_times) - min(fire_times)).total_seconds() * 10) + 1


def test_fault_45_control_a_database_cannot_be_opened_without_descriptors(tmp_path: Path) -> None:
    source = (
        "import os, resource, sqlite3; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128));"
        "kept = []\n"
        "try:\n while True: kept.append(os.open(os.devnull, os.O_RDONLY))\n"
        "except OSError: sqlite3.connect('db').execute('CREATE TABLE t (x)')"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "unable to open database file" in done.stderr


def test_fault_59_a_native_crash_ends_the_host_and_the_run_is_run_again(tmp_path: Path) -> None:
    source = """
        import faulthandler, os
        from rapua_scheduler import Job, every, hookimpl

        def crash(ctx):
            marker = os.path.join(os.environ["FOLDER"], "crashed")
            if not os.path.exists(marker):
                open(marker, "w").close()
                faulthandler._sigsegv()
            return {"attempt": ctx.attempt, "run_key": ctx.run_key}

        @hookimpl
        def register_jobs():
            return [Job(name="Crash", run=crash, next=every(milliseconds=500), catch_up="all")]
    """
    hosts = FaultyHosts(tmp_path, {"crashing": source})
    with hosts.start() as host:
        assert host.end() == -signal.SIGSEGV
    with hosts.start() as host:
        host.wait_for("Job completed successfully")
        assert host.stop() == 0

    with hosts.reading() as store:
        first, *_ = sorted(store.runs(), key=lambda run: run.fire_time)
        (past,) = store.attempts(first.run_id)
    assert (first.trigger, first.status, first.attempt) == (Trigger.RERUN, RunStatus.SUCCEEDED, 2)
    assert (first.result or {})["run_key"] == first.run_key
    assert past.status is RunStatus.LOST
    assert hosts.said("Run lost", run_id=first.run_id)


def test_fault_59_in_a_process_of_its_own_a_crash_ends_that_run_alone(tmp_path: Path) -> None:
    source = """
        import faulthandler, os
        from rapua_scheduler import Job, every, hookimpl

        def crash(ctx):
            faulthandler._sigsegv()

        @hookimpl
        def register_jobs():
            return [Job(name="Crash", run=crash, next=every(milliseconds=500), isolation="process")]
    """
    hosts = FaultyHosts(tmp_path, {"crashing": source, "healthy": HEALTHY})
    with hosts.start() as host:
        wait_until(lambda: len(hosts.said("Job execution", job_key="crash")) >= 2, "it has crashed twice")
        assert host.stop() == 0

    with hosts.reading() as store:
        failed = store.runs(job_key="crash", statuses={RunStatus.FAILED})
    assert len(failed) >= 2
    assert "was killed by SIGSEGV" in (failed[0].error or "").splitlines()[-1]
    assert "in crash" in (failed[0].error or "")
    assert {pid for _, _, pid in hosts.breaths()} == {host.pid}
