"""The host's log keeps secrets to itself, in both of its formats and for every library's lines."""

from __future__ import annotations

import io
import json
import logging
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
