"""What takes too long on the main thread is broken off, and nobody else's timer is lost by it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from rapua_scheduler.plugin_loader.limits import TookTooLong, at_most

SOON = timedelta(milliseconds=50)


@pytest.fixture(autouse=True)
def _timer() -> Iterator[None]:
    """Keep the timer of pytest-timeout, which is the same, for after the test."""
    handler, (delay, interval) = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, delay, interval)


def spin() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    "work", [lambda: time.sleep(60), lambda: threading.Event().wait(), spin], ids=["sleep", "wait", "spin"]
)
def test_what_does_not_return_is_broken_off(work: object) -> None:
    with pytest.raises(TookTooLong, match=r"took longer than 0\.05 s, and was broken off"):
        at_most(SOON, work)  # type: ignore[arg-type]


def test_what_lets_no_exception_through_the_first_time_is_broken_off_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rapua_scheduler.plugin_loader import limits

    monkeypatch.setattr(limits, "_AGAIN", 0.05)
    caught: list[BaseException] = []

    def stubborn() -> None:
        try:
            time.sleep(60)
        except BaseException as error:
            caught.append(error)
        time.sleep(60)

    with pytest.raises(TookTooLong):
        at_most(SOON, stubborn)

    assert len(caught) == 1


def test_what_returns_in_time_is_returned_and_never_broken_off_later() -> None:
    assert at_most(SOON, lambda: 5) == 5

    time.sleep(2 * SOON.total_seconds())


def test_what_it_raises_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        at_most(SOON, lambda: 1 / 0)


def test_somebody_elses_timer_goes_on_with_what_is_left_of_it() -> None:
    rung: list[int] = []
    signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 20, 5)

    at_most(SOON, lambda: time.sleep(0.01))

    delay, interval = signal.getitimer(signal.ITIMER_REAL)
    assert 19 < delay <= 19.99
    assert interval == 5
    signal.raise_signal(signal.SIGALRM)
    assert rung == [signal.SIGALRM]


def test_in_another_thread_nothing_is_broken_off() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(at_most(SOON / 10, lambda: time.sleep(0.05) or 5)))  # type: ignore[func-returns-value]

    thread.start()
    thread.join()

    assert found == [5]
