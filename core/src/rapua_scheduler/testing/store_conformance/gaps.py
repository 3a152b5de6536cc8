"""What every store must do with gaps."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import pytest
from attrs import evolve

from rapua_scheduler.run import Decision, Gap, GapReason, Trigger
from rapua_scheduler.store.port import Store
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    not_to_run,
    some_gap,
    some_job,
    some_run,
    to_queue,
    to_run,
    waiting,
)


class Gaps:
    """Tests of gaps."""

    def test_gaps_that_follow_each_other_become_one(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1)])
        store.decide([not_to_run(3, some_gap(2), some_gap(3))])

        assert store.gaps() == [some_gap(1, 3)]

    def test_a_gap_of_unknown_count_makes_the_count_of_the_whole_unknown(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([not_to_run(1)])

        store.decide([not_to_run(9, evolve(some_gap(2, 9), count=None)), not_to_run(10)])

        assert store.gaps() == [evolve(some_gap(1, 10), count=None)]

    @pytest.mark.parametrize(
        "other",
        [some_gap(2, detail="run 7 was going on"), evolve(some_gap(2), reason=GapReason.MISSED)],
        ids=["detail", "reason"],
    )
    def test_gaps_that_differ_stay_two(self, store: Store, other: Gap) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1), not_to_run(2, other)])

        assert store.gaps() == [other, some_gap(1)]

    def test_gaps_of_two_jobs_stay_two(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)

        store.decide([not_to_run(1), not_to_run(2, some_gap(2, job_key="mop"), job_key="mop")])

        assert store.gaps() == [some_gap(2, job_key="mop"), some_gap(1)]

    def test_a_gap_of_one_job_does_not_grow_by_what_another_one_does_not_run(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)

        store.decide([not_to_run(1)])
        store.decide([not_to_run(2, job_key="mop")])

        assert store.gaps() == [some_gap(2, job_key="mop"), some_gap(1)]

    def test_of_gaps_that_end_at_the_same_time_the_one_recorded_last_comes_first(self, store: Store) -> None:
        keys = ["mop", "air", "sweep"]
        store.declare([some_job(key) for key in keys], START)
        for key in keys:
            store.decide([not_to_run(1, job_key=key)])

        assert [gap.job_key for gap in store.gaps()] == ["sweep", "air", "mop"]
        assert [gap.job_key for gap in store.gaps(limit=1)] == ["sweep"]

    def test_a_detail_that_no_database_takes_is_escaped(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1, some_gap(1, detail="run\0 \udcff"))])

        assert [gap.detail for gap in store.gaps()] == ["run\\x00 \\udcff"]

    def test_a_claim_keeps_the_gaps_around_it_apart(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1)])
        store.decide([to_run(2)])
        store.decide([not_to_run(3)])

        assert store.gaps() == [some_gap(3), some_gap(1)]

    def test_a_claim_by_hand_keeps_the_gaps_around_it_apart(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1)])
        store.claim(some_run(2, trigger=Trigger.MANUAL))
        store.decide([not_to_run(2)])

        assert store.gaps() == [some_gap(2), some_gap(1)]

    def test_a_run_of_the_same_decision_keeps_the_gaps_around_it_apart(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([not_to_run(1)])

        store.decide([Decision("sweep", START + 4 * HOUR, None, (some_run(3),), (some_gap(2), some_gap(4)))])
        store.decide([not_to_run(5)])

        assert store.gaps() == [some_gap(5), some_gap(4), some_gap(1, 2)]

    def test_gaps_are_filtered_by_job_and_time_newest_first(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        store.decide([not_to_run(2, some_gap(1, detail="a"), some_gap(2, detail="b"))])
        store.decide([not_to_run(3, some_gap(3, job_key="mop"), job_key="mop")])

        assert [gap.last for gap in store.gaps()] == [START + 3 * HOUR, START + 2 * HOUR, START + HOUR]
        assert [gap.detail for gap in store.gaps(job_key="sweep")] == ["b", "a"]
        assert [gap.detail for gap in store.gaps(job_key="sweep", since=START + 2 * HOUR)] == ["b"]
        assert [gap.job_key for gap in store.gaps(limit=1)] == ["mop"]
        assert store.gaps(job_key="nobody") == []

    def test_gaps_are_listed_by_their_ends(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        long, short = some_gap(1, 5), some_gap(2, 3, "mop")
        store.decide([not_to_run(5, long), not_to_run(5, short, job_key="mop")])

        assert store.gaps() == [long, short]
        assert store.gaps(since=START + 3 * HOUR) == [long, short]
        assert store.gaps(since=START + 4 * HOUR) == [long]

    def test_a_queued_run_keeps_the_gaps_around_it_apart(self, store: Store) -> None:
        store.declare([some_job()], START)

        store.decide([not_to_run(1)])
        store.decide([to_queue(2)])
        store.decide([not_to_run(3)])

        assert store.gaps() == [some_gap(3), some_gap(1)]

    def test_every_run_of_a_decision_keeps_the_gaps_around_it_apart(self, store: Store) -> None:
        store.declare([some_job()], START)
        gaps = (some_gap(1), some_gap(3), some_gap(5), some_gap(6))

        store.decide([Decision("sweep", START + 6 * HOUR, None, (waiting(2), waiting(4)), gaps)])

        assert store.gaps() == [some_gap(5, 6), some_gap(3), some_gap(1)]
