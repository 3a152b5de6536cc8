"""What becomes of runs and fire times, policy by policy, on a clock that the test moves."""

from __future__ import annotations

from datetime import UTC, timedelta
from functools import partial

import pytest

from rapua_scheduler import (
    CatchUp,
    GapReason,
    Overlap,
    Retry,
    Run,
    RunStatus,
    Trigger,
    cron,
    daily,
    every,
    next_daily,
)
from rapua_scheduler.fire_times import part_until
from rapua_scheduler.job_states import TICK
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import WindowKind
from tests.core.engine.sites import DAY, HOUR, MIDNIGHT, MINUTE, Site

# -- catch-up


def test_after_a_downtime_the_newest_is_made_up_and_the_rest_is_superseded(site: Site) -> None:
    site.job("a", next_daily)
    site.start()
    site.passes(DAY)
    site.stop()
    site.passes(3 * DAY + HOUR)
    site.start()

    assert site.started[1:] == [("a", MIDNIGHT + 4 * DAY, Trigger.CATCH_UP, 1)]
    assert site.gaps("a") == [(GapReason.SUPERSEDED, 2)]


def test_everything_is_made_up_one_after_another_across_a_crash(site: Site) -> None:
    site.job("a", every(hours=1), catch_up="all", takes=10 * MINUTE)
    site.start()
    site.stop()
    site.passes(5 * HOUR + 2 * MINUTE)
    site.start()
    site.passes(15 * MINUTE)  # the second one is in the middle
    site.crash()
    site.start()
    site.passes(50 * MINUTE)

    assert [(fire_time, attempt) for _, fire_time, _, attempt in site.started] == [
        (MIDNIGHT + 1 * HOUR, 1),
        (MIDNIGHT + 2 * HOUR, 1),
        (MIDNIGHT + 2 * HOUR, 2),
        (MIDNIGHT + 3 * HOUR, 1),
        (MIDNIGHT + 4 * HOUR, 1),
        (MIDNIGHT + 5 * HOUR, 1),
        (MIDNIGHT + 6 * HOUR, 1),
    ]
    assert site.started[2][2] is Trigger.RERUN
    assert site.store.gaps() == []


def test_a_suspend_is_a_downtime(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1))
    in_memory.start()
    in_memory.clock.step(8 * HOUR + 5 * MINUTE)
    in_memory.passes(timedelta(0))

    assert in_memory.started == [("a", MIDNIGHT + 8 * HOUR, Trigger.CATCH_UP, 1)]
    assert in_memory.gaps("a") == [(GapReason.SUPERSEDED, 7)]


def test_the_first_start_makes_up_nothing(in_memory: Site) -> None:
    in_memory.job("a", next_daily, catch_up=CatchUp.all())
    in_memory.start()

    assert in_memory.started == []
    assert in_memory.store.gaps() == []


# -- overlap


def test_queue_one_keeps_the_newest(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1), overlap="queue_one", takes=150 * MINUTE)
    in_memory.start()
    in_memory.passes(6 * HOUR)

    assert [(at - MIDNIGHT) / HOUR for _, at, _, _ in in_memory.started] == [1, 3, 5]
    assert in_memory.statuses("a") == ["succeeded", "cancelled", "succeeded", "cancelled", "running", "queued"]


def test_queue_all_runs_every_one(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1), overlap="queue_all", takes=90 * MINUTE)
    in_memory.start()
    in_memory.passes(6 * HOUR)

    assert [(at - MIDNIGHT) / HOUR for _, at, _, _ in in_memory.started] == [1, 2, 3, 4]
    assert in_memory.store.gaps() == []


def test_cancel_previous_makes_room(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1), overlap="cancel_previous", takes=90 * MINUTE)
    in_memory.start()
    in_memory.passes(3 * HOUR)

    assert in_memory.statuses("a") == ["cancelled", "cancelled", "running"]


def test_allow_lets_runs_execute_side_by_side(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1), overlap="allow", takes=150 * MINUTE)
    in_memory.start()
    in_memory.passes(3 * HOUR)

    assert in_memory.statuses("a") == ["running", "running", "running"]


def test_where_overlap_is_allowed_what_makes_up_for_the_past_has_its_turns_all_the_same(site: Site) -> None:
    site.job("a", every(hours=1), overlap="allow", catch_up="all", takes=90 * MINUTE)
    site.start()
    site.stop()
    site.passes(4 * HOUR + 5 * MINUTE)
    site.start()
    site.passes(12 * HOUR)

    made_up = [at - MIDNIGHT for _, at, trigger, _ in site.started if trigger is Trigger.CATCH_UP]
    on_time = [at - MIDNIGHT for _, at, trigger, _ in site.started if trigger is Trigger.SCHEDULE]
    assert made_up == [number * HOUR for number in (1, 2, 3, 4)]
    assert on_time == [number * HOUR for number in range(5, 17)]


def test_skip_records_which_run_had_not_ended(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1), takes=90 * MINUTE)
    in_memory.start()
    in_memory.passes(3 * HOUR)

    (gap,) = in_memory.store.gaps()
    first = in_memory.store.runs()[-1]
    assert (gap.reason, gap.detail) == (GapReason.SKIPPED, f"run {first.run_id} had not ended")


def test_jobs_of_one_concurrency_key_run_one_at_a_time_the_first_key_first(in_memory: Site) -> None:
    for key in "cab":
        in_memory.job(key, next_daily, concurrency_key="db", takes=10 * MINUTE)
    in_memory.start()
    in_memory.passes(DAY)
    assert [key for key, *_ in in_memory.started] == ["a"]

    in_memory.passes(HOUR)

    assert [key for key, *_ in in_memory.started] == ["a", "b", "c"]
    starts = [in_memory.run(key).started_at for key in "abc"]
    assert starts == [MIDNIGHT + DAY + number * 10 * MINUTE for number in range(3)]


# -- retry


def test_a_failed_run_is_tried_again_with_growing_waits_under_the_same_id(in_memory: Site) -> None:
    in_memory.job("a", next_daily, fails=2, retry=Retry(attempts=3, delay="10m", cap="1h"))
    in_memory.start()
    in_memory.passes(DAY + 45 * MINUTE)

    assert [(attempt, trigger) for _, _, trigger, attempt in in_memory.started] == [
        (1, Trigger.SCHEDULE),
        (2, Trigger.SCHEDULE),
        (3, Trigger.SCHEDULE),
    ]
    run = in_memory.run("a")
    assert (run.status, run.attempt, run.failures) == (RunStatus.SUCCEEDED, 3, 2)
    past = in_memory.store.attempts(run.run_id)
    assert [(one.attempt, one.status) for one in past] == [(1, RunStatus.FAILED), (2, RunStatus.FAILED)]


def test_attempts_come_to_an_end(in_memory: Site) -> None:
    in_memory.job("a", next_daily, fails=9, retry=Retry(attempts=2, delay="10m"))
    in_memory.start()
    in_memory.passes(DAY + 5 * HOUR)

    assert in_memory.statuses("a") == ["failed"]
    assert len(in_memory.started) == 2


def test_a_run_that_waits_to_be_tried_again_counts_as_one_that_has_not_ended(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1), fails=1, retry=Retry(attempts=2, delay="90m"))
    in_memory.start()
    in_memory.passes(3 * HOUR)

    assert in_memory.gaps("a") == [(GapReason.SKIPPED, 1)]
    assert in_memory.statuses("a") == ["succeeded", "succeeded"]


def test_a_run_that_waits_to_be_tried_again_survives_a_crash_and_keeps_its_count(site: Site) -> None:
    site.job("a", next_daily, fails=2, retry=Retry(attempts=3, delay="1h"))
    site.start()
    site.passes(DAY)
    site.crash()
    site.start()
    site.passes(3 * HOUR)

    assert [attempt for *_, attempt in site.started] == [1, 2, 3]
    assert (site.run("a").failures, site.run("a").status) == (2, RunStatus.SUCCEEDED)


def test_a_group_is_free_while_one_of_it_waits_to_be_tried_again(in_memory: Site) -> None:
    in_memory.job("a", next_daily, fails=1, retry=Retry(attempts=2, delay="1h"), concurrency_key="db")
    in_memory.job("b", next_daily, concurrency_key="db")
    in_memory.start()
    in_memory.passes(DAY + MINUTE)

    assert [key for key, *_ in in_memory.started] == ["a", "b"]


# -- unfinished runs


def test_a_lost_run_is_run_again_under_its_fire_key(site: Site) -> None:
    site.job("a", next_daily, takes=HOUR)
    site.start()
    site.passes(DAY + MINUTE)
    site.crash()
    site.passes(5 * HOUR)
    assert site.statuses("a") == ["lost"]
    site.start()
    site.passes(2 * HOUR)

    assert site.started == [
        ("a", MIDNIGHT + DAY, Trigger.SCHEDULE, 1),
        ("a", MIDNIGHT + DAY, Trigger.RERUN, 2),
    ]
    run = site.run("a")
    assert (run.status, run.losses, run.trigger) == (RunStatus.SUCCEEDED, 1, Trigger.RERUN)
    assert [one.status for one in site.store.attempts(run.run_id)] == [RunStatus.LOST]


def test_an_interrupted_run_is_run_again(site: Site) -> None:
    site.job("a", next_daily, takes=HOUR)
    site.start()
    site.passes(DAY + MINUTE)
    site.stop()
    assert site.statuses("a") == ["interrupted"]
    site.start()
    site.passes(2 * HOUR)

    assert [attempt for *_, attempt in site.started] == [1, 2]
    assert site.statuses("a") == ["succeeded"]


def test_an_unfinished_run_is_left_where_the_job_says_so(site: Site) -> None:
    site.job("a", next_daily, takes=HOUR, if_unfinished="leave")
    site.start()
    site.passes(DAY + MINUTE)
    site.crash()
    site.start()
    site.passes(2 * HOUR)

    assert site.statuses("a") == ["lost"]
    assert len(site.started) == 1
    assert site.store.unanswered() == []


def test_the_third_loss_of_one_fire_time_pauses_the_job(site: Site) -> None:
    site.job("a", next_daily, takes=HOUR)
    site.start()
    site.passes(DAY + MINUTE)
    for _ in range(3):
        site.crash()
        site.start()
        site.passes(MINUTE)

    assert [attempt for *_, attempt in site.started] == [1, 2, 3]
    assert site.run("a").status is RunStatus.LOST
    (window,) = site.store.windows(job_key="a")
    assert (window.kind, window.by) == (WindowKind.PAUSED, "host")
    assert "3 times" in window.reason


def test_what_is_queued_for_the_future_of_a_dead_host_is_not_lost(site: Site) -> None:
    site.job("a", every(hours=1), overlap="queue_all", takes=150 * MINUTE)
    site.start()
    site.passes(3 * HOUR)
    site.crash()
    site.start()
    site.passes(9 * HOUR)

    assert [(at - MIDNIGHT) / HOUR for _, at, _, _ in site.started][:4] == [1, 1, 2, 3]


# -- pause, and what operators say


def test_fire_times_of_a_pause_are_recorded_and_not_made_up(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1))
    in_memory.start()
    in_memory.passes(HOUR)
    in_memory.store.pause("a", in_memory.clock.now() + MINUTE, "moving house", "ann")
    in_memory.passes(3 * HOUR)
    in_memory.store.resume("a", in_memory.clock.now() + MINUTE)
    in_memory.passes(2 * HOUR)

    assert [(at - MIDNIGHT) / HOUR for _, at, _, _ in in_memory.started] == [1, 5, 6]
    assert in_memory.gaps("a") == [(GapReason.PAUSED, 3)]
    assert in_memory.store.gaps()[0].detail == "paused by ann: moving house"


def test_a_pause_that_came_and_went_while_the_host_was_down_is_heeded(site: Site) -> None:
    site.job("a", every(hours=1), catch_up="all")
    site.start()
    site.stop()
    site.store.pause("a", MIDNIGHT + 2 * HOUR, "moving house", "ann")
    site.store.resume("a", MIDNIGHT + 4 * HOUR)
    site.passes(5 * HOUR + 5 * MINUTE)
    site.start()

    assert [(at - MIDNIGHT) / HOUR for _, at, _, _ in site.started] == [1, 4, 5]
    assert site.gaps("a") == [(GapReason.PAUSED, 2)]


def test_a_run_by_hand_ignores_a_pause_and_consumes_no_fire_time(in_memory: Site) -> None:
    in_memory.job("a", next_daily)
    in_memory.start()
    in_memory.store.pause("a", MIDNIGHT, "moving house", "ann")
    in_memory.store.enqueue([Run("by-hand", "a", MIDNIGHT, "k", Trigger.MANUAL)])
    in_memory.passes(MINUTE)

    assert [trigger for _, _, trigger, _ in in_memory.started] == [Trigger.MANUAL]
    in_memory.store.resume("a", in_memory.clock.now())
    in_memory.passes(DAY)
    assert [trigger for _, _, trigger, _ in in_memory.started] == [Trigger.MANUAL, Trigger.SCHEDULE]


def test_a_run_by_hand_is_skipped_beside_one_that_has_not_ended(in_memory: Site) -> None:
    in_memory.job("a", next_daily, takes=HOUR)
    in_memory.start()
    in_memory.passes(DAY + MINUTE)
    in_memory.store.enqueue([Run("by-hand", "a", MIDNIGHT, "k", Trigger.MANUAL)])
    in_memory.passes(MINUTE)

    run = in_memory.store.run("by-hand")
    assert run is not None
    assert run.status is RunStatus.CANCELLED
    assert "had not ended" in (run.error or "")


def test_a_run_that_is_queued_by_hand_while_the_host_is_down_runs_at_its_start(site: Site) -> None:
    site.job("a", next_daily)
    site.start()
    site.stop()
    site.store.enqueue([Run("by-hand", "a", MIDNIGHT, "k", Trigger.MANUAL, asked_by="ann")])
    site.start()

    assert [trigger for _, _, trigger, _ in site.started] == [Trigger.MANUAL]


def test_backfilled_runs_go_one_after_another_and_let_fire_times_go_first(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1), takes=20 * MINUTE)
    in_memory.start()
    in_memory.passes(30 * MINUTE)
    in_memory.store.enqueue([Run(f"b{n}", "a", MIDNIGHT - n * HOUR, f"k{n}", Trigger.BACKFILL) for n in range(1, 5)])
    in_memory.passes(3 * HOUR)

    triggers = [trigger for _, _, trigger, _ in in_memory.started]
    assert triggers.count(Trigger.BACKFILL) == 4
    assert [at for _, at, trigger, _ in in_memory.started if trigger is Trigger.SCHEDULE] == [
        MIDNIGHT + n * HOUR for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("state", ["running", "queued", "backing off"])
def test_a_run_is_cancelled_whatever_it_does(in_memory: Site, state: str) -> None:
    in_memory.job(
        "a",
        every(hours=1),
        overlap="queue_all",
        takes=90 * MINUTE,
        fails=99 if state == "backing off" else 0,
        retry=Retry(attempts=9, delay="10h", cap="10h"),
    )
    in_memory.start()
    in_memory.passes({"running": 1, "queued": 2, "backing off": 3}[state] * HOUR + MINUTE)
    newest, oldest = in_memory.store.runs()[0], in_memory.store.runs()[-1]
    run = newest if state == "queued" else oldest

    assert in_memory.store.request_cancel(run.run_id, "ann")
    in_memory.passes(MINUTE)

    ended = in_memory.store.run(run.run_id)
    assert ended is not None
    assert (ended.status, ended.error) == (RunStatus.CANCELLED, "cancelled by ann")


def test_a_job_is_paused_after_so_many_failures_in_a_row(in_memory: Site) -> None:
    in_memory.job("a", every(hours=1), fails=99, pause_after_failures=3)
    in_memory.start()
    in_memory.passes(6 * HOUR)

    assert len(in_memory.started) == 3
    (window,) = in_memory.store.windows(job_key="a")
    assert "3 runs in a row failed" in window.reason
    assert in_memory.gaps("a") == [(GapReason.PAUSED, 3)]


# -- the clock


def test_a_clock_far_ahead_of_the_last_sign_of_life_holds_everything_until_a_release(site: Site) -> None:
    site.job("a", next_daily)
    site.start()
    site.passes(DAY)
    site.stop()
    site.clock.step(60 * DAY + HOUR)
    site.start()
    site.passes(3 * DAY)

    assert len(site.started) == 1
    (window,) = site.store.windows()
    assert (window.kind, window.until) == (WindowKind.HELD, None)
    site.store.release(site.clock.now())
    site.passes(DAY)

    assert [trigger for _, _, trigger, _ in site.started] == [Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.SCHEDULE]
    assert GapReason.HELD in {reason for reason, _ in site.gaps("a")}
    assert sum(count or 0 for _, count in site.gaps("a")) + 3 == 65


def test_a_clock_that_is_set_right_again_needs_no_release(site: Site) -> None:
    site.job("a", next_daily)
    site.start()
    site.passes(DAY)
    site.clock.step(1000 * DAY)
    site.passes(HOUR)
    site.clock.step(-1000 * DAY)
    site.passes(DAY)

    assert [at for _, at, _, _ in site.started] == [MIDNIGHT + DAY, MIDNIGHT + 2 * DAY]
    assert site.store.gaps() == []


def test_what_needs_no_release_lowers_no_mark(site: Site) -> None:
    site.job("a", next_daily)
    site.start()
    site.passes(DAY)
    site.clock.step(1000 * DAY)
    site.passes(HOUR)
    site.clock.step(-1000 * DAY - 3 * HOUR)
    site.passes(12 * HOUR)

    (job,) = site.store.jobs()
    assert job.mark == MIDNIGHT + DAY
    assert len(site.started) == 1


def test_a_release_lowers_marks_that_a_wrong_clock_pushed_ahead_and_repeats_no_claim(site: Site) -> None:
    site.job("a", next_daily)
    site.start()
    site.passes(DAY)
    site.clock.step(10 * DAY + HOUR)  # not far enough to be held
    site.passes(MINUTE)
    assert [trigger for _, _, trigger, _ in site.started] == [Trigger.SCHEDULE, Trigger.CATCH_UP]
    site.clock.step(-10 * DAY - HOUR)
    site.store.hold(site.clock.now(), "the clock was wrong")
    site.store.release(site.clock.now())
    site.passes(11 * DAY)

    fired = [at for _, at, _, _ in site.started]
    assert len(fired) == len(set(fired))
    assert fired[2:5] == [MIDNIGHT + number * DAY for number in (2, 3, 4)]


def test_a_claim_that_is_held_already_takes_no_fire_time_beside_it_along(site: Site) -> None:
    site.job("a", next_daily, catch_up="all")
    site.start()
    site.passes(DAY)
    site.clock.step(10 * DAY)
    site.passes(HOUR)
    site.clock.step(-10 * DAY)
    site.store.release(site.clock.now())
    site.stop()
    site.passes(12 * DAY)
    site.start()
    site.passes(MINUTE)

    fired = [at for _, at, _, _ in site.started]
    assert fired == [MIDNIGHT + number * DAY for number in range(1, 14)]
    assert site.store.jobs()[0].mark == fired[-1]
    assert site.store.jobs()[0].next_fire_time == fired[-1] + DAY


def test_after_a_release_no_gap_counts_what_had_been_run(site: Site) -> None:
    site.job("a", every(minutes=10), catch_up="none")
    site.start()
    site.passes(HOUR)
    site.clock.step(2 * HOUR)
    site.passes(30 * MINUTE)
    site.clock.step(-2 * HOUR)
    site.store.release(site.clock.now(), part_until=partial(part_until, zone=UTC))
    site.stop()
    site.clock.step(4 * HOUR)
    site.start()
    site.passes(HOUR)

    ran = [at for _, at, _, _ in site.started]
    passed = [
        MIDNIGHT + number * 10 * MINUTE for number in range(1, int((site.clock.now() - MIDNIGHT) / MINUTE) // 10 + 1)
    ]
    in_gaps = [at for gap in site.store.gaps() for at in passed if gap.first <= at <= gap.last]
    assert sorted(ran + in_gaps) == passed
    assert sum(gap.count or 0 for gap in site.store.gaps()) == len(in_gaps)


# -- schedules that change, keys that change, plugins that come and go


def test_a_schedule_that_changed_twice_loses_nothing_of_the_one_between(site: Site) -> None:
    site.job("a", next_daily, catch_up="all")
    site.start()
    site.passes(DAY + HOUR)
    site.stop()
    site.jobs.clear()
    site.job("a", cron("0 */6 * * *"), catch_up="all")
    site.passes(12 * HOUR)
    site.start()
    site.stop()
    site.jobs.clear()
    site.job("a", cron("30 * * * *"), catch_up="all")
    site.passes(19 * HOUR)
    site.start()
    site.passes(HOUR)

    fired = [(at - MIDNIGHT) / HOUR for _, at, _, _ in site.started]
    assert fired == [24, 42, 48, 54, 56.5]


@pytest.mark.parametrize("key", ["a", "b", "c", "d"])
def test_a_jitter_cuts_off_nothing_of_the_former_schedule(site: Site, key: str) -> None:
    site.job(key, every(hours=1), catch_up="all")
    site.start()
    site.passes(5 * HOUR + 30 * MINUTE)
    site.stop()
    site.passes(5 * HOUR)
    site.jobs.clear()
    site.job(key, next_daily, jitter="12h", catch_up="all")
    site.start()
    site.passes(40 * HOUR)

    fired = [(at - MIDNIGHT) / HOUR for _, at, _, _ in site.started]
    assert fired == [*range(1, 11), 24]


def test_what_a_function_that_is_gone_had_due_is_unknown_and_says_so(site: Site) -> None:
    site.job("a", lambda after: after + HOUR)
    site.start()
    site.passes(2 * HOUR + MINUTE)
    site.stop()
    site.passes(5 * HOUR)
    site.jobs.clear()
    site.job("a", next_daily)
    site.start()
    site.passes(DAY)

    assert [(at - MIDNIGHT) / HOUR for _, at, _, _ in site.started] == [1, 2, 3, 24]
    (gap,) = site.store.gaps()
    assert (gap.first - MIDNIGHT, gap.last - MIDNIGHT) == (3 * HOUR + TICK, 7 * HOUR + MINUTE)
    assert (gap.count, gap.reason) == (None, GapReason.MISSED)
    assert "next function that the job does not have any more" in gap.detail


def test_a_job_that_comes_late_is_decided_on_by_the_windows_that_have_passed(site: Site) -> None:
    site.job("a", every(hours=1), catch_up="all")
    site.start()
    site.passes(HOUR)
    site.store.pause("a", site.clock.now(), "moving house", "ann")
    site.stop()
    site.passes(5 * HOUR)
    site.store.resume("a", site.clock.now() + MINUTE)
    site.passes(HOUR)
    late, site.jobs = site.jobs, []
    site.job("other", every(hours=1))
    site.start()
    site.passes(MINUTE)
    assert site.host is not None
    site.host.add(RegisteredJob(job) for job in late)
    site.passes(MINUTE)

    assert [(at - MIDNIGHT) / HOUR for key, at, _, _ in site.started if key == "a"] == [1, 7]
    assert site.gaps("a") == [(GapReason.PAUSED, 5)]


def test_a_changed_schedule_gains_nothing_before_its_change_and_loses_nothing_of_the_former(site: Site) -> None:
    site.job("a", daily("06:00", tz="UTC"), catch_up="all")
    site.start()
    site.passes(DAY)
    site.stop()
    site.passes(2 * DAY + 12 * HOUR)
    site.jobs.clear()
    site.job("a", every(hours=1), catch_up="all")
    site.start()
    site.passes(2 * HOUR)

    fired = [at - MIDNIGHT for _, at, _, _ in site.started]
    assert fired[:4] == [6 * HOUR, 30 * HOUR, 54 * HOUR, 78 * HOUR]
    assert fired[4:] == [85 * HOUR, 86 * HOUR]


def test_a_renamed_key_takes_its_history_along(site: Site) -> None:
    site.job("old", next_daily)
    site.start()
    site.passes(2 * DAY)
    site.stop()
    site.jobs.clear()
    site.job("new", next_daily, formerly="old")
    site.passes(DAY)
    site.start()

    assert site.statuses("new") == ["succeeded"] * 3
    assert site.statuses("old") == []


def test_the_time_in_which_a_plugin_was_not_there_is_recorded_and_not_made_up(site: Site) -> None:
    site.job("a", next_daily)
    site.start()
    site.passes(DAY)
    site.stop()
    jobs, site.jobs = site.jobs, []
    known = site.store.jobs()
    site.store.set_absent({"a": (WindowKind.ABSENT, "plugin p is not installed")}, site.clock.now())
    site.start()
    assert site.host is not None
    site.host.add_absent(known)
    site.passes(2 * DAY)
    assert site.gaps("a") == [(GapReason.MISSED, 2)]
    site.stop()
    site.jobs = jobs
    site.passes(12 * HOUR)
    site.start()
    site.passes(DAY)

    assert [at - MIDNIGHT for _, at, _, _ in site.started] == [DAY, 4 * DAY]
    assert site.gaps("a") == [(GapReason.MISSED, 2)]
    assert site.store.gaps()[0].detail == "absent: plugin p is not installed"


def test_nothing_is_run_for_a_fire_time_just_before_a_plugin_was_found_gone(site: Site) -> None:
    site.job("a", next_daily)
    site.start()
    site.passes(DAY)
    site.stop()
    site.jobs = []
    known = site.store.jobs()
    site.passes(DAY + timedelta(seconds=10))
    site.store.set_absent({"a": (WindowKind.ABSENT, "plugin p is not installed")}, site.clock.now())
    site.start()
    assert site.host is not None
    site.host.add_absent(known)

    assert site.statuses("a") == ["succeeded"]
    assert site.gaps("a") == [(GapReason.MISSED, 1)]


def test_the_time_in_which_a_plugin_could_not_be_loaded_is_made_up(site: Site) -> None:
    site.job("a", next_daily)
    site.start()
    site.passes(DAY)
    site.stop()
    jobs, site.jobs = site.jobs, []
    site.store.set_absent({"a": (WindowKind.FAILED, "SyntaxError")}, site.clock.now())
    site.start()
    site.passes(2 * DAY)
    site.stop()
    site.jobs = jobs
    site.passes(12 * HOUR)
    site.start()

    assert [(at - MIDNIGHT, trigger) for _, at, trigger, _ in site.started][1:] == [(3 * DAY, Trigger.CATCH_UP)]
    assert site.gaps("a") == [(GapReason.SUPERSEDED, 1)]


# -- jitter


def test_jitter_delays_the_start_and_not_the_identity(in_memory: Site) -> None:
    for number in range(20):
        in_memory.job(f"job-{number}", every(hours=1), jitter="30m")
    in_memory.start()
    in_memory.passes(2 * HOUR)

    starts = {run.started_at for run in in_memory.store.runs()}
    assert {run.fire_time for run in in_memory.store.runs()} == {MIDNIGHT + HOUR}
    assert {run.trigger for run in in_memory.store.runs()} == {Trigger.SCHEDULE}
    assert len(starts) > 10
    assert max(start for start in starts if start) < MIDNIGHT + 90 * MINUTE


# -- what the effect says


@pytest.mark.parametrize(("is_done", "runs"), [(True, 1), (False, 2), (None, 1)])
def test_an_effect_that_is_not_there_is_had_again(site: Site, is_done: bool | None, runs: int) -> None:
    site.job("a", next_daily, is_done=lambda fire_time: is_done)
    site.start()
    site.passes(DAY)
    site.stop()
    site.start()
    site.passes(MINUTE)

    assert [attempt for *_, attempt in site.started] == [1, 2][:runs]
    assert site.statuses("a") == ["succeeded"]


@pytest.mark.parametrize("overlap", list(Overlap))
def test_whatever_the_overlap_a_day_of_hours_is_accounted_for(in_memory: Site, overlap: Overlap) -> None:
    in_memory.job("a", every(hours=1), overlap=overlap, takes=100 * MINUTE, fails=3, retry=2)
    in_memory.start()
    in_memory.passes(DAY)

    runs = in_memory.store.runs(job_key="a")
    gaps = in_memory.store.gaps(job_key="a")
    assert len(runs) + sum(gap.count or 0 for gap in gaps) == 24
    assert len({run.fire_key for run in runs}) == len(runs)
