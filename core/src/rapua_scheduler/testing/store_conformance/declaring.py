"""What every store must do with what is recorded of jobs."""

# ruff: noqa: D102, S101  the names of tests are their docstrings, and assertions what they are made of

from __future__ import annotations

import pytest
from attrs import evolve

from rapua_scheduler.errors import UnknownJobError
from rapua_scheduler.run import Trigger
from rapua_scheduler.store.port import FormerSchedule, Store, StoredJob
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    START,
    job_of,
    not_to_run,
    some_job,
    some_run,
    to_run,
)


class Declaring:
    """Tests of what is recorded of jobs."""

    def test_a_new_job_has_nothing_to_catch_up(self, store: Store) -> None:
        registered = some_job()

        stored = store.declare([registered], START)["sweep"]

        assert stored == StoredJob(
            key="sweep",
            name="Sweep",
            plugin="cleaning",
            distribution="acme-cleaning",
            version="1.0",
            schedule=registered.schedule,
            fingerprint=registered.fingerprint,
            mark=START,
            next_fire_time=None,
            first_seen_at=START,
            last_seen_at=START,
        )

    def test_a_known_job_keeps_its_mark_when_declared_anew(self, store: Store) -> None:
        store.declare([some_job()], START)
        store.decide([to_run(1)])
        renewed = some_job(name="Sweep well", hours=2, version="2.0")

        stored = store.declare([renewed], START + 5 * HOUR)["sweep"]

        assert (stored.mark, stored.first_seen_at, stored.last_seen_at) == (START + HOUR, START, START + 5 * HOUR)
        assert (stored.name, stored.version, stored.schedule) == ("Sweep well", "2.0", renewed.schedule)
        assert stored.fingerprint == renewed.fingerprint

    def test_declaring_leaves_other_jobs_as_they_are(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)
        before = job_of(store, "mop")

        returned = store.declare([some_job("sweep")], START + HOUR)

        assert list(returned) == ["sweep"]
        assert job_of(store, "mop") == before

    def test_declaring_ends_no_former_schedule_of_other_jobs(self, store: Store) -> None:
        store.declare([some_job("mop", hours=1)], START)
        store.declare([some_job("mop", hours=2)], START + 900 * HOUR)
        before = job_of(store, "mop")

        store.declare([some_job("sweep")], START + HOUR)

        assert job_of(store, "mop") == before

    def test_a_job_may_come_from_another_package(self, store: Store) -> None:
        store.declare([some_job()], START)

        stored = store.declare([evolve(some_job(), plugin="tidying", distribution="acme-tidying")], START)["sweep"]

        assert (stored.plugin, stored.distribution) == ("tidying", "acme-tidying")

    def test_jobs_come_by_key(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("air"), some_job("mop")], START)

        assert [job.key for job in store.jobs()] == ["air", "mop", "sweep"]

    def test_a_name_that_no_database_takes_is_escaped(self, store: Store) -> None:
        store.declare([some_job(name="Swe\udcffep\0 · čistě 🧹")], START)

        assert job_of(store).name == "Swe\\udcffep\\x00 · čistě 🧹"

    def test_next_fire_times_are_kept_and_marks_stay(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)

        store.set_next({"sweep": START + 3 * HOUR, "mop": None})

        assert (job_of(store).next_fire_time, job_of(store).mark) == (START + 3 * HOUR, START)
        assert job_of(store, "mop").next_fire_time is None

    def test_no_next_fire_time_is_recorded_when_one_of_the_jobs_is_unknown(self, store: Store) -> None:
        store.declare([some_job()], START)

        with pytest.raises(UnknownJobError, match="'mop'"):
            store.set_next({"sweep": START + HOUR, "mop": START + HOUR})
        store.claim(some_run(1, "mop", trigger=Trigger.MANUAL))
        with pytest.raises(UnknownJobError, match="'mop'"):
            store.set_next({"sweep": START + HOUR, "mop": START + HOUR})

        assert job_of(store).next_fire_time is None

    def test_a_new_job_may_be_given_what_it_has_to_catch_up(self, store: Store) -> None:
        store.declare([some_job("mop")], START)

        stored = store.declare([some_job("sweep"), some_job("mop")], START + HOUR, adopt_from=START - 9 * HOUR)

        assert (stored["sweep"].mark, stored["sweep"].first_seen_at) == (START - 9 * HOUR, START + HOUR)
        assert stored["mop"].mark == START

    def test_a_job_run_by_hand_before_it_was_declared_may_be_given_something_to_catch_up(self, store: Store) -> None:
        store.claim(some_run(1, trigger=Trigger.MANUAL))

        assert store.declare([some_job()], START, adopt_from=START - HOUR)["sweep"].mark == START - HOUR

    def test_a_job_that_has_not_changed_has_no_former_schedule(self, store: Store) -> None:
        store.declare([some_job()], START)

        stored = store.declare([some_job(name="Other", version="2.0")], START + HOUR)["sweep"]

        assert stored.formers == ()

    def test_every_schedule_that_a_job_had_is_kept_with_its_end(self, store: Store) -> None:
        store.declare([some_job(hours=1), some_job("mop")], START)
        store.declare([some_job(hours=2)], START + 3 * HOUR)
        store.decide([not_to_run(4)])
        store.declare([some_job(hours=2)], START + 5 * HOUR)

        stored = store.declare([some_job(hours=1)], START + 6 * HOUR)["sweep"]

        assert stored.formers == (
            FormerSchedule(some_job(hours=1).fingerprint, START + 3 * HOUR),
            FormerSchedule(some_job(hours=2).fingerprint, START + 6 * HOUR),
        )
        assert stored.fingerprint == some_job(hours=1).fingerprint
        assert job_of(store) == stored
        assert job_of(store, "mop").formers == ()

    def test_a_change_that_a_clock_ahead_has_told_was_at_the_next_declaration(self, store: Store) -> None:
        store.declare([some_job("sweep", hours=1), some_job("mop", hours=1)], START)
        store.decide([not_to_run(5, job_key="mop")])
        store.declare([some_job("sweep", hours=2), some_job("mop", hours=2)], START + 900 * HOUR)

        stored = store.declare([some_job("sweep", hours=2), some_job("mop", hours=3)], START + 4 * HOUR)

        assert [former.until for former in stored["sweep"].formers] == [START + 4 * HOUR]
        assert [former.until for former in stored["mop"].formers] == [START + 5 * HOUR, START + 4 * HOUR]

    def test_schedules_long_past_are_forgotten(self, store: Store) -> None:
        store.declare([some_job(hours=1)], START)
        store.declare([some_job(hours=2)], START + HOUR)
        store.declare([some_job(hours=3)], START + 3 * HOUR)
        store.declare([some_job(hours=4)], START + 5 * HOUR)

        store.prune(START + 9 * HOUR, 10)
        assert len(job_of(store).formers) == 3
        store.decide([not_to_run(3)])
        store.prune(START + HOUR, 10)
        assert len(job_of(store).formers) == 3
        store.prune(START + 9 * HOUR, 10)
        assert [former.until for former in job_of(store).formers] == [START + 5 * HOUR]

    def test_a_host_began_no_later_than_it_declares_its_jobs(self, store: Store) -> None:
        store.become_host()

        store.declare([some_job()], START)

        host = store.host()
        assert host is not None
        assert host.started_at == START
        store.declare([some_job()], START + HOUR)
        assert store.host() == host

    def test_declaring_nothing_is_no_trouble(self, store: Store) -> None:
        assert dict(store.declare([], START)) == {}

    def test_only_what_was_declared_is_returned(self, store: Store) -> None:
        store.declare([some_job("sweep"), some_job("mop")], START)

        stored = store.declare([some_job("sweep")], START)

        assert (list(stored), len(stored), "mop" in stored) == (["sweep"], 1, False)
        with pytest.raises(KeyError):
            stored["mop"]
