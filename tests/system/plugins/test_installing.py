"""`pip install` is all it takes to have a plugin's jobs, and `pip uninstall` to have them gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.environments import Environment, write_wheel

pytestmark = pytest.mark.slow

LOAD = """
import json, sys
from pathlib import Path
from rapua_scheduler.config import load_config
from rapua_scheduler.plugin_loader import KnownProviders, load_plugins

loaded = load_plugins(load_config(None, None, {"TZ": "Pacific/Auckland"}, Path.cwd()), KnownProviders.none())
print(json.dumps({
    "jobs": {key: [job.plugin, job.distribution, job.version] for key, job in loaded.registry.items()},
    "plugins": {report.name: [report.state, report.error] for report in loaded.plugins},
    "from": sys.modules["rapua_scheduler"].__file__,
}))
"""

PLUGIN = """
from rapua_scheduler import Job, daily, hookimpl

@hookimpl
def register_jobs():
    print("noise")
    return [Job(name="Daily Digest", run=print, next=daily())]
"""


def load(environment: Environment, cwd: Path) -> Any:
    """Return what a new process finds installed."""
    found = json.loads(environment.run("-c", LOAD, cwd=cwd).stdout)
    assert Path(found["from"]).is_relative_to(environment.folder)
    return found


def test_our_four_distributions_are_all_it_takes_to_have_three_jobs(installed: Environment, tmp_path: Path) -> None:
    found = load(installed, tmp_path)

    assert found["plugins"] == {
        "credit_topup": ["loaded", ""],
        "orphaned_uploads": ["loaded", ""],
        "stale_purchases": ["loaded", ""],
    }
    assert found["jobs"] == {
        "credit-topup": ["credit_topup", "rapua-scheduler-credit-topup", "0.1.0"],
        "orphaned-uploads": ["orphaned_uploads", "rapua-scheduler-orphaned-uploads", "0.1.0"],
        "stale-purchases": ["stale_purchases", "rapua-scheduler-stale-purchases", "0.1.0"],
    }


def test_a_third_partys_package_brings_its_job_and_takes_it_away(
    fresh: Callable[..., Environment], tmp_path: Path
) -> None:
    environment = fresh("rapua-scheduler")
    needs_core = ["rapua-scheduler>=0.1"]
    write_wheel(
        environment.wheels,
        "My.Digest",
        {"my_digest.py": PLUGIN},
        version="2.1",
        entry_points={"digest": "my_digest"},
        requires=needs_core,
    )
    write_wheel(
        environment.wheels,
        "broken",
        {"broken.py": "import sys\nsys.exit(7)\n"},
        entry_points={"broken": "broken"},
        requires=needs_core,
    )
    assert load(environment, tmp_path)["plugins"] == {}

    environment.install("my-digest", "broken")
    with_both = load(environment, tmp_path)
    environment.uninstall("my_digest")
    without = load(environment, tmp_path)

    assert with_both["jobs"] == {"daily-digest": ["digest", "My.Digest", "2.1"]}
    assert with_both["plugins"]["digest"] == ["loaded", ""]
    assert with_both["plugins"]["broken"][0] == "failed"
    assert "SystemExit: 7" in with_both["plugins"]["broken"][1]
    assert without["jobs"] == {}
    assert list(without["plugins"]) == ["broken"]


def test_a_requirement_that_pip_was_told_to_leave_out_is_named_until_it_is_there(
    fresh: Callable[..., Environment], tmp_path: Path
) -> None:
    environment = fresh("rapua-scheduler")
    write_wheel(
        environment.wheels,
        "my-digest",
        {"my_digest.py": f"import letters\n{PLUGIN}"},
        entry_points={"digest": "my_digest"},
        requires=["letters>=2"],
    )
    write_wheel(environment.wheels, "letters", {"letters.py": ""}, version="2.0")

    environment.install_without_requirements("my-digest")
    without = load(environment, tmp_path)
    environment.install("my-digest")
    complete = load(environment, tmp_path)

    assert without["plugins"]["digest"] == [
        "failed",
        "requirements: it requires letters>=2, which is not installed; pip install 'letters>=2'",
    ]
    assert complete["plugins"]["digest"] == ["loaded", ""]


def test_a_plugin_that_an_upgrade_breaks_is_back_after_the_downgrade(
    fresh: Callable[..., Environment], tmp_path: Path
) -> None:
    environment = fresh("rapua-scheduler")
    for version, source in (("1.0", PLUGIN), ("2.0", "def (:")):
        write_wheel(
            environment.wheels,
            "my-digest",
            {"my_digest.py": source},
            version=version,
            entry_points={"digest": "my_digest"},
        )

    environment.install("my-digest==1.0")
    before = load(environment, tmp_path)
    environment.install("my-digest==2.0")
    broken = load(environment, tmp_path)
    environment.install("my-digest==1.0")
    after = load(environment, tmp_path)

    assert before == after
    assert before["plugins"]["digest"] == ["loaded", ""]
    assert broken["plugins"]["digest"][0] == "failed"
    assert broken["jobs"] == {}
