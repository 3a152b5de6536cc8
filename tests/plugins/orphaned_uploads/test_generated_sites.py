"""Generated sites, whose files know by the way they were made whether they are in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.plugins.orphaned_uploads.generated import NO_USES, SETTINGS, USES, Generated, generate
from tests.plugins.orphaned_uploads.sites import MadeSite, paths_in

SEEDS = range(6)
MANY_SEEDS = range(100, 160)


def wrongly_taken(generated: Generated, left: Collection[str]) -> Counter[str]:
    return Counter(use for path, use in generated.in_use.items() if path not in left)


def wrongly_kept(generated: Generated, left: Collection[str]) -> Counter[str]:
    return Counter(use for path, use in generated.orphans.items() if path in left)


def check(folder: Path, seed: int, files: int) -> None:
    generated = generate(folder, seed, files)
    made, before = generated.made, snapshot(generated.made)
    originals = generated.in_use.keys() | generated.orphans.keys()

    foreseen = made.run(settings=SETTINGS, dry_run=True)
    assert snapshot(made) == before
    assert not made.trash.exists()

    result = made.run(settings=SETTINGS)
    assert result == foreseen

    left = made.files()
    assert (wrongly_taken(generated, left), wrongly_kept(generated, left)) == (Counter(), Counter())
    assert result["files"] == len(originals)
    assert result["taken"] == len(generated.orphans)
    trashed = made.trashed()
    assert left | trashed == before[0]
    assert not left & trashed
    for path in before[0] - originals:
        assert (path in trashed) == (path.split("/", 2)[2] in generated.orphans), "copies go with their original"
    assert before[1] - snapshot(made)[1] == generated.rows_of_orphans.keys()
    assert generated.rows_in_use <= made.upload_ids()

    again = made.run(settings=SETTINGS, run_id="again")
    assert (again["taken"], again["rows_deleted"], again["folders_removed"], made.files()) == (0, 0, 0, left)


def snapshot(made: MadeSite) -> tuple[set[str], set[str]]:
    return paths_in(made.uploads), made.upload_ids()


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_in_use_is_taken_and_every_orphan_is(tmp_path: Path, seed: int) -> None:
    check(tmp_path, seed, files=160)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_SEEDS)
def test_nothing_in_use_is_taken_and_every_orphan_is_on_many_sites(tmp_path: Path, seed: int) -> None:
    check(tmp_path, seed, files=400)


def test_a_generated_site_knows_every_use(tmp_path: Path) -> None:
    generated = generate(tmp_path, seed=1, files=160)

    assert set(generated.in_use.values()) == {use.__name__ for use in USES}
    assert set(generated.orphans.values()) == {use.__name__ for use in NO_USES}


def test_the_obvious_rule_takes_files_in_use(tmp_path: Path) -> None:
    generated = generate(tmp_path, seed=1, files=160)
    made = generated.made

    left = {
        path
        for path in generated.in_use | generated.orphans
        if made.execute("SELECT 1 FROM blocks WHERE CAST(data AS TEXT) LIKE ?", f"%{path.rpartition('/')[2]}%")
    }

    assert {"as_player_photo", "in_a_gallery", "in_a_notice", "just_uploaded"} <= wrongly_taken(generated, left).keys()
