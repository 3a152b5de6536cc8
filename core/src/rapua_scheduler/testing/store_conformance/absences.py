"""What every store must do with jobs that are not there, and windows."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import pytest
from attrs import evolve

from rapua_scheduler.run import (
    Trigger,
    Window,
    WindowKind,
)
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    some_job,
    some_run,
)


class Absences:
    """Tests of jobs that are not there, and windows."""

    def test_a_job_that_is_not_there_is_so_until_it_is_declared(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop"), some_job("air")], START)

        store.set_absent(
            {"sweep": (WindowKind.ABSENT, "uninstalled\0"), "mop": (WindowKind.FAILED, "ImportError")}, START + HOUR
        )

        absent = Window("sweep", WindowKind.ABSENT, START + HOUR, None, "uninstalled\\x00", "host")
        failed = Window("mop", WindowKind.FAILED, START + HOUR, None, "ImportError", "host")
        assert store.windows() == [failed, absent]
        store.declare([some_job("sweep")], START + 2 * HOUR)
        assert store.windows() == [failed, evolve(absent, until=START + 2 * HOUR)]
        store.declare([some_job("mop")], START + 3 * HOUR)
        assert store.windows(since=START + 2 * HOUR) == [evolve(failed, until=START + 3 * HOUR)]
        store.declare([some_job("sweep"), some_job("mop")], START + 4 * HOUR)
        assert [window.until for window in store.windows()] == [START + 3 * HOUR, START + 2 * HOUR]

    def test_an_absence_that_began_by_a_clock_that_was_ahead_never_was(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.set_absent({"sweep": (WindowKind.ABSENT, "uninstalled")}, START + 9 * HOUR)

        store.declare([some_job()], START + HOUR)

        assert [(window.since, window.until) for window in store.windows()] == [(START + HOUR, START + HOUR)]

    def test_a_job_that_is_still_not_there_keeps_its_window(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.set_absent({"sweep": (WindowKind.ABSENT, "uninstalled")}, START)

        store.set_absent({"sweep": (WindowKind.ABSENT, "denied")}, START + HOUR)
        store.set_absent({}, START + HOUR)

        assert store.windows() == [Window("sweep", WindowKind.ABSENT, START, None, "uninstalled", "host")]

    @pytest.mark.parametrize(
        ("first", "second"),
        [(WindowKind.ABSENT, WindowKind.FAILED), (WindowKind.FAILED, WindowKind.ABSENT)],
    )
    def test_a_job_is_missing_for_one_reason_at_a_time(
        self, store: Store, first: WindowKind, second: WindowKind
    ) -> None:
        store.declare([some_job()], START)
        store.set_absent({"sweep": (first, "a")}, START)

        store.set_absent({"sweep": (second, "b")}, START + HOUR)

        windows = [(window.kind, window.since, window.until) for window in store.windows()]
        assert windows == [(first, START, START + HOUR), (second, START + HOUR, None)]

    def test_a_job_stays_missing_when_another_one_is_missed(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.set_absent({"sweep": (WindowKind.ABSENT, "uninstalled")}, START)

        store.set_absent({"mop": (WindowKind.FAILED, "ImportError")}, START + HOUR)

        assert [(window.job_key, window.until) for window in store.windows()] == [("sweep", None), ("mop", None)]

    def test_a_job_that_was_never_declared_is_not_missed(self, store: Store) -> None:
        store.claim(some_run(1, trigger=Trigger.MANUAL))

        store.set_absent({"sweep": (WindowKind.ABSENT, "uninstalled")}, START)

        assert list(store.windows()) == []

    def test_a_pause_lasts_though_the_job_is_not_there(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.pause("sweep", START, "rats", "ann")

        store.set_absent({"sweep": (WindowKind.ABSENT, "uninstalled")}, START + HOUR)
        store.declare([some_job()], START + 2 * HOUR)

        assert [(window.kind, window.until) for window in store.windows()] == [
            (WindowKind.PAUSED, None),
            (WindowKind.ABSENT, START + 2 * HOUR),
        ]

    def test_resuming_a_job_does_not_bring_it_back(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.set_absent({"sweep": (WindowKind.ABSENT, "uninstalled")}, START)

        assert not store.resume("sweep", START + HOUR)

        assert [window.until for window in store.windows()] == [None]

    def test_windows_that_began_together_come_by_job_and_kind(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        for key in ("sweep", "mop"):
            store.pause(key, START, "rats", "ann")
        store.set_absent({"sweep": (WindowKind.ABSENT, ""), "mop": (WindowKind.FAILED, "")}, START)

        assert [(window.job_key, window.kind) for window in store.windows()] == [
            ("mop", WindowKind.FAILED),
            ("mop", WindowKind.PAUSED),
            ("sweep", WindowKind.ABSENT),
            ("sweep", WindowKind.PAUSED),
        ]

    def test_windows_are_filtered_by_job_and_time_oldest_first(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.pause("sweep", START + 3 * HOUR, "c", "ann")
        store.pause("mop", START + 2 * HOUR, "b", "ann")
        store.hold(START + HOUR, "a")
        store.release(START + 4 * HOUR)
        store.resume("mop", START + 5 * HOUR)

        assert [window.reason for window in store.windows()] == ["a", "b", "c"]
        assert [window.reason for window in store.windows(job_key="mop")] == ["a", "b"]
        assert [window.reason for window in store.windows(job_key="nobody")] == ["a"]
        assert [window.reason for window in store.windows(since=START + 4 * HOUR)] == ["b", "c"]
        assert [window.reason for window in store.windows(job_key="mop", since=START + 5 * HOUR)] == []
        assert [window.reason for window in store.windows(since=START + 99 * HOUR)] == ["c"]
