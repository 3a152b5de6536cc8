"""What an operator can set."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from attrs import Attribute, field, frozen, validators

from rapua_orphaned_uploads.hosts import host_of
from rapua_scheduler import parse_duration


def _duration(value: timedelta | str) -> timedelta:
    return parse_duration(value) if isinstance(value, str) else value


def _texts(value: Iterable[str] | str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@frozen
class OrphanedUploadsSettings:
    """Settings under [rapua_scheduler.plugins.orphaned_uploads].

    Attributes:
        min_age: Only files last written longer ago than this are taken. An upload is on the disk
            before the page that shows it is saved, so this is the time a person has to save it.
        trash_for: How long what was taken is kept in the trash; zero deletes it as the run ends.
        trash_dir: Folder of the trash, absolute; by default `trash/orphaned-uploads` beside the
            scheduler's own state. On the file system of the uploads, taking a file copies nothing.
        aliases: Further hosts, such as "old.example.org", under which the site is or was reached.
        allow_more_than_half: Take more than half of all files, and more than 100, if so many are
            orphans; without it such a run refuses, because it looks like the wrong database.
        batch_size: How many files are taken between two looks at whether the database has changed.
    """

    min_age: timedelta = field(default=timedelta(hours=24), converter=_duration, validator=validators.ge(timedelta(0)))
    trash_for: timedelta = field(default=timedelta(days=14), converter=_duration, validator=validators.ge(timedelta(0)))
    trash_dir: Path | None = field(default=None)
    aliases: tuple[str, ...] = field(default=(), converter=_texts)
    allow_more_than_half: bool = field(default=False, validator=validators.instance_of(bool))
    batch_size: int = field(default=500, validator=[validators.instance_of(int), validators.ge(1)])

    @property
    def alias_urls(self) -> tuple[str, ...]:
        """The aliases as URLs, whichever way they are written."""
        return tuple(alias if "//" in alias else f"//{alias}" for alias in self.aliases)

    @trash_dir.validator
    def _is_absolute(self, _: Attribute[Path | None], value: Path | None) -> None:
        if value is not None and not value.is_absolute():
            raise ValueError(f"trash_dir must be an absolute path, not {str(value)!r}")

    @aliases.validator
    def _are_hosts(self, _: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
        for alias, url in zip(value, self.alias_urls, strict=True):
            if host_of(url) is None:
                raise ValueError(f'aliases: {alias!r} is not a host; write it like "old.example.org"')
