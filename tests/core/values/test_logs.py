"""The host's log keeps secrets to itself, in both of its formats and for every library's lines."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator

import pytest

from rapua_scheduler.logs import LogFormat, configure_logging, get_logger


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Put back what the tests configure."""
    root, ours = logging.getLogger(), logging.getLogger("rapua_scheduler")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


SECRET = "hunter2"


def connect(secret: str) -> None:
    raise ConnectionError(f"postgres://me:{secret}@db refused")


@pytest.mark.parametrize("format_", ["console", "json"])
def test_no_secret_is_written(format_: LogFormat) -> None:
    stream = io.StringIO()
    configure_logging(format_, stream=stream)
    log = get_logger("rapua_scheduler.job", token="hunter2")

    log.info("Sent password=hunter2", headers={"Cookie": "hunter2"}, users=3)
    logging.getLogger("somebody.else").warning("token=%s", "hunter2")
    try:
        connect(SECRET)
    except ConnectionError:
        log.exception("Failed")
        logging.getLogger("somebody.else").exception("Failed")

    written = stream.getvalue()
    assert "hunter2" not in written
    assert "ConnectionError: postgres://me:***@db refused" in written or format_ == "json"
    assert "connect(" in written or '"connect"' in written
    if format_ == "json":
        sent, *_ = map(json.loads, written.splitlines())
        assert sent["headers"] == {"Cookie": "***"}
        assert sent["users"] == 3


def fail(value: object) -> None:
    raise ValueError(value)


@pytest.mark.parametrize("format_", ["console", "json"])
@pytest.mark.timeout(20)
def test_what_is_large_is_written_cut_and_at_once(format_: LogFormat) -> None:
    stream = io.StringIO()
    configure_logging(format_, stream=stream)
    log, other = get_logger("rapua_scheduler.job"), logging.getLogger("somebody.else")
    large = [[0] * 1000] * 100_000

    began = time.monotonic()
    log.info("Rows", rows=large, text="x" * 100_000_000)
    log.info("Rows %s", large)
    other.warning("Rows %s", large)
    other.warning("Rows %(rows)s", {"rows": large})
    other.warning(large)
    try:
        fail(large)
    except ValueError as error:
        log.exception("Failed")
        other.exception("Failed")
        log.info("Failed", exc_info=error)
    took = time.monotonic() - began
    del large  # what a failed test shows of it would take minutes

    lines = stream.getvalue()
    assert lines.count("Rows") == 4
    assert lines.count("Failed") == 3
    assert "cannot be shown" not in lines
    assert len(lines) < 2_000_000
    assert took < 2  # measured: 0.2 s


def test_what_others_are_handed_of_a_line_stays_as_it_is() -> None:
    configure_logging("console", stream=io.StringIO())
    heard: list[logging.LogRecord] = []
    other = logging.Handler()
    other.emit = heard.append  # type: ignore[method-assign, assignment]
    logging.getLogger().addHandler(other)
    large = ["x" * 200_000]

    logging.getLogger("somebody.else").warning("Rows %s", large)

    assert heard[0].args == (large,)
