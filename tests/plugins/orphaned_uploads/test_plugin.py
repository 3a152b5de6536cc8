"""What the plugin declares, and what an operator can set."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import rapua_orphaned_uploads
from rapua_orphaned_uploads import OrphanedUploadsSettings
from rapua_scheduler import Site, next_daily
from rapua_scheduler.settings import Where, structure_settings
from tests.plugins.orphaned_uploads.sites import make_site, new_path

SOURCES = Path(rapua_orphaned_uploads.__file__).parent


def test_the_job_is_declared_as_documented() -> None:
    [job] = rapua_orphaned_uploads.register_jobs(OrphanedUploadsSettings(), Site())

    assert (job.name, job.key, job.next) == ("Orphaned Uploads Cleanup", "orphaned-uploads", next_daily)
    assert (job.concurrency_key, job.supports_dry_run, job.supports_backfill) == ("rapua-database", True, True)
    assert job.description == "Set aside uploaded files that nothing refers to, and remove empty date folders."


def test_settings_are_read_from_a_table() -> None:
    table = {
        "min_age": "36h",
        "trash_for": "30d",
        "trash_dir": "/var/trash",
        "aliases": ["old.example.org", "https://a.example"],
        "allow_more_than_half": True,
        "batch_size": 10,
    }

    settings = structure_settings(table, OrphanedUploadsSettings, Where("a.toml", "a", Path("/srv")))

    assert settings == OrphanedUploadsSettings(
        timedelta(hours=36), timedelta(days=30), Path("/var/trash"), ("old.example.org", "https://a.example"), True, 10
    )


def test_the_defaults_are_a_day_and_two_weeks() -> None:
    settings = OrphanedUploadsSettings()

    assert (settings.min_age, settings.trash_for) == (timedelta(days=1), timedelta(days=14))
    assert (settings.trash_dir, settings.aliases, settings.allow_more_than_half) == (None, (), False)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"min_age": timedelta(seconds=-1)}, "min_age"),
        ({"min_age": "a day"}, "not a duration"),
        ({"trash_for": timedelta(seconds=-1)}, "trash_for"),
        ({"trash_dir": Path("trash")}, "trash_dir must be an absolute path"),
        ({"aliases": ("",)}, "is not a host"),
        ({"aliases": ("https://",)}, "is not a host"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_a_setting_that_has_no_meaning_is_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        OrphanedUploadsSettings(**settings)  # type: ignore[arg-type]


def test_one_alias_as_text_is_not_taken_apart() -> None:
    assert OrphanedUploadsSettings(aliases="old.example.org").aliases == ("old.example.org",)


def test_the_result_is_plain_counts(tmp_path: Path) -> None:
    made = make_site(tmp_path)
    made.add_file(new_path())

    result = made.run()

    assert all(type(value) is int for value in result.values())
    assert list(result) == [
        *("files", "referenced", "too_young", "unsearchable", "not_regular", "changed", "taken", "taken_bytes"),
        *("copies_taken", "copies_alone", "put_back", "rows_deleted", "folders_removed", "trash_removed", "problems"),
    ]


def test_the_plugin_goes_through_the_front_door_only() -> None:
    imports = {
        line.split()[1]
        for source in SOURCES.glob("*.py")
        for line in source.read_text().splitlines()
        if line.startswith(("import rapua_scheduler", "from rapua_scheduler"))
    }

    assert imports == {"rapua_scheduler"}
