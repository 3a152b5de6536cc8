"""Kill hosts of the monthly top-up, month after month, and judge everybody's balance."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from tests.kills import months
from tests.kills.evidence import STORE, Evidence, Micros, read_copy
from tests.kills.failpoints import points
from tests.kills.killer import Killer
from tests.kills.months import JOB, SITE, ZONE, Life, Month, configure, live, operate
from tests.kills.oracle import moved_back, record_faults
from tests.kills.processes import Child
from tests.kills.reports import Report
from tests.plugins.credit_topup.oracle import faults as faults_of_site
from tests.plugins.credit_topup.sites import REASON, MadeSite, add_adjustment, execute, make_site, snapshot

_MONTHS = 18
_USERS = 24
_FIRST = Month(2026, 11)
_HEAD_START = timedelta(milliseconds=120)
_SKIPS = 0.25
_KNOWN_BEFORE = 0.7
_IN_A_PROCESS = 0.2
_ENOUGH_FAULTS = 20
_HELD_AFTER = timedelta(days=45)


class CalendarCampaign:
    """Kills hosts around midnight on the first of each month."""

    def __init__(self, folder: Path, seed: int, report: Report) -> None:
        """Prepare.

        Args:
            folder: Where sites are made; those with faults stay.
            seed: Decides who is killed when.
            report: What is done and found goes there.
        """
        self._folder = folder
        self._chance = random.Random(seed)
        self._report = report
        self._killer = Killer(report, points("store", "site"), "top-up: ")
        self._episode = 0
        self._site = folder
        self._shift = timedelta(0)
        self._seen: Evidence | None = None
        self._in_a_process = False

    def run(self, kills: int) -> None:
        """Kill so many hosts, or until there are faults enough."""
        until = self._report.kills.total() + kills
        while self._report.kills.total() < until and len(self._report.faults) < _ENOUGH_FAULTS:
            self._live_through(until)

    def _live_through(self, until: int) -> None:
        self._episode += 1
        self._site = self._folder / f"calendar-{self._episode}"
        self._site.mkdir(parents=True)
        self._in_a_process = self._chance.random() < _IN_A_PROCESS
        configure(self._site, in_a_process=self._in_a_process)
        made = make_site(self._site / SITE, self._chance.getrandbits(32), users=_USERS, zone=ZONE)
        self._seen = None
        found: list[str] = []
        month, alive_at = _FIRST, _FIRST.begins_at
        if self._chance.random() < _KNOWN_BEFORE:
            self._shift = month.begins_at - timedelta(days=1) - datetime.now(UTC)
            found += self._start(Life(self._site, month, self._shift, seconds=0.1)).faults({0})
        for _ in range(_MONTHS):
            if self._report.kills.total() >= until or found:
                break
            before = snapshot(made.path)
            self._shift = month.begins_at - _HEAD_START - datetime.now(UTC)
            if month.begins_at - alive_at > _HELD_AFTER:
                found += self._be_held(month)
            found += self._kill_some(month, min(self._chance.randint(2, 8), until - self._report.kills.total()))
            found += self._finish(month)
            found += faults_of_site(made, before, snapshot(made.path)) + self._look(month, is_finished=True)
            alive_at = month.begins_at
            month = month.next()
            if self._chance.random() < _SKIPS:
                month = month.next()
            self._spend(made)
            made = MadeSite(made.path, ZONE, month.begins_at, self._top_up_some_by_hand(made, month))
        self._report.faults.extend(f"{self._site}: {fault}" for fault in found)
        if not found:
            shutil.rmtree(self._site)

    # -- a month

    def _be_held(self, month: Month) -> list[str]:
        """Start after more than 45 days, by a clock that nobody trusts until the operator says so."""
        found = self._start(Life(self._site, month, self._shift, seconds=0.2)).faults({0})
        claims = read_copy(self._site).claims
        found += [f"{claim.key} was run while all was held" for claim in claims if claim.fire_time >= month.instant]
        self._report.judged["months after a hold"] += 1
        return found + self._operate(months.release)

    def _kill_some(self, month: Month, kills: int) -> list[str]:
        until = self._report.kills.total() + kills
        found: list[str] = []
        for _ in range(kills * 3):
            if self._report.kills.total() >= until or found:
                break
            way = self._chance.choices((self._at_a_failpoint, self._at_any_moment, self._in_a_row), (70, 22, 8))[0]
            found += way(month)
            if self._chance.random() < 0.2:
                found += self._look(month)
        return found

    def _finish(self, month: Month) -> list[str]:
        """Let a host do what is left; an operator does what is left to operators."""
        found: list[str] = []
        for _ in range(3):
            found += self._start(Life(self._site, month, self._shift, seconds=60.0)).faults({0})
            if months.is_done(self._site / STORE, month):
                return found
            self._report.judged["months finished by hand"] += 1
            found += self._operate(months.run_by_hand)
        return [*found, f"{month.fire_key} does not come to an end"]

    def _spend(self, made: MadeSite) -> None:
        """Let users spend what they have, and more."""
        for user_id, (_, balance, *_rest) in snapshot(made.path).users.items():
            if isinstance(balance, int) and abs(balance) < 2**62 and self._chance.random() < 0.7:
                less = self._chance.randrange(1, 30)
                execute(made.path, "UPDATE users SET free_credits = ? WHERE id = ?", balance - less, user_id)

    def _top_up_some_by_hand(self, made: MadeSite, month: Month) -> set[str]:
        """Forget what others have credited so far, and have them credit a few users in the new month."""
        with closing(sqlite3.connect(made.path)) as db, db:
            ours = "SELECT id FROM credit_adjustments WHERE substr(id, 24, 1) = '.'"
            db.execute(f"DELETE FROM credit_adjustments WHERE reason LIKE ? AND id NOT IN ({ours})", (f"{REASON}%",))
        user_ids = [user_id for user_id in sorted(snapshot(made.path).users) if self._chance.random() < 0.1]
        for user_id in user_ids:
            add_adjustment(made.path, user_id, f"{month.begins_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00:00")
        return set(user_ids)

    # -- ways to die

    def _at_a_failpoint(self, month: Month) -> list[str]:
        return self._killer.let_die_at_a_failpoint(
            lambda crossing: self._start(Life(self._site, month, self._shift, crossing, seconds=0.4))
        )

    def _at_any_moment(self, month: Month) -> list[str]:
        child = self._start(Life(self._site, month, self._shift))
        time.sleep(self._chance.uniform(0, 1.0 if self._in_a_process else 0.4))
        return self._killer.kill(child, "at any moment")

    def _in_a_row(self, month: Month) -> list[str]:
        found: list[str] = []
        for _ in range(self._chance.randint(2, 3)):
            child = self._start(Life(self._site, month, self._shift))
            time.sleep(self._chance.uniform(0, 0.1))
            found += self._killer.kill(child, "in a row, while starting")
        return found

    # -- processes

    def _start(self, life: Life) -> Child:
        return Child.start(partial(live, life), self._site / "log")

    def _operate(self, word: months.Word) -> list[str]:
        return Child.start(partial(operate, self._site, word, self._shift), self._site / "log").faults({0})

    # -- judging

    def _look(self, month: Month, *, is_finished: bool = False) -> list[str]:
        evidence = read_copy(self._site)
        expected = _months_until(evidence)
        found = record_faults(evidence, {JOB: expected}, finished_until=month.instant if is_finished else None)
        found += [] if self._seen is None else moved_back(self._seen, evidence)
        self._seen = evidence
        self._report.judged["looks"] += 1
        if is_finished:
            self._report.judged["months, the job in a process" if self._in_a_process else "months"] += 1
            if month.instant not in expected and evidence.jobs[JOB].since < month.instant:
                found.append(f"{month.fire_key} was not decided on")
        return found


def _months_until(evidence: Evidence) -> dict[Micros, str]:
    """Return the months from the first on that the job's mark is past."""
    expected: dict[Micros, str] = {}
    declared = evidence.jobs.get(JOB)
    month = _FIRST
    while declared is not None and month.instant <= declared.mark:
        if month.instant > declared.since:
            expected[month.instant] = month.fire_key
        month = month.next()
    return expected
