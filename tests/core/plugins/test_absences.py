"""Of every job that the store knows and the host does not run, the kind of its absence and the reason are told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from rapua_scheduler.overrides import JobOverrides
from rapua_scheduler.plugin_loader import KnownProviders, LoadedPlugins, absences
from rapua_scheduler.run import WindowKind
from rapua_scheduler.store.port import StoredJob
from tests.core.plugins.packages import Packages, one_job

Load = Callable[..., LoadedPlugins]

NOW = datetime(2026, 11, 23, tzinfo=UTC)
FAILED, ABSENT = WindowKind.FAILED, WindowKind.ABSENT


def stored(key: str, plugin: str = "digest", distribution: str = "digest") -> StoredJob:
    """Return a job as a store knows it."""
    return StoredJob(key, key, plugin, distribution, "1.0", "daily", "f", NOW, NOW, NOW, NOW)


DIGEST = stored("digest-job")


def test_a_job_that_runs_is_not_absent(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("digest-job"))

    assert absences([DIGEST], load()) == {}


def test_a_job_whose_plugin_is_broken_has_failed_with_plugin_package_and_error(packages: Packages, load: Load) -> None:
    packages.install("digest", "1/0", version="1.1")

    kind, reason = absences([DIGEST], load())["digest-job"]

    assert kind is FAILED
    assert reason == (
        "plugin 'digest' (digest 1.1) could not be loaded: "
        "import: ZeroDivisionError: division by zero (site-packages/digest.py:1)"
    )


def test_the_package_is_the_same_however_its_name_is_written(packages: Packages, load: Load) -> None:
    packages.install("my-digest", "1/0", plugin="digest")

    (absence,) = absences([stored("digest-job", "digest", "My_Digest")], load()).values()

    assert absence[0] is FAILED


def test_a_job_whose_plugin_lacks_a_requirement_has_failed(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("digest-job"), requires=["no-such-package-anywhere"])

    kind, reason = absences([DIGEST], load())["digest-job"]

    assert kind is FAILED
    assert "it requires no-such-package-anywhere, which is not installed" in reason


def test_a_job_whose_plugin_is_set_aside_in_a_clash_has_failed(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("digest-job"))
    packages.install("other", one_job("digest-job"))

    kind, reason = absences([DIGEST], load())["digest-job"]

    assert kind is FAILED
    assert "the job 'digest-job' is declared by both" in reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"deny_plugins": ("digest",)}, "plugin 'digest' (digest 1.0) is not loaded: deny_plugins names it"),
        ({"allow_plugins": ("other",)}, "plugin 'digest' (digest 1.0) is not loaded: allow_plugins leaves it out"),
        ({"safe_mode": True}, "plugin 'digest' (digest 1.0) is not loaded: safe mode imports no plugin"),
    ],
)
def test_a_job_whose_plugin_is_not_wanted_is_absent(
    packages: Packages, load: Load, said: dict[str, object], reason: str
) -> None:
    packages.install("digest", "1/0")

    assert absences([DIGEST], load(**said)) == {"digest-job": (ABSENT, reason)}


def test_a_job_whose_package_is_uninstalled_is_absent(packages: Packages, load: Load) -> None:
    packages.install("other", one_job("other-job"))

    assert absences([DIGEST], load()) == {"digest-job": (ABSENT, "digest, which brought it, is not installed")}


def test_a_job_whose_plugin_another_package_has_now_is_absent(packages: Packages, load: Load) -> None:
    packages.install("newer", one_job("another-job"), plugin="digest")

    assert absences([DIGEST], load()) == {"digest-job": (ABSENT, "digest, which brought it, is not installed")}


def test_a_job_that_its_plugin_declares_no_more_is_absent(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("another-job"), version="2.0")

    assert absences([DIGEST], load()) == {
        "digest-job": (ABSENT, "plugin 'digest' (digest 2.0) declares it no more"),
    }


def test_a_job_whose_plugin_its_package_has_no_more_is_absent(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("another-job"), plugin="other")

    assert absences([DIGEST], load()) == {"digest-job": (ABSENT, "digest has no plugin 'digest' any more")}


def test_another_plugin_of_the_same_package_that_is_broken_makes_no_difference(packages: Packages, load: Load) -> None:
    packages.install("digest", "1/0", plugin="other")

    assert absences([DIGEST], load()) == {"digest-job": (ABSENT, "digest has no plugin 'digest' any more")}


def test_a_job_that_the_operator_has_disabled_is_absent(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("digest-job"))

    loaded = load(jobs={"digest-job": JobOverrides(enabled=False)})

    (absence,) = absences([DIGEST], loaded).values()
    assert absence[0] is ABSENT
    assert absence[1].startswith("disabled in /")
    assert absence[1].endswith("/rapua-scheduler.toml")


RENAMED = one_job("tidy").replace("every(hours=1)", "every(hours=1), formerly='digest-job'")


def test_a_job_that_goes_on_under_another_key_is_not_absent(packages: Packages, load: Load) -> None:
    packages.install("digest", RENAMED)

    loaded = load()

    assert loaded.registry["tidy"].job.formerly == ("digest-job",)
    assert absences([DIGEST], loaded) == {}


def test_a_job_that_is_disabled_under_another_key_is_absent(packages: Packages, load: Load) -> None:
    packages.install("digest", RENAMED)

    (absence,) = absences([DIGEST], load(jobs={"tidy": JobOverrides(enabled=False)})).values()

    assert absence[1].startswith("disabled in ")


def test_a_job_of_an_application_is_absent_in_a_host(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("digest-job"))

    assert absences([stored("mine", "", "")], load()) == {"mine": (ABSENT, "an application brings it, and no plugin")}


def test_a_job_of_a_package_whose_metadata_cannot_be_read_has_failed(packages: Packages, load: Load) -> None:
    packages.install("my-digest", one_job("digest-job"), plugin="digest")
    (packages.folder / "my_digest-1.0.dist-info" / "entry_points.txt").write_text("[rapua_scheduler]\ndigest\n")
    packages.install("other", one_job("other-job"))

    found = absences([stored("digest-job", "digest", "My_Digest"), stored("gone", "gone", "gone")], load())

    assert found["digest-job"][0] is FAILED
    assert found["digest-job"][1].startswith("plugin 'digest' (My_Digest) is not found: its metadata cannot be read: ")
    assert found["gone"] == (ABSENT, "gone, which brought it, is not installed")


def test_metadata_without_so_much_as_a_name_could_be_that_of_any_package_that_is_not_found(
    packages: Packages, load: Load
) -> None:
    packages.install("digest", one_job("digest-job"))
    (packages.folder / "digest-1.0.dist-info" / "METADATA").write_bytes(b"\xff\xfe\x00 no metadata")
    packages.install("other", one_job("other-job"))

    found = absences([DIGEST, stored("more", "other", "other")], load())

    assert found["digest-job"][0] is FAILED
    assert found["more"] == (ABSENT, "plugin 'other' (other 1.0) declares it no more")


def test_a_job_keeps_its_place_while_its_own_plugin_is_broken_and_another_declares_its_key(
    packages: Packages, load: Load
) -> None:
    packages.install("digest", "1/0")
    packages.install("other", one_job("digest-job"))

    kind, reason = absences([DIGEST], load(KnownProviders.from_stored([DIGEST])))["digest-job"]

    assert kind is FAILED
    assert reason.startswith("plugin 'digest' (digest 1.0) could not be loaded: import: ZeroDivisionError")
