"""Store and site disagree on a month: it is shown at the next start, the site's word counts, no credit comes twice."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rapua_scheduler.demo.database import create_database
from rapua_scheduler.run import Run, RunStatus, Trigger
from tests.plugins.credit_topup.sites import add_user, execute, snapshot
from tests.system.hosts import wait_until
from tests.system.machines import Machine, at

pytestmark = pytest.mark.slow  # real hosts, most of whose time is waiting

BEFORE, AFTER = {"ann": 3, "ben": 10, "cat": 0}, {"ann": 10, "ben": 10, "cat": 25}
LIMITS = {"ann": 10, "ben": 10, "cat": 25}
FIRST = "2026-10-31T11:00:01"
GONE = "Effect is not there, though its run succeeded; it is run again"
COMPLETE = "Effect is complete, though its run is not"


class SiteMachine(Machine):
    """A machine with a Rapua site of three users, in Auckland, an hour before the month begins there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "", now=at("2026-10-31T10:00"))
        self.site = folder / "site.db"
        create_database(self.site)
        for user, balance in BEFORE.items():
            add_user(self.site, user, balance, LIMITS[user])
        self.set_up()

    def set_up(self, *lines: str) -> None:
        """Write the configuration, with *lines* at its end."""
        site = ["[rapua_scheduler.site]", f'database = "{self.site}"', *lines]
        self.configure(*site, timezone="Pacific/Auckland", plugins="credit_topup")

    @property
    def balances(self) -> dict[str, object]:
        taken = snapshot(self.site)
        return {user: taken.balance(user) for user in BEFORE}

    @property
    def credits(self) -> int:
        """How many credits were ever entered."""
        return len(snapshot(self.site).adjustments)

    @property
    def periods(self) -> list[object]:
        return [row[1] for row in snapshot(self.site).periods or []]

    @property
    def run(self) -> Run:
        """The run for the first of the month."""
        with self.reading() as store:
            (run,) = [run for run in store.runs() if run.trigger.consumes_fire_time]
        return run

    def lives_through_the_first(self) -> None:
        with self.start() as host:
            self.wait_until_settled(host)
            self.set_clock(at(FIRST))
            self.wait_until_settled(host)
            assert host.stop() == 0
        assert self.run.status is RunStatus.SUCCEEDED
        assert (self.balances, self.credits, self.periods) == (AFTER, 2, ["2026-11"])

    def starts_and_says(self, line: str | None) -> str:
        """Let a host start, say *line* if there is one, run what it will, and stop; return its log."""
        with self.start() as host:
            if line is not None:
                host.wait_for(line)
            self.wait_until_settled(host)
            assert host.stop() == 0
        return host.log


@pytest.fixture
def machine(tmp_path: Path) -> SiteMachine:
    return SiteMachine(tmp_path)


def copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def restore_the_site(machine: SiteMachine) -> None:
    copy(machine.site.with_name("before.db"), machine.site)
    assert machine.balances == BEFORE


def lose_the_period_only(machine: SiteMachine) -> None:
    assert execute(machine.site, "DELETE FROM rapua_scheduler_periods") == 1


@pytest.mark.parametrize("lose", [restore_the_site, pytest.param(lose_the_period_only, marks=pytest.mark.slow)])
def test_a_month_that_the_site_has_lost_is_shown_and_topped_up_again(
    machine: SiteMachine, lose: Callable[[SiteMachine], None]
) -> None:
    copy(machine.site, machine.site.with_name("before.db"))
    machine.lives_through_the_first()
    lose(machine)

    machine.set_clock(at("2026-11-04T09:00"))
    machine.starts_and_says(GONE)
    third = machine.starts_and_says(None)

    assert (machine.balances, machine.credits, machine.periods) == (AFTER, 2, ["2026-11"])
    run = machine.run
    assert (run.status, run.trigger, run.attempt) == (RunStatus.SUCCEEDED, Trigger.RERUN, 2)
    assert run.fire_key == "2026-11-01T00:00"
    assert GONE not in third
    assert f"{run.run_id} (rerun)" in machine.said("why", "credit-topup", "--at", "2026-11-01")


def test_control_a_month_that_is_there_is_left_alone(machine: SiteMachine) -> None:
    machine.lives_through_the_first()

    log = machine.starts_and_says(None)

    assert GONE not in log
    assert COMPLETE not in log
    assert machine.run.attempt == 1


@pytest.mark.parametrize("if_unfinished", ["leave", "rerun"])
def test_a_month_that_is_complete_though_its_run_was_lost_credits_nobody_again(
    machine: SiteMachine, if_unfinished: str
) -> None:
    machine.set_up("[rapua_scheduler.jobs.credit-topup]", f'if_unfinished = "{if_unfinished}"')
    with machine.start() as host, closing(sqlite3.connect(machine.site)) as somebody:
        machine.wait_until_settled(host)
        somebody.execute("BEGIN IMMEDIATE")  # the top-up waits for its turn
        machine.set_clock(at(FIRST))
        wait_until(lambda: len(machine.json("history")) == 1, "the run")
        host.send(signal.SIGKILL)
        host.end()
        somebody.rollback()
    machine.said("exec", "credit-topup", "--fire-time", "2026-11-01")
    assert (machine.balances, machine.credits, machine.periods) == (AFTER, 2, ["2026-11"])

    machine.starts_and_says(COMPLETE if if_unfinished == "leave" else "Unfinished run is run again")

    assert (machine.balances, machine.credits, machine.periods) == (AFTER, 2, ["2026-11"])
    assert machine.run.status is (RunStatus.LOST if if_unfinished == "leave" else RunStatus.SUCCEEDED)


@pytest.mark.parametrize(
    "options",
    [pytest.param((), id="from now on", marks=pytest.mark.slow), pytest.param(("--catch-up",), id="caught up")],
)
def test_a_store_from_before_the_month_credits_nobody_again(machine: SiteMachine, options: tuple[str, ...]) -> None:
    machine.lives()
    backup = machine.site.with_name("backup.db")
    machine.said("store", "backup", str(backup))
    machine.lives_through_the_first()
    machine.set_clock(at("2026-11-04T09:00"))
    machine.said("store", "restore", *options, str(backup))

    machine.starts_and_says(None)

    assert (machine.balances, machine.credits, machine.periods) == (AFTER, 2, ["2026-11"])
    ((when, status, _),) = machine.history("credit-topup")
    assert when == "2026-11-01T00:00:00+13:00"
    assert status == ("succeeded" if options else "missed")
    if options:
        assert machine.run.result is not None
        assert machine.run.result["outcome"] == "already_complete"
