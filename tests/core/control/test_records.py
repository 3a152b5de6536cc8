"""What `history` and `show` tell."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from rapua_scheduler import Job, JobContext, Retry, every
from rapua_scheduler.control.fields import record_fields
from rapua_scheduler.control.records import find_run, history, read_record
from rapua_scheduler.control.words import manual_run
from rapua_scheduler.errors import RapuaSchedulerError, UnknownJobError
from rapua_scheduler.run import Gap, Run, RunStatus
from tests.core.control.worlds import HOUR, MINUTE, World, nothing

HOURLY = Job("Hourly", nothing, every(hours=1))


@pytest.fixture
def world() -> World:
    """A world in which an hourly job has run, was down for three fire times, and has run two more."""
    world = World(HOURLY)
    world.start()
    world.passes(HOUR)
    world.crash()
    world.passes(3 * HOUR + 30 * MINUTE)
    world.start()
    world.passes(HOUR)
    return world


def test_history_tells_runs_and_gaps_newest_first(world: World) -> None:
    entries = history(world.store, ["hourly"])

    assert [type(entry) for entry in entries] == [Run, Run, Gap, Run]
    assert [entry.count for entry in entries if isinstance(entry, Gap)] == [2]
    assert history(world.store, ["hourly"], failed=True) == []
    assert len(history(world.store, ["hourly"], limit=1)) == 1


def test_what_waits_comes_first(world: World) -> None:
    run = manual_run("hourly", HOURLY.next, world.now - 9 * HOUR, run_id="waits", now=world.now, zone=UTC, by="me")
    world.store.enqueue([run])

    first, *_ = history(world.store, ["hourly"])

    assert isinstance(first, Run)
    assert first.run_id == "waits"


def test_history_of_a_job_that_nobody_knows_is_a_mistake_and_of_a_new_job_is_empty(world: World) -> None:
    with pytest.raises(UnknownJobError, match="hourly"):
        history(world.store, [], job_key="huorly")
    assert history(world.store, ["new"], job_key="new") == []


def test_a_run_is_found_by_enough_of_its_id(world: World) -> None:
    newest, *_, oldest = world.store.runs()

    assert find_run(world.store, newest.run_id) == newest
    assert find_run(world.store, newest.run_id[:15]) == newest
    with pytest.raises(RapuaSchedulerError, match="3 runs match"):
        find_run(world.store, oldest.run_id[:4])
    with pytest.raises(RapuaSchedulerError, match="no run has the id 'x'"):
        find_run(world.store, "x")


@pytest.mark.parametrize("text", ["\udcff\udcfe", "a\0b", "", "é", "2026\n"])
def test_what_can_be_no_id_is_not_looked_for(world: World, text: str) -> None:
    with pytest.raises(RapuaSchedulerError, match="no run has the id"):
        find_run(world.store, text)


def test_a_record_has_attempts_log_and_progress() -> None:
    def flaky(ctx: JobContext) -> None:
        ctx.log.info("Tried", attempt_number=ctx.attempt)
        ctx.progress(ctx.attempt, 2)
        if ctx.attempt == 1:
            raise ValueError("not yet")

    world = World(Job("Flaky", flaky, every(hours=1), retry=Retry(attempts=2, delay=MINUTE)))
    world.start()
    world.passes(HOUR + 5 * MINUTE)

    (run,) = world.runs("flaky")
    fields: Any = record_fields(read_record(world.store, run), UTC)

    assert (fields["status"], fields["attempt"], fields["failures"]) == (RunStatus.SUCCEEDED, 2, 1)
    (attempt,) = fields["attempts"]
    assert (attempt["attempt"], attempt["status"]) == (1, "failed")
    assert "ValueError: not yet" in attempt["error"]
    lines = [(line["attempt"], line["text"]) for line in fields["log"]]
    assert lines == [(1, "Tried attempt_number=1"), (2, "Tried attempt_number=2")]
    assert fields["progress"] == {"done": 2, "total": 2}
