"""What is set aside lies outside the served tree, can be put back by one copy, and expires."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from rapua_orphaned_uploads.moving import UNFINISHED, move
from rapua_scheduler.testing import ManualClock
from tests.plugins.orphaned_uploads.meanwhile import Meanwhile
from tests.plugins.orphaned_uploads.sites import NOW, OLD, URL, MadeSite, make_site, new_path, paths_in, set_age

DAY = timedelta(days=1)


@pytest.fixture
def made(tmp_path: Path) -> MadeSite:
    return make_site(tmp_path)


def journal(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_copy_undoes_a_mistake(made: MadeSite) -> None:
    paths = {new_path(), "2026/11/02/a b (ü).jpg", f".cache/small/{new_path()}"}
    copy = {f".cache/large/{path}" for path in paths if not path.startswith(".")}
    before = {path: made.add_file(path).stat() for path in paths | copy}

    made.run(run_id="20261123T110000-abc")
    shutil.copytree(made.trash / "20261123T110000-abc", made.uploads, dirs_exist_ok=True)

    assert made.files() == before.keys()
    assert all((made.uploads / path).read_text() == path for path in before)
    assert all((made.uploads / path).stat().st_mtime_ns == before[path].st_mtime_ns for path in before)


def test_rows_are_kept_with_every_column(made: MadeSite) -> None:
    path = new_path()
    made.add_file(path)
    columns = {"instance_id": "I", "location_id": None, "block_id": "dead", "delete_data": "ünï", "type": b"\x00\xff"}
    made.add_upload(path, timestamp="2026-11-02 10:00:00+00:00", **columns)
    [before] = made.execute("SELECT * FROM uploads")

    made.run(run_id="r")

    header, row, end = journal(made.trash / "r.jsonl")
    assert (header["trash"], header["run_id"], header["written_at"]) == (
        "orphaned-uploads",
        "r",
        "2026-11-22T23:00:00+00:00",
    )
    assert isinstance(row["row"], dict)
    values = [bytes.fromhex(value["hex"]) if isinstance(value, dict) else value for value in row["row"].values()]
    assert tuple(values) == before
    assert end == {"settled": True}


def test_nothing_is_made_if_nothing_is_taken(made: MadeSite) -> None:
    made.run()

    assert paths_in(made.trash) == {".lock"}


def test_only_its_owner_can_look_into_the_trash(made: MadeSite) -> None:
    made.add_file(new_path())

    made.run(run_id="r")

    assert stat.S_IMODE(made.trash.stat().st_mode) == 0o700
    assert stat.S_IMODE((made.trash / "r.jsonl").stat().st_mode) == 0o600


def test_the_trash_expires_after_two_weeks_and_not_before(made: MadeSite) -> None:
    made.add_file(new_path())
    made.run(run_id="old")

    left = made.trashed()
    assert made.run(run_id="a", fire_time=NOW + 14 * DAY - timedelta(seconds=1))["trash_removed"] == 0
    assert made.trashed() == left
    assert made.run(run_id="b", fire_time=NOW + 14 * DAY)["trash_removed"] == 1

    assert paths_in(made.trash) == {".lock"}
    assert not (made.trash / "old").exists()


def test_the_trash_is_kept_as_long_as_is_set(made: MadeSite) -> None:
    made.add_file(new_path())
    made.run(run_id="old")

    assert made.run(settings={"trash_for": "30d"}, fire_time=NOW + 29 * DAY)["trash_removed"] == 0
    assert made.run(settings={"trash_for": "1d"}, fire_time=NOW + DAY)["trash_removed"] == 1


def test_a_trash_of_zero_days_deletes_at_once(made: MadeSite) -> None:
    path = new_path()
    made.add_file(path)
    made.add_upload(path)

    result = made.run(settings={"trash_for": "0"})

    assert (made.files(), made.trashed(), made.upload_ids()) == (set(), set(), set())
    assert (result["taken"], result["trash_removed"]) == (1, 1)


def test_a_clock_that_is_set_back_removes_nothing(made: MadeSite) -> None:
    made.add_file(new_path())
    made.run(run_id="old")

    assert made.run(clock=ManualClock(NOW - 365 * DAY), run_id="b")["trash_removed"] == 0


def test_what_is_not_the_jobs_own_stays_in_the_trash_folder(made: MadeSite) -> None:
    for name in ("2026", "somebody-elses", "20200101T000000000-00000000"):
        (made.trash / name).mkdir(parents=True)
        (made.trash / name / "file").write_text("x")
    (made.trash / "notes.jsonl").write_text(
        '{"trash":"stale-purchases","written_at":"2020-01-01T00:00:00+00:00","uploads_dir":"/"}\n{"settled":true}\n'
    )
    (made.trash / "empty.jsonl").write_text("")
    (made.trash / "list.jsonl").write_text("[]\n")
    (made.trash / "naive.jsonl").write_text(
        '{"trash":"orphaned-uploads","written_at":"2020-01-01T00:00:00","uploads_dir":"/"}\n{"settled":true}\n'
    )
    (made.trash / "folder.jsonl").mkdir()
    (made.trash / "link.jsonl").symlink_to(made.folder / "scanscout.db")
    before = paths_in(made.trash)

    assert made.run(fire_time=NOW + 9000 * DAY)["trash_removed"] == 0
    assert paths_in(made.trash) == before | {".lock"}


def test_a_folder_that_has_the_runs_name_already_is_not_used(made: MadeSite) -> None:
    (made.trash / "r").mkdir(parents=True)
    (made.trash / "r" / "file").write_text("somebody's")
    path = new_path()
    made.add_file(path)

    made.run(run_id="r")

    assert paths_in(made.trash) == {".lock", "r/file", "r.2.jsonl", f"r.2/{path}"}
    made.run(run_id="later", fire_time=NOW + 15 * DAY)
    assert paths_in(made.trash) == {".lock", "r/file"}


def test_two_attempts_at_one_run_keep_apart(made: MadeSite) -> None:
    for content in ("first", "second"):
        made.add_file("2026/11/02/a.jpg", content=content)
        made.run(run_id="r")

    assert (made.trash / "r/2026/11/02/a.jpg").read_text() == "first"
    assert (made.trash / "r.2/2026/11/02/a.jpg").read_text() == "second"


def test_a_run_id_of_any_shape_makes_a_folder_in_the_trash(made: MadeSite) -> None:
    path = new_path()
    made.add_file(path)

    made.run(run_id="../../static/uploads/2026/11/02")

    assert made.files() == set()
    assert made.trashed() == {path}


def test_a_trash_folder_of_ones_own_can_be_set(made: MadeSite) -> None:
    path = new_path()
    made.add_file(path)

    made.with_site(state_dir=None).run(settings={"trash_dir": made.folder / "own" / "trash"}, run_id="r")

    assert (made.folder / "own/trash/r" / path).is_file()


def test_the_trash_may_be_on_another_file_system(made: MadeSite, elsewhere: Path) -> None:
    path, used = new_path(), new_path()
    content = "x" * 3_000_000
    before = made.add_file(path, content=content).stat()
    (made.uploads / path).chmod(0o640)
    made.add_file(used)
    made.add_file(f".cache/small/{path}")

    def bring_into_use() -> None:
        made.add_block({"content": f"{URL}/static/uploads/{used}"})

    made.run(
        settings={"trash_dir": elsewhere / "trash", "batch_size": 1},
        run_id="r",
        cancellation=Meanwhile(lambda: not (made.uploads / used).exists(), bring_into_use),
    )

    assert made.files() == {used}
    assert (made.uploads / used).read_text() == used
    taken = elsewhere / "trash/r" / path
    assert taken.read_text() == content
    assert taken.stat().st_mtime_ns == before.st_mtime_ns
    assert stat.S_IMODE(taken.stat().st_mode) == 0o640
    assert not any(name.endswith(UNFINISHED) for name in paths_in(elsewhere) | made.files())


def test_a_full_disk_under_the_trash_leaves_the_file_in_place(made: MadeSite, elsewhere: Path) -> None:
    path = new_path()
    made.add_file(path, content="x" * 100_000)
    child = os.fork()
    if child == 0:  # pragma: no cover
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            result = made.run(settings={"trash_dir": elsewhere / "trash"})
            os._exit(0 if (result["taken"], result["problems"]) == (0, 1) else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert (made.uploads / path).read_text() == "x" * 100_000
    assert not any(name.endswith(UNFINISHED) for name in paths_in(elsewhere))
    assert made.run(settings={"trash_dir": elsewhere / "trash"}, run_id="next")["taken"] == 1


def test_a_file_is_never_moved_over_another(tmp_path: Path) -> None:
    for folder in ("source", "target"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_text(folder)
    source, target = (os.open(tmp_path / folder, os.O_RDONLY) for folder in ("source", "target"))

    with pytest.raises(FileExistsError):
        move("a.jpg", source, target)

    os.close(source)
    os.close(target)
    assert (tmp_path / "target/a.jpg").read_text() == "target"


def test_what_could_not_be_put_back_does_not_expire(made: MadeSite) -> None:
    path = "2026/11/02/a.jpg"
    made.add_file(path)

    def use_and_obstruct() -> None:
        made.add_block({"content": f"{URL}/static/uploads/{path}"})
        (made.uploads / "2026/11/02").rmdir()
        (made.uploads / "2026/11/02").write_text("in the way")

    made.run(cancellation=Meanwhile(lambda: not (made.uploads / path).exists(), use_and_obstruct), run_id="r")
    assert made.trashed() == {path}

    result = made.run(run_id="later", fire_time=NOW + 20 * DAY)
    assert (made.trashed(), result["trash_removed"]) == ({path}, 0)
    assert result["problems"] > 0

    (made.uploads / "2026/11/02").unlink()
    result = made.run(run_id="last", fire_time=NOW + 21 * DAY)
    assert (made.files(), result["put_back"]) == ({path}, 1)


def test_what_is_in_the_trash_of_another_uploads_folder_stays_there(made: MadeSite) -> None:
    path = new_path()
    made.add_file(path)
    made.run(run_id="r")
    header, *_ = (made.trash / "r.jsonl").read_text().splitlines()
    (made.trash / "r.jsonl").write_text(header.replace(str(made.uploads), "/srv/another") + "\n")
    made.add_block({"content": f"{URL}/static/uploads/{path}"})

    result = made.run(run_id="next")

    assert (result["put_back"], made.files()) == (0, set())


def test_a_file_put_back_is_as_old_as_it_was(made: MadeSite) -> None:
    path = new_path()
    set_age(made.add_file(path), OLD)
    before = (made.uploads / path).stat().st_mtime_ns

    def use() -> None:
        made.add_block({"content": f"{URL}/static/uploads/{path}"})

    result = made.run(cancellation=Meanwhile(lambda: not (made.uploads / path).exists(), use))

    assert result["put_back"] == 1
    assert (made.uploads / path).stat().st_mtime_ns == before
