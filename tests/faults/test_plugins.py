"""Faults 60 to 75: what plugins may do to a host while they are loaded.

Each test has, where there is one, a control: the same plugins in the hands of pluggy's own loader, which
is what a host would use that does nothing about it.

Two of them have their limits:

- 62: nothing in Python outlives `os._exit`. A plugin that calls it while it is loaded ends the host; the
  last line of the log names it, and `deny_plugins` keeps it from being imported.
- 68: there is no version of the interface beside that of the package. A plugin says which it works with
  as any package does, by its requirement of rapua-scheduler, and that is looked at before the import.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pluggy
import pytest

from rapua_scheduler import Site, hookspecs, planner
from rapua_scheduler.checks import Severity, check_plugins
from rapua_scheduler.control.listings import list_jobs
from rapua_scheduler.plugin_loader import KnownProviders, LoadedPlugins, PluginReport, absences
from rapua_scheduler.run import RunStatus, WindowKind
from rapua_scheduler.store.memory.store import MemoryStore
from rapua_scheduler.testing import VirtualScheduler
from tests.core.plugins.packages import Packages, one_job

Load = Callable[..., LoadedPlugins]
Naive = Callable[[], list[str]]

PATIENCE = 30.0
NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOOKIMPL = "from rapua_scheduler import Job, every, hookimpl\n@hookimpl\n"
JOB = "Job(name='Some job', run=print, next=every(hours=1))"


@pytest.fixture
def naive(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> Naive:
    """Load all plugins with pluggy's own loader, and return the keys of their jobs."""
    folder = [str(packages.folder)]
    monkeypatch.setattr(
        importlib.metadata, "distributions", lambda: importlib.metadata.Distribution.discover(path=folder)
    )

    def load_all() -> list[str]:
        manager = pluggy.PluginManager(hookspecs.GROUP)
        manager.add_hookspecs(hookspecs)
        manager.load_setuptools_entrypoints(hookspecs.GROUP)
        return [job.key for jobs in manager.hook.register_jobs(settings={}, site=Site()) for job in jobs]

    return load_all


@pytest.fixture
def healthy(packages: Packages) -> Packages:
    """A folder in which a healthy plugin is installed, between those called aa and zz."""
    packages.install("healthy", one_job("healthy-job"))
    return packages


def only_healthy(loaded: LoadedPlugins) -> dict[str, str]:
    """Check that of all jobs there is only the healthy plugin's, and return the states of the others."""
    assert list(loaded.registry) == ["healthy-job"]
    return {report.name: str(report.state) for report in loaded.plugins if report.name != "healthy"}


def report_of(loaded: LoadedPlugins, name: str) -> PluginReport:
    (report,) = [report for report in loaded.plugins if report.name == name]
    return report


def around(packages: Packages, source: str) -> None:
    """Install a plugin with that source before the healthy one, and another one after it."""
    packages.install("aa", source)
    packages.install("zz", source)


BOTH_FAILED = {"aa": "failed", "zz": "failed"}


def test_fault_60_an_import_error_sets_aside_that_plugin_only(healthy: Packages, load: Load, naive: Naive) -> None:
    around(healthy, "import no_such_module_anywhere")

    loaded = load()

    assert only_healthy(loaded) == BOTH_FAILED
    assert "No module named 'no_such_module_anywhere'" in report_of(loaded, "aa").error
    with pytest.raises(ModuleNotFoundError):
        naive()


def test_fault_61_a_syntax_error_sets_aside_that_plugin_only(healthy: Packages, load: Load, naive: Naive) -> None:
    around(healthy, "def (:")

    loaded = load()

    assert only_healthy(loaded) == BOTH_FAILED
    assert "SyntaxError" in report_of(loaded, "zz").error
    with pytest.raises(SyntaxError):
        naive()


def test_fault_62_sys_exit_at_import_sets_aside_that_plugin_only(healthy: Packages, load: Load, naive: Naive) -> None:
    around(healthy, "import sys; sys.exit(3)")

    loaded = load()

    assert only_healthy(loaded) == BOTH_FAILED
    assert "SystemExit: 3" in report_of(loaded, "aa").error
    with pytest.raises(SystemExit):
        naive()


def test_fault_63_a_hook_that_raises_sets_aside_that_plugin_only(healthy: Packages, load: Load, naive: Naive) -> None:
    around(healthy, f"{HOOKIMPL}def register_jobs(): raise ValueError('no jobs today')")

    loaded = load()

    assert only_healthy(loaded) == BOTH_FAILED
    assert "no jobs today" in report_of(loaded, "zz").error
    with pytest.raises(ValueError, match="no jobs today"):
        naive()


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ("None", "returned None"),
        ("7", "returned an int"),
        ("['sweep']", "item 1 of what it returned is a str, not a Job"),
        ("(1 / 0 for _ in 'x')", "ZeroDivisionError"),
    ],
)
def test_fault_64_what_is_no_list_of_jobs_is_told_and_never_dropped(
    healthy: Packages, load: Load, returned: str, problem: str
) -> None:
    around(healthy, f"{HOOKIMPL}def register_jobs(): return {returned}")

    loaded = load()

    assert only_healthy(loaded) == BOTH_FAILED
    assert problem in report_of(loaded, "aa").error


def test_fault_64_control_pluggy_drops_none_without_a_word(healthy: Packages, naive: Naive) -> None:
    around(healthy, f"{HOOKIMPL}def register_jobs(): return None")

    assert naive() == ["healthy-job"]


def test_fault_65_two_jobs_of_one_key_are_refused_whoever_declares_them(
    healthy: Packages, load: Load, naive: Naive
) -> None:
    healthy.install("aa", one_job("sweep"))
    healthy.install("mm", f"{HOOKIMPL}def register_jobs(): return [{JOB}, {JOB}]")
    healthy.install("zz", one_job("sweep"))

    first, second = load(), load()

    assert only_healthy(first) == {"aa": "clash", "mm": "failed", "zz": "clash"}
    assert only_healthy(second) == only_healthy(first)
    assert "'sweep' is declared by both 'aa' (aa 1.0) and 'zz' (zz 1.0)" in report_of(first, "aa").error
    assert naive().count("sweep") == 2


def test_fault_66_a_wrong_signature_sets_aside_that_plugin_only(healthy: Packages, load: Load, naive: Naive) -> None:
    around(healthy, f"{HOOKIMPL}def register_jobs(scheduler): return []")

    loaded = load()

    assert only_healthy(loaded) == BOTH_FAILED
    assert "register_jobs takes 'scheduler'; it can take settings and site" in report_of(loaded, "aa").error
    with pytest.raises(pluggy.PluginValidationError):
        naive()


def test_fault_67_a_misspelt_hook_is_an_error_with_the_right_spelling(
    healthy: Packages, load: Load, naive: Naive
) -> None:
    around(healthy, f"{HOOKIMPL}def register_job(): return [{JOB}]")

    loaded = load()

    assert only_healthy(loaded) == BOTH_FAILED
    assert "did you mean 'register_jobs'?" in report_of(loaded, "aa").error
    assert naive() == ["healthy-job"]


def test_fault_68_a_plugin_for_another_version_of_the_interface_is_refused_with_both(
    healthy: Packages, load: Load, naive: Naive
) -> None:
    healthy.install("zz", one_job("too-new"), requires=["rapua-scheduler>=99"])

    loaded = load()

    ours = importlib.metadata.version("rapua-scheduler")
    assert only_healthy(loaded) == {"zz": "failed"}
    assert report_of(loaded, "zz").error == (
        f"requirements: it requires rapua-scheduler>=99, and rapua-scheduler {ours} is installed; upgrade one of them"
    )
    assert "too-new" in naive()


def test_fault_69_a_missing_dependency_is_named_before_the_import_and_reported_by_check(
    healthy: Packages, load: Load, naive: Naive
) -> None:
    healthy.install("zz", one_job("incomplete"), requires=["no-such-package>=2"])

    loaded = load()

    assert only_healthy(loaded) == {"zz": "failed"}
    (finding,) = [finding for finding in check_plugins(loaded) if finding.subject == "plugin zz"]
    assert finding.severity is Severity.WARNING
    assert "pip install 'no-such-package>=2'" in finding.text
    assert "incomplete" in naive()


def test_fault_70_two_packages_with_one_plugin_name_are_both_refused(
    healthy: Packages, load: Load, naive: Naive
) -> None:
    healthy.install("first", one_job("of-the-first"), plugin="digest")
    healthy.install("second", one_job("of-the-second"), plugin="digest")

    loaded = load()

    assert list(loaded.registry) == ["healthy-job"]
    assert [report.distribution for report in loaded.plugins if report.state == "clash"] == ["first", "second"]
    assert len({"of-the-first", "of-the-second"}.intersection(naive())) == 1


def test_fault_71_an_entry_point_to_a_missing_attribute_sets_aside_that_plugin_only(
    healthy: Packages, load: Load, naive: Naive
) -> None:
    healthy.install("zz", one_job("lost"), plugin="zz", refers_to="zz:plugin")

    loaded = load()

    assert only_healthy(loaded) == {"zz": "failed"}
    assert "has no attribute 'plugin'" in report_of(loaded, "zz").error
    with pytest.raises(AttributeError):
        naive()


# 72: a plugin that takes a minute, or for ever


@pytest.fixture
def _timer() -> Iterator[None]:
    """Let no timer of pytest-timeout be the one that breaks something off."""
    handler, (delay, interval) = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, delay, interval)


@pytest.mark.usefixtures("_timer")
@pytest.mark.parametrize(
    ("source", "step"),
    [
        ("import time; time.sleep(60)", "import"),
        ("import threading; threading.Event().wait()", "import"),
        ("while True: pass", "import"),
        (f"{HOOKIMPL}def register_jobs():\n    while True: pass", "register_jobs"),
        (f"{HOOKIMPL}def register_jobs():\n    import time\n    yield time.sleep(60)", "register_jobs"),
    ],
)
def test_fault_72_a_plugin_that_does_not_come_to_an_end_is_broken_off(
    healthy: Packages, load: Load, source: str, step: str
) -> None:
    around(healthy, source)

    began = time.perf_counter()
    loaded = load(plugin_timeout=timedelta(seconds=0.2))

    assert time.perf_counter() - began < 5
    assert only_healthy(loaded) == BOTH_FAILED
    assert report_of(loaded, "aa").error.startswith(f"{step}: took longer than 0.2 s, and was broken off (")


@pytest.mark.usefixtures("_timer")
def test_fault_72_control_the_same_plugin_is_loaded_if_it_is_given_the_time(healthy: Packages, load: Load) -> None:
    healthy.install("zz", "import time; time.sleep(0.3)\n" + HOOKIMPL + f"def register_jobs(): return [{JOB}]")

    assert list(load(plugin_timeout=timedelta(seconds=10)).registry) == ["healthy-job", "some-job"]


# 73: a plugin that changes what is not its own


@pytest.fixture
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo afterwards what the plugins of fault 73 change."""
    monkeypatch.setattr(time, "sleep", time.sleep)
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    monkeypatch.setattr(planner, "decide", planner.decide)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize(
    ("source", "warning"),
    [
        ("import time; time.sleep = lambda seconds: None", "it replaces time.sleep, for the host"),
        (
            "import threading; threading.Thread.start = lambda thread: None",
            "it replaces threading.Thread.start, for the host",
        ),
        (
            "from rapua_scheduler import planner; planner.decide = None",
            "it replaces rapua_scheduler.planner.decide, for the host",
        ),
        ("import gevent", "it imports gevent, for the host"),
    ],
)
def test_fault_73_a_plugin_that_changes_what_everybody_shares_is_warned_of_at_start(
    healthy: Packages, load: Load, caplog: pytest.LogCaptureFixture, source: str, warning: str
) -> None:
    (healthy.folder / "gevent.py").write_text("")
    healthy.install("aa", f"{source}\n{HOOKIMPL}def register_jobs(): return []")

    with caplog.at_level(logging.WARNING):
        loaded = load()

    assert report_of(loaded, "aa").warning.startswith(warning)
    assert report_of(loaded, "healthy").warning == ""
    assert "Plugin changes what is not its own" in caplog.text
    assert (Severity.WARNING, report_of(loaded, "aa").warning) in [
        (finding.severity, finding.text) for finding in check_plugins(loaded)
    ]


def test_fault_73_control_a_plugin_that_keeps_to_itself_is_not_warned_of(
    healthy: Packages, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        loaded = load()

    assert [report.warning for report in loaded.plugins] == [""]
    assert caplog.text == ""


# 74, 75


def test_fault_74_a_plugin_that_is_removed_leaves_its_history_and_its_reason(healthy: Packages, load: Load) -> None:
    healthy.install("zz", one_job("removed").replace("run=print", "run=lambda ctx: {'done': 1}"))
    store = MemoryStore()
    first = VirtualScheduler(store, start=NOW)
    first.add(load().registry.values())
    first.advance(timedelta(hours=2))

    for file in healthy.folder.glob("zz*"):
        if file.is_dir():
            for inner in file.iterdir():
                inner.unlink()
            file.rmdir()
        else:
            file.unlink()
    again = load(KnownProviders.from_stored(store.jobs()))
    store.set_absent(absences(store.jobs(), again), first.clock.now())
    second = VirtualScheduler(store, start=first.clock.now())
    second.add(again.registry.values())
    second.advance(timedelta(hours=2))

    runs = store.runs(job_key="removed")
    assert [run.status for run in runs] == [RunStatus.SUCCEEDED] * 2
    (window,) = store.windows(job_key="removed")
    assert (window.kind, window.reason) == (WindowKind.ABSENT, "zz, which brought it, is not installed")
    listings = {listing.key: listing for listing in list_jobs(again.registry, store, second.clock.now(), UTC)}
    assert (listings["removed"].is_orphaned, listings["healthy-job"].is_orphaned) == (True, False)
    assert len(store.runs(job_key="healthy-job")) == 4


def test_fault_75_a_plugin_that_is_switched_off_is_never_imported(
    healthy: Packages, load: Load, tmp_path: Path
) -> None:
    marker = tmp_path / "imported"
    healthy.install("zz", f"open({str(marker)!r}, 'w').close()\n{HOOKIMPL}def register_jobs(): return []")

    assert only_healthy(load(deny_plugins=("zz",))) == {"zz": "denied"}
    assert only_healthy(load(allow_plugins=("healthy",))) == {"zz": "not_allowed"}
    assert not marker.exists()
    load()
    assert marker.exists()


# In a real process


@pytest.fixture
def run_host(packages: Packages, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start `rapua-scheduler run` on the packages, with these lines of configuration."""
    started: list[subprocess.Popen[str]] = []

    def start(configuration: str) -> subprocess.Popen[str]:
        config = tmp_path / "rapua-scheduler.toml"
        config.write_text(f'[rapua_scheduler]\ntimezone = "UTC"\n{configuration}\n')
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "rapua_scheduler", "--config", str(config), "run"],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(packages.folder)},
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


RunHost = Callable[[str], subprocess.Popen[str]]


def make_frequent(healthy: Packages) -> None:
    """Let the healthy job fire five times a second."""
    module = healthy.folder / "healthy.py"
    module.write_text(module.read_text().replace("every(hours=1)", "every(milliseconds=200)"))


def wait_for(text: str, process: subprocess.Popen[str]) -> list[str]:
    """Read the log until *text* is in it, and return what was read."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    pytest.fail(f"the host ended without {text!r}: {''.join(lines)}")


def test_fault_62_os_exit_at_import_ends_the_host_and_the_last_line_of_its_log_names_the_plugin(
    healthy: Packages, run_host: RunHost
) -> None:
    healthy.install("zz", "import os; os._exit(3)")

    process = run_host("allow_plugins = ['healthy', 'zz']")
    _, log = process.communicate(timeout=PATIENCE)

    assert process.returncode == 3
    assert "Loading plugin" in log.splitlines()[-1]
    assert "plugin=zz" in log.splitlines()[-1]


def test_fault_62_deny_plugins_keeps_the_host_from_such_a_plugin(healthy: Packages, run_host: RunHost) -> None:
    make_frequent(healthy)
    healthy.install("zz", "import os; os._exit(3)")

    process = run_host("allow_plugins = ['healthy', 'zz']\ndeny_plugins = ['zz']")
    wait_for("Job completed successfully", process)
    process.terminate()

    assert process.wait(PATIENCE) == 0


def test_faults_60_to_73_together_do_not_keep_a_healthy_job_from_its_time(healthy: Packages, run_host: RunHost) -> None:
    make_frequent(healthy)
    sources = {
        "a60": "import no_such_module_anywhere",
        "a61": "def (:",
        "a62": "raise SystemExit(3)",
        "a63": f"{HOOKIMPL}def register_jobs(): raise SystemExit(3)",
        "a64": f"{HOOKIMPL}def register_jobs(): return None",
        "a66": f"{HOOKIMPL}def register_jobs(scheduler): return []",
        "a67": f"{HOOKIMPL}def register_job(): return []",
        "z72": "while True: pass",
        "z73": f"import threading; threading.excepthook = print\n{HOOKIMPL}def register_jobs(): return []",
    }
    for name, source in sources.items():
        healthy.install(name, source)

    process = run_host(f"plugin_timeout = '500ms'\nallow_plugins = {['healthy', *sources]}")
    log = "".join(wait_for("Job completed successfully", process))
    process.terminate()

    assert process.wait(PATIENCE) == 0
    assert log.count("state=failed") == len(sources) - 1
    assert "Plugin changes what is not its own" in log
