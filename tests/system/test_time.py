"""What hosts do about time that has passed, in whatever way it did: real processes on a clock that the test sets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rapua_scheduler.run import RunStatus
from tests.system.hosts import let_pass, wait_until
from tests.system.machines import Machine, at, plugin

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

JOBS = plugin(
    [
        '"None", count, daily("06:00"), catch_up="none"',
        '"Latest", count, daily("06:00")',
        '"All", count, daily("06:00"), catch_up="all"',
        '"Soon", count, daily("06:00"), catch_up=CatchUp.latest("20m")',
    ]
)
KEYS = ("none", "latest", "all", "soon")
SUCCEEDED = RunStatus.SUCCEEDED.value


def six(day: int) -> str:
    return f"2026-11-{day:02}T06:00:00+00:00"


@pytest.fixture(scope="module")
def after_the_first(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine on which a host has run its jobs on the first of the month, and was stopped; not to be changed."""
    machine = Machine(tmp_path_factory.mktemp("machine"), JOBS, now=at("2026-11-01T05:00"))
    with machine.start() as host:
        machine.wait_until_settled(host)
        machine.set_clock(at("2026-11-01T06:00:01"))
        machine.wait_for_effects(len(KEYS))
        machine.wait_until_settled(host)
        assert host.stop() == 0
    return machine


@pytest.fixture
def machine(after_the_first: Machine, tmp_path: Path) -> Machine:
    """Another such machine."""
    machine = Machine(tmp_path, JOBS, now=at("2026-11-01T06:00:02"))
    machine.take_over(after_the_first)
    return machine


def test_after_a_downtime_history_has_exactly_the_runs_and_gaps_of_each_policy_and_why_explains_them(
    machine: Machine,
) -> None:
    machine.set_clock(at("2026-11-05T06:30"))

    machine.lives()

    first = (six(1), SUCCEEDED, None)
    assert machine.history("none") == [first, (six(2), "missed", 4)]
    assert machine.history("latest") == [first, (six(2), "superseded", 3), (six(5), SUCCEEDED, None)]
    assert machine.history("all") == [(six(day), SUCCEEDED, None) for day in range(1, 6)]
    assert machine.history("soon") == [first, (six(2), "superseded", 3), (six(5), "missed", 1)]
    triggers = [run["trigger"] for run in machine.json("history", "all")]
    assert triggers == ["catch_up"] * 4 + ["schedule"]
    for key, runs in zip(KEYS, (1, 2, 5, 1), strict=True):
        assert len(machine.had_effects(key)) == len(set(machine.had_effects(key))) == runs

    def answer(key: str, when: str) -> tuple[str, str]:
        explained = machine.json("why", key, "--at", when)
        return explained["answer"], " ".join(explained["lines"])

    kind, text = answer("latest", "2026-11-03T06:00")
    newest = machine.json("history", "latest", "--count", "1")[0]["run_id"]
    assert (kind, newest in text) == ("gap", True)
    assert "more than 0:20:00 late" in answer("soon", "2026-11-05T06:00")[1]


def test_a_clock_that_is_set_while_the_host_runs_is_a_downtime_and_then_fire_times_are_on_time(
    machine: Machine,
) -> None:
    with machine.start() as host:
        machine.wait_until_settled(host)
        machine.set_clock(at("2026-11-04T07:00"))
        machine.wait_for_effects(len(KEYS) + 4)
        machine.set_clock(at("2026-11-05T06:00:01"))
        machine.wait_for_effects(2 * len(KEYS) + 4)
        machine.wait_until_settled(host)
        assert "Clock was set, or the machine slept" in host.log
        assert host.stop() == 0

    assert machine.had_effects("all") == [f"2026-11-0{day}T06:00" for day in range(1, 6)]
    assert machine.history("latest")[1:] == [
        (six(2), "superseded", 2),
        (six(4), SUCCEEDED, None),
        (six(5), SUCCEEDED, None),
    ]


def test_a_clock_that_is_set_back_while_the_host_runs_repeats_nothing_and_says_so(machine: Machine) -> None:
    with machine.start() as host:
        machine.wait_until_settled(host)
        machine.set_clock(at("2026-11-01T05:30"))
        host.wait_for("Waiting for clock")
        assert {job["state"] for job in machine.json("jobs")} == {"waiting_for_clock"}
        assert "waiting for the clock" in machine.said("why", "latest")
        machine.set_clock(at("2026-11-01T06:00:01"))
        let_pass(2)
        machine.set_clock(at("2026-11-02T06:00:01"))
        machine.wait_for_effects(2 * len(KEYS))
        assert host.stop() == 0

    for key in KEYS:
        assert machine.had_effects(key) == ["2026-11-01T06:00", "2026-11-02T06:00"]


@pytest.mark.slow
def test_a_schedule_that_an_operator_changes_gains_nothing_before_and_loses_nothing_of_the_former(
    machine: Machine,
) -> None:
    machine.configure('[rapua_scheduler.jobs.all]\nschedule = "0 12 * * *"')
    machine.set_clock(at("2026-11-03T08:00"))
    machine.lives()
    machine.set_clock(at("2026-11-04T07:00"))
    machine.lives()

    assert machine.history("all") == [
        *((six(day), SUCCEEDED, None) for day in (1, 2, 3)),
        ("2026-11-03T12:00:00+00:00", SUCCEEDED, None),
    ]
    (listed,) = [job for job in machine.json("jobs") if job["key"] == "all"]
    assert (listed["schedule"], listed["next_fire_time"]) == ('cron "0 12 * * *"', "2026-11-04T12:00:00+00:00")
    assert machine.json("why", "all", "--at", "2026-11-02T12:00")["answer"] == "not_a_fire_time"


def test_the_fire_times_of_a_pause_that_came_and_went_without_a_host_are_recorded(machine: Machine) -> None:
    machine.set_clock(at("2026-11-01T07:00"))
    machine.said("pause", "all", "--reason", "moving house")
    machine.set_clock(at("2026-11-03T07:00"))
    machine.said("resume", "all")
    machine.set_clock(at("2026-11-05T06:30"))

    machine.lives()

    assert machine.history("all") == [
        (six(1), SUCCEEDED, None),
        (six(2), "paused", 2),
        (six(4), SUCCEEDED, None),
        (six(5), SUCCEEDED, None),
    ]
    assert "moving house" in machine.said("why", "all", "--at", "2026-11-02T06:00")


@pytest.mark.slow
def test_a_pause_outlives_hosts_until_it_is_resumed(machine: Machine) -> None:
    machine.said("pause", "all", "--reason", "moving house")
    for day in (2, 3):
        machine.set_clock(at(f"2026-11-0{day}T06:30"))
        machine.lives()
    assert [job["state"] for job in machine.json("jobs") if job["key"] == "all"] == ["paused"]
    assert "moving house" in machine.said("why", "all")
    machine.said("resume", "all")
    machine.set_clock(at("2026-11-04T06:00:01"))
    machine.lives()

    assert machine.history("all") == [(six(1), SUCCEEDED, None), (six(2), "paused", 2), (six(4), SUCCEEDED, None)]


# -- plugins that go and come back


def uninstall(machine: Machine) -> Callable[[], None]:
    folder = machine.packages.folder
    away = folder.with_name("away")
    away.mkdir()
    names = ["counter.py", "counter-1.0.dist-info"]
    for name in names:
        shutil.move(folder / name, away / name)

    def install() -> None:
        for name in names:
            shutil.move(away / name, folder / name)

    return install


def deny(machine: Machine) -> Callable[[], None]:
    machine.configure('deny_plugins = ["counter"]')
    return machine.configure


def disable(machine: Machine) -> Callable[[], None]:
    machine.configure("[rapua_scheduler.jobs.all]\nenabled = false")
    return machine.configure


def break_(machine: Machine) -> Callable[[], None]:
    module = machine.packages.folder / "counter.py"
    source = module.read_text()
    module.write_text("this is no Python")

    def mend() -> None:
        module.write_text(source)

    return mend


@pytest.mark.parametrize(
    ("take_away", "says", "state"),
    [
        (uninstall, "not installed", "orphaned"),
        pytest.param(deny, "deny_plugins names it", "orphaned", marks=pytest.mark.slow),
        pytest.param(disable, "disabled in", "disabled", marks=pytest.mark.slow),
        (break_, "could not be loaded", "orphaned"),
    ],
)
def test_a_plugin_that_is_not_there_for_some_days_is_told_of_and_accounted_for(
    machine: Machine, take_away: Callable[[Machine], Callable[[], None]], says: str, state: str
) -> None:
    bring_back = take_away(machine)
    machine.set_clock(at("2026-11-01T07:00"))
    with machine.start() as host:
        machine.wait_until_settled(host)
        machine.set_clock(at("2026-11-03T06:30"))
        machine.wait_until_settled(host)
        (listed,) = [job for job in machine.json("jobs") if job["key"] == "all"]
        told = machine.said("why", "all")
        assert host.stop() == 0

    bring_back()
    machine.set_clock(at("2026-11-04T07:00"))
    with machine.start() as host:
        machine.wait_until_settled(host)
        machine.set_clock(at("2026-11-05T06:00:01"))
        machine.wait_until_settled(host)
        assert host.stop() == 0

    assert listed["state"] == state
    assert says in told
    if take_away is break_:  # nobody wanted it away: what passed is made up
        assert machine.history("all") == [(six(day), SUCCEEDED, None) for day in range(1, 6)]
    else:
        assert machine.history("all") == [(six(1), SUCCEEDED, None), (six(2), "missed", 3), (six(5), SUCCEEDED, None)]
        assert says in machine.said("why", "all", "--at", "2026-11-03T06:00")
    assert len(machine.had_effects("all")) == len(set(machine.had_effects("all")))


# -- hold and release


def test_a_host_that_starts_two_months_later_holds_everything_until_a_release(machine: Machine) -> None:
    machine.set_clock(at("2027-01-05T05:00"))
    with machine.start() as host:
        host.wait_for("Held: nothing starts")
        assert {job["state"] for job in machine.json("jobs")} == {"held"}
        assert "more than 45 days after the host's last sign of life" in machine.said("why", "all")
        assert machine.command("status").returncode == 1
        assert len(machine.effects()) == len(KEYS)

        machine.said("release")
        machine.wait_for_effects(len(KEYS) + 1 + 64)
        machine.wait_until_settled(host)
        assert host.stop() == 0

    assert len(machine.history("all")) == 65
    assert machine.history("latest") == [
        (six(1), SUCCEEDED, None),
        (six(2), "superseded", 63),
        ("2027-01-04T06:00:00+00:00", SUCCEEDED, None),
    ]
    assert machine.history("none")[1:] == [(six(2), "missed", 64)]


@pytest.mark.slow
def test_a_host_whose_clock_is_set_right_again_releases_by_itself(machine: Machine) -> None:
    with machine.start() as host:
        machine.wait_until_settled(host)
        machine.set_clock(at("2100-01-01T00:00"))
        host.wait_for("Held: nothing starts")
        machine.set_clock(at("2026-11-02T06:00:01"))
        host.wait_for("Clock is right again; released")
        machine.wait_for_effects(2 * len(KEYS))
        machine.wait_until_settled(host)
        assert host.stop() == 0

    for key in KEYS:
        assert machine.history(key) == [(six(1), SUCCEEDED, None), (six(2), SUCCEEDED, None)]


@pytest.mark.slow
def test_marks_that_a_wrong_clock_pushed_ahead_are_lowered_by_a_release(machine: Machine) -> None:
    with machine.start() as host:
        machine.wait_until_settled(host)
        machine.set_clock(at("2026-11-11T06:30"))
        machine.wait_for_effects(len(KEYS) + 1 + 10)
        machine.wait_until_settled(host)
        machine.set_clock(at("2026-11-02T05:00"))
        host.wait_for("Waiting for clock")
        machine.said("release")
        machine.set_clock(at("2026-11-02T06:00:01"))

        def latest_ran() -> bool:
            return "2026-11-02T06:00" in machine.had_effects("latest")

        wait_until(latest_ran, "the fire time of the second")
        machine.wait_until_settled(host)
        assert host.stop() == 0

    assert machine.had_effects("latest") == ["2026-11-01T06:00", "2026-11-11T06:00", "2026-11-02T06:00"]
    assert len(set(machine.had_effects("all"))) == len(machine.had_effects("all")) == 11
