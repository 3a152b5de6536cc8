"""Killed at any moment, the job loses nothing, and the next run does the rest."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.plugins.orphaned_uploads.child import kill_at, made_site
from tests.plugins.orphaned_uploads.generated import SETTINGS, Generated, generate
from tests.plugins.orphaned_uploads.sites import URL, MadeSite, make_site, paths_in

ROOT = Path(__file__).parents[3]


def run_and_kill_after(made: MadeSite, seconds: float, *, once_begun: bool) -> int:
    """Run the job in a process of its own, and kill it *seconds* after it has begun, to take files if need be."""
    command = [sys.executable, "-m", "tests.plugins.orphaned_uploads.child", str(made.folder)]
    journals = len(list(made.trash.glob("*.jsonl")))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        while once_begun and child.poll() is None and len(list(made.trash.glob("*.jsonl"))) == journals:
            threading.Event().wait(0.001)
        threading.Event().wait(seconds)
        child.send_signal(signal.SIGKILL)
        return child.wait()


def run_and_kill_at(made: MadeSite, step: int, settings: dict[str, object]) -> bool:
    """Run the job in a fork of this process, killed at its *step*-th change; tell whether it was."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            kill_at(step)
            made.run(settings=settings, run_id=f"step-{step}")
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in {0, signal.SIGKILL}
    return status != 0


def check(generated: Generated, before: set[str]) -> None:
    """Check what must hold at any moment: a file in use is in place, and every other one somewhere."""
    left, trashed = generated.made.files(), generated.made.trashed()
    assert generated.in_use.keys() <= left
    assert left | trashed == before
    assert generated.rows_in_use <= generated.made.upload_ids()


def check_end(generated: Generated, before: set[str]) -> None:
    check(generated, before)
    left = generated.made.files()
    assert not generated.orphans.keys() & left
    assert not [path for path in left if path.startswith(".cache/") and path.split("/", 2)[2] in generated.orphans]
    assert not generated.rows_of_orphans.keys() & generated.made.upload_ids()


def kill_at_random_moments(folder: Path, seed: int, files: int, kills: int) -> int:
    """Return how many of the kills met the job in the middle of taking files."""
    rng = random.Random(seed)
    generated = generate(folder, seed, files)
    before = paths_in(generated.made.uploads)
    in_the_middle = 0
    for _ in range(kills):
        count = len(generated.made.files())
        once_begun = rng.random() < 0.7
        was_killed = run_and_kill_after(generated.made, rng.uniform(0, 0.1), once_begun=once_begun) == -signal.SIGKILL
        check(generated, before)
        in_the_middle += was_killed and len(generated.made.files()) < count
    generated.made.run(settings=SETTINGS, run_id="the-last")
    check_end(generated, before)
    return in_the_middle


def test_kill_9_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path, seed=random.randrange(1000), files=240, kills=5)


@pytest.mark.slow
def test_kill_9_at_many_moments_loses_nothing(tmp_path: Path) -> None:
    in_the_middle = 0
    for seed in range(20):
        in_the_middle += kill_at_random_moments(tmp_path / str(seed), seed, files=600, kills=12)
        if seed >= 5 and in_the_middle > 5:  # how many do depends on how busy the machine is
            return

    pytest.fail(f"only {in_the_middle} of 240 kills met the job at work")


def small_site(folder: Path) -> tuple[MadeSite, dict[str, str]]:
    """Make a site of three orphans, two of them with a resized copy; return it, and their rows."""
    made = make_site(folder)
    orphans = {f"2026/11/0{number}/a{number}.jpg": "" for number in (1, 2, 3)}
    for path in orphans:
        made.add_file(path)
        orphans[path] = made.add_upload(path)
    made.add_file(".cache/small/2026/11/01/a1.jpg")
    made.add_file(".cache/large/2026/11/02/a2.jpg")
    made.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return made, orphans


def is_unsettled(trash: Path) -> bool:
    journals = [journal.read_text() for journal in trash.glob("*.jsonl")]
    return any(journal and '{"settled":true}' not in journal for journal in journals)


def kill_at_every_step(folder: Path, trash_dir: Path, trash_for: str) -> int:
    """Kill the job at its first change, on a new site at its second, and so on; return how many there are."""
    template, rows = small_site(folder / "template")
    before = template.files()
    step, was_killed = 0, True
    while was_killed:
        step += 1
        shutil.copytree(template.folder, folder / str(step))
        made, orphans = made_site(folder / str(step), URL), dict(rows)
        trash = trash_dir / str(step)
        settings: dict[str, object] = {"batch_size": 2, "trash_dir": trash, "trash_for": trash_for}

        was_killed = run_and_kill_at(made, step, settings)
        everywhere = made.files() | {path.partition("/")[2] for path in paths_in(trash) if "/" in path}
        assert everywhere >= before or (trash_for == "0" and not is_unsettled(trash))

        used = min(orphans)
        if used not in made.files() and is_unsettled(trash):
            made.add_block({"content": f"{URL}/static/uploads/{used}"})
            orphans.pop(used)
        made.run(settings=settings, run_id="next")
        assert made.files() == before - {path for path in before for orphan in orphans if path.endswith(orphan)}
        assert made.upload_ids() == set(rows.values()) - set(orphans.values())
        assert not is_unsettled(trash)
    return step


def test_kill_9_at_every_step_loses_nothing(tmp_path: Path) -> None:
    assert kill_at_every_step(tmp_path, tmp_path / "trash", "14d") > 20


@pytest.mark.slow
def test_kill_9_at_every_step_of_deleting_at_once_loses_nothing(tmp_path: Path) -> None:
    assert kill_at_every_step(tmp_path, tmp_path / "trash", "0") > 20


def test_kill_9_at_every_step_of_copying_to_another_file_system_loses_nothing(tmp_path: Path, elsewhere: Path) -> None:
    assert kill_at_every_step(tmp_path, elsewhere, "14d") > 20
