"""Only regular files that the walk itself has found in folders of real dates are taken."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from tests.plugins.orphaned_uploads.sites import NOW, OLD, MadeSite, make_site, new_path, set_age

ROOT = Path(__file__).parents[3]


@pytest.fixture
def made(tmp_path: Path) -> MadeSite:
    return make_site(tmp_path)


@pytest.mark.parametrize(
    "folder",
    [
        *("2026/1/2", "2026/13/01", "2026/02/30", "2026/00/10", "26/11/02", "2026/11", "2026", "02026/11/02", ""),
        *("2026/11/02/more", "2026-11-02", "old/2026/11/02", ".cache/small/2026/11/02", ".cache/huge/2026/11/02"),
        *("0000/01/01", "\u0662\u0660\u0662\u0666/11/02"),
    ],
)
def test_a_file_in_another_folder_stays(made: MadeSite, folder: str) -> None:
    path = new_path(folder=folder).removeprefix("/")
    made.add_file(path)

    result = made.run()

    assert made.files() == {path}
    assert result["files"] == 0
    assert result["folders_removed"] == 0


@pytest.mark.parametrize("folder", ["2026/11/02", "2024/02/29", "1999/12/31", "2026/11/23", "2030/01/01"])
def test_a_file_in_the_folder_of_a_date_goes(made: MadeSite, folder: str) -> None:
    path = new_path(folder=folder)
    made.add_file(path)

    made.run()

    assert made.trashed() == {path}


@pytest.mark.parametrize(
    "name", ["x", ".hidden", "a b.jpg", "日本.png", "50%.jpg", "a+b", "-rf", "~", "x" * 255, "é" * 127]
)
def test_a_file_of_any_name_goes(made: MadeSite, name: str) -> None:
    made.add_file(f"2026/11/02/{name}")

    made.run()

    assert made.trashed() == {f"2026/11/02/{name}"}


@pytest.mark.parametrize("name", [b"\xff\xfe.jpg", b"caf\xe9.jpg", b"\\", b"a\\", b"%2F"])
def test_a_file_whose_name_cannot_be_searched_for_stays(made: MadeSite, name: bytes) -> None:
    path = f"2026/11/02/{os.fsdecode(name)}"
    made.add_file(path)

    result = made.run()

    assert made.files() == {path}
    assert result["unsearchable"] == 1


def test_what_is_no_regular_file_stays(made: MadeSite) -> None:
    outside = made.folder / "outside.jpg"
    outside.write_text("not an upload")
    folder = made.uploads / "2026/11/02"
    folder.mkdir(parents=True)
    (folder / "link.jpg").symlink_to(outside)
    (folder / "broken.jpg").symlink_to(made.folder / "nothing")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "fifo.jpg")
    before = Path.cwd()
    os.chdir(folder)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        os.chdir(before)
        for entry in folder.iterdir():
            set_age(entry, OLD)

        result = made.run()

    assert (result["not_regular"], result["taken"], result["folders_removed"]) == (5, 0, 0)
    assert len(list(folder.iterdir())) == 5
    assert outside.read_text() == "not an upload"


def test_a_file_with_two_names_loses_the_one_that_nothing_refers_to(made: MadeSite) -> None:
    used, orphan = new_path(), new_path()
    os.link(made.add_file(used), made.uploads / orphan)
    made.add_block({"content": f"/static/uploads/{used}"})

    made.run()

    assert (made.files(), made.trashed()) == ({used}, {orphan})


@pytest.mark.parametrize("link", ["2026", "2026/11", "2026/11/02", ".cache", ".cache/small", ".cache/small/2026"])
def test_a_linked_folder_is_not_followed(made: MadeSite, link: str) -> None:
    elsewhere = made.folder / "elsewhere"
    kept = new_path()
    inside = (f".cache/small/{kept}" if link.startswith(".cache") else kept).removeprefix(f"{link}/")
    (elsewhere / inside).parent.mkdir(parents=True)
    (elsewhere / inside).write_text("not an upload")
    set_age(elsewhere / inside, OLD)
    (made.uploads / link).parent.mkdir(parents=True, exist_ok=True)
    (made.uploads / link).symlink_to(elsewhere)
    if link.startswith(".cache"):
        made.add_file(kept)

    result = made.run()

    assert (elsewhere / inside).read_text() == "not an upload"
    assert link.startswith(".cache") or result["problems"] == 0


def test_the_uploads_folder_itself_may_be_a_link(made: MadeSite) -> None:
    (made.folder / "link").symlink_to(made.uploads)
    path = new_path()
    made.add_file(path)

    made.with_site(uploads_dir=made.folder / "link").run()

    assert made.trashed() == {path}


def test_resized_copies_go_with_their_original_and_others_stay(made: MadeSite) -> None:
    used, orphan, young = new_path(), new_path(".PNG"), new_path()
    made.add_file(used)
    made.add_file(orphan)
    made.add_file(young, age=timedelta(0))
    made.add_block({"content": f"/static/uploads/{used}"})
    copies = {f".cache/{size}/{path}" for size in ("small", "medium", "large") for path in (used, orphan, young)}
    alone = {f".cache/large/{new_path(folder='2020/01/01')}", f".cache/small/{new_path()}"}
    other_size = {f".cache/huge/{orphan}"}
    for copy in copies | alone | other_size:
        made.add_file(copy, age=timedelta(0))

    result = made.run()

    gone = {copy for copy in copies if copy.endswith(orphan)}
    assert made.trashed() == {orphan} | gone
    assert made.files() == {used, young} | copies - gone | alone | other_size
    assert (result["copies_taken"], result["copies_alone"]) == (3, 2)


def test_a_copy_that_is_no_regular_file_stays(made: MadeSite) -> None:
    path = new_path()
    made.add_file(path)
    (made.uploads / ".cache/small/2026/11/02").mkdir(parents=True)
    (made.uploads / ".cache/small" / path).symlink_to(made.folder / "scanscout.db")

    made.run()

    assert made.trashed() == {path}
    assert made.files() == {f".cache/small/{path}"}


def as_somebody_else(folder: Path) -> str:
    """Run the job in a process that may not do everything, as root may; return what it prints."""
    code = (
        "import os, sys; from pathlib import Path;"
        "from tests.plugins.orphaned_uploads.sites import *;"
        "from rapua_scheduler import Site;"
        "f = Path(sys.argv[1]);"
        "s = Site(url=URL, uploads_dir=f / 'static/uploads', database=f / 'scanscout.db', state_dir=f / 'state');"
        "os.setgroups([]), os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534);"
        "r = MadeSite(f, s).run(); print(r['taken'], r['problems'])"
    )
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may do less")
def test_what_is_not_permitted_is_counted_and_the_rest_goes_on() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        made = make_site(folder)
        good, not_listed, not_moved = new_path(), new_path(folder="2026/11/03"), new_path(folder="2026/11/04")
        for path in (good, not_listed, not_moved):
            made.add_file(path)
        for parent, folders, files in os.walk(folder):
            for path in [parent, *(str(Path(parent, name)) for name in folders + files)]:
                os.chown(path, 65534, 65534)
        os.chown(made.uploads / "2026/11/03", 0, 0)
        (made.uploads / "2026/11/03").chmod(0o700)
        os.chown(made.uploads / "2026/11/04", 0, 0)
        (made.uploads / "2026/11/04").chmod(0o755)

        printed = as_somebody_else(folder)

        assert made.trashed() == {good}
        assert made.files() == {not_listed, not_moved}
        taken, problems = map(int, printed.split())
        assert taken == 1
        assert problems >= 2
    finally:
        shutil.rmtree(folder)


def test_a_folder_that_cannot_be_read_as_the_one_it_was_is_left_alone(made: MadeSite) -> None:
    made.add_file("2026/11/02/a.jpg")
    (made.uploads / "2026/11/03").write_text("a file where a folder should be")

    result = made.run()

    assert (result["taken"], result["problems"]) == (1, 0)
    assert made.files() == {"2026/11/03"}


def test_a_site_without_files_is_a_success(made: MadeSite) -> None:
    assert made.run(fire_time=NOW)["files"] == 0
    assert not any(made.trash.glob("*.jsonl"))
