"""Faults 76 to 82, 91 and 92, and signals: what may become of the host's process.

Real hosts, judged by what their jobs did. Fault 76 is proven in `tests/kills`, with thousands of kills;
here is what it looks like from a terminal. The control is, where there is one, the same signal to a host
that is asked nothing else, or the same look at what Python does by itself.
"""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import signal
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rapua_scheduler.run import Run, RunStatus, Trigger
from tests.system.hosts import HostProcess, Hosts, let_pass, wait_until

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

SOON = 2.0
GRACE = 5.0

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP

STUBBORN = """
    import os, time
    from rapua_scheduler import Job, every, hookimpl

    def run(ctx):
        with open(os.environ["EFFECTS"], "a") as effects:
            effects.write(f"{ctx.run_key} {ctx.attempt} {os.getpid()}\\n")
        time.sleep(60)

    @hookimpl
    def register_jobs():
        return [Job(name="Stubborn", run=run, next=every(EVERY))]
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    """A job five times a second."""
    return Hosts(tmp_path, taking=0.05)


@pytest.fixture
def stubborn(tmp_path: Path) -> Hosts:
    """A job that does not look at its cancellation."""
    return Hosts(tmp_path, plugin=STUBBORN)


@pytest.fixture
def patient(tmp_path: Path) -> Hosts:
    """A job that would go on for a minute, and looks at its cancellation."""
    return Hosts(tmp_path, taking=60.0)


def runs_of(hosts: Hosts) -> list[Run]:
    """Return the runs that have begun, oldest first."""
    with hosts.reading() as store:
        return [run for run in reversed(store.runs()) if run.started_at is not None]


def see_it_whole(hosts: Hosts, host: HostProcess, *, with_errors: bool = False) -> None:
    """See that a host that has ended left nothing half done, and no cry but those of its jobs."""
    assert with_errors or "Traceback" not in host.log
    assert "Scheduler failed" not in host.log
    if hosts.state.exists():
        with closing(sqlite3.connect(hosts.state)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert [run.run_id for run in runs_of(hosts) if not run.status.is_final] == []


# -- 76 and 82: killed


def test_fault_76_a_host_killed_at_random_runs_everything_once(hosts: Hosts) -> None:
    chance = random.Random(76)

    for _ in range(4):
        with hosts.active() as host:
            hosts.wait_for_effects(len(hosts.effects()) + 2)
            let_pass(chance.uniform(0, 0.2))
            host.send(signal.SIGKILL)
            assert host.end() == -signal.SIGKILL
    with hosts.active() as host:
        hosts.wait_for_effects(len(hosts.effects()) + 3)
        assert host.stop() == 0

    hosts.judge()


GREEDY = """
    import os, signal
    from rapua_scheduler import Job, every, hookimpl

    def run(ctx):
        with open(os.environ["EFFECTS"], "a") as effects:
            effects.write(f"{ctx.run_key} {ctx.attempt} {os.getpid()}\\n")
        if ctx.attempt == 1:
            eaten = [b"x" * (16 << 20) for _ in range(8)]
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does to who has eaten most

    @hookimpl
    def register_jobs():
        return [Job(name="Greedy", run=run, next=every(EVERY))]
"""


def test_fault_82_a_job_that_eats_until_the_kernel_kills_its_host_is_run_again(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, plugin=GREEDY, every="hours=1")
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)

    with hosts.start("--adopt-from", an_hour_ago.isoformat()) as host:
        assert host.end() == -signal.SIGKILL
    with hosts.active() as host:
        hosts.wait_for_effects(2)
        assert host.stop() == 0

    (key, first, _), (again, second, _) = hosts.effects()
    assert (again, first, second) == (key, 1, 2)
    (run,) = runs_of(hosts)
    assert (run.status, run.losses) == (RunStatus.SUCCEEDED, 1)


# -- 77 and 78: told to stop


@pytest.mark.parametrize("number", [TERM, INT])
def test_fault_77_a_host_that_is_told_to_stop_interrupts_what_runs_and_claims_nothing_more(
    patient: Hosts, number: signal.Signals
) -> None:
    with patient.active() as host:
        patient.wait_for_effects(1)
        host.send(number)
        asked_at = time.monotonic()

        assert host.end() == 0
        assert time.monotonic() - asked_at < SOON
        assert "Job interrupted" not in host.log, "it was asked, and ended by itself"
        see_it_whole(patient, host)

    (run,) = runs_of(patient)
    assert run.status is RunStatus.INTERRUPTED
    assert len(patient.effects()) == 1


def test_fault_77_what_was_interrupted_is_run_again_by_the_next_host(patient: Hosts) -> None:
    with patient.active() as host:
        patient.wait_for_effects(1)
        assert host.stop() == 0
    with patient.active() as host:
        patient.wait_for_effects(2)
        assert host.stop() == 0

    (key, first, _), (again, second, _) = patient.effects()
    assert (again, first, second) == (key, 1, 2)
    assert runs_of(patient)[0].trigger is Trigger.RERUN


def test_fault_77_control_a_host_that_is_killed_records_nothing_of_it(patient: Hosts) -> None:
    with patient.active() as host:
        patient.wait_for_effects(1)
        host.send(signal.SIGKILL)
        host.end()

    (run,) = runs_of(patient)
    assert run.status is RunStatus.RUNNING


@pytest.mark.parametrize("numbers", [(TERM, TERM), (INT, INT), (TERM, INT)])
def test_fault_78_a_second_signal_ends_the_grace(stubborn: Hosts, numbers: tuple[signal.Signals, ...]) -> None:
    with stubborn.active() as host:
        stubborn.wait_for_effects(1)
        host.send(numbers[0])
        let_pass(SOON)
        assert host.is_running, "the control: the first one alone grants the grace period"

        host.send(numbers[1])
        asked_at = time.monotonic()

        assert host.end() == 0
        assert time.monotonic() - asked_at < SOON
        see_it_whole(stubborn, host)
    assert [run.status for run in runs_of(stubborn)] == [RunStatus.INTERRUPTED]


def test_fault_78_without_a_second_signal_the_grace_ends_by_itself(stubborn: Hosts) -> None:
    with stubborn.active() as host:
        stubborn.wait_for_effects(1)
        host.send(TERM)
        asked_at = time.monotonic()

        assert host.end() == 0
        assert GRACE <= time.monotonic() - asked_at < GRACE + SOON
        see_it_whole(stubborn, host)
    assert [run.status for run in runs_of(stubborn)] == [RunStatus.INTERRUPTED]


# -- 79: told to stop at a bad time


def test_fault_79_a_host_that_is_told_to_stop_while_it_starts_leaves_nothing_half_done(hosts: Hosts) -> None:
    chance = random.Random(79)

    for turn in range(12):
        with hosts.start() as host:
            let_pass(turn * 0.05 + chance.uniform(0, 0.05))
            host.send(TERM)
            assert host.end() in {0, -TERM}  # by the signal, as long as Python has imported nothing that minds it
            see_it_whole(hosts, host)

    with hosts.active() as host:
        hosts.wait_for_effects(len(hosts.effects()) + 3)
        assert host.stop() == 0
    hosts.judge()


@pytest.mark.parametrize("number", [TERM, INT])
def test_fault_79_a_host_that_is_told_to_stop_while_its_plugins_load_ends_in_order(
    hosts: Hosts, number: signal.Signals
) -> None:
    for milliseconds in (0, 5, 10, 20, 40):
        with hosts.active() as host:
            let_pass(milliseconds / 1000)
            host.send(number)
            assert host.end() == 0
            see_it_whole(hosts, host)


def test_fault_79_a_host_that_is_told_to_stop_while_it_stops_goes_on_doing_so(hosts: Hosts) -> None:
    chance = random.Random(79)

    for _ in range(4):
        with hosts.active() as host:
            hosts.wait_for_effects(len(hosts.effects()) + 1)
            for number in chance.choices((TERM, INT, HUP), k=6):
                host.send(number)
                let_pass(chance.uniform(0, 0.02))
                if not host.is_running:
                    break
            if host.is_running:
                host.send(TERM)
            assert host.end() == 0
            see_it_whole(hosts, host)
    hosts.judge()


# -- 80 and 81: the terminal, and the log


def test_fault_80_a_hangup_is_ignored(hosts: Hosts) -> None:
    with hosts.active() as host:
        hosts.wait_for_effects(1)
        host.send(HUP)

        hosts.wait_for_effects(len(hosts.effects()) + 4)
        assert host.stop() == 0
    hosts.judge()


ALARMING = """
    import os, signal
    from rapua_scheduler import Job, every, hookimpl

    def run(ctx):
        with open(os.environ["EFFECTS"], "a") as effects:
            effects.write(f"{ctx.run_key} {ctx.attempt} {os.getpid()}\\n")
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        os.kill(os.getpid(), signal.SIGUSR1)

    @hookimpl
    def register_jobs():
        return [Job(name="Alarming", run=run, next=every(EVERY))]
"""


def test_fault_80_a_job_that_has_signals_sent_to_itself_does_not_end_its_host(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, plugin=ALARMING)
    with hosts.active() as host:
        hosts.wait_for_effects(4)

        assert host.stop() == 0
        assert {"SIGALRM", "SIGUSR1"} <= set(re.findall(r"SIG\w+", host.log))
    hosts.judge()


CLOSING = """
    import os, sys
    from rapua_scheduler import Job, every, hookimpl

    def run(ctx):
        with open(os.environ["EFFECTS"], "a") as effects:
            effects.write(f"{ctx.run_key} {ctx.attempt} {os.getpid()}\\n")
        sys.stdout.close()
        sys.stderr.close()

    @hookimpl
    def register_jobs():
        return [Job(name="Closing", run=run, next=every(EVERY))]
"""


def test_fault_77_a_host_whose_output_a_job_has_just_closed_ends_in_order(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, plugin=CLOSING)
    with hosts.active() as host:
        hosts.wait_for_effects(2)

        assert host.stop() == 0


@contextmanager
def on_a_terminal(hosts: Hosts) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a host as the only program on a terminal of its own, and yield it and the terminal's other end."""
    master, slave = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "rapua_scheduler", "--config", str(hosts.config), "run"],
        env=hosts.env,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(slave)
    try:
        yield process, master
    finally:
        process.kill()
        process.wait()


def test_fault_80_a_host_whose_terminal_is_closed_runs_on(hosts: Hosts) -> None:
    with on_a_terminal(hosts) as (process, terminal):
        hosts.wait_for_effects(1)
        os.close(terminal)

        hosts.wait_for_effects(len(hosts.effects()) + 4)
        process.send_signal(TERM)
        assert process.wait(30) == 0
    hosts.judge()


def test_fault_80_control_a_program_that_does_nothing_about_it_ends_with_its_terminal(hosts: Hosts) -> None:
    master, slave = pty.openpty()

    def prepare() -> None:
        signal.signal(HUP, signal.SIG_DFL)  # under nohup, tests would hand down that it is ignored
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-c", "print('there', flush=True); import time; time.sleep(60)"],
        stdout=slave,
        start_new_session=True,
        preexec_fn=prepare,
    )
    os.close(slave)
    assert b"there" in os.read(master, 100)
    os.close(master)

    assert process.wait(30) == -HUP


def piped(hosts: Hosts) -> subprocess.Popen[bytes]:
    """Start a host whose log goes into a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "rapua_scheduler", "--config", str(hosts.config), "run"],
        env=hosts.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_fault_81_a_host_whose_log_nobody_reads_any_more_runs_on(hosts: Hosts) -> None:
    process = piped(hosts)
    hosts.wait_for_effects(1)
    assert process.stderr is not None
    assert process.stderr.read(1)

    process.stderr.close()

    hosts.wait_for_effects(len(hosts.effects()) + 4)
    process.send_signal(TERM)
    assert process.wait(30) == 0
    hosts.judge()


def test_fault_81_a_host_whose_log_nobody_reads_does_not_wait_for_it(hosts: Hosts) -> None:
    process = piped(hosts)
    assert process.stderr is not None
    fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)  # full after a dozen runs

    hosts.wait_for_effects(30)

    process.send_signal(TERM)
    assert process.wait(30) == 0
    assert len(process.stderr.read()) <= 4096
    process.stderr.close()
    hosts.judge()


def test_fault_81_control_a_program_that_prints_into_a_closed_pipe_ends() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import time\nwhile True: print('here', flush=True); time.sleep(0.01)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.read(1)

    process.stdout.close()

    assert process.wait(30) == 1


# -- 91 and 92: nothing left of what the system has

HOG = """
    import os, resource
    from pathlib import Path
    from rapua_scheduler import Job, every, hookimpl

    LET_GO = Path(os.environ["EFFECTS"] + "-let-go")
    held = []

    def hog(ctx):
        while not held or len(held) < 1000:
            try:
                held.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        while not LET_GO.exists():
            ctx.sleep(0.05)
        while held:
            os.close(held.pop())

    def count(ctx):
        with open(os.environ["EFFECTS"], "a") as effects:
            effects.write(f"{ctx.run_key} {ctx.attempt} {os.getpid()}\\n")

    @hookimpl
    def register_jobs():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        return [
            Job(name="Hog", run=hog, next=every(seconds=2)),
            Job(name="Counter", run=count, next=every(EVERY)),
        ]
"""


def statuses_of(hosts: Hosts, job_key: str) -> list[RunStatus]:
    with hosts.reading() as store:
        return [run.status for run in reversed(store.runs(job_key=job_key))]


def test_fault_91_without_a_descriptor_left_nothing_starts_and_then_all_goes_on(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, plugin=HOG)
    with hosts.active() as host:
        host.wait_for("Nothing starts: descriptors run out")
        before = len(hosts.effects())
        let_pass(SOON)
        assert len(hosts.effects()) == before

        Path(f"{hosts.effects_file}-let-go").touch()

        hosts.wait_for_effects(before + 4)
        assert "Descriptors suffice again" in host.log
        assert host.stop() == 0
        see_it_whole(hosts, host, with_errors=True)
    runs = runs_of(hosts)
    assert {run.status for run in runs} <= {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.INTERRUPTED}
    succeeded = {run.run_key for run in runs if run.job_key == "counter" and run.status is RunStatus.SUCCEEDED}
    assert succeeded == {key for key, _, _ in hosts.effects()}


THREADLESS = """
    import os, threading
    from pathlib import Path
    from rapua_scheduler import Job, every, hookimpl

    NONE_LEFT = Path(os.environ["EFFECTS"] + "-none-left")
    start = threading.Thread.start

    def start_if_one_is_left(thread):
        if NONE_LEFT.exists() and thread.name.startswith(NONE_LEFT.read_text()):
            raise RuntimeError("can't start new thread")
        start(thread)

    threading.Thread.start = start_if_one_is_left  # the system's limit is none for root

    def count(ctx):
        with open(os.environ["EFFECTS"], "a") as effects:
            effects.write(f"{ctx.run_key} {ctx.attempt} {os.getpid()}\\n")

    async def count_asynchronously(ctx):
        count(ctx)

    @hookimpl
    def register_jobs():
        return [
            Job(name="Plain", run=count, next=every(EVERY)),
            Job(name="Asynchronous", run=count_asynchronously, next=every(EVERY)),
        ]
"""


def test_fault_92_without_a_thread_left_runs_fail_and_then_resume(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, plugin=THREADLESS)
    none_left = Path(f"{hosts.effects_file}-none-left")
    none_left.write_text("counter-")  # those of the plugin
    with hosts.active() as host:
        for job_key in ("plain", "asynchronous"):
            wait_until(lambda key=job_key: statuses_of(hosts, key).count(RunStatus.FAILED) >= 2, "runs that fail")  # type: ignore[misc]
        assert hosts.effects() == []

        none_left.unlink()

        for job_key in ("plain", "asynchronous"):
            wait_until(lambda key=job_key: RunStatus.SUCCEEDED in statuses_of(hosts, key), "a run that succeeds")  # type: ignore[misc]
        assert host.stop() == 0
        see_it_whole(hosts, host, with_errors=True)
    failed = [run for run in runs_of(hosts) if run.status is RunStatus.FAILED]
    assert all("thread" in (run.error or "") for run in failed)


def test_fault_92_without_a_thread_left_a_host_can_still_be_stopped(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, plugin=THREADLESS)
    with hosts.active() as host:
        hosts.wait_for_effects(4)
        Path(f"{hosts.effects_file}-none-left").write_text("")  # any

        assert host.stop() == 0, host.log
        see_it_whole(hosts, host)
