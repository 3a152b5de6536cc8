"""Faults 83 to 90, 94 and 95: what may become of the disk, and of the store's file.

Judged by what the jobs did, in a file that is on another disk: nothing starts without a durable claim,
no fire time is left out, and none has its effect twice. The control is the same look at a store to which
nothing was done, or at what plain SQLite makes of the same fault.
"""

from __future__ import annotations

import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

from rapua_scheduler import CatchUp, GapReason, JobContext, Overlap, RunStatus, Scheduler, every
from rapua_scheduler.store import schema
from rapua_scheduler.store.locks import lock_path
from rapua_scheduler.store.maintenance import inspect_store
from rapua_scheduler.store.sqlite import SqliteStore
from tests.disks import mounted
from tests.store.child import Child
from tests.store.golden.make import history
from tests.store.test_golden import copy_of, told_then, without_what_came_later
from tests.system.hosts import HostProcess, Hosts, let_pass, wait_until

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

STORE_FAILED = "Store failed; nothing starts until it works"
A_WHILE = 1.0


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    """A job five times a second, each run of which takes a while, so that some end during the fault."""
    return Hosts(tmp_path, taking=0.1)


@contextmanager
def serving(hosts: Hosts) -> Iterator[HostProcess]:
    before = len(hosts.effects())
    with hosts.active() as host:
        hosts.wait_for_effects(before + 3)
        yield host


def refused(hosts: Hosts, *, saying: str) -> None:
    """See that no host starts on the store as it is, that no job runs, and that the file is left alone."""
    before = hosts.state.read_bytes() if hosts.state.exists() else None
    effects = hosts.effects()
    with hosts.start() as host:
        assert host.end() == 78, host.log
        assert str(hosts.state) in host.log
        assert saying in host.log
        assert "Traceback" not in host.log
    assert (hosts.state.read_bytes() if hosts.state.exists() else None) == before
    assert hosts.effects() == effects


def see_nothing_start(hosts: Hosts, host: HostProcess) -> None:
    """Wait until the store fails, and then see that nothing runs for a while, though much is due."""
    host.wait_for(STORE_FAILED)
    effects = hosts.effects()
    let_pass(A_WHILE)
    assert hosts.effects() == effects
    assert 1 <= host.log.count(STORE_FAILED) <= 4


def see_a_kill_survived(hosts: Hosts) -> None:
    """Kill a host, and see that the next one goes on from where it was."""
    with serving(hosts) as host:
        host.send(signal.SIGKILL)
        host.end()

    with serving(hosts) as host:
        hosts.wait_for_effects(len(hosts.effects()) + 5)
        assert host.stop() == 0
    hosts.judge()


def see_all_made_up(hosts: Hosts, host: HostProcess) -> None:
    """See that the host goes on by itself, and that nothing was lost, left out or repeated."""
    hosts.wait_for_effects(len(hosts.effects()) + 12)
    wait_until(lambda: not queued_in(hosts), "the queue to become empty")
    assert host.stop() == 0
    hosts.judge()
    with hosts.reading() as store:
        # one may have been claimed, and not had its turn, when the host was stopped
        assert {run.status for run in store.runs()} <= {RunStatus.SUCCEEDED, RunStatus.INTERRUPTED, RunStatus.QUEUED}
        assert len(store.runs(statuses=[RunStatus.INTERRUPTED])) <= 1
    assert inspect_store(hosts.state).is_sound


def queued_in(hosts: Hosts) -> bool:
    with hosts.reading() as store:
        return bool(store.runs(statuses=[RunStatus.QUEUED], limit=1))


# -- a scheduler in this process, whose connections a test can lay hands on


class Counting:
    """A scheduler with one job, on a store whose writing connection is at hand."""

    def __init__(self, path: Path, *, overlap: Overlap = Overlap.QUEUE_ALL, **options: Any) -> None:
        self.effects: list[str] = []
        self.result = 0
        self.store = SqliteStore.open(path, create=True, **options)
        self.store.become_host()
        self._scheduler = Scheduler(self.store, timezone=UTC)
        self._scheduler.add_job(
            "Counter", self._count, every(milliseconds=100), catch_up=CatchUp.all(), overlap=overlap
        )

    def _count(self, ctx: JobContext) -> dict[str, str]:
        self.effects.append(ctx.run_key)
        return {"text": "x" * self.result}

    def wait_for_more(self, count: int = 5) -> None:
        enough = len(self.effects) + count
        wait_until(lambda: len(self.effects) >= enough, f"{enough} effects; there are {len(self.effects)}")

    def __enter__(self) -> Self:
        self._scheduler.start()
        return self

    def __exit__(self, *_: object) -> None:
        under_way = (RunStatus.QUEUED, RunStatus.RUNNING)  # one that has no thread yet would be interrupted
        wait_until(lambda: not self.store.runs(statuses=under_way), "all that is claimed to end")
        self._scheduler.stop()
        self.store.close()

    def judge(self, path: Path) -> None:
        assert max(Counter(self.effects).values()) == 1
        with closing(SqliteStore.open_read_only(path)) as store:
            runs, gaps = store.runs(), store.gaps()
        assert gaps == []
        assert {run.run_key for run in runs} == set(self.effects)
        assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
        fire_times = sorted(run.fire_time for run in runs)
        assert {newer - older for older, newer in pairwise(fire_times)} == {timedelta(milliseconds=100)}


class FailingConnection(sqlite3.Connection):
    """Fails to make durable what it commits, as often as it is told to."""

    syncs_to_fail = 0
    commits = 0

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        cls = FailingConnection
        if sql == "COMMIT":
            cls.commits += 1
            if cls.syncs_to_fail:
                cls.syncs_to_fail -= 1
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error
        return super().execute(sql, *arguments)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections that are opened from now on."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remember(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options, factory=FailingConnection))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remember)
    monkeypatch.setattr(FailingConnection, "syncs_to_fail", 0)
    monkeypatch.setattr(FailingConnection, "commits", 0)
    return opened


# -- 83: no room


def test_fault_83_a_full_database_starts_nothing_and_loses_nothing(
    tmp_path: Path, connections: list[sqlite3.Connection], caplog: pytest.LogCaptureFixture
) -> None:
    """`PRAGMA max_page_count`: SQLite says SQLITE_FULL."""
    path = tmp_path / "store.db"
    with Counting(path) as counting:
        counting.wait_for_more()
        (pages,) = connections[0].execute("PRAGMA page_count").fetchone()
        connections[0].execute(f"PRAGMA max_page_count = {pages}")
        wait_until(lambda: STORE_FAILED in caplog.text, STORE_FAILED)
        assert "is full" in caplog.text
        before = len(counting.effects)
        let_pass(A_WHILE)
        assert len(counting.effects) == before

        connections[0].execute("PRAGMA max_page_count = 1000000")
        counting.wait_for_more(30)

    counting.judge(path)


def test_fault_83_the_end_of_a_run_is_recorded_once_there_is_room(
    tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    """Until then the job counts as running, so that no other run of it starts."""
    path = tmp_path / "store.db"
    with Counting(path, overlap=Overlap.SKIP) as counting:
        counting.wait_for_more()
        counting.result = 20_000
        (pages,) = connections[0].execute("PRAGMA page_count").fetchone()
        connections[0].execute(f"PRAGMA max_page_count = {pages}")
        counting.wait_for_more(1)
        before = len(counting.effects)
        let_pass(A_WHILE)
        assert len(counting.effects) == before
        assert counting.store.runs(statuses=[RunStatus.RUNNING])[0].run_key == counting.effects[-1]

        connections[0].execute("PRAGMA max_page_count = 1000000")
        counting.result = 0
        counting.wait_for_more()

    with closing(SqliteStore.open_read_only(path)) as store:
        assert {run.run_key for run in store.runs()} == set(counting.effects)
        assert {run.status for run in store.runs()} == {RunStatus.SUCCEEDED}
        assert {gap.reason for gap in store.gaps()} == {GapReason.SKIPPED}


def test_fault_83_a_file_that_may_not_grow_starts_nothing_and_loses_nothing(hosts: Hosts) -> None:
    """`RLIMIT_FSIZE`: SQLite says SQLITE_IOERR_WRITE."""
    with serving(hosts) as host:
        size = hosts.state.with_name("store.db-wal").stat().st_size
        resource.prlimit(host.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        see_nothing_start(hosts, host)

        resource.prlimit(host.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        see_all_made_up(hosts, host)


def test_fault_83_a_full_disk_starts_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """A disk of two megabytes: SQLite says SQLITE_FULL, or SQLITE_IOERR of the shared memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, 2 * 1024 * 1024):
        hosts = Hosts(tmp_path, taking=0.1, state=disk / "store.db")
        with serving(hosts) as host:
            filling = disk / "filling"
            fill(filling)
            see_nothing_start(hosts, host)
            assert "is full" in host.log

            filling.unlink()
            see_all_made_up(hosts, host)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 1024)
        except OSError:
            return


def test_fault_83_a_host_does_not_start_on_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, 2 * 1024 * 1024):
        hosts = Hosts(tmp_path, state=disk / "store.db")
        fill(disk / "filling")
        with hosts.start() as host:
            assert host.end() == 78
            assert "is full" in host.log
            assert str(hosts.state) in host.log
        assert hosts.effects() == []

        (disk / "filling").unlink()
        with serving(hosts) as host:
            assert host.stop() == 0


# -- 84: not writable


def test_fault_84_a_read_only_disk_is_refused_before_any_job_runs(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, 2 * 1024 * 1024):
        hosts = Hosts(tmp_path, state=disk / "store.db")
        with serving(hosts) as host:
            assert host.stop() == 0
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

        refused(hosts, saying="cannot be")

        assert hosts.command("history").returncode == 0
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with serving(hosts) as host:
            see_all_made_up(hosts, host)


def test_fault_84_a_folder_that_this_user_may_not_write_to_is_refused(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path)
    hosts.config.write_text(hosts.config.read_text().replace(str(hosts.state), "/proc/store.db"))  # root may not either

    with hosts.start() as host:
        assert host.end() == 78
        assert "/proc/store.db" in host.log


# -- 85: damaged


@pytest.mark.parametrize("place", ["header", "page"])
def test_fault_85_a_damaged_store_is_refused_and_kept(hosts: Hosts, place: str) -> None:
    with serving(hosts) as host:
        assert host.stop() == 0
    with hosts.state.open("r+b") as file:
        if place == "page":
            file.seek(4096 * page_of(hosts.state, "runs"))
        file.write(b"\xa5" * 4096)

    refused(hosts, saying="restore")


def test_fault_85_a_damaged_store_is_put_right_by_its_backup(hosts: Hosts, tmp_path: Path) -> None:
    with serving(hosts) as host:
        assert hosts.command("store", "backup", str(tmp_path / "backup.db")).returncode == 0
        assert host.stop() == 0
    with hosts.state.open("r+b") as file:
        file.write(b"\xa5" * 4096)
    refused(hosts, saying="restore")

    assert hosts.command("store", "restore", str(tmp_path / "backup.db")).returncode == 0

    with serving(hosts) as host:
        hosts.wait_for_effects(len(hosts.effects()) + 5)
        assert host.stop() == 0
    assert_nothing_twice(hosts)


def page_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return int(root) - 1


def assert_nothing_twice(hosts: Hosts) -> None:
    assert max(Counter((key, attempt) for key, attempt, _ in hosts.effects()).values()) == 1


# -- 86: deleted


def test_fault_86_a_deleted_store_is_not_begun_anew(hosts: Hosts) -> None:
    with serving(hosts) as host:
        assert host.stop() == 0
    hosts.state.unlink()

    refused(hosts, saying="does not exist, but its lock file")


def test_fault_86_a_store_that_is_begun_anew_on_purpose_makes_up_nothing(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, every="hours=1")
    with hosts.start("--adopt-from", "2026-01-01") as host:
        hosts.wait_for_effects(5)  # the control: with a time to adopt from, there is much to make up
        assert host.stop() == 0
    hosts.state.unlink()
    lock_path(hosts.state).unlink()
    before = hosts.effects()

    with hosts.active() as host:
        host.wait_for("Next run scheduled")
        let_pass(A_WHILE)
        assert host.stop() == 0

    assert hosts.effects() == before


def test_fault_86_a_store_that_is_deleted_while_in_use_is_not_written_to(hosts: Hosts) -> None:
    away = hosts.state.with_name("away.db")
    with serving(hosts) as host:
        hosts.state.rename(away)
        see_nothing_start(hosts, host)
        assert "was moved, replaced or deleted while in use" in host.log
        assert not hosts.state.exists()

        away.rename(hosts.state)
        see_all_made_up(hosts, host)


# -- 87: without its latest changes


def kill_and_delete_the_wal(hosts: Hosts) -> None:
    with serving(hosts) as host:
        host.send(signal.SIGKILL)
        host.end()
    for end in ("wal", "shm"):
        hosts.state.with_name(f"store.db-{end}").unlink()


def test_fault_87_a_store_all_of_which_was_in_its_wal_is_refused(hosts: Hosts) -> None:
    kill_and_delete_the_wal(hosts)

    refused(hosts, saying="is empty, but its lock file")


def test_fault_87_a_store_without_its_wal_is_refused_until_somebody_answers_for_it(hosts: Hosts) -> None:
    with serving(hosts) as host:
        assert host.stop() == 0
    kill_and_delete_the_wal(hosts)
    with closing(sqlite3.connect(hosts.state)) as db:  # the control: SQLite has nothing to say about it
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (runs,) = db.execute("SELECT count(*) FROM runs").fetchone()
    assert runs < len(hosts.effects())
    refused(hosts, saying="misses its latest")

    assert hosts.command("store", "restore", "--as-is").returncode == 0

    with hosts.active() as host:
        hosts.wait_for_effects(len(hosts.effects()) + 5)
        assert host.stop() == 0
    assert_nothing_twice(hosts)


def test_fault_87_a_store_with_its_wal_goes_on_after_a_kill(hosts: Hosts) -> None:
    see_a_kill_survived(hosts)


# -- 88: locked by somebody else

LOCKING = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


@contextmanager
def locked_by_another(path: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", LOCKING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
        process.communicate(b"\n")


def test_fault_88_a_store_that_another_process_has_locked_starts_nothing_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.db"
    with Counting(path, busy_seconds=0.2) as counting:
        counting.wait_for_more()
        with locked_by_another(path):
            wait_until(lambda: STORE_FAILED in caplog.text, STORE_FAILED)
            assert "another process has kept it locked" in caplog.text
            before = len(counting.effects)
            let_pass(A_WHILE)
            assert len(counting.effects) == before
        counting.wait_for_more(30)

    counting.judge(path)


def test_fault_88_a_short_lock_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "store.db"
    with Counting(path, busy_seconds=20) as counting:
        counting.wait_for_more()
        with locked_by_another(path):
            let_pass(0.3)
        counting.wait_for_more(30)

    assert STORE_FAILED not in caplog.text
    counting.judge(path)


@pytest.mark.slow
def test_fault_88_a_store_that_is_locked_for_more_than_thirty_seconds(hosts: Hosts) -> None:
    with serving(hosts) as host:
        with locked_by_another(hosts.state):
            effects = hosts.effects()
            let_pass(1)
            before = hosts.effects()
            assert len(before) <= len(effects) + 1
            let_pass(34)
            assert hosts.effects() == before
        assert "another process has kept it locked" in host.log
        hosts.wait_for_effects(len(before) + 100)
        assert host.stop() == 0
    assert_nothing_twice(hosts)
    with hosts.reading() as store:
        runs, gaps = store.runs(), store.gaps()
        assert RunStatus.LOST not in {run.status for run in runs}
    first, last = min(run.fire_time for run in runs), max(run.fire_time for run in runs)
    told = len(runs) + sum(gap.count or 0 for gap in gaps)  # 35 s are 175 fire times, of which 100 are made up
    assert told == (last - first) // timedelta(milliseconds=200) + 1


# -- 89: of another version


def test_fault_89_a_newer_schema_is_refused_with_both_versions(hosts: Hosts) -> None:
    with serving(hosts) as host:
        assert host.stop() == 0
    with closing(sqlite3.connect(hosts.state)) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")

    refused(hosts, saying=f"has schema {schema.VERSION + 1}, and this program knows {schema.VERSION} at most")


def test_fault_89_an_older_schema_is_brought_up_to_date_whole_or_not_at_all(tmp_path: Path) -> None:
    """Killed at each statement of the way from schema 1 to today's."""
    then = told_then(1)
    with Child("bring_up_to_date_and_be_killed", tmp_path) as child:
        said = list(child.hear_all())
        assert child.end() == 0

    assert len([one for one in said if one["word"] == "killed"]) > 20
    for one in said:
        with closing(SqliteStore.open(one["path"], create=False)) as store:
            assert without_what_came_later(history(store), then) == then
        assert inspect_store(one["path"]).is_sound


def test_fault_89_a_host_goes_on_with_a_store_of_the_first_schema(hosts: Hosts) -> None:
    copy_of(1, hosts.state)

    with serving(hosts) as host:
        assert host.stop() == 0

    with hosts.reading() as store:
        assert len(store.runs()) > len(told_then(1)["runs"])


# -- 90: as it was a while ago


def test_fault_90_an_older_copy_put_back_by_hand_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    with serving(hosts) as host:
        assert host.stop() == 0
    old = Path(shutil.copy(hosts.state, tmp_path / "last-week.db"))
    with serving(hosts) as host:
        hosts.wait_for_effects(len(hosts.effects()) + 3)
        assert host.stop() == 0
    shutil.copy(old, hosts.state)

    refused(hosts, saying="misses its latest")


@pytest.mark.parametrize("options", [(), ("--catch-up",)], ids=["by default", "the control"])
def test_fault_90_a_backup_that_is_restored_repeats_nothing(hosts: Hosts, tmp_path: Path, options: tuple[str]) -> None:
    """The control tells the host to catch up, and a job that does not keep its run key then repeats itself."""
    backup = str(tmp_path / "last-week.db")
    with serving(hosts) as host:
        assert hosts.command("store", "backup", backup).returncode == 0
        hosts.wait_for_effects(len(hosts.effects()) + 5)
        assert host.stop() == 0
    before = len(hosts.effects())

    assert hosts.command("store", "restore", *options, backup).returncode == 0

    with hosts.active() as host:
        hosts.wait_for_effects(before + 15)
        assert host.stop() == 0
    times = Counter(key for key, _, _ in hosts.effects())
    assert (max(times.values()) > 1) == bool(options)


# -- 94: two hosts


def test_fault_94_of_hosts_that_start_at_once_one_runs(hosts: Hosts) -> None:
    with hosts.active() as host:  # so that none of them has to create the store
        assert host.stop() == 0
    started = [hosts.start() for _ in range(4)]
    try:
        wait_until(lambda: sum(host.is_running for host in started) == 1, "all but one to end")
        (winner,) = [host for host in started if host.is_running]
        hosts.wait_for_effects(5)

        losers = [host for host in started if host is not winner]
        assert {host.end() for host in losers} == {75}
        assert all("another host is active" in host.log for host in losers)
        assert winner.stop() == 0
    finally:
        for host in started:
            host.__exit__()
    assert {pid for _, _, pid in hosts.effects()} == {winner.pid}
    hosts.judge()


def test_fault_94_the_lock_of_a_killed_host_is_free_at_once(hosts: Hosts) -> None:
    see_a_kill_survived(hosts)


# -- 95: not durable


@pytest.mark.parametrize("failures", [1, 2])
def test_fault_95_a_commit_that_is_not_durable_is_none(
    tmp_path: Path, connections: list[sqlite3.Connection], caplog: pytest.LogCaptureFixture, failures: int
) -> None:
    path = tmp_path / "store.db"
    with Counting(path) as counting:
        counting.wait_for_more()
        FailingConnection.syncs_to_fail = failures
        counting.wait_for_more(30)

    assert FailingConnection.syncs_to_fail == 0
    counting.judge(path)


def test_fault_95_a_sync_that_the_kernel_fails_once_loses_nothing(hosts: Hosts, tmp_path: Path) -> None:
    """strace makes the host's next fdatasync fail, as a dying disk would."""
    with serving(hosts) as host:
        log = tmp_path / "strace"
        with failing_syncs(host.pid, log):
            wait_until(lambda: "INJECTED" in log.read_text(), "a sync to fail")
        see_all_made_up(hosts, host)


@contextmanager
def failing_syncs(pid: int, log: Path) -> Iterator[None]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    inject = ["--trace=fsync,fdatasync", "--inject=fsync,fdatasync:error=EIO:when=1"]
    with subprocess.Popen(
        ["strace", "-f", "-p", str(pid), "-o", str(log), *inject], stderr=subprocess.PIPE, text=True
    ) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.kill()
            pytest.skip(f"strace may not look into a process here: {said.strip()}")
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)
