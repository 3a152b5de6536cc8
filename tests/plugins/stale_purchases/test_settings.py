"""What an operator can set, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from rapua_scheduler import Site, next_daily
from rapua_scheduler.settings import Where, structure_settings
from rapua_stale_purchases import StalePurchasesSettings
from tests.plugins.stale_purchases.sites import stale_job


def test_the_job_is_declared_as_documented() -> None:
    job = stale_job(Site())

    assert (job.name, job.key, job.next) == ("Stale Credit Purchase Cleanup", "stale-purchases", next_daily)
    assert (job.concurrency_key, job.supports_dry_run, job.supports_backfill) == ("rapua-database", True, True)
    assert job.description == "Delete credit purchases that were abandoned or failed more than a week ago."


def test_settings_are_read_from_a_table() -> None:
    table = {"max_age": "10d", "trash_for": "30d", "trash_dir": "/var/trash"}

    settings = structure_settings(table, StalePurchasesSettings, Where("a.toml", "a", Path("/srv")))

    assert settings == StalePurchasesSettings(timedelta(days=10), timedelta(days=30), Path("/var/trash"))


def test_the_limit_is_seven_days_unless_set() -> None:
    assert StalePurchasesSettings().max_age == timedelta(days=7)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"max_age": timedelta(days=7) - timedelta(microseconds=1)}, "max_age must be at least 7d"),
        ({"max_age": timedelta(0)}, "max_age must be at least 7d"),
        ({"trash_for": timedelta(0)}, "trash_for must be at least 1d"),
        ({"trash_dir": Path("trash")}, "trash_dir must be an absolute path"),
    ],
)
def test_a_setting_that_could_lose_money_is_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        StalePurchasesSettings(**settings)  # type: ignore[arg-type]
