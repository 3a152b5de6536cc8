"""What is loaded is what the operator wants of what plugins declare."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from rapua_scheduler import Retry, cron
from rapua_scheduler.overrides import JobOverrides
from rapua_scheduler.plugin_loader import LoadedPlugins
from tests.core.plugins.packages import Packages, one_job

Load = Callable[..., LoadedPlugins]


def test_the_registry_has_the_jobs_as_the_operator_wants_them(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("digest-job"))
    packages.install("sweep", one_job("sweep-job"))

    loaded = load(
        jobs={
            "digest-job": JobOverrides(schedule=cron("0 3 * * *"), retry=3),
            "sweep-job": JobOverrides(enabled=False),
        }
    )

    assert list(loaded.registry) == ["digest-job"]
    job = loaded.registry["digest-job"].job
    assert (job.next, job.retry) == (cron("0 3 * * *"), Retry(3))
    assert list(loaded.disabled) == ["sweep-job"]
    assert [(report.name, report.jobs) for report in loaded.plugins] == [
        ("digest", ("digest-job",)),
        ("sweep", ("sweep-job",)),
    ]


def test_a_table_for_a_job_that_no_plugin_brings_is_shown_and_logged(
    packages: Packages, load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packages.install("digest", one_job("digest-job"))

    with caplog.at_level(logging.WARNING):
        loaded = load(jobs={"digets-job": JobOverrides(retry=3)})

    file = tmp_path / "rapua-scheduler.toml"
    expected = (
        f"{file}: [rapua_scheduler.jobs] digets-job: no plugin brings a job with this key; did you mean 'digest-job'?"
    )
    assert loaded.warnings == (expected,)
    assert expected in caplog.text


def test_a_disabled_job_is_one_line_of_the_log(
    packages: Packages, load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packages.install("digest", one_job("digest-job"))

    with caplog.at_level(logging.INFO):
        load(jobs={"digest-job": JobOverrides(enabled=False)})

    (line,) = [record.getMessage() for record in caplog.records if "Job disabled" in record.getMessage()]
    assert "digest-job" in line
    assert f"disabled in {tmp_path / 'rapua-scheduler.toml'}" in line


def test_safe_mode_has_nothing_to_say_about_the_tables_of_jobs(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("digest-job"))

    assert load(safe_mode=True, jobs={"digest-job": JobOverrides(retry=3)}).warnings == ()
