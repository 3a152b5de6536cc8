"""`why` has exactly one answer for any instant, and it is the one that the records give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rapua_scheduler import Job, JobContext, Retry, every, next_daily
from rapua_scheduler.control.explanations import Answer
from rapua_scheduler.control.why import explain_instant, explain_now
from rapua_scheduler.control.words import manual_run
from rapua_scheduler.errors import UnknownJobError
from rapua_scheduler.registry import RegisteredJob, Registry
from rapua_scheduler.run import GapReason, RunStatus, WindowKind
from rapua_scheduler.store.sqlite import SqliteStore
from tests.core.control.worlds import DAY, HOUR, MINUTE, START, World, nothing

MIDNIGHT = START.replace(second=0)
HOURLY = Job("Hourly", nothing, every(hours=1))
DAILY = Job("Daily", nothing, next_daily)


def started(*jobs: Job) -> World:
    world = World(*jobs)
    world.start()
    return world


def test_a_fire_time_that_was_run_is_told_with_its_run() -> None:
    world = started(HOURLY)
    world.passes(2 * HOUR)

    explanation = world.why("hourly", MIDNIGHT + HOUR)

    assert explanation.answer is Answer.RUN
    assert explanation.run == world.runs("hourly")[0]
    assert "succeeded" in explanation.lines[0]


def test_an_instant_between_fire_times_names_the_nearest_two() -> None:
    world = started(HOURLY)
    world.passes(2 * HOUR)

    explanation = world.why("hourly", MIDNIGHT + 90 * MINUTE)

    assert explanation.answer is Answer.NOT_A_FIRE_TIME
    assert explanation.previous_fire_time == MIDNIGHT + HOUR
    assert explanation.next_fire_time == MIDNIGHT + 2 * HOUR


def test_a_run_by_hand_between_fire_times_is_told_too() -> None:
    world = started(HOURLY)
    at = MIDNIGHT + 90 * MINUTE
    world.store.enqueue([manual_run("hourly", HOURLY.next, at, run_id="by-hand", now=at, zone=UTC, by="ada@host")])

    explanation = world.why("hourly", at)

    assert explanation.answer is Answer.NOT_A_FIRE_TIME
    assert explanation.run is not None
    assert explanation.run.run_id == "by-hand"
    assert "ada@host" in explanation.lines[-1]


def test_what_was_before_the_job_was_known_is_told_so() -> None:
    world = started(HOURLY)
    world.passes(2 * HOUR)

    explanation = world.why("hourly", MIDNIGHT - DAY)

    assert explanation.answer is Answer.BEFORE_FIRST_SEEN
    assert "2026-11-01 00:00:01" in explanation.lines[0]


def test_a_skipped_fire_time_names_the_run_that_was_in_its_way() -> None:
    world = started(HOURLY)
    world.takes = 90 * MINUTE
    world.passes(3 * HOUR)

    explanation = world.why("hourly", MIDNIGHT + 2 * HOUR)

    first, *_ = world.runs("hourly")
    assert explanation.answer is Answer.GAP
    assert explanation.gap is not None
    assert explanation.gap.reason is GapReason.SKIPPED
    assert explanation.run == first
    assert first.run_id in explanation.lines[0]


def test_a_paused_fire_time_names_who_paused_it_and_why() -> None:
    world = started(HOURLY)
    world.store.pause("hourly", world.now, "the disk is full", "ada@host")
    world.passes(2 * HOUR)
    world.store.resume("hourly", world.now)
    world.passes(HOUR)

    explanation = world.why("hourly", MIDNIGHT + 2 * HOUR)

    assert explanation.gap is not None
    assert explanation.gap.reason is GapReason.PAUSED
    assert "paused by ada@host" in explanation.lines[0]
    (window,) = explanation.windows
    assert (window.by, window.reason, window.until) == ("ada@host", "the disk is full", START + 2 * HOUR)
    assert world.why("hourly", MIDNIGHT + 3 * HOUR).answer is Answer.RUN


def test_superseded_fire_times_name_the_run_that_was_done_in_their_stead() -> None:
    world = started(HOURLY)
    world.passes(HOUR)
    world.crash()
    world.passes(5 * HOUR + 30 * MINUTE)
    world.start()

    explanation = world.why("hourly", MIDNIGHT + 3 * HOUR)

    assert explanation.gap is not None
    assert (explanation.gap.reason, explanation.gap.count) == (GapReason.SUPERSEDED, 4)
    assert explanation.run == world.runs("hourly")[-1]
    assert "one of 4 fire times" in explanation.lines[1]


def test_a_fire_time_to_come_is_told_with_what_stands_in_its_way() -> None:
    world = started(HOURLY)
    world.store.pause("hourly", world.now, "because", "ada@host")

    explanation = world.why("hourly", MIDNIGHT + DAY)

    assert explanation.answer is Answer.TO_COME
    assert any("paused by ada@host" in line for line in explanation.lines)
    assert [window.kind for window in explanation.windows] == [WindowKind.PAUSED]


def test_a_fire_time_while_no_host_is_up_is_undecided() -> None:
    world = World(HOURLY)
    world.store.declare(list(world.registry.values()), world.now)
    world.clock.advance(3 * HOUR)

    explanation = world.why("hourly", MIDNIGHT + HOUR)

    assert explanation.answer is Answer.UNDECIDED
    assert "no host has ever been active" in explanation.lines[1]


def test_a_fire_time_that_the_active_host_has_not_decided_on_is_due_and_then_suspicious() -> None:
    world = started(HOURLY)

    world.clock.advance(HOUR + 30 * MINUTE - timedelta(minutes=29, seconds=31))
    due = world.why("hourly", MIDNIGHT + HOUR)
    world.clock.advance(2 * HOUR)
    late = world.why("hourly", MIDNIGHT + HOUR)

    assert (due.answer, late.answer) == (Answer.UNDECIDED, Answer.UNDECIDED)
    assert "due now" in due.lines[1]
    assert "2 hours" in late.lines[1]


def test_a_fire_time_under_a_plugin_that_failed_to_load_is_undecided_with_the_reason() -> None:
    world = started(HOURLY)
    world.passes(HOUR)
    world.crash()
    world.store.set_absent({"hourly": (WindowKind.FAILED, "import: SyntaxError")}, world.now)
    world.passes(2 * HOUR)

    case = world.case("hourly", registry=Registry(), absences={"hourly": "import: SyntaxError"})
    explanation = explain_instant(case, MIDNIGHT + 2 * HOUR)

    assert explanation.answer is Answer.UNDECIDED
    assert "could not be loaded" in explanation.lines[1]
    assert "SyntaxError" in explanation.lines[1]


def test_a_held_fire_time_is_undecided_until_the_release() -> None:
    world = started(HOURLY)
    world.passes(HOUR)
    world.clock.step(timedelta(days=100))
    assert world.host is not None
    world.host.heed()
    at = world.now.replace(minute=0, second=0) - HOUR

    explanation = world.why("hourly", at)

    assert explanation.answer is Answer.UNDECIDED
    assert "everything is held" in explanation.lines[1]


def test_what_is_no_longer_kept_is_forgotten() -> None:
    world = started(HOURLY)
    world.passes(10 * DAY)
    world.store.prune(world.now - 5 * DAY, 1000)

    explanation = world.why("hourly", MIDNIGHT + 2 * DAY)

    assert explanation.answer is Answer.FORGOTTEN
    assert "400 days" in explanation.lines[0]


def test_an_orphaned_job_is_explained_by_the_schedule_that_the_store_remembers() -> None:
    world = started(DAILY)
    world.passes(2 * DAY)
    world.crash()

    case = world.case("daily", registry=Registry(), absences={"daily": "package is not installed"})

    assert explain_instant(case, MIDNIGHT + DAY).answer is Answer.RUN
    assert explain_instant(case, MIDNIGHT + DAY + HOUR).answer is Answer.NOT_A_FIRE_TIME
    to_come = explain_instant(case, MIDNIGHT + 9 * DAY)
    assert to_come.answer is Answer.TO_COME
    assert "package is not installed" in to_come.lines[1]
    assert "package is not installed" in explain_now(case).lines[0]


def test_a_changed_schedule_is_not_held_to_what_it_was_not_at_the_time() -> None:
    world = started(DAILY)
    world.passes(2 * DAY)
    world.crash()
    world.registry = Registry([RegisteredJob(evolve(DAILY, next=every(hours=1)), "plugin", "package", "1.1")])
    world.passes(12 * HOUR)
    world.start()
    world.passes(3 * HOUR)

    before = world.why("daily", MIDNIGHT + DAY + 5 * HOUR)
    after = world.why("daily", MIDNIGHT + 2 * DAY + 14 * HOUR)

    assert before.answer is Answer.NOT_A_FIRE_TIME
    assert after.answer is Answer.RUN


def test_a_fire_time_before_a_change_is_judged_by_the_schedule_before_it() -> None:
    world = started(HOURLY)
    world.passes(HOUR)
    world.crash()
    world.passes(3 * HOUR)
    world.registry = Registry([RegisteredJob(evolve(HOURLY, next=next_daily), "plugin", "package", "1.1")])
    world.store.declare(list(world.registry.values()), world.now)

    assert world.why("hourly", MIDNIGHT + 2 * HOUR).answer is Answer.UNDECIDED
    assert world.why("hourly", MIDNIGHT + 5 * HOUR).answer is Answer.NOT_A_FIRE_TIME
    assert world.why("hourly", MIDNIGHT + DAY).answer is Answer.TO_COME


def test_a_newer_version_that_is_installed_but_does_not_run_is_told() -> None:
    world = started(DAILY)
    newer = Registry([RegisteredJob(evolve(DAILY, next=every(hours=1)), "plugin", "package", "1.1")])

    explanation = explain_now(world.case("daily", registry=newer))

    assert any(
        "package 1.0" in line and "package 1.1" in line and "start it anew" in line for line in explanation.lines
    )
    assert explanation.next_fire_time == MIDNIGHT + DAY


def test_a_job_that_the_active_host_does_not_have_is_told() -> None:
    world = started(DAILY)
    both = Registry([*world.registry.values(), RegisteredJob(HOURLY, "other", "other", "1.0")])

    now = explain_now(world.case("hourly", registry=both))
    at = explain_instant(world.case("hourly", registry=both), MIDNIGHT + HOUR)

    assert "does not have the job" in now.lines[0]
    assert at.answer is Answer.BEFORE_FIRST_SEEN


def test_a_job_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(UnknownJobError, match="hourly"):
        started(HOURLY).why("huorly")


def test_what_a_next_function_without_an_argument_never_said_cannot_be_told() -> None:
    pending = [START + HOUR]

    def next_time() -> datetime:
        return pending[0]

    world = started(Job("Original", nothing, next_time))

    assert world.why("original", START + HOUR).answer is Answer.TO_COME
    assert world.why("original", START + 2 * HOUR).answer is Answer.CANNOT_TELL
    pending[0] = START + 5 * HOUR
    world.passes(2 * HOUR)
    assert world.why("original", START + HOUR).answer is Answer.RUN


def test_a_next_function_that_misbehaves_is_told_and_not_thrown() -> None:
    def broken(after: datetime) -> datetime:
        raise SystemExit("oops")

    world = started(Job("Broken", nothing, broken))

    assert "oops" in "".join(world.why("broken").lines)
    assert world.why("broken", START + HOUR).answer is Answer.CANNOT_TELL


def test_now_is_told_in_the_order_of_importance() -> None:
    world = started(HOURLY)
    world.takes = 30 * MINUTE
    world.passes(HOUR + MINUTE)
    world.store.pause("hourly", world.now, "because", "ada@host")

    explanation = world.why("hourly")

    assert explanation.answer is Answer.NOW
    assert explanation.lines[0].startswith("paused by ada@host")
    assert "is running since" in explanation.lines[1]
    assert explanation.lines[2] == "next fire time: 2026-11-01 02:00:00 +0000 (every hour)"
    assert explanation.next_fire_time == MIDNIGHT + 2 * HOUR
    assert explanation.run is not None
    assert explanation.run.status is RunStatus.RUNNING


def test_a_run_whose_host_died_is_told_before_and_after_it_is_run_again(tmp_path: Path) -> None:
    world = World(HOURLY)
    world.store = SqliteStore.open(tmp_path / "store.db", create=True, clock=world.clock)
    world.takes = 30 * MINUTE
    world.start()
    world.passes(HOUR + MINUTE)
    world.crash()
    world.store.close()
    world.store = SqliteStore.open(tmp_path / "store.db", create=False, clock=world.clock)
    world.store.mark_lost(world.now)

    lost = world.why("hourly", MIDNIGHT + HOUR)
    now = world.why("hourly")
    world.passes(MINUTE)
    world.start()
    queued = world.why("hourly", MIDNIGHT + HOUR)
    world.passes(MINUTE)
    running = world.why("hourly", MIDNIGHT + HOUR)
    world.passes(HOUR)
    ended = world.why("hourly", MIDNIGHT + HOUR)
    world.store.close()

    assert (lost.answer, lost.run and lost.run.status) == (Answer.RUN, RunStatus.LOST)
    assert "a host runs it again at its next start" in lost.lines[-1]
    assert any("no host is active" in line for line in now.lines)
    assert running.run is not None
    assert running.run.status in {RunStatus.RUNNING, RunStatus.QUEUED}
    assert queued.answer is Answer.RUN
    assert ended.lines[0].endswith("attempt 2")
    assert any("died 1 times" in line for line in ended.lines)
    assert any("was run again" in line for line in ended.lines)
    assert ended.lines[-1].startswith("attempt 1 ended lost")
    assert [attempt.attempt for attempt in ended.attempts] == [1]


def test_progress_and_waits_between_attempts_are_told() -> None:
    def flaky(ctx: JobContext) -> None:
        ctx.progress(3)
        raise ValueError("not yet")

    world = started(Job("Flaky", flaky, every(hours=1), retry=Retry(attempts=2, delay=10 * MINUTE)))
    world.takes = MINUTE
    world.passes(HOUR)
    running = world.why("flaky")
    world.passes(2 * MINUTE)
    waiting = world.why("flaky")

    assert any("is running since" in line and "3 of ? done" in line for line in running.lines)
    assert any("waits for its turn; attempt 1 was the last so far" in line for line in waiting.lines)


def test_a_clock_that_was_set_back_is_told_with_what_to_do() -> None:
    world = started(HOURLY)
    world.passes(3 * HOUR)
    world.clock.step(-2 * HOUR)

    now = world.why("hourly")
    done = world.why("hourly", MIDNIGHT + 2 * HOUR)
    world.store.prune(world.now + 10 * DAY, 1)
    forgotten = world.why("hourly", MIDNIGHT + 2 * HOUR)

    assert now.lines[0].startswith("waiting for the clock")
    assert "rapua-scheduler release hourly" in now.lines[1]
    assert now.next_fire_time == MIDNIGHT + 4 * HOUR
    assert done.answer is Answer.RUN
    assert forgotten.answer is Answer.FORGOTTEN
    assert "before the clock was set back" in forgotten.lines[0]


def test_the_last_fire_time_that_was_not_run_is_part_of_now() -> None:
    world = started(HOURLY)
    world.takes = 90 * MINUTE
    world.passes(2 * HOUR + MINUTE)

    assert world.why("hourly").lines[-1].startswith("last fire time not run: 2026-11-01 02:00:00 +0000, skipped")


def test_a_gap_that_cannot_be_asked_about_is_told_with_reserve() -> None:
    fire_times = iter([START + HOUR, START + 2 * HOUR, START + 9 * HOUR])

    def next_time() -> datetime:
        return next(fire_times)

    world = started(Job("Original", nothing, next_time))
    world.store.pause("original", world.now, "because", "me")
    world.passes(3 * HOUR)

    assert world.why("original", START + HOUR).answer is Answer.GAP
    assert world.why("original", START + HOUR + MINUTE).answer in {Answer.CANNOT_TELL, Answer.GAP}


STEPS = st.lists(
    st.sampled_from(["host", "crash", "pause", "resume", "hour", "90 minutes", "day", "slow", "quick"]), max_size=14
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.lists(st.integers(-40, 400), min_size=1, max_size=20), st.sampled_from(["none", "latest", "all"]))
def test_any_instant_has_an_answer_that_agrees_with_the_records(
    steps: list[str], quarters: list[int], catch_up: str
) -> None:
    world = World(Job("Odd", nothing, every(minutes=45), catch_up=catch_up))
    world.store.declare(list(world.registry.values()), world.now)
    for step in steps:
        match step:
            case "host":
                if world.host is None:
                    world.start()
            case "crash":
                if world.host is not None:
                    world.crash()
            case "pause":
                world.store.pause("odd", world.now, "because", "me")
            case "resume":
                world.store.resume("odd", world.now)
            case "slow":
                world.takes = 80 * MINUTE
            case "quick":
                world.takes = timedelta(0)
            case _:
                world.passes({"hour": HOUR, "day": DAY}.get(step, 90 * MINUTE))
    if world.host is not None:
        world.host.heed()
    (stored,) = world.store.jobs()
    runs = {run.fire_time: run for run in world.store.runs() if run.trigger.consumes_fire_time}

    for quarter in quarters:
        at = MIDNIGHT + quarter * 15 * MINUTE
        explanation = world.why("odd", at)
        assert explanation.lines
        if at in runs:
            assert (explanation.answer, explanation.run) == (Answer.RUN, runs[at])
        elif (at - datetime(1970, 1, 1, tzinfo=UTC)) % (45 * MINUTE):
            assert explanation.answer is Answer.NOT_A_FIRE_TIME
        elif at <= START:
            assert explanation.answer is Answer.BEFORE_FIRST_SEEN
        elif at <= stored.mark:
            assert explanation.answer is Answer.GAP
        else:
            assert explanation.answer is (Answer.TO_COME if at > world.now else Answer.UNDECIDED)
