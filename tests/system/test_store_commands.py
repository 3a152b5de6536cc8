"""`rapua-scheduler store`: real processes on a store that a host has worked on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rapua_scheduler.store.maintenance import inspect_store
from tests.system.hosts import Hosts

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

BROKEN = """
    raise SystemExit("a plugin that was imported")
"""


@pytest.fixture(scope="module")
def worked_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a host has run a job some times; not to be changed."""
    folder = tmp_path_factory.mktemp("worked-on")
    hosts = Hosts(folder)
    with hosts.active() as host:
        hosts.wait_for_effects(5)
        assert host.stop() == 0
    return folder


@pytest.fixture
def hosts(worked_on: Path, tmp_path: Path) -> Hosts:
    """The same, to be changed; its plugin is broken by now."""
    hosts = Hosts(tmp_path, plugin=BROKEN)
    for name in ("store.db", "store.db.lock", "effects"):
        shutil.copy(worked_on / name, tmp_path / name)
    return hosts


def said(hosts: Hosts, *arguments: str, code: int = 0) -> str:
    """Run a command of `store`, and return what it wrote, if it ended as it should."""
    result = hosts.command("store", *arguments)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "a plugin that was imported" not in result.stderr
    return result.stdout if code == 0 else result.stdout + result.stderr


def lose_the_wal(hosts: Hosts) -> None:
    """Kill a host, and delete what it had not folded in."""
    hosts.config.with_name("packages").joinpath("counter.py").write_text("")
    with hosts.active() as host:
        host.wait_for("No job to run")
        host.send(signal.SIGKILL)
        host.end()
    for end in ("wal", "shm"):
        hosts.state.with_name(f"store.db-{end}").unlink()


# -- check


def test_check_says_of_a_sound_store_what_is_in_it(hosts: Hosts) -> None:
    text = said(hosts, "check")

    assert text.startswith(f"ok      store {hosts.state}: schema 2, ")
    assert " 1 job, " in text


def test_check_exits_78_for_a_store_with_a_flaw(hosts: Hosts) -> None:
    with hosts.state.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xa5" * 4096)

    assert f"ERROR   store {hosts.state}: " in said(hosts, "check", code=78)


def test_check_exits_78_for_a_store_that_is_missing(hosts: Hosts) -> None:
    hosts.state.unlink()

    assert "restore the file from a backup" in said(hosts, "check", code=78)


def test_check_tells_findings_in_json(hosts: Hosts) -> None:
    (finding,) = json.loads(said(hosts, "check", "--json"))

    assert (finding["subject"], finding["severity"]) == (f"store {hosts.state}", "ok")


# -- backup


def test_backup_makes_a_file_and_tells_its_size(hosts: Hosts, tmp_path: Path) -> None:
    text = said(hosts, "backup", str(tmp_path / "monday.db"))

    assert text.startswith(f"backed up to {tmp_path / 'monday.db'}: ")
    assert inspect_store(tmp_path / "monday.db").is_sound


def test_backup_replaces_a_file_only_with_force(hosts: Hosts, tmp_path: Path) -> None:
    said(hosts, "backup", str(tmp_path / "monday.db"))

    assert "--force" in said(hosts, "backup", str(tmp_path / "monday.db"), code=2)
    said(hosts, "backup", str(tmp_path / "monday.db"), "--force")


def test_backup_works_beside_a_host(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path)
    with hosts.active() as host:
        hosts.wait_for_effects(3)
        said(hosts, "backup", str(tmp_path / "monday.db"))
        hosts.wait_for_effects(len(hosts.effects()) + 3)
        assert host.stop() == 0
    hosts.judge()

    assert inspect_store(tmp_path / "monday.db").runs >= 3


# -- restore


def test_restore_puts_a_backup_in_place_and_the_host_goes_on_from_now(worked_on: Path, tmp_path: Path) -> None:
    hosts = Hosts(tmp_path)
    shutil.copy(worked_on / "store.db", tmp_path)
    said(hosts, "backup", str(tmp_path / "monday.db"))
    with hosts.active() as host:
        hosts.wait_for_effects(5)
        assert host.stop() == 0
    before = {key for key, _, _ in hosts.effects()}

    text = said(hosts, "restore", str(tmp_path / "monday.db"))

    assert f"restored {hosts.state}: " in text
    assert f"kept as {hosts.state}.before-restore-" in text
    assert "recorded as missed since then: counter" in text
    with hosts.active() as host:
        hosts.wait_for_effects(len(hosts.effects()) + 5)
        assert host.stop() == 0
    times = [key for key, _, _ in hosts.effects()]
    assert len(times) == len(set(times))
    assert before < set(times)
    with hosts.reading() as store:
        assert "what ran since is not known" in store.gaps()[-1].detail
    assert said(hosts, "check").startswith("ok ")


def test_restore_with_catch_up_runs_what_came_since_and_says_that_it_may_be_again(
    worked_on: Path, tmp_path: Path
) -> None:
    hosts = Hosts(tmp_path)
    shutil.copy(worked_on / "store.db", tmp_path)
    said(hosts, "backup", str(tmp_path / "monday.db"))
    with hosts.active() as host:
        hosts.wait_for_effects(5)
        assert host.stop() == 0
    before = [key for key, _, _ in hosts.effects()]

    assert "have its effect twice" in said(hosts, "restore", "--catch-up", str(tmp_path / "monday.db"))

    with hosts.active() as host:
        hosts.wait_for_effects(len(before) + 10)
        assert host.stop() == 0
    times = [key for key, _, _ in hosts.effects()]
    assert set(before) & set(times[len(before) :])


def test_restore_beside_a_host_exits_75(hosts: Hosts, tmp_path: Path) -> None:
    said(hosts, "backup", str(tmp_path / "monday.db"))
    with hosts.active() as host:
        assert f"process {host.pid} on " in said(hosts, "restore", str(tmp_path / "monday.db"), code=75)
        assert host.is_running


def test_a_store_that_lost_its_wal_is_refused_until_it_is_restored_as_it_is(hosts: Hosts) -> None:
    lose_the_wal(hosts)
    for arguments in (["run"], ["history"], ["store", "backup", "x.db"], ["store", "check"], ["exec", "counter"]):
        result = hosts.command(*arguments)
        assert result.returncode == 78, result
        assert "misses its latest" in result.stdout + result.stderr
        assert "store restore --as-is" in result.stdout + result.stderr

    said(hosts, "restore", "--as-is")

    said(hosts, "check")
    with hosts.active() as host:
        host.wait_for("No job to run")
        assert host.stop() == 0


@pytest.mark.parametrize("arguments", [[], ["--as-is", "monday.db"]])
def test_restore_wants_one_file_or_the_one_that_is_there(hosts: Hosts, arguments: list[str]) -> None:
    assert "--as-is" in said(hosts, "restore", *arguments, code=2)


def test_restore_of_a_file_that_is_no_store_exits_78(hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a store\n" * 100)

    assert "is not a database" in said(hosts, "restore", str(tmp_path / "notes.txt"), code=78)


def test_restore_says_of_a_file_that_it_is_no_backup_and_not_how_to_mend_a_store(hosts: Hosts, tmp_path: Path) -> None:
    absent = said(hosts, "restore", str(tmp_path / "typo.db"), code=78)
    other = said(hosts, "restore", str(hosts.config), code=78)

    assert "typo.db: is no backup to restore: does not exist; name a file that" in absent
    assert "is no backup to restore: is not a database" in other
    assert "create it" not in absent
    assert "restore the file" not in other


# -- export


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_export_writes_every_run_as_a_line(hosts: Hosts) -> None:
    lines = lines_of(said(hosts, "export"))

    with hosts.reading() as store:
        runs = [run.run_id for run in reversed(store.runs())]
    assert [line["type"] for line in lines[:2]] == ["store", "job"]
    assert [line["run_id"] for line in lines if line["type"] == "run"] == runs
    run = lines[-1]
    assert (run["job"], run["attempts"]) == ("counter", [])
    assert {line["type"] for line in lines} <= {"store", "job", "window", "gap", "run"}


def test_export_since_leaves_out_what_was_before(hosts: Hosts) -> None:
    with hosts.reading() as store:
        newest = store.runs(limit=1)[0]

    assert newest.started_at is not None
    lines = lines_of(said(hosts, "export", "--since", newest.started_at.isoformat()))

    assert [line["run_id"] for line in lines if line["type"] == "run"] == [newest.run_id]


def test_export_to_a_file_replaces_one_only_with_force(hosts: Hosts, tmp_path: Path) -> None:
    target = tmp_path / "all.jsonl"
    assert said(hosts, "export", str(target)) == ""
    whole = lines_of(target.read_text())

    assert "--force" in said(hosts, "export", str(target), code=2)
    said(hosts, "export", str(target), "--force")

    assert lines_of(target.read_text())[1:] == whole[1:]
    assert [each for each in tmp_path.iterdir() if each.name.startswith(".all")] == []


def test_export_to_a_folder_that_is_not_there_is_a_mistake_of_the_command_line(hosts: Hosts) -> None:
    told = said(hosts, "export", "/nonexistent/all.jsonl", code=2)

    assert "/nonexistent/all.jsonl cannot be written: /nonexistent: No such file or directory" in told


def test_export_into_a_closed_pipe_ends_quietly(hosts: Hosts) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rapua_scheduler", "--config", str(hosts.config), "store", "export"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(30)
