"""What went wrong with single files and folders, counted while the rest goes on."""

from __future__ import annotations

from attrs import define

from rapua_scheduler import JobContext

_MOST_LINES = 100


@define
class Problems:
    """Counts what could not be read, moved or removed, and logs the first hundred.

    Attributes:
        count: How many there were.
    """

    _ctx: JobContext
    count: int = 0

    def note(self, path: str, error: OSError) -> None:
        """Count that *error* befell *path*, below the uploads folder; a thing that has gone is none."""
        if isinstance(error, FileNotFoundError):
            return
        self.count += 1
        if self.count <= _MOST_LINES:
            self._ctx.log.warning(
                "Upload not accessible", path=path.encode(errors="replace").decode(), problem=str(error)
            )
