"""What an attempt says of itself is collected, bounded, and without secrets."""

from __future__ import annotations

import logging
import threading
import time
import timeit
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapua_scheduler.clock import SystemClock
from rapua_scheduler.recorder import LONGEST_LINE, MOST_AT_ONCE, MOST_PENDING, LoggedLine, Recorder
from rapua_scheduler.run import LogLine

AT = datetime(2026, 11, 1, tzinfo=UTC)
FAILED = """Failed exception="ValueError: invalid literal for int() with base 10: 'password=***'\""""
NAME = "rapua_scheduler.job"


class StandingClock(SystemClock):
    def now(self) -> datetime:
        return AT


def recorder() -> Recorder:
    return Recorder(StandingClock(), 2)


def texts(found: Recorder, *, is_last: bool = False) -> list[str]:
    report = found.drain(is_last=is_last)
    return [] if report is None else [line.text for line in report[0]]


def test_an_attempt_that_says_nothing_has_nothing_to_store() -> None:
    assert recorder().drain() is None
    assert recorder().drain(is_last=True) is None


def test_a_line_is_recorded_with_its_fields_and_without_what_the_run_says_anyway() -> None:
    heard = recorder()
    log = heard.logger(NAME, job="Digest", run_id="1")

    log.info("Sent", users=3, to="a b")
    log.bind(step="two").warning("Late by %s s", 5, job="another")

    report = heard.drain()
    assert report is not None
    assert [(line.at, line.attempt, line.level, line.text) for line in report[0]] == [
        (AT, 2, "info", "Sent users=3 to='a b'"),
        (AT, 2, "warning", "Late by 5 s job='another' step='two'"),
    ]
    assert report[1:] == (None, None)
    assert heard.drain() is None


def test_lines_from_info_on_are_recorded_whatever_the_host_logs(caplog: pytest.LogCaptureFixture) -> None:
    heard = recorder()

    with caplog.at_level(logging.ERROR, "rapua_scheduler"):
        log = heard.logger(NAME)
        log.debug("no")
        log.info("yes")
        log.error("both")

    assert texts(heard) == ["yes", "both"]
    assert [str(record.msg) for record in caplog.records] == ["both"]


def test_a_line_also_goes_to_the_hosts_log_with_its_bound_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "rapua_scheduler"):
        recorder().logger(NAME, job_key="digest").info("Sent", token="hunter2")

    (record,) = caplog.records
    assert record.name == NAME
    assert str(record.msg) == "Sent job_key='digest' token='***'"


def test_an_exception_is_told_in_the_line() -> None:
    heard = recorder()
    log = heard.logger(NAME)

    try:
        int("password=hunter2")
    except ValueError as error:
        log.exception("Failed")
        log.warning("Failed", exc_info=error)
        log.info("Failed", exc_info=(type(error), error, None))

    assert texts(heard) == [FAILED] * 3


def test_a_line_is_one_line_of_bounded_length_without_secrets() -> None:
    heard = recorder()

    heard.logger(NAME).info("one\ntwo", url="https://me:hunter2@db", text="x" * 10_000)
    heard.add("info", "y" * 100_000)
    heard.add("info", "z" * (LONGEST_LINE - 20) + " postgres://me:" + "hunter2" * 20 + "@db")

    first, second, third = texts(heard)
    assert first.startswith("one two url='https://me:***@db' text='xxx")
    assert len(first) <= LONGEST_LINE
    assert len(second) == LONGEST_LINE
    assert "hunter2" not in third


def test_a_value_whose_representation_raises_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    class Silent:
        def __repr__(self) -> str:
            raise SystemExit("no")

    heard = recorder()
    with caplog.at_level(logging.CRITICAL, "rapua_scheduler"):
        heard.logger(NAME).error("Odd", value=Silent())

    assert texts(heard) == ["Odd value=<Silent; its representation raised SystemExit>"]


def test_what_a_line_was_made_from_is_kept_plain_where_it_is_to_be_told_elsewhere() -> None:
    class Silent:
        def __str__(self) -> str:
            raise SystemExit("no")

        __repr__ = __str__

    heard = Recorder(StandingClock(), 2, keeps_events=True)
    log = heard.logger(NAME)

    log.info("Sent %s", "it", users=3, ratio=0.5, to=None, huge=10**100, at=AT, ids=[1, 2], odd=Silent())
    log.warning("Sent", url="https://me:hunter2@db", text="x" * 10_000, **{f"field{n}": n for n in range(100)})
    try:
        int("password=hunter2")
    except ValueError:
        log.exception("Failed")
    heard.add("info", "printed")

    report = heard.drain()
    assert report is not None
    first, second, third, printed = report[0]
    assert isinstance(first, LoggedLine)
    assert first.event == {
        "event": "Sent it",
        "users": 3,
        "ratio": 0.5,
        "to": None,
        "huge": repr(10**100),
        "at": "2026-11-01 00:00:00+00:00",
        "ids": "[1, 2]",
        "odd": "<Silent; its representation raised SystemExit>",
    }
    assert isinstance(second, LoggedLine)
    assert second.event["url"] == "https://me:***@db"
    assert second.event["text"] == "x" * LONGEST_LINE
    assert len(second.event) < 100
    assert isinstance(third, LoggedLine)
    assert third.event["exception"] == "ValueError: invalid literal for int() with base 10: 'password=***'"
    assert printed == LogLine(AT, 2, "info", "printed")


def test_progress_is_the_newest_and_told_once() -> None:
    heard = recorder()

    heard.progress(1, 10)
    heard.progress(2, 10)

    assert heard.drain() == ((), 2, 10)
    assert heard.drain() is None
    heard.progress(3, None)
    assert heard.drain() == ((), 3, None)


@pytest.mark.parametrize(
    ("done", "total", "kept"),
    [("x", 1, None), (None, 1, None), (2.9, 3.1, (2, 3)), (-1, 2**80, (0, 2**63 - 1)), (float("inf"), 1, None)],
)
def test_progress_that_is_no_number_is_passed_over(done: object, total: object, kept: object) -> None:
    heard = recorder()

    heard.progress(done, total)  # type: ignore[arg-type]

    assert heard.drain() == (None if kept is None else ((), *kept))  # type: ignore[misc]


def test_of_too_many_pending_lines_the_newest_are_kept_and_the_others_counted() -> None:
    heard = recorder()

    for number in range(MOST_PENDING + 7):
        heard.add("info", str(number))

    note, first, *_, last = texts(heard)
    assert note == "… (7 lines were too many, and are left out here)"
    assert (first, last) == ("7", str(MOST_PENDING + 6))


def test_a_flood_is_stored_at_its_beginning_and_its_end() -> None:
    heard = recorder()
    stored = []

    for number in range(100_000):
        heard.add("info", str(number))
        if number % 100 == 0:
            stored += texts(heard)
    heard.progress(1, None)
    assert heard.drain() == ((), 1, None)
    assert heard.drain() is None
    at_the_end = texts(heard, is_last=True)

    assert stored[:3] == ["0", "1", "2"]
    assert MOST_AT_ONCE <= len(stored) < MOST_AT_ONCE + MOST_PENDING
    assert at_the_end[-1] == "99999"
    assert len(at_the_end) == MOST_PENDING + 1
    left_out = int(at_the_end[0].split("(")[1].split()[0])
    assert len(stored) + left_out + MOST_PENDING == 100_000


@given(st.lists(st.one_of(st.just("drain"), st.just("progress"), st.text(max_size=5)), max_size=60))
def test_no_line_is_lost_or_told_twice_as_long_as_they_are_few(steps: list[str]) -> None:
    heard = recorder()
    said, stored = [], []

    for number, step in enumerate(steps):
        if step == "drain":
            stored += texts(heard)
        elif step == "progress":
            heard.progress(number, None)
        else:
            said.append(f"{number} {step}")
            heard.add("info", said[-1])
    stored += texts(heard, is_last=True)

    assert [text.split()[0] for text in stored] == [text.split()[0] for text in said]


def test_threads_may_write_at_once() -> None:
    heard = recorder()
    log = heard.logger(NAME)
    together = threading.Barrier(4)

    def write() -> None:
        together.wait()
        for _ in range(100):
            log.info("line")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(texts(heard)) == 400


def test_an_attempt_that_says_nothing_costs_next_to_nothing() -> None:
    clock = SystemClock()

    seconds = min(timeit.repeat(lambda: Recorder(clock, 1).drain(is_last=True), number=1000, repeat=5)) / 1000

    assert seconds < 10e-6  # measured: 0.4 µs


@pytest.mark.parametrize(
    "make",
    [
        lambda: [[0] * 1000] * 100_000,
        lambda: b"x" * 500_000_000,
        lambda: dict.fromkeys(range(5_000_000)),
        lambda: {"rows": UserText("x" * 200_000_000)},
        lambda: ValueError([[0] * 1000] * 100_000),
    ],
    ids=["nested", "bytes", "keys", "text", "error"],
)
@pytest.mark.timeout(20)
def test_a_large_value_is_recorded_at_once(make: Callable[[], object], caplog: pytest.LogCaptureFixture) -> None:
    heard = recorder()
    value = make()

    with caplog.at_level(logging.INFO, "rapua_scheduler"):
        began = time.monotonic()
        heard.logger(NAME).info("Large", value=value, exc_info=value if isinstance(value, BaseException) else None)
        heard.logger(NAME).info("Large %s", value)
        took = time.monotonic() - began
    longest = max(len(str(record.msg)) for record in caplog.records)
    del value  # what a failed test shows of it would take minutes

    assert max(map(len, texts(heard))) <= LONGEST_LINE
    assert longest < 250_000
    assert took < 1  # measured: 0.05 s


class UserText(str): ...
