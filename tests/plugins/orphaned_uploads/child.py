"""A process of its own that runs the job once, or once per step with a kill at that step.

`python -m tests.plugins.orphaned_uploads.child FOLDER` runs the job on the generated site in FOLDER.
`… FOLDER step N` kills itself with SIGKILL when the job is about to change the file system, or to open the
database, for the N-th time.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rapua_scheduler import Site
from tests.plugins.orphaned_uploads.sites import NOW, MadeSite

STEPS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.utime", "sqlite3.connect", "shutil.rmtree"}
WRITES = os.O_WRONLY | os.O_RDWR


def kill_at(step: int) -> None:
    """Have this process killed when it comes to its *step*-th change, before it makes it."""
    left = step

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in STEPS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def made_site(folder: Path, url: str) -> MadeSite:
    site = Site(
        url=url,
        uploads_dir=folder / "static" / "uploads",
        database=folder / "scanscout.db",
        state_dir=folder / "state",
    )
    return MadeSite(folder, site)


if __name__ == "__main__":
    from tests.plugins.orphaned_uploads.generated import OWN, SETTINGS

    made = made_site(Path(sys.argv[1]), f"https://{OWN}")
    print("ready", flush=True)
    made.run(settings={**SETTINGS, "batch_size": 7}, run_id=f"run-{os.getpid()}", fire_time=NOW)
