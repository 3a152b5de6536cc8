"""What every store must do with opening and closing."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

from collections.abc import Callable

import pytest

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import Outcome, RunStatus, Trigger
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    START,
    some_job,
    some_run,
    to_run,
    waiting,
)

EVERYTHING: list[Callable[[Store], object]] = [
    lambda store: store.become_host(),
    lambda store: store.host(),
    lambda store: store.declare([some_job()], START),
    lambda store: store.set_next({}),
    lambda store: store.decide([to_run(1)]),
    lambda store: store.claim(some_run(1, trigger=Trigger.MANUAL)),
    lambda store: store.enqueue([waiting(1, trigger=Trigger.MANUAL)]),
    lambda store: store.take_queued(),
    lambda store: store.begin([]),
    lambda store: store.drop("it", Outcome(RunStatus.CANCELLED, START)),
    lambda store: store.mark_lost(START),
    lambda store: store.unanswered(),
    lambda store: store.rerun("it"),
    lambda store: store.reopen("sweep", "it"),
    lambda store: store.leave(["it"]),
    lambda store: store.pause("sweep", START, "", ""),
    lambda store: store.resume("sweep", START),
    lambda store: store.hold(START, ""),
    lambda store: store.release(START),
    lambda store: store.set_absent({}, START),
    lambda store: store.windows(),
    lambda store: store.request_cancel("it", ""),
    lambda store: store.cancel_requests(),
    lambda store: store.word(),
    lambda store: store.note_alive(START),
    lambda store: store.alive(),
    lambda store: store.jobs(),
    lambda store: store.run("it"),
    lambda store: store.runs(),
    lambda store: store.run_at("sweep", START),
    lambda store: store.attempts("it"),
    lambda store: store.log_lines("it"),
    lambda store: store.last_runs(),
    lambda store: store.last_success("sweep"),
    lambda store: store.gaps(),
    lambda store: store.prune(START, 1),
]


class Opening:
    """Tests of opening and closing."""

    def test_becoming_the_host_twice_is_no_trouble(self, store: Store) -> None:
        store.become_host()
        store.become_host()

        store.declare([some_job()], START)

    def test_closing_twice_is_no_trouble(self, store: Store) -> None:
        store.close()
        store.close()

    @pytest.mark.parametrize("ask", EVERYTHING, ids=range(len(EVERYTHING)))
    def test_a_closed_store_can_do_nothing(self, store: Store, ask: Callable[[Store], object]) -> None:
        store.declare([some_job()], START)
        store.close()

        with pytest.raises(StoreError, match="is closed; "):
            ask(store)

    def test_what_is_reported_after_closing_is_lost(self, store: Store) -> None:
        store.close()

        store.report("it", 1, done=1, total=2, log=())

    def test_an_end_that_comes_after_closing_is_told_so(self, store: Store) -> None:
        store.close()
        told: list[tuple[Exception | None, bool]] = []

        store.finish("it", 1, Outcome(RunStatus.FAILED, START), lambda error, recorded: told.append((error, recorded)))

        ((error, is_recorded),) = told
        assert isinstance(error, StoreError)
        assert is_recorded is False
