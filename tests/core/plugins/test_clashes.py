"""Two plugins that want the same name, or jobs that want the same key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from rapua_scheduler.plugin_loader import KnownProviders, LoadedPlugins, PluginState, Provider
from rapua_scheduler.store.port import StoredJob
from tests.core.plugins.packages import Packages, one_job

Load = Callable[..., LoadedPlugins]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def known(**jobs: tuple[str, str]) -> KnownProviders:
    """Return what a store knows that has these jobs, each of (plugin, distribution)."""
    return KnownProviders.from_stored(
        [stored(key.replace("_", "-"), plugin, distribution) for key, (plugin, distribution) in jobs.items()]
    )


def stored(key: str, plugin: str, distribution: str, seen: datetime = NOW) -> StoredJob:
    return StoredJob(
        key=key,
        name=key,
        plugin=plugin,
        distribution=distribution,
        version="1.0",
        schedule="",
        fingerprint="",
        mark=NOW,
        next_fire_time=None,
        first_seen_at=NOW,
        last_seen_at=seen,
    )


def states(loaded: LoadedPlugins) -> dict[str, str]:
    return {report.distribution: str(report.state) for report in loaded.plugins}


def errors(loaded: LoadedPlugins) -> dict[str, str]:
    return {report.distribution: report.error for report in loaded.plugins if report.error}


# Names


def test_two_plugins_of_one_name_are_both_set_aside_when_neither_is_known(packages: Packages, load: Load) -> None:
    packages.install("healthy", one_job("healthy-job"))
    packages.install("first", "raise SystemExit('imported')", plugin="digest")
    packages.install("second", "raise SystemExit('imported')", plugin="digest", version="2.0")

    loaded = load()

    text = (
        "the plugin name 'digest' is used by both first 1.0 and second 2.0; neither is known to have had it first; "
        "uninstall one of them"
    )
    assert errors(loaded) == {"first": text, "second": text}
    assert states(loaded) == {"first": "clash", "second": "clash", "healthy": "loaded"}
    assert list(loaded.registry) == ["healthy-job"]


def test_of_two_plugins_of_one_name_the_known_package_keeps_it(packages: Packages, load: Load) -> None:
    packages.install("aa-newcomer", "raise SystemExit('imported')", plugin="digest")
    packages.install("My_Digest", one_job("digest"), plugin="digest")

    loaded = load(known(digest=("digest", "my.digest")))

    assert states(loaded) == {"My_Digest": "loaded", "aa-newcomer": "clash"}
    assert "My_Digest had it first" in errors(loaded)["aa-newcomer"]
    assert list(loaded.registry) == ["digest"]


def test_the_known_package_keeps_its_plugins_name_even_while_it_is_broken(packages: Packages, load: Load) -> None:
    packages.install("newcomer", one_job("digest"), plugin="digest")
    packages.install("owner", "1/0", plugin="digest")

    loaded = load(known(digest=("digest", "owner")))

    assert states(loaded) == {"newcomer": "clash", "owner": "failed"}


def test_one_package_that_uses_a_name_twice_is_set_aside(packages: Packages, load: Load) -> None:
    packages.install("twice", one_job("x"), plugin="digest")
    (packages.folder / "twice-1.0.dist-info" / "entry_points.txt").write_text(
        "[rapua_scheduler]\ndigest = twice\ndigest = other\n"
    )

    loaded = load(known(x=("digest", "twice")))

    assert [report.state for report in loaded.plugins] == [PluginState.CLASH] * 2
    assert "used by both twice 1.0 and twice 1.0" in errors(loaded)["twice"]


# Keys


def test_two_plugins_with_one_job_key_are_both_set_aside_when_neither_is_known(packages: Packages, load: Load) -> None:
    packages.install("first", one_job("sweep"))
    packages.install("healthy", one_job("healthy-job"))
    packages.install("second", one_job("sweep"))

    loaded = load()

    text = (
        "the job 'sweep' is declared by both 'first' (first 1.0) and 'second' (second 1.0); neither is known to have "
        "had it first; deny or uninstall one of them"
    )
    assert errors(loaded) == {"first": text, "second": text}
    assert list(loaded.registry) == ["healthy-job"]
    assert states(loaded)["healthy"] == "loaded"


def test_of_two_plugins_with_one_job_key_the_known_package_keeps_it(packages: Packages, load: Load) -> None:
    packages.install("aa-newcomer", one_job("sweep"))
    packages.install("owner", one_job("sweep"))

    loaded = load(known(sweep=("former_name", "Owner")))

    assert states(loaded) == {"aa-newcomer": "clash", "owner": "loaded"}
    assert (
        "'aa_newcomer' (aa-newcomer 1.0) and 'owner' (owner 1.0); owner had it first" in errors(loaded)["aa-newcomer"]
    )
    assert loaded.registry["sweep"].distribution == "owner"


def test_denying_one_of_two_lets_the_other_run(packages: Packages, load: Load) -> None:
    packages.install("first", one_job("sweep"))
    packages.install("second", one_job("sweep"))

    loaded = load(known(sweep=("first", "first")), deny_plugins=("first",))

    assert states(loaded) == {"first": "denied", "second": "loaded"}


def test_a_plugin_is_set_aside_whole_its_observer_and_other_jobs_too(packages: Packages, load: Load) -> None:
    observer = "\n    @hookimpl\n    def on_event(event):\n        pass\n"
    packages.install("owner", one_job("sweep"))
    packages.install(
        "newcomer",
        one_job("sweep").replace("[Job(", "[Job(name='Another', run=print, next=every(hours=2)), Job(") + observer,
    )

    loaded = load(known(sweep=("owner", "owner")))

    assert list(loaded.registry) == ["sweep"]
    assert loaded.observers == {}
    assert [report.jobs for report in loaded.plugins] == [(), ("sweep",)]


def test_a_plugin_that_is_out_already_takes_no_other_with_it(packages: Packages, load: Load) -> None:
    packages.install("loser", one_job("sweep").replace("[Job(", "[Job(name='b', run=print, next=every(hours=2)), Job("))
    packages.install("owner", one_job("sweep"))
    packages.install("third", one_job("b"))

    loaded = load(known(sweep=("owner", "owner")))

    assert states(loaded) == {"loser": "clash", "owner": "loaded", "third": "loaded"}


def test_a_job_does_not_change_hands_while_its_own_plugin_is_broken(packages: Packages, load: Load) -> None:
    packages.install("newcomer", one_job("sweep"))
    packages.install("owner", "1/0")

    loaded = load(known(sweep=("owner", "owner")))

    assert states(loaded) == {"newcomer": "clash", "owner": "failed"}
    assert errors(loaded)["newcomer"] == (
        "the job 'sweep' belongs to 'owner' (owner), which could not be loaded; repair, deny or uninstall that one"
    )


def test_a_job_changes_hands_once_its_package_is_uninstalled(packages: Packages, load: Load) -> None:
    packages.install("heir", one_job("sweep"))

    assert list(load(known(sweep=("owner", "owner"))).registry) == ["sweep"]


def test_two_plugins_of_the_known_package_cannot_share_a_key(packages: Packages, load: Load) -> None:
    (packages.folder / "also.py").write_text((one_job("sweep")).replace("\n    ", "\n"))
    packages.install("owner", one_job("sweep"), entry_points={"one": "owner", "two": "also"})

    loaded = load(known(sweep=("one", "owner")))

    assert [report.state for report in loaded.plugins] == [PluginState.CLASH] * 2


# What is known


def test_a_name_that_went_from_one_package_to_another_is_known_as_the_latters() -> None:
    later = NOW + timedelta(days=1)

    providers = KnownProviders.from_stored(
        [stored("a", "digest", "New_One", later), stored("b", "digest", "old-one"), stored("c", "", "")]
    )

    assert providers.plugins == {"digest": "new-one"}
    assert providers.jobs == {"a": Provider("digest", "new-one"), "b": Provider("digest", "old-one")}
