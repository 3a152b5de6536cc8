"""The result of a run."""

from __future__ import annotations

from attrs import define


@define
class Counts:
    """What a run saw and did; in a dry run, what it would have done.

    Every regular file is in `files`, and once in `referenced`, `too_young`, `unsearchable`, `changed`,
    `taken` or `problems`.

    Attributes:
        files: Regular files in date folders.
        referenced: Files that something refers to.
        too_young: Files without a reference, but not old enough.
        unsearchable: Files without a reference whose names cannot be looked for with certainty.
        not_regular: Links, folders and whatever else is not a regular file.
        changed: Files that were written or replaced between the walk and their turn.
        taken: Files set aside.
        taken_bytes: Their size.
        copies_taken: Resized copies that went with them.
        copies_alone: Resized copies whose original is not there; they stay.
        put_back: Files that were referred to again by the time the run came to its end.
        rows_deleted: Rows of `uploads` that went after their files.
        folders_removed: Empty date folders.
        trash_removed: Earlier runs whose files have been in the trash for long enough.
        problems: Files and folders that could not be read, moved or removed.
    """

    files: int = 0
    referenced: int = 0
    too_young: int = 0
    unsearchable: int = 0
    not_regular: int = 0
    changed: int = 0
    taken: int = 0
    taken_bytes: int = 0
    copies_taken: int = 0
    copies_alone: int = 0
    put_back: int = 0
    rows_deleted: int = 0
    folders_removed: int = 0
    trash_removed: int = 0
    problems: int = 0
