"""What happens to the site while the job is at work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rapua_scheduler import JobCancelled, SiteError
from rapua_scheduler.context import Cancellation
from rapua_scheduler.testing import AutoClock
from tests.plugins.orphaned_uploads.meanwhile import Meanwhile
from tests.plugins.orphaned_uploads.sites import NOW, URL, MadeSite, make_site, new_path

ONE_BY_ONE = {"batch_size": 1}


@pytest.fixture
def made(tmp_path: Path) -> MadeSite:
    made = make_site(tmp_path)
    for number in range(6):
        made.add_file(new_path(folder=f"2026/11/0{number + 1}"))
    return made


def during(made: MadeSite, taken: int, then: Callable[[], object]) -> dict[str, int]:
    """Run the job one file at a time, and do *then* when it has taken so many."""
    event = Meanwhile(lambda: sum(not path.startswith(".") for path in made.trashed()) == taken, then)
    result = made.run(settings=ONE_BY_ONE, cancellation=event)
    assert event.happened
    return result


@pytest.mark.parametrize("taken", [0, 1, 3, 5])
def test_a_reference_saved_before_its_turn_keeps_a_file(made: MadeSite, taken: int) -> None:
    last = max(made.files())

    result = during(made, taken, lambda: made.add_block({"content": f"{URL}/static/uploads/{last}"}))

    assert made.files() == {last}
    assert (result["taken"], result["referenced"], result["put_back"]) == (5, 1, 0)


@pytest.mark.parametrize("taken", [1, 3, 5])
def test_a_reference_saved_just_after_its_turn_brings_a_file_back(made: MadeSite, taken: int) -> None:
    first = min(made.files())
    row = made.add_upload(first)
    made.add_file(f".cache/small/{first}")

    result = during(made, taken, lambda: made.add_block({"content": f"{URL}/static/uploads/{first}"}))

    assert made.files() == {first, f".cache/small/{first}"}
    assert (made.uploads / first).read_text() == first
    assert (result["taken"], result["put_back"]) == (6, 1)
    assert row in made.upload_ids()


def test_a_file_that_has_come_back_by_itself_is_not_overwritten(made: MadeSite) -> None:
    first = min(made.files())

    def upload_again() -> None:
        made.add_file(first, content="a new one")
        made.add_block({"content": f"{URL}/static/uploads/{first}"})

    during(made, 3, upload_again)

    assert (made.uploads / first).read_text() == "a new one"
    assert first in made.trashed()


def test_references_are_read_again_only_if_the_database_has_changed(
    made: MadeSite, caplog: pytest.LogCaptureFixture
) -> None:
    made.add_upload(min(made.files()))

    with caplog.at_level("INFO", "rapua_scheduler"):
        made.run(settings=ONE_BY_ONE)
        again = made.add_file("2026/11/01/again.jpg")
        made.add_file("2026/11/02/again.jpg")
        event = Meanwhile(lambda: not again.exists(), lambda: made.add_block({}))
        made.run(settings=ONE_BY_ONE, cancellation=event, run_id="second")

    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [line["passes"] for line in lines if "passes" in line] == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_text("written again, long ago as it seems"),
        lambda file: os.utime(file, ns=(1, 1)),
        lambda file: (file.unlink(), file.symlink_to("/etc/passwd")),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: (file.rename(file.with_name("moved")), file.write_text("another")),
        lambda file: file.unlink(),
        lambda file: (file.unlink(), file.parent.rmdir()),
        lambda file: (file.unlink(), file.parent.rmdir(), file.parent.symlink_to("/etc")),
    ],
    ids=["written", "touched", "linked", "a folder", "replaced", "gone", "folder gone", "folder linked"],
)
def test_a_file_that_has_changed_since_the_walk_is_left_alone(made: MadeSite, change: Callable[[Path], object]) -> None:
    last = made.uploads / max(made.files())

    result = during(made, 2, lambda: change(last))

    assert len(made.trashed()) == result["taken"] == 5
    assert Path("/etc/passwd").exists()


def test_blocks_that_vanish_end_the_run(made: MadeSite) -> None:
    with pytest.raises(SiteError, match="has no blocks"):
        during(made, 2, lambda: made.execute("DELETE FROM blocks"))

    assert len(made.files()) == 4

    made.add_block({"content": "restored"})
    result = made.run(run_id="next")
    assert (result["taken"], made.files()) == (4, set())


def test_a_cancelled_run_is_taken_up_by_the_next(made: MadeSite) -> None:
    first = min(made.files())
    rows = [made.add_upload(path) for path in made.files()]
    cancellation: Cancellation = Meanwhile(lambda: len(made.trashed()) == 2, lambda: cancellation.cancel("enough"))

    with pytest.raises(JobCancelled, match="enough"):
        made.run(settings=ONE_BY_ONE, cancellation=cancellation)
    assert len(made.files()) == 4
    assert made.upload_ids() == set(rows)

    made.add_block({"content": f"{URL}/static/uploads/{first}"})
    result = made.run(run_id="next")

    assert made.files() == {first}
    assert (result["taken"], result["put_back"], result["rows_deleted"]) == (4, 1, 5)


class _Visited(AutoClock):
    """A clock on which a test does something whenever somebody sleeps."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__(NOW)
        self._then = then

    def wait(self, wakeup: threading.Event, seconds: float) -> bool:
        self._then()
        return super().wait(wakeup, seconds)


@pytest.mark.parametrize(
    "change", ["team_code = 'TEAM'", "block_id = (SELECT id FROM blocks)", "original_url = '/other'", "storage = 's3'"]
)
def test_a_row_that_comes_into_use_at_the_last_moment_stays(made: MadeSite, change: str) -> None:
    path = min(made.files())
    rows = [made.add_upload(path) for _ in range(250)]

    made.run(clock=_Visited(lambda: made.execute(f"UPDATE uploads SET {change} WHERE id = ?", rows[240])))

    assert made.upload_ids() == {rows[240]}
