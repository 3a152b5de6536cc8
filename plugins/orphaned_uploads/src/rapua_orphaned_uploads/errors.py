"""The errors that end a clean-up before it has taken anything."""

from __future__ import annotations

from rapua_scheduler import RapuaSchedulerError


class TooManyOrphansError(RapuaSchedulerError):
    """Most of the files would go, which looks like a mistake; none was taken.

    Attributes:
        orphans: How many files would go.
        files: How many there are.
    """

    def __init__(self, orphans: int, files: int) -> None:
        super().__init__(orphans, files)
        self.orphans, self.files = orphans, files

    def __str__(self) -> str:
        return (
            f"{self.orphans} of {self.files} files have no reference, which is more than half, so none was taken; "
            "check that the database and the uploads folder are of the same site, and if they are, "
            "set allow_more_than_half = true under [rapua_scheduler.plugins.orphaned_uploads] for one run"
        )


class CleanUpAtWorkError(RapuaSchedulerError):
    """Another process is cleaning up into the same trash; this one has taken nothing.

    Attributes:
        trash: The trash folder.
    """

    def __init__(self, trash: str) -> None:
        super().__init__(trash)
        self.trash = trash

    def __str__(self) -> str:
        return f"another clean-up is at work in {self.trash}; wait until it has ended"
