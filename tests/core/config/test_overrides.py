"""What an operator writes about a job beats what the plugin declares, key by key."""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from rapua_scheduler import (
    CatchUp,
    ConfigurationError,
    IfUnfinished,
    Isolation,
    Job,
    Overlap,
    Retry,
    cron,
    every,
    next_daily,
)
from rapua_scheduler.overrides import JobOverrides, Overridden, apply_overrides
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.settings import Where, structure_settings

FILE = "/etc/conf.toml"
WHERE = Where(FILE, "rapua_scheduler.jobs", Path("/etc"))


def nothing(ctx: object) -> None:
    """Do nothing."""


def job(**policies: Any) -> Job:
    fixed: dict[str, Any] = {"name": "Sweep", "key": "sweep", "run": nothing, "next": next_daily}
    return Job(**(fixed | policies))


def read(text: str) -> Mapping[str, JobOverrides]:
    """Return the tables in *text*, which stand below `jobs`."""
    tables = tomllib.loads(textwrap.dedent(text))
    return {key: structure_settings(table, JobOverrides, WHERE.below(key)) for key, table in tables.items()}


def applied(text: str, *jobs: Job) -> Overridden:
    return apply_overrides(Registry.of(*jobs), read(text), WHERE)


def overridden(line: str, declared: Job | None = None) -> Job:
    """Return the job as it is with one line about it, of which nothing may be without effect."""
    found = applied(f"[sweep]\n{line}", declared or job())

    assert found.warnings == ()
    return found.registry["sweep"].job


# What is changed


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ('schedule = "0 0 1 * *"', "next", cron("0 0 1 * *")),
        ('schedule = "every 6h"', "next", every(hours=6)),
        ('schedule = "@weekly"', "next", cron("@weekly")),
        ('timeout = "10m"', "timeout", timedelta(minutes=10)),
        ('catch_up = "none"', "catch_up", CatchUp.none()),
        ('catch_up = "all"', "catch_up", CatchUp.all()),
        ('catch_up = "all"\ncatch_up_within = "2d"', "catch_up", CatchUp.all(within="2d")),
        ('overlap = "queue_one"', "overlap", Overlap.QUEUE_ONE),
        ("retry = 5", "retry", Retry(5)),
        ('retry = {attempts = 5, delay = "5s", cap = "2h"}', "retry", Retry(5, "5s", "2h")),
        ('isolation = "process"', "isolation", Isolation.PROCESS),
        ('if_unfinished = "leave"', "if_unfinished", IfUnfinished.LEAVE),
        ('concurrency_key = "site"', "concurrency_key", "site"),
        ("pause_after_failures = 3", "pause_after_failures", 3),
        ('jitter = "5m"', "jitter", timedelta(minutes=5)),
    ],
)
def test_a_key_changes_what_it_names_and_nothing_else(line: str, field: str, value: object) -> None:
    declared = job()

    found = overridden(line, declared)

    assert getattr(found, field) == value
    differing = {each.name for each in attrs.fields(Job) if getattr(found, each.name) != getattr(declared, each.name)}
    assert differing == {field}


def test_every_key_is_read_by_something() -> None:
    tried = {line.partition(" ")[0] for line in _lines(test_a_key_changes_what_it_names_and_nothing_else)}

    assert {field.name for field in attrs.fields(JobOverrides)} == tried | {"enabled", "memory", "catch_up_within"}


def _lines(test: Any) -> list[str]:
    (mark,) = test.pytestmark
    return [case[0] for case in mark.args[1]]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('timeout = "none"', "timeout"),
        ('concurrency_key = "none"', "concurrency_key"),
        ('pause_after_failures = "none"', "pause_after_failures"),
        ('jitter = "none"', "jitter"),
    ],
)
def test_the_word_none_takes_away_what_the_plugin_has_set(line: str, field: str) -> None:
    declared = job(timeout="1h", concurrency_key="site", pause_after_failures=3, jitter="5m")

    assert getattr(declared, field) is not None
    assert getattr(overridden(line, declared), field) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('catch_up = "all"', CatchUp.all(within="45d")),
        ('catch_up_within = "2d"', CatchUp.latest(within="2d")),
        ('catch_up_within = "none"', CatchUp.latest()),
    ],
)
def test_of_catching_up_only_what_is_written_is_changed(line: str, expected: CatchUp) -> None:
    assert overridden(line, job(catch_up=CatchUp.latest(within="45d"))).catch_up == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("retry = 3", Retry(3, "1m", "6h")),
        ("retry = {attempts = 3}", Retry(3, "1m", "6h")),
        ('retry = {delay = "2m"}', Retry(24, "2m", "6h")),
    ],
)
def test_of_retries_only_what_is_written_is_changed(line: str, expected: Retry) -> None:
    assert overridden(line, job(retry=Retry(24, "1m", "6h"))).retry == expected


def test_a_schedule_in_place_of_a_next_function_has_words_a_fingerprint_and_may_have_jitter() -> None:
    declared = job(next=lambda after: after + timedelta(hours=1))

    found = applied('[sweep]\nschedule = "every 6h"\njitter = "5m"', declared)

    registered = found.registry["sweep"]
    assert found.warnings == ()
    assert (registered.schedule, registered.fingerprint) == (str(every(hours=6)), every(hours=6).fingerprint)
    assert registered.job.next(datetime(2026, 11, 1, 1, tzinfo=UTC)) == datetime(2026, 11, 1, 6, tzinfo=UTC)  # type: ignore[call-arg]


def test_a_limit_of_memory_is_kept_in_bytes_beside_the_job() -> None:
    found = applied('[sweep]\nisolation = "process"\nmemory = "512M"', job()).registry["sweep"]

    assert (found.memory_limit, found.job.isolation) == (536_870_912, Isolation.PROCESS)
    assert applied("[sweep]\nretry = 2", job()).registry["sweep"].memory_limit is None


def test_plugin_distribution_and_version_stay_and_other_jobs_are_not_touched() -> None:
    mine = RegisteredJob(job(), "digest", "my-digest", "1.0")
    other = RegisteredJob(job(name="Other", key="other"), "digest", "my-digest", "1.0")

    found = apply_overrides(Registry([mine, other]), read("[sweep]\nretry = 2"), WHERE).registry

    assert list(found) == ["sweep", "other"]
    assert (found["sweep"].plugin, found["sweep"].distribution, found["sweep"].version) == (
        "digest",
        "my-digest",
        "1.0",
    )
    assert found["other"] is other


# What is switched off


def test_a_disabled_job_is_not_registered_and_the_reason_names_the_file() -> None:
    found = applied('[sweep]\nenabled = false\ntimeout = "1h"', job(), job(name="Other", key="other"))

    assert list(found.registry) == ["other"]
    assert {key: each.reason for key, each in found.disabled.items()} == {"sweep": f"disabled in {FILE}"}
    assert found.disabled["sweep"].registered.job.name == "Sweep"
    assert found.warnings == ()


def test_a_job_that_is_expressly_enabled_runs() -> None:
    assert list(applied("[sweep]\nenabled = true", job()).registry) == ["sweep"]


def test_a_disabled_job_does_not_come_back_under_another_key() -> None:
    renamed = job(key="tidy", formerly=("sweep",))

    found = applied("[sweep]\nenabled = false", renamed)

    assert (list(found.registry), list(found.disabled)) == ([], ["tidy"])
    assert found.warnings == (
        f"{FILE}: [rapua_scheduler.jobs] sweep: this job has the key 'tidy' now; rename the table",
    )


def test_a_table_under_a_former_key_gives_way_to_one_under_the_present_key() -> None:
    renamed = job(key="tidy", formerly=("sweep",))

    found = applied("[sweep]\nretry = 2\n[tidy]\nretry = 3", renamed)

    assert found.registry["tidy"].job.retry == Retry(3)
    assert found.warnings == (
        f"{FILE}: [rapua_scheduler.jobs] sweep: no plugin brings a job with this key; there are: tidy",
    )


def test_a_table_is_for_the_job_that_has_its_key_not_for_one_that_had_it() -> None:
    renamed = job(key="tidy", formerly=("sweep",))

    found = applied("[sweep]\nenabled = false", job(), renamed)

    assert (list(found.registry), list(found.disabled)) == (["tidy"], ["sweep"])


# What has no effect


def test_a_table_for_a_job_that_no_plugin_brings_is_a_warning_with_the_closest_key() -> None:
    found = applied("[swep]\nretry = 2\n[other]\nretry = 2", job())

    assert found.registry["sweep"].job.retry == Retry()
    assert found.warnings == (
        f"{FILE}: [rapua_scheduler.jobs] swep: no plugin brings a job with this key; did you mean 'sweep'?",
        f"{FILE}: [rapua_scheduler.jobs] other: no plugin brings a job with this key; there are: sweep",
    )


def test_nothing_is_said_about_tables_when_no_job_is_known() -> None:
    assert applied("[sweep]\nretry = 2").warnings == ()


def test_jitter_for_a_next_function_of_its_own_is_a_warning_and_the_rest_holds() -> None:
    found = applied('[sweep]\njitter = "5m"\nretry = 2', job(next=lambda after: after + timedelta(hours=1)))

    assert (found.registry["sweep"].job.jitter, found.registry["sweep"].job.retry) == (None, Retry(2))
    (warning,) = found.warnings
    assert warning == (
        f"{FILE}: [rapua_scheduler.jobs.sweep] jitter: has no effect: the job has a next function of its own; "
        "write a schedule too"
    )


class Stubborn(Job):
    def __init__(self) -> None:
        super().__init__("Stubborn", nothing, next_daily)


def test_a_job_that_cannot_be_changed_does_not_run_otherwise_than_the_operator_wants() -> None:
    found = applied("[stubborn]\nretry = 2", Stubborn(), job())

    assert list(found.registry) == ["sweep"]
    (warning,) = found.warnings
    assert warning.startswith(f"{FILE}: [rapua_scheduler.jobs] stubborn: cannot be applied: TypeError: ")
    assert found.disabled["stubborn"].reason == warning


# What is refused


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("timout = 5", "sweep] timout: unknown key; did you mean 'timeout'?"),
        ("retry = {attempt = 5}", "sweep.retry] attempt: unknown key; did you mean 'attempts'?"),
        ("enabled = 0", "sweep] enabled: must be true or false, without quotes, not a whole number"),
        ('schedule = "0 0 31 2 *"', "sweep] schedule: '0 0 31 2 *': "),
        ('schedule = "every"', "sweep] schedule: 'every': write "),
        ('timeout = "0"', 'sweep] timeout: must be longer than zero; write "none" to have none'),
        (
            "timeout = 5",
            'sweep] timeout: must be a duration in quotes, such as "30s" or "14d", not a whole number; or ',
        ),
        ('timeout = "nothing"', "sweep] timeout: 'nothing' is not a duration; "),
        ('catch_up = "newest"', 'sweep] catch_up: must be one of "none", "latest", "all"'),
        ('overlap = "queue"', 'sweep] overlap: must be one of "skip", "queue_one", '),
        ("retry = 0", "sweep] retry: must be at least 1"),
        ("retry = true", "sweep] retry: must be a whole number, without quotes, not a truth value; or "),
        ('retry = {delay = "0"}', "sweep.retry] delay: must be longer than zero"),
        ('isolation = "container"', 'sweep] isolation: must be one of "thread", "process"'),
        ('if_unfinished = "retry"', 'sweep] if_unfinished: must be one of "rerun", "leave"'),
        ('concurrency_key = ""', 'sweep] concurrency_key: must not be blank; write "none" to have none'),
        ("pause_after_failures = 0", 'sweep] pause_after_failures: must be at least 1; write "none" to have none'),
        ('jitter = "0"', 'sweep] jitter: must be longer than zero; write "none" to have none'),
        ('memory = "512M"', 'sweep] memory: is for jobs in a process of their own; write isolation = "process" too'),
        ('memory = "512M"\nisolation = "thread"', "sweep] memory: is for jobs in a process of their own; "),
        ('memory = "0M"\nisolation = "process"', 'sweep] memory: must be at least "1K"'),
    ],
)
def test_what_cannot_be_meant_is_refused_with_file_and_key(line: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(f"[sweep]\n{line}")

    (found,) = caught.value.problems
    assert found.startswith(f"{FILE}: [rapua_scheduler.jobs.{problem}")
