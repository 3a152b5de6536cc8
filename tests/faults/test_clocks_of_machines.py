"""Faults 6, 16 to 18, 20 and 21 once more, with real processes on a clock that the test sets."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import TZPATH

import pytest

from rapua_scheduler.run import GapReason, RunStatus
from tests.faults.clocks import zone_file
from tests.system.hosts import let_pass, wait_until
from tests.system.machines import Machine, at, plugin

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

HALF_A_SECOND = timedelta(milliseconds=500)


# -- 6: the process is stopped, and goes on


@pytest.mark.parametrize("seconds", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_fault_06_a_host_that_was_stopped_makes_up_for_it_in_one_pass_and_times_out_by_elapsed_time(
    tmp_path: Path, seconds: float
) -> None:
    jobs = [
        '"Often", count, every(milliseconds=500)',
        '"Long", lambda ctx: ctx.sleep(60), every(hours=6), timeout="2s"',
        '"Longer", lambda ctx: ctx.sleep(60), every(hours=6), timeout="50s"',
    ]
    machine = Machine(tmp_path, plugin(jobs), now=at("2026-11-01T05:59:59"))
    with machine.start() as host:
        machine.wait_for_effects(3)
        if not _statuses(machine, "long"):
            machine.set_clock(at("2026-11-01T06:00:01"))
        wait_until(lambda: _statuses(machine, "long") == [RunStatus.RUNNING], "the long run")
        host.send(signal.SIGSTOP)
        let_pass(seconds)
        assert _statuses(machine, "long") == [RunStatus.RUNNING]
        before = len(machine.effects())
        host.send(signal.SIGCONT)
        machine.wait_for_effects(before + 3)
        wait_until(lambda: _statuses(machine, "long") == [RunStatus.TIMED_OUT], "the timeout")
        assert _statuses(machine, "longer") == [RunStatus.RUNNING]
        host.stop()

    keys = machine.had_effects("often")
    assert len(set(keys)) == len(keys)
    with machine.reading() as store:
        runs, gaps = store.runs(job_key="often"), store.gaps(job_key="often")
    answered = sorted([(run.fire_time, run.fire_time, 1) for run in runs] + [(g.first, g.last, g.count) for g in gaps])
    assert all(first - last == HALF_A_SECOND for (_, last, _), (first, _, _) in pairwise(answered))
    assert all(count == (last - first) // HALF_A_SECOND + 1 for first, last, count in answered)
    longest = max(gaps, key=lambda gap: gap.count or 0)
    assert longest.reason is GapReason.SUPERSEDED
    assert longest.count is not None
    assert longest.count >= 2 * seconds - 3  # all of it in one gap


def _statuses(machine: Machine, key: str) -> list[RunStatus]:
    with machine.reading() as store:
        return [run.status for run in store.runs(job_key=key)]


# -- 16: the end of the calendar


def test_fault_16_a_host_at_the_end_of_the_calendar_has_finished_and_can_be_stopped(tmp_path: Path) -> None:
    jobs = ['"Daily", count, daily()', '"Own", count, lambda after: after + timedelta(days=1)']
    machine = Machine(tmp_path, plugin(jobs), now=at("9999-12-30T23:00:00"), timezone="Pacific/Auckland")
    with machine.start() as host:
        wait_until(lambda: host.log.count("Starting job") == 2, "both jobs")
        listed = machine.json("jobs")
        assert host.stop() == 0

    assert [(job["state"], job["next_fire_time"]) for job in listed] == [("finished", None)] * 2
    assert "Traceback" not in host.log


# -- 17: a zone that nobody knows

NO_TZDATA = 'raise ImportError("no package of that name")'
ZONED = """
    from rapua_scheduler import Job, daily, every, hookimpl

    @hookimpl
    def register_jobs():
        return [Job("Zoned", print, daily(tz="Pacific/Auckland"))]
"""


def without_time_zones(machine: Machine) -> None:
    (machine.packages.folder / "tzdata.py").write_text(NO_TZDATA)
    machine.env["PYTHONTZPATH"] = ""


@pytest.mark.parametrize("command", ["run", "jobs"])
def test_fault_17_a_zone_that_is_not_known_stops_the_start_and_is_never_utc(tmp_path: Path, command: str) -> None:
    machine = Machine(tmp_path, ZONED, now=at("2026-11-01T05:00"), timezone="Pacific/Auckland")
    without_time_zones(machine)

    result = machine.command(command)

    assert result.returncode == 78, result
    assert "Pacific/Auckland" in result.stderr
    assert "timezone" in result.stderr
    assert not machine.state.exists()


def test_fault_17_without_a_zone_of_its_own_a_host_asks_for_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path, ZONED, now=at("2026-11-01T05:00"), timezone="")
    without_time_zones(machine)
    machine.env["TZ"] = "Pacific/Auckland"

    result = machine.command("run")

    assert result.returncode == 78, result
    assert "timezone" in result.stderr


def test_fault_17_a_plugins_job_in_an_unknown_zone_sets_that_plugin_aside_and_no_other(tmp_path: Path) -> None:
    machine = Machine(tmp_path, ZONED.replace("Auckland", "Aukland"), now=at("2026-11-01T05:00"))
    machine.configure('require_plugins = ["other"]', plugins='counter", "other')
    machine.packages.install("other", plugin(['"Other", count, every(milliseconds=500)']))

    with machine.start() as host:
        machine.wait_for_effects(2)
        plugins = {each["name"]: each for each in machine.json("plugins")}
        assert host.stop() == 0

    assert plugins["counter"]["state"] == "failed"
    assert "no time zone is called 'Pacific/Aukland'" in plugins["counter"]["error"]
    assert plugins["other"]["state"] == "loaded"


def test_fault_17_control_with_the_zones_the_same_job_is_listed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, ZONED, now=at("2026-11-01T05:00"), timezone="Pacific/Auckland")

    (job,) = machine.json("jobs")

    assert job["next_fire_time"] == "2026-11-02T00:00:00+13:00"


# -- 18: two tz databases, in turn

PLUS_12, PLUS_11, PLUS_13 = (timedelta(hours=number) for number in (12, 11, 13))
MONTHLY = plugin(
    ['"Monthly", count, monthly(1), catch_up="all"', '"Daily", count, daily(), catch_up="all"'],
)


def with_zones(machine: Machine, name: str, *offsets: tuple[datetime | None, timedelta]) -> None:
    """Let the processes that start from now on go by another tz database, of one zone."""
    folder = machine.config.parent / name / "Test"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Island").write_bytes(zone_file(*offsets))
    machine.env["PYTHONTZPATH"] = str(folder.parent)


@pytest.mark.parametrize(
    "offset",
    [
        pytest.param(PLUS_11, id="midnight comes later"),
        pytest.param(PLUS_13, id="midnight comes earlier", marks=pytest.mark.slow),
    ],
)
def test_fault_18_hosts_with_different_rules_for_a_zone_run_each_date_once(tmp_path: Path, offset: timedelta) -> None:
    since = datetime(2026, 6, 25, tzinfo=UTC)
    machine = Machine(tmp_path, MONTHLY, now=at("2026-06-28T12:30"), timezone="Test/Island")
    with_zones(machine, "older", (None, PLUS_12))
    machine.lives()  # its jobs are known from now on
    for database, now in (("older", "06-30T12:00:01"), ("newer", "06-30T12:20"), ("older", "06-30T13:00:01")):
        with_zones(machine, database, (None, PLUS_12), *([(since, offset)] if database == "newer" else []))
        machine.set_clock(at(f"2026-{now}"))
        machine.lives()
    with_zones(machine, "newer", (None, PLUS_12), (since, offset))
    machine.set_clock(at("2026-07-03T14:00"))
    machine.lives()

    assert machine.had_effects("monthly") == ["2026-07-01T00:00"]
    days = [key[5:10] for key in machine.had_effects("daily")]
    assert days == ["06-30", "07-01", "07-02", "07-03", "07-04"]
    assert [entry[1] for entry in machine.history("daily")] == ["succeeded"] * len(days)


def test_fault_18_the_systems_database_and_the_package_give_the_same_keys(tmp_path: Path) -> None:
    folders = [folder for folder in TZPATH if Path(folder, "Pacific/Auckland").exists()]
    if not folders:
        pytest.skip("this system has no tz database of its own")
    machine = Machine(tmp_path, MONTHLY, now=at("2026-10-30T12:00"), timezone="Pacific/Auckland")
    for tzpath, now in (
        (folders[0], "2026-10-30T12:00"),
        ("", "2026-10-31T11:00:01"),
        (folders[0], "2026-10-31T11:30"),
        ("", "2026-11-01T11:00:01"),
        (folders[0], "2026-11-01T11:00:30"),
    ):
        machine.env["PYTHONTZPATH"] = tzpath
        machine.set_clock(at(now))
        machine.lives()

    assert machine.had_effects("monthly") == ["2026-11-01T00:00"]
    assert machine.had_effects("daily") == ["2026-11-01T00:00", "2026-11-02T00:00"]


# -- 20 and 21: a clock that has lost its time


def test_fault_20_a_first_start_at_1970_waits_and_then_makes_up_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, MONTHLY, now=at("1970-01-01T00:00"))
    with machine.start() as host:
        host.wait_for("Waiting for clock")
        assert machine.json("history") == []
        machine.set_clock(at("2026-11-01T12:00"))
        machine.wait_until_settled(host)
        machine.set_clock(at("2026-11-02T00:00:01"))
        machine.wait_for_effects(1)
        machine.wait_until_settled(host)
        assert host.stop() == 0

    assert [key for key, _, _ in machine.effects()] == ["daily@2026-11-02T00:00"]
    assert [entry["status"] for entry in machine.json("history")] == ["succeeded"]


def see_nothing_start_until_it_is_set(machine: Machine, *, says: str) -> None:
    """Start a host by a wrong clock, see what it says, set the clock right, and see that nothing was lost."""
    with machine.start() as host:
        host.wait_for(says)
        let_pass(1)
        assert machine.effects() == []
        machine.set_clock(at("2026-11-03T12:00"))
        machine.wait_for_effects(2)
        machine.wait_until_settled(host)
        assert host.stop() == 0

    assert machine.had_effects("daily") == ["2026-11-02T00:00", "2026-11-03T00:00"]


@pytest.mark.slow
def test_fault_20_a_later_start_at_1970_waits_for_the_clock_to_be_set(tmp_path: Path) -> None:
    machine = Machine(tmp_path, MONTHLY, now=at("2026-11-01T12:00"))
    machine.lives()
    machine.set_clock(at("1970-01-01T00:00"))
    see_nothing_start_until_it_is_set(machine, says="Waiting for clock")


def test_fault_21_a_start_at_2100_holds_everything_and_a_clock_set_right_goes_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path, MONTHLY, now=at("2026-11-01T12:00"))
    machine.lives()
    machine.set_clock(at("2100-01-01T12:00"))
    see_nothing_start_until_it_is_set(machine, says="Held: nothing starts")
    assert {entry["status"] for entry in machine.json("history")} == {"succeeded"}
