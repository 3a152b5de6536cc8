"""A standby waits for the active host's end, and for nothing less: real processes."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rapua_scheduler.run import Trigger
from tests.system.hosts import Hosts, let_pass

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

SOON = 2.0


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_a_standby_takes_over_from_a_killed_host_within_two_seconds(hosts: Hosts) -> None:
    with hosts.active() as active, hosts.start("--standby") as standby:
        hosts.wait_for_effects(5)
        standby.wait_for("Standing by")
        assert f"process {active.pid} on " in standby.log

        active.send(signal.SIGKILL)
        killed_at = time.monotonic()
        assert standby.wait_for("Took over") - killed_at < SOON
        assert hosts.wait_for_effects(1, standby.pid) - killed_at < SOON

        hosts.wait_for_effects(5, standby.pid)
        assert standby.stop() == 0
    hosts.judge()


def test_a_standby_takes_over_from_a_host_that_was_stopped(hosts: Hosts) -> None:
    with hosts.active() as active, hosts.start("--standby") as standby:
        hosts.wait_for_effects(2)
        standby.wait_for("Standing by")

        assert active.stop() == 0
        standby.wait_for("Took over")

        hosts.wait_for_effects(2, standby.pid)
        assert standby.stop() == 0
    hosts.judge()


def test_a_host_that_is_suspended_stays_the_active_one(hosts: Hosts) -> None:
    with hosts.active() as active, hosts.start("--standby") as standby:
        hosts.wait_for_effects(2)
        standby.wait_for("Standing by")

        active.send(signal.SIGSTOP)
        let_pass(2 * SOON)
        assert "Took over" not in standby.log
        active.send(signal.SIGCONT)

        hosts.wait_for_effects(len(hosts.effects()) + 5)
        assert {pid for _, _, pid in hosts.effects()} == {active.pid}
        assert standby.stop() == 0
        assert active.stop() == 0
    hosts.judge()


def test_of_two_standbys_one_takes_over(hosts: Hosts) -> None:
    with hosts.active() as active, hosts.start("--standby") as one, hosts.start("--standby") as two:
        hosts.wait_for_effects(2)
        for standby in (one, two):
            standby.wait_for("Standing by")

        active.send(signal.SIGKILL)
        hosts.wait_for_effects(len(hosts.effects()) + 10)

        took_over = [standby for standby in (one, two) if "Took over" in standby.log]
        assert len(took_over) == 1
        assert {pid for _, _, pid in hosts.effects()} == {active.pid, took_over[0].pid}
        assert {standby.stop() for standby in (one, two)} == {0}
    hosts.judge()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_standby_that_is_told_to_stop_ends_at_once(hosts: Hosts, number: signal.Signals) -> None:
    with hosts.active() as active, hosts.start("--standby") as standby:
        standby.wait_for("Standing by")

        standby.send(number)
        asked_at = time.monotonic()

        assert standby.end() == 0
        assert time.monotonic() - asked_at < SOON
        assert active.is_running


def test_a_standby_alone_is_the_active_host_at_once(hosts: Hosts) -> None:
    with hosts.start("--standby") as standby:
        hosts.wait_for_effects(1)

        assert "Standing by" not in standby.log
        assert standby.stop() == 0


def test_without_standby_a_second_host_is_refused(hosts: Hosts) -> None:
    with hosts.active() as active:
        hosts.wait_for_effects(1)
        with hosts.start() as second:
            assert second.end() == 75

            assert f"another host is active (process {active.pid} on " in second.log


# -- adopting


def test_a_new_job_makes_up_nothing_unless_it_adopts_from_a_time(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, every="hours=1")
    with hosts.start() as host:
        host.wait_for("Next run scheduled")
        assert host.stop() == 0

    assert hosts.effects() == []


def test_a_new_job_makes_up_what_came_since_the_time_it_adopts_from(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, every="hours=1")
    whole_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = whole_hour - timedelta(hours=3)  # a fire time itself, which is among them

    with hosts.start("--adopt-from", start.isoformat()) as host:
        hosts.wait_for_effects(4)
        assert host.stop() == 0

    with hosts.reading() as store:
        assert [run.fire_time for run in store.runs()] == [whole_hour - timedelta(hours=ago) for ago in range(4)]
        assert {run.trigger for run in store.runs()} <= {Trigger.CATCH_UP, Trigger.SCHEDULE}


def test_a_job_that_is_known_adopts_nothing(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, every="hours=1")
    for options in ((), ("--adopt-from", "2020-01-01")):
        with hosts.start(*options) as host:
            host.wait_for("Next run scheduled")
            assert host.stop() == 0

    assert hosts.effects() == []


def test_a_time_that_cannot_be_read_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path)

    with hosts.start("--adopt-from", "yesterday") as host:
        assert host.end() == 2

    assert not hosts.state.exists()
