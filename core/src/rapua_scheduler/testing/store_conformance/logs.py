"""What every store must do with progress and logs of runs."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from rapua_scheduler.run import (
    LogLine,
    RunStatus,
)
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    START,
    finish,
    run_of,
    settle,
    some_job,
    some_run,
    start,
    to_queue,
    to_run,
)


class Logs:
    """Tests of progress and logs of runs."""

    def test_progress_is_kept_and_lasts(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        run_id = some_run(1).run_id

        store.report(run_id, 1, done=3, total=9, log=())
        store.report(run_id, 1, done=5, total=None, log=())
        settle(store)

        assert store.run(run_id) == evolve(some_run(1), done=5, total=9)
        store.report(run_id, 1, done=None, total=8, log=())
        finish(store, run_id)
        assert (run_of(store, run_id).done, run_of(store, run_id).total) == (5, 8)

    def test_a_new_attempt_has_made_no_progress(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        run_id = some_run(1).run_id
        store.report(run_id, 1, done=3, total=9, log=())
        finish(store, run_id, status=RunStatus.FAILED, again=True)

        start(store, run_id, 2)

        assert (run_of(store, run_id).done, run_of(store, run_id).total) == (None, None)

    @pytest.mark.parametrize("attempt", [0, 2])
    def test_only_the_running_attempt_reports(self, store: Store, attempt: int) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1), to_queue(2), to_run(3)])
        finish(store, some_run(3).run_id)

        store.report(some_run(1).run_id, attempt, done=3, total=9, log=[_line(1)])
        for hour in (2, 3):
            store.report(some_run(hour).run_id, 1, done=3, total=9, log=[_line(1)])
        store.report("nobody", 1, done=3, total=9, log=[_line(1)])
        settle(store)

        assert [(run.done, run.total) for run in store.runs()] == [(None, None)] * 3
        assert [list(store.log_lines(run.run_id)) for run in store.runs()] == [[], [], []]

    def test_lines_are_kept_in_their_order_over_all_attempts(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        run_id = some_run(1).run_id

        store.report(run_id, 1, done=None, total=None, log=[_line(1), _line(2)])
        finish(store, run_id, status=RunStatus.FAILED, again=True, log=[_line(3)])
        start(store, run_id, 2)
        store.report(run_id, 2, done=None, total=None, log=[_line(4, 2)])
        finish(store, run_id, 2, log=[_line(5, 2), _line(6, 2)])

        assert store.log_lines(run_id) == [_line(number, 1 if number < 4 else 2) for number in range(1, 7)]
        assert list(store.log_lines("nobody")) == []

    def test_lines_that_come_with_an_end_that_is_none_are_not_kept(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])

        assert not finish(store, some_run(1).run_id, 2, log=[_line(1)])

        assert list(store.log_lines(some_run(1).run_id)) == []

    def test_a_line_that_no_database_takes_is_escaped_and_a_long_one_is_cut(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        odd = LogLine(START, 1, "in\0fo", "b\udcff\0ž")
        long = LogLine(START, 1, "info", "ž" * 10_000)

        finish(store, some_run(1).run_id, log=[odd, long])

        first, second = store.log_lines(some_run(1).run_id)
        assert (first.level, first.text) == ("in\\x00fo", "b\\udcff\\x00ž")
        assert second.text.startswith("ž" * 4000)
        assert second.text.endswith("(cut; it had 20000 bytes)")
        assert len(second.text.encode()) <= 8192

    def test_the_newest_of_very_many_lines_are_kept(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([to_run(1), to_run(1, "mop")])
        store.report(some_run(1, "mop").run_id, 1, done=None, total=None, log=[_line(1)])

        store.report(some_run(1).run_id, 1, done=None, total=None, log=[_line(number) for number in range(1, 951)])
        finish(store, some_run(1).run_id, log=[_line(number) for number in range(951, 1101)])

        note, *lines = store.log_lines(some_run(1).run_id)
        assert lines == [_line(number) for number in range(101, 1101)]
        assert (note.at, note.attempt, note.level) == (_line(101).at, 1, "warning")
        assert note.text == "… (100 earlier lines were left out)"
        assert len(store.log_lines(some_run(1, "mop").run_id)) == 1

    def test_the_newest_of_very_long_lines_are_kept(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        long = [evolve(_line(number), text=f"{number} " + "ž" * 3000) for number in range(1, 101)]

        for number in range(0, 100, 10):
            store.report(some_run(1).run_id, 1, done=None, total=None, log=long[number : number + 10])
        settle(store)

        note, *lines = store.log_lines(some_run(1).run_id)
        assert lines == long[-len(lines) :]
        assert 256 * 1024 - 6003 < sum(len(line.text.encode()) for line in lines) <= 256 * 1024
        assert f"{100 - len(lines)} earlier lines" in note.text

    def test_as_much_of_a_log_as_may_be_is_kept(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        run_id = some_run(1).run_id
        full = [evolve(_line(number), text=f"{number:02} {'x' * 8189}") for number in range(32)]

        store.report(run_id, 1, done=None, total=None, log=full)
        settle(store)
        assert store.log_lines(run_id) == full
        finish(store, run_id, log=[evolve(_line(32), text="x")])

        note, *lines = store.log_lines(run_id)
        assert lines == [*full[1:], evolve(_line(32), text="x")]
        assert note.text == "… (1 earlier lines were left out)"


def _line(number: int, attempt: int = 1) -> LogLine:
    return LogLine(START + timedelta(seconds=number), attempt, "info", f"line {number}")
