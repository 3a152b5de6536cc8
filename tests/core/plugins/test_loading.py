"""What the loader makes of plugins that work, and of what the operator says about them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import importlib_metadata
import pytest

from rapua_scheduler import HostStopping
from rapua_scheduler.config import Config
from rapua_scheduler.plugin_loader import LoadedPlugins, PluginReport, PluginState, guard
from tests.core.plugins.packages import Packages, one_job

Load = Callable[..., LoadedPlugins]


def states(loaded: LoadedPlugins) -> dict[str, str]:
    return {report.name: str(report.state) for report in loaded.plugins}


def touch(file: Path) -> str:
    return f"open({str(file)!r}, 'w').close()\n"


# Found and loaded


def test_an_installed_plugin_is_found_loaded_and_reported(packages: Packages, load: Load) -> None:
    packages.install("My.Digest", one_job("digest"), plugin="digest", refers_to="My.Digest", version="2.1")
    (packages.folder / "My").mkdir()
    (packages.folder / "My.Digest.py").rename(packages.folder / "My" / "Digest.py")

    loaded = load()

    assert loaded.plugins == (PluginReport("digest", "My.Digest", "2.1", PluginState.LOADED, ("digest",)),)
    registered = loaded.registry["digest"]
    assert (registered.plugin, registered.distribution, registered.version) == ("digest", "My.Digest", "2.1")
    assert loaded.unmet_requirements == loaded.warnings == ()


def test_an_uninstalled_plugin_is_gone_at_the_next_start(packages: Packages, load: Load) -> None:
    packages.install("here", one_job("here"))
    packages.install("gone", one_job("gone"))
    assert list(load().registry) == ["gone", "here"]

    metadata = packages.folder / "gone-1.0.dist-info"
    for file in metadata.iterdir():
        file.unlink()
    metadata.rmdir()

    assert list(load().registry) == ["here"]


def test_one_package_may_hold_several_plugins(packages: Packages, load: Load) -> None:
    (packages.folder / "other.py").write_text("import rapua_scheduler as r\n@r.hookimpl\ndef on_event(event): pass\n")
    packages.install("several", one_job("one"), entry_points={"first": "several", "second": "other"})

    loaded = load()

    assert states(loaded) == {"first": "loaded", "second": "loaded"}
    assert list(loaded.observers) == ["second"]


def test_an_instance_can_be_a_plugin(packages: Packages, load: Load) -> None:
    packages.install(
        "instance",
        """
        from rapua_scheduler import Job, every, hookimpl

        class Plugin:
            def __init__(self, key):
                self.key = key

            @hookimpl
            def register_jobs(self, site):
                return (Job(name=self.key + site.url[-7:], run=print, next=every(hours=1)) for _ in [1])

        plugin = Plugin("from")
        """,
        refers_to="instance:plugin",
    )

    assert list(load().registry) == ["fromexample"]


def test_jobs_come_in_the_order_of_their_plugins_names(packages: Packages, load: Load) -> None:
    for name in ("bravo", "alpha", "charlie"):
        packages.install(name, one_job(f"job-of-{name}"))

    assert list(load().registry) == ["job-of-alpha", "job-of-bravo", "job-of-charlie"]


def test_an_observer_hears_events_and_what_it_raises_comes_through(packages: Packages, load: Load) -> None:
    packages.install(
        "listener",
        """
        from rapua_scheduler import hookimpl
        heard = []

        @hookimpl
        def on_event(event):
            heard.append(event)
            if len(heard) == 2:
                raise ValueError("enough")
        """,
    )
    import listener  # type: ignore[import-not-found]

    observer = load().observers["listener"]
    observer(HostStopping())

    assert listener.heard == [HostStopping()]
    with pytest.raises(ValueError, match="enough"):
        observer(HostStopping())


def test_of_two_copies_of_a_package_only_the_one_python_imports_counts(
    packages: Packages, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadowed = tmp_path / "further-down"
    shadowed.mkdir()
    Packages(shadowed).install("twice", one_job("old"), plugin="old", version="1.0")
    packages.install("twice", one_job("new"), plugin="new", version="2.0")
    monkeypatch.syspath_prepend(shadowed)
    monkeypatch.syspath_prepend(packages.folder)
    both = [str(packages.folder), str(shadowed)]
    monkeypatch.setattr(
        importlib_metadata, "distributions", lambda: importlib_metadata.Distribution.discover(path=both)
    )

    loaded = load()

    assert [(report.name, report.version, report.jobs) for report in loaded.plugins] == [("new", "2.0", ("new",))]


def test_metadata_that_cannot_be_read_is_reported_and_the_rest_runs(packages: Packages, load: Load) -> None:
    packages.install("healthy", one_job("healthy-job"))
    packages.install("wordless", one_job("x"))
    (packages.folder / "wordless-1.0.dist-info" / "METADATA").write_bytes(b"\xff\xfe\x00 no metadata")
    packages.install("garbled", one_job("y"))
    (packages.folder / "garbled-1.0.dist-info" / "entry_points.txt").write_text("[rapua_scheduler]\ngarbled\n")

    loaded = load()

    assert list(loaded.registry) == ["healthy-job"]
    failed = {report.name: report.error for report in loaded.plugins if report.state is PluginState.FAILED}
    assert len(failed) == 2
    assert all("its metadata cannot be read" in error for error in failed.values())


def test_what_pip_leaves_behind_when_it_cannot_delete_is_no_plugin(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("digest"))
    (packages.folder / "digest-1.0.dist-info").rename(packages.folder / "~igest-1.0.dist-info")

    assert load().plugins == ()


# The operator's word


def test_a_denied_plugin_is_not_imported_at_all(packages: Packages, load: Load, tmp_path: Path) -> None:
    packages.install("healthy", one_job("healthy-job"))
    packages.install("unwanted", touch(tmp_path / "imported") + "1/0")

    loaded = load(deny_plugins=("unwanted",))

    assert states(loaded) == {"healthy": "loaded", "unwanted": "denied"}
    assert not (tmp_path / "imported").exists()


def test_a_plugin_that_is_not_allowed_is_not_imported_at_all(packages: Packages, load: Load, tmp_path: Path) -> None:
    packages.install("healthy", one_job("healthy-job"))
    packages.install("other", touch(tmp_path / "imported"))

    loaded = load(allow_plugins=("healthy",))

    assert states(loaded) == {"healthy": "loaded", "other": "not_allowed"}
    assert not (tmp_path / "imported").exists()


def test_safe_mode_imports_none_and_requires_none(packages: Packages, load: Load, tmp_path: Path) -> None:
    packages.install("first", touch(tmp_path / "imported"))
    packages.install("second", touch(tmp_path / "imported"))

    loaded = load(safe_mode=True, deny_plugins=("second",), require_plugins=("first", "absent"))

    assert states(loaded) == {"absent": "missing", "first": "safe_mode", "second": "denied"}
    assert not (tmp_path / "imported").exists()
    assert len(loaded.registry) == 0
    assert loaded.unmet_requirements == ()


def test_required_plugins_that_are_missing_or_broken_are_unmet(packages: Packages, load: Load, tmp_path: Path) -> None:
    packages.install("healthy", one_job("healthy-job"))
    packages.install("digest", "1/0")

    loaded = load(require_plugins=("digets", "digest", "healthy"))

    assert states(loaded) == {"digest": "failed", "digets": "missing", "healthy": "loaded"}
    prefix = f"{tmp_path / 'rapua-scheduler.toml'}: [rapua_scheduler] require_plugins"
    assert loaded.unmet_requirements == (
        f"{prefix}: 'digets' is not loaded: require_plugins names it, and it is not installed; did you mean 'digest'?",
        f"{prefix}: 'digest' is not loaded: import: ZeroDivisionError: division by zero (site-packages/digest.py:1)",
    )


def test_what_is_said_of_a_plugin_that_is_not_there_is_not_silent(
    packages: Packages, load: Load, tmp_path: Path
) -> None:
    packages.install("digest", one_job("digest"))

    loaded = load(
        plugins={"digets": {"min_age": "24h"}}, deny_plugins=("diggest",), allow_plugins=("digest", "metrics")
    )

    file = tmp_path / "rapua-scheduler.toml"
    assert loaded.warnings == (
        f"{file}: [rapua_scheduler.plugins] digets: no plugin has this name; did you mean 'digest'?",
        f"{file}: [rapua_scheduler] allow_plugins: no plugin is called 'metrics'; there are: digest",
        f"{file}: [rapua_scheduler] deny_plugins: no plugin is called 'diggest'; did you mean 'digest'?",
    )


def test_a_table_for_a_plugin_that_takes_no_settings_is_not_silent(packages: Packages, load: Load) -> None:
    packages.install("digest", one_job("digest"))

    loaded = load(plugins={"digest": {"min_age": "24h"}})

    assert states(loaded) == {"digest": "loaded"}
    assert "[rapua_scheduler.plugins] digest: has no effect: this plugin takes no settings" in loaded.warnings[0]


# Settings

TAKES_SETTINGS = """
    from __future__ import annotations
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path
    from typing import TYPE_CHECKING, Any
    from attrs import field, frozen, validators
    from rapua_scheduler import Job, every, hookimpl
    if TYPE_CHECKING:
        from rapua_scheduler import Site
        from nowhere import OnlyForCheckers

    @frozen
    class Settings:
        min_age: timedelta
        trash: Path = Path("trash")
        limit: int = field(default=10, validator=validators.ge(1))

    seen = []

    @hookimpl
    def register_jobs({signature}):
        seen.append(settings)
        return [Job(name="Digest", run=print, next=every(hours=1))]
"""


def digest_settings(packages: Packages, load: Load, signature: str, table: dict[str, object]) -> Any:
    packages.install("digest", TAKES_SETTINGS.replace("{signature}", signature))

    loaded = load(plugins={"digest": table})

    assert [report.error for report in loaded.plugins] == [""]
    import digest  # type: ignore[import-not-found]

    (settings,) = digest.seen
    return settings


def test_settings_come_as_the_class_that_the_annotation_names(packages: Packages, load: Load, tmp_path: Path) -> None:
    settings = digest_settings(
        packages, load, "site: Site, settings: Settings", {"min_age": "90m", "trash": "bin", "limit": 3}
    )

    assert settings.min_age.total_seconds() == 5400
    assert settings.trash == tmp_path / "bin"
    assert settings.limit == 3


def test_settings_come_to_an_argument_with_a_default_too(packages: Packages, load: Load) -> None:
    assert digest_settings(packages, load, "settings: Settings = None", {"min_age": "1h"}).limit == 10


@pytest.mark.parametrize("annotation", ["", ": Mapping[str, object]", ": Mapping[str, Any]", ": Any", ": object"])
def test_settings_without_a_class_are_the_table_read_only(packages: Packages, load: Load, annotation: str) -> None:
    table: dict[str, object] = {"min_age": "90m", "nested": {"list": [1]}}

    settings = digest_settings(packages, load, f"settings{annotation}", table)

    assert settings == table
    with pytest.raises(TypeError):
        settings["min_age"] = "1s"
    with pytest.raises(TypeError):
        settings["nested"]["list"] = []
    settings["nested"]["list"].append(2)
    assert table["nested"] == {"list": [1]}


def test_settings_as_a_dict_are_a_copy(packages: Packages, load: Load) -> None:
    table: dict[str, object] = {"nested": {"a": 1}}

    settings = digest_settings(packages, load, "settings: dict[str, Any]", table)
    settings["nested"]["a"] = 2

    assert table == {"nested": {"a": 1}}


def test_mistakes_in_settings_set_the_plugin_aside_all_at_once(packages: Packages, load: Load, tmp_path: Path) -> None:
    packages.install("healthy", one_job("healthy-job"))
    packages.install("digest", TAKES_SETTINGS.replace("{signature}", "settings: Settings"))

    loaded = load(plugins={"digest": {"min_aeg": "24h", "trash": 5, "limit": 0}})

    assert states(loaded) == {"digest": "failed", "healthy": "loaded"}
    where = f"{tmp_path / 'rapua-scheduler.toml'}: [rapua_scheduler.plugins.digest]"
    assert loaded.plugins[0].error.split("; " + where) == [
        f"{where} min_aeg: unknown key; did you mean 'min_age'?",
        " min_age: is missing, and has no default",
        " trash: must be a path in quotes, not a whole number",
        " limit: 'limit' must be >= 1: 0",
    ]


def test_an_annotation_that_cannot_be_resolved_is_explained(packages: Packages, load: Load) -> None:
    packages.install("digest", TAKES_SETTINGS.replace("{signature}", "settings: OnlyForCheckers"))

    assert "outside `if TYPE_CHECKING`" in load().plugins[0].error


@pytest.mark.parametrize("annotation", ["int", "list[int]", "Settings | None"])
def test_an_annotation_that_settings_cannot_be_is_explained(packages: Packages, load: Load, annotation: str) -> None:
    packages.install("digest", TAKES_SETTINGS.replace("{signature}", f"settings: {annotation}"))

    assert "neither an attrs class nor Mapping" in load().plugins[0].error


# Logs


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.msg for record in caplog.records if isinstance(record.msg, dict)]


def test_every_plugin_set_aside_is_one_line_of_the_log(
    packages: Packages, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="rapua_scheduler")
    packages.install("bad", "1/0", version="3.2")
    packages.install("healthy", one_job("healthy-job"))

    load(deny_plugins=("other",), plugins={})

    line = next(line for line in logged(caplog) if line["event"] == "Plugin set aside")
    assert {key: line[key] for key in ("plugin", "distribution", "version", "state", "level")} == {
        "plugin": "bad", "distribution": "bad", "version": "3.2", "state": "failed", "level": "warning",
    }  # fmt: skip
    assert "ZeroDivisionError" in line["error"]
    assert [line["event"] for line in logged(caplog)].count("Plugin set aside") == 1


def test_the_traceback_of_a_broken_plugin_is_in_the_debug_log(
    packages: Packages, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="rapua_scheduler")
    packages.install("bad", "secret = 'hunter2'\n1/0")

    load()

    (traceback,) = [line["traceback"] for line in logged(caplog) if line["event"] == "Plugin raised"]
    assert "bad.py" in traceback
    assert "hunter2" not in traceback


def test_a_slow_step_is_logged_and_a_stuck_one_while_it_lasts(
    packages: Packages, load: Load, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SLOW", guard.SLOW * 0.05)
    monkeypatch.setattr(guard, "STUCK", guard.STUCK * 0.001)
    packages.install("slow", "import threading\nthreading.Event().wait(0.2)\n" + one_job("x").replace("\n    ", "\n"))

    load()

    lines = [(line["event"], line["plugin"], line["step"]) for line in logged(caplog) if "step" in line]
    assert lines == [("Plugin is taking long", "slow", "import"), ("Plugin is slow to load", "slow", "import")]


def test_a_quick_plugin_is_not_called_slow(packages: Packages, load: Load, caplog: pytest.LogCaptureFixture) -> None:
    packages.install("quick", one_job("x"))

    load()

    assert [line for line in logged(caplog) if "step" in line] == []


# Installed beside these tests


def test_our_own_plugins_are_found_by_their_real_metadata(make_config: Callable[..., Config]) -> None:
    from rapua_scheduler.plugin_loader.metadata import find_plugins

    found = {plugin.name: plugin.distribution for plugin in find_plugins()}

    assert (
        found.items()
        >= {
            "credit_topup": "rapua-scheduler-credit-topup",
            "orphaned_uploads": "rapua-scheduler-orphaned-uploads",
            "stale_purchases": "rapua-scheduler-stale-purchases",
        }.items()
    )
