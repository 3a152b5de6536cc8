"""What the store has promised, it keeps: across processes that compete, are killed, or run out of disk."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.run import RunStatus
from rapua_scheduler.store import schema
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.testing.store_conformance import START, some_job, to_run
from tests.store.child import Child
from tests.store.children import fill_first_schema


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_processes_that_compete_claim_each_fire_time_once(path: Path) -> None:
    processes, jobs, hours = 4, 20, 100
    with closing(SqliteStore.open(path, create=True)) as store:
        store.declare([some_job(f"job-{number}") for number in range(jobs)], START)
    children = [Child("compete", path, f"worker-{number}", jobs, hours) for number in range(processes)]
    try:
        for child in children:
            child.hear("ready")
        for child in children:
            child.go_on()
        claimed = [said["run_id"] for child in children for said in child.hear_all()]
        assert [child.end() for child in children] == [0] * processes
    finally:
        for child in children:
            child.__exit__(None, None, None)

    with closing(SqliteStore.open_read_only(path)) as store:
        runs = store.runs()
    assert len(runs) == len({run.run_key for run in runs}) == jobs * hours
    assert sorted(claimed) == sorted(run.run_id for run in runs)
    assert len({run.run_id.split("-")[1] for run in runs}) > 1, "one process took all, and nobody competed"


def die_at_random_moments(path: Path, lives: int, seed: int) -> None:
    dice = random.Random(seed)
    SqliteStore.open(path, create=True).close()
    claimed: set[str] = set()
    finished: set[str] = set()
    for life in range(lives):
        with Child("work_until_killed", path, f"life-{life}") as child:
            last_word = dice.randrange(1, 400)
            for heard, said in enumerate(child.hear_all(), start=1):
                (claimed if said["word"] == "claimed" else finished).update(said["runs"])
                if heard == last_word:
                    child.kill()
            child.end()
        with closing(SqliteStore.open(path, create=False)) as store:
            lost = {run.run_id for run in store.mark_lost(START)}
            runs = {run.run_id: run for run in store.runs()}
        assert claimed <= runs.keys()
        assert not finished & lost
        for run_id in finished:
            assert (runs[run_id].status, runs[run_id].result) == (RunStatus.SUCCEEDED, {"id": run_id})
        assert {run.status for run in runs.values()} <= {RunStatus.SUCCEEDED, RunStatus.LOST}
        assert is_sound(path)
    assert len(finished) > 10 * lives


def test_what_was_acknowledged_outlives_a_kill_at_any_moment(path: Path) -> None:
    die_at_random_moments(path, lives=4, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_outlives_many_kills(path: Path, seed: int) -> None:
    die_at_random_moments(path, lives=15, seed=seed)


def test_a_kill_while_a_store_is_created_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    killed = 0
    with Child("open_and_be_killed", tmp_path) as child:
        for said in child.hear_all():
            path = Path(said["path"])
            if said["word"] == "whole":
                assert said["status"] == 0
                break
            killed += 1

            with closing(SqliteStore.open(path, create=True)) as store:
                store.declare([some_job()], START)
                assert store.decide([to_run(1)]) == [True]
            assert is_sound(path)
        else:
            pytest.fail("the child never came to an end")
    assert killed > 20


def test_a_kill_during_a_migration_leaves_the_version_before_or_after(tmp_path: Path) -> None:
    versions = []
    with Child("migrate_and_be_killed", tmp_path) as child:
        for said in child.hear_all():
            if said["word"] == "whole":
                assert said["status"] == 0
            with closing(sqlite3.connect(said["path"])) as db:
                (version,) = db.execute("PRAGMA user_version").fetchone()
                columns = {row[1] for row in db.execute("PRAGMA table_info(jobs)")}
                tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
                assert ("paused_because" in columns) == ("tries" in tables) == (version == schema.VERSION + 1)
                if version > schema.VERSION:
                    assert db.execute("SELECT count(*) FROM tries").fetchone() == (5,)
                    assert db.execute("SELECT paused_because FROM jobs").fetchall() == [("all of them",)]
                assert db.execute("SELECT count(*) FROM runs").fetchone() == (5,)
            versions.append(version)
    assert versions == sorted(versions)
    assert versions.count(schema.VERSION) > 5
    assert versions[-1] == schema.VERSION + 1


def test_a_step_that_another_process_has_taken_meanwhile_is_not_taken_again(path: Path) -> None:
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as slow,
        closing(sqlite3.connect(path, isolation_level=None)) as fast,
    ):

        def be_faster(statement: str) -> None:
            if statement == "BEGIN IMMEDIATE":
                slow.set_trace_callback(None)
                schema.migrate(fast)

        slow.set_trace_callback(be_faster)
        schema.migrate(slow)

        assert schema.read_version(slow) == schema.VERSION


def test_a_kill_while_a_store_is_updated_leaves_every_run_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    fill_first_schema(tmp_path / "before" / "store.db")
    with closing(sqlite3.connect(tmp_path / "before" / "store.db")) as db:
        before = db.execute(f"SELECT {OLD_COLUMNS} FROM runs ORDER BY id").fetchall()
    versions = []
    (tmp_path / "killed").mkdir()
    with Child("update_and_be_killed", tmp_path / "killed") as child:
        for said in child.hear_all():
            path = Path(said["path"])
            with closing(sqlite3.connect(path)) as db:
                (version,) = db.execute("PRAGMA user_version").fetchone()
                assert db.execute(f"SELECT {OLD_COLUMNS} FROM runs ORDER BY id").fetchall() == before
            versions.append(version)
            with closing(SqliteStore.open(path, create=False)) as store:
                assert [run.run_id for run in store.runs(job_key="sweep")] == [f"run-{n}" for n in (7, 5, 4, 3, 2, 1)]
                assert {(run.failures, run.losses, run.asked_by) for run in store.runs()} == {(0, 0, "")}
            assert is_sound(path)
    assert versions == sorted(versions)
    assert (versions[0], versions[-1]) == (1, schema.VERSION)
    assert versions.count(1) > 20


OLD_COLUMNS = (
    "id, run_id, job_key, fire_time, fire_key, trigger, status, attempt, owner, started_at, finished_at, previous, "
    "result, error"
)


def test_unfinished_runs_of_the_first_schema_are_left_if_their_job_was_run_since(path: Path) -> None:
    fill_first_schema(path)

    with closing(SqliteStore.open(path, create=False)) as store:
        assert [run.run_id for run in store.unanswered()] == ["run-6", "run-7"]
        assert [run.run_id for run in store.mark_lost(START)] == ["run-5"]
        assert [run.run_id for run in store.unanswered()] == ["run-5", "run-6", "run-7"]


def test_what_an_updated_store_has_too_much_of_is_pruned(path: Path) -> None:
    fill_first_schema(path)

    with closing(SqliteStore.open(path, create=False)) as store:
        assert store.prune(START, 1) == 3

        assert [run.run_id for run in store.runs(job_key="sweep")] == ["run-7", "run-5", "run-1"]


def test_processes_that_create_a_store_at_once_get_the_same(path: Path) -> None:
    with Child("open_at_once", path, 12) as child:
        assert child.hear("ended")["statuses"] == [0] * 12

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM owners").fetchone() == (12,)
        assert db.execute("SELECT count(*) FROM meta WHERE name = 'store_id'").fetchone() == (1,)


def test_a_full_disk_stops_the_recording_and_room_lets_it_go_on(path: Path) -> None:
    with Child("run_out_of_disk", path) as child:
        full = child.hear("full")
        assert full["recorded"] == full["there"] > 10
        assert "the file system failed" in full["problem"] or "full" in full["problem"]
        assert child.hear("finish") == {"word": "finish", "failed": True, "status": "running"}
        room = child.hear("room")
        assert child.end() == 0

    assert room == {"word": "room", "recorded": [True], "finished": True, "runs": full["recorded"] + 1}
    assert is_sound(path)
