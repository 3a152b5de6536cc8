"""What the plugin declares, and what it says when a site is checked."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import rapua_credit_topup
from rapua_credit_topup import CreditTopUpSettings
from rapua_credit_topup.job.pace import Pace
from rapua_scheduler import CatchUp, SiteError, next_first_of_month
from tests.plugins.credit_topup.running import job_of, site_of
from tests.plugins.credit_topup.sites import MadeSite, add_adjustment, add_user, execute


def test_the_entry_point_names_the_package() -> None:
    (entry_point,) = entry_points(group="rapua_scheduler", name="credit_topup")

    assert entry_point.load() is rapua_credit_topup


def test_the_job_is_declared_as_the_original_had_it_and_outlasts_a_bad_night(site: MadeSite) -> None:
    job = job_of(site_of(site))

    assert (job.key, job.name) == ("credit-topup", "Monthly Credit Top-Up")
    assert job.next == next_first_of_month
    assert job.supports_dry_run
    assert job.description.startswith("Raise every user's free credits")
    waits = [min(job.retry.delay * 2**n, job.retry.cap) for n in range(job.retry.attempts - 1)]
    assert sum(waits, timedelta()) > timedelta(days=3)
    assert job.catch_up == CatchUp.latest(within="45d")
    assert (job.concurrency_key, job.supports_backfill) == ("rapua-database", False)


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"pause": timedelta(seconds=-1)}])
def test_settings_without_meaning_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        CreditTopUpSettings(**settings)  # type: ignore[arg-type]


def test_every_source_file_goes_through_the_front_door_only() -> None:
    for source in Path(rapua_credit_topup.__file__).parent.rglob("*.py"):
        for line in source.read_text(encoding="utf-8").splitlines():
            assert "from rapua_scheduler." not in line, source
            assert "import rapua_scheduler" not in line, source


def test_check_says_nothing_of_a_site_in_order(site: MadeSite) -> None:
    add_user(site.path, "user", 0, 10)
    add_adjustment(site.path, "user", "2020-01-01 00:00:00")

    assert job_of(site_of(site)).check() == []  # type: ignore[misc]


def test_check_tells_of_others_who_top_up_and_of_rows_to_mend(site: MadeSite) -> None:
    add_adjustment(site.path, "user", "2020-01-01 00:00:00")
    execute(site.path, "UPDATE credit_adjustments SET created_at = datetime('now')")
    unreadable = add_adjustment(site.path, "other", "yesterday")

    first, second = job_of(site_of(site)).check()  # type: ignore[misc]

    assert "switch it off" in first
    assert unreadable in second


def test_check_names_what_a_database_lacks(site: MadeSite) -> None:
    execute(site.path, "DROP TABLE credit_adjustments")

    with pytest.raises(SiteError, match="credit_adjustments"):
        job_of(site_of(site)).check()  # type: ignore[misc]


def test_a_batch_that_takes_long_makes_the_next_smaller_and_quick_ones_let_it_grow() -> None:
    pace = Pace.starting(1000)
    for _ in range(10):
        pace.took(0.001, pace.size)
    assert pace.size == 1000

    pace.took(0.100, 1000)

    assert pace.size < 250


def test_the_last_small_batch_does_not_change_the_pace_and_it_never_reaches_zero() -> None:
    pace = Pace.starting(1000)

    pace.took(0.001, 3)
    assert pace.size == 200

    for _ in range(20):
        pace.took(5.0, pace.size)
    assert pace.size == 1
