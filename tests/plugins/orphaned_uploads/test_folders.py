"""Empty date folders go, bottom-up and in one run; everything else stays."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.plugins.orphaned_uploads.sites import NOW, URL, MadeSite, make_site, new_path


@pytest.fixture
def made(tmp_path: Path) -> MadeSite:
    return make_site(tmp_path)


def folders(made: MadeSite) -> set[str]:
    return {str(path.relative_to(made.uploads)) for path in made.uploads.rglob("*") if path.is_dir()}


def make_folders(made: MadeSite, *paths: str) -> None:
    for path in paths:
        (made.uploads / path).mkdir(parents=True)


def test_days_months_and_years_go_in_one_run(made: MadeSite) -> None:
    make_folders(made, "2024/01/31", "2024/02/29", "2025/12/01", "2023", "2022/05", "2026/10/01")

    result = made.run()

    assert folders(made) == {"2026"}, "this year's may be needed at any moment"
    assert result["folders_removed"] == 13


def test_a_folder_that_this_run_has_emptied_goes_too(made: MadeSite) -> None:
    orphan, used = new_path(folder="2024/01/31"), new_path(folder="2024/02/01")
    made.add_file(orphan)
    made.add_file(used)
    made.add_block({"content": f"{URL}/static/uploads/{used}"})

    made.run()

    assert folders(made) == {"2024", "2024/02", "2024/02/01"}


def test_the_folders_of_these_days_stay_though_they_are_empty(made: MadeSite) -> None:
    make_folders(made, "2026/11/21", "2026/11/22", "2026/11/23", "2026/11/24", "2026/11/25")

    made.run(fire_time=NOW)

    assert folders(made) == {"2026", "2026/11", "2026/11/22", "2026/11/23", "2026/11/24"}


def test_these_days_are_the_sites(tmp_path: Path) -> None:
    zone = ZoneInfo("Pacific/Kiritimati")
    made = make_site(tmp_path).with_site(timezone=zone)
    new_year = datetime(2026, 12, 31, 11, tzinfo=UTC).astimezone(zone)  # 2027-01-01 01:00 there
    make_folders(made, "2026/12/30", "2026/12/31", "2027/01/01", "2027/01/02", "2027/01/03")

    made.run(fire_time=new_year)

    assert {path for path in folders(made) if path.count("/") == 2} == {"2026/12/31", "2027/01/01", "2027/01/02"}


def test_folders_of_no_date_stay(made: MadeSite) -> None:
    strange = ["2024/13/01", "2024/02/30", "2024/1/1", "24/01/01", "old", "2024/01/01/more", "0000/01/01", "2023x"]
    make_folders(made, *strange)

    made.run()

    assert all((made.uploads / path).is_dir() for path in strange)


def test_the_uploads_folder_itself_stays(made: MadeSite) -> None:
    make_folders(made, "2020/01/01")

    made.run()

    assert list(made.uploads.iterdir()) == []


def test_a_link_to_an_empty_folder_stays(made: MadeSite) -> None:
    empty = made.folder / "empty"
    empty.mkdir()
    (made.uploads / "2020").symlink_to(empty)

    made.run()

    assert (made.uploads / "2020").is_symlink()
    assert empty.is_dir()


def test_folders_of_resized_copies_go_once_no_original_is_left_to_resize(made: MadeSite) -> None:
    orphan, used = new_path(folder="2024/01/31"), new_path(folder="2024/02/01")
    for path in (orphan, used):
        made.add_file(path)
        made.add_file(f".cache/small/{path}")
    make_folders(made, ".cache/medium/2024/02/01", ".cache/medium/2024/03/01", ".cache/huge/2020/01/01")
    (made.uploads / ".cache/small" / used).unlink()
    made.add_block({"content": f"{URL}/static/uploads/{used}"})

    made.run()

    left = {path for path in folders(made) if path.count("/") > 1}
    assert left == {
        "2024/02/01",
        ".cache/small/2024",
        ".cache/small/2024/02",
        ".cache/small/2024/02/01",
        ".cache/medium/2024",
        ".cache/medium/2024/02",
        ".cache/medium/2024/02/01",
        ".cache/huge/2020",
        ".cache/huge/2020/01",
        ".cache/huge/2020/01/01",
    }


def test_a_dry_run_foresees_which_folders_would_go(made: MadeSite) -> None:
    make_folders(made, "2023/01/01", ".cache/large/2019/01/01")
    for folder in ("2024/01/31", "2024/01/30", "2026/11/23"):
        path = new_path(folder=folder)
        made.add_file(path)
        made.add_file(f".cache/small/{path}")
    before = folders(made)

    foreseen = made.run(dry_run=True)

    assert folders(made) == before
    assert made.run() == foreseen
    assert foreseen["folders_removed"] == 3 + 3 + 4 + 4
