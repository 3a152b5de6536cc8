"""Whoever should read the log, and does not, cannot hold up the host (fault 81)."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest

from rapua_scheduler.log_output import PATIENCE, LogOutput


class Pipe:
    """A pipe to a reader that reads when it is told to, and the handler that writes to it."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 16_384)
        self.stream = os.fdopen(writer, "w")
        self.told: list[int] = []
        self.output = LogOutput(self.stream, self.told.append)

    def write(self, text: str) -> None:
        self.output.handle(logging.LogRecord("test", logging.INFO, "", 0, text, None, None))

    def read(self) -> str:
        os.set_blocking(self.reader, False)
        read = b""
        while True:
            try:
                piece = os.read(self.reader, 65_536)
            except BlockingIOError:
                return read.decode()
            if not piece:
                return read.decode()
            read += piece

    def close(self) -> None:
        self.stream.close()
        if self.reader >= 0:
            os.close(self.reader)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_lines_come_as_they_were_written(pipe: Pipe) -> None:
    pipe.write("one é \udcff")
    pipe.write("two")

    assert pipe.read() == "one é \\udcff\ntwo\n"


def test_fault_81_a_reader_that_has_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.reader = -1

    for _ in range(3):
        pipe.write("nobody hears")

    assert pipe.output.lost == 3
    assert pipe.told == []


def test_fault_81_a_reader_that_does_not_read_costs_one_line_its_patience(pipe: Pipe) -> None:
    began = time.monotonic()
    for number in range(500):
        pipe.write(f"{number} {'x' * 100}")
    took = time.monotonic() - began

    assert PATIENCE <= took < PATIENCE + 1
    assert pipe.output.lost > 300


def test_fault_81_what_was_lost_is_told_once_somebody_reads_again(pipe: Pipe) -> None:
    for number in range(400):
        pipe.write(f"{number} {'x' * 100}")
    lost = pipe.output.lost
    before = pipe.read()
    pipe.write("again")

    kept = [line for line in before.splitlines() if len(line) > 100]
    assert len(kept) + lost == 400
    assert pipe.told == [lost]
    assert pipe.output.lost == 0
    assert "again" in pipe.read().splitlines()


def test_a_long_line_that_is_torn_does_not_take_the_next_one_with_it(pipe: Pipe) -> None:
    pipe.write("x" * 50_000)
    torn = pipe.read()
    pipe.write("next")

    assert 0 < len(torn) < 50_000
    assert pipe.read() == "\nnext\n"


def test_a_slow_reader_loses_nothing(pipe: Pipe) -> None:
    read: list[str] = []
    is_over = threading.Event()

    def read_slowly() -> None:
        while not is_over.wait(0.005):
            read.append(pipe.read())
        read.append(pipe.read())

    reader = threading.Thread(target=read_slowly)
    reader.start()
    for number in range(2000):
        pipe.write(f"{number} {'x' * 60}")
    is_over.set()
    reader.join()

    assert [line.split()[0] for line in "".join(read).splitlines()] == [str(number) for number in range(2000)]


def test_fault_81_control_an_ordinary_handler_waits_as_long_as_nobody_reads(pipe: Pipe) -> None:
    ordinary = logging.StreamHandler(pipe.stream)
    record = logging.LogRecord("test", logging.INFO, "", 0, "x" * 100, None, None)
    writer = threading.Thread(target=lambda: [ordinary.handle(record) for _ in range(300)])
    writer.start()

    writer.join(PATIENCE * 4)
    waits = writer.is_alive()
    while writer.is_alive():
        pipe.read()
        writer.join(0.01)

    assert waits


def test_a_stream_that_is_no_file_is_written_to_and_may_be_closed() -> None:
    stream = io.StringIO()
    output = LogOutput(stream, lambda _: None)
    record = logging.LogRecord("test", logging.INFO, "", 0, "line", None, None)

    output.handle(record)
    assert stream.getvalue() == "line\n"
    stream.close()
    output.handle(record)
    assert output.lost == 1


def test_what_cannot_be_shown_is_told_so(pipe: Pipe) -> None:
    class Silent:
        def __str__(self) -> str:
            raise ValueError("no")

    pipe.output.handle(logging.LogRecord("somebody", logging.INFO, "", 0, Silent(), None, None))

    assert pipe.read() == "a line of somebody cannot be shown: ValueError\n"
