"""Operations share commits, and fail each by itself."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rapua_scheduler.errors import StoreError
from rapua_scheduler.run import LogLine, Outcome, RunStatus
from rapua_scheduler.store.locks import lock_path
from rapua_scheduler.store.sqlite import SqliteStore
from rapua_scheduler.store.writer import Writer
from rapua_scheduler.testing.store_conformance import PATIENCE, START, run_of, settle, some_job, some_run, to_run

Answer = tuple[Exception | None, bool]


def record_numbers(connection: sqlite3.Connection, numbers: Sequence[int]) -> Sequence[bool]:
    """Insert numbers; odd ones are not accepted, and -1 breaks whatever it is recorded with."""
    if -1 in numbers:
        connection.execute("INSERT INTO numbers VALUES (1000)")
        raise ValueError("-1 cannot be recorded")
    connection.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in numbers])
    return [number % 2 == 0 for number in numbers]


class Answers:
    """What the writer said of notes, in the order it did."""

    def __init__(self) -> None:
        self.given: dict[int, Answer] = {}
        self._told = threading.Semaphore(0)

    def of(self, number: int) -> Callable[[Exception | None, bool], None]:
        def then(error: Exception | None, is_accepted: bool) -> None:
            assert number not in self.given, "told twice"
            self.given[number] = (error, is_accepted)
            self._told.release()

        return then

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self._told.acquire(timeout=PATIENCE)


@pytest.fixture
def connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE numbers (number INTEGER CHECK (number < 1000000))")
    return connection


@pytest.fixture
def writer(path: Path, connection: sqlite3.Connection) -> Iterator[Writer[int]]:
    writer = Writer(path, connection, record_numbers)
    yield writer
    writer.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep everybody else from writing, as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def numbers_in(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as db:
        return [number for (number,) in db.execute("SELECT number FROM numbers ORDER BY rowid")]


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    def operation(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return operation


def started(*targets: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def wait_until(is_so: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.001)):
        if is_so():
            return
        pause.wait(0.001)
    pytest.fail("waited in vain")


def test_an_operation_returns_its_value_once_it_is_durable(writer: Writer[int], path: Path) -> None:
    assert writer.call(insert(7)) == 7

    assert numbers_in(path) == [7]


def test_an_idle_writer_lets_the_caller_commit_by_itself(writer: Writer[int]) -> None:
    assert writer.call(lambda _: threading.current_thread()) is threading.current_thread()


def test_what_comes_in_during_a_commit_shares_the_next(
    writer: Writer[int], connection: sqlite3.Connection, path: Path
) -> None:
    answers = Answers()
    commits: list[str] = []
    connection.set_trace_callback(lambda statement: commits.append(statement) if statement == "COMMIT" else None)

    with locked(path):
        for number in range(2000):
            writer.note(number, answers.of(number))
    answers.wait_for(2000)

    assert sorted(numbers_in(path)) == list(range(2000))
    assert len(commits) <= 3
    assert {number: is_accepted for number, (_, is_accepted) in answers.given.items()} == {
        number: number % 2 == 0 for number in range(2000)
    }


def test_an_operation_that_fails_takes_no_other_down(writer: Writer[int], path: Path) -> None:
    answers = Answers()
    ends: dict[str, object] = {}

    def call(name: str, operation: Callable[[sqlite3.Connection], object]) -> Callable[[], None]:
        def in_thread() -> None:
            try:
                ends[name] = writer.call(operation)
            except Exception as error:
                ends[name] = type(error)

        return in_thread

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES (500)")
        raise KeyError("half done")

    with locked(path):
        for number in (2, -1, 4, 3):
            writer.note(number, answers.of(number))
        threads = started(
            call("good", insert(6)), call("half", half), call("refused", insert(10**9)), call("good too", insert(8))
        )
        wait_until(lambda: writer._queue.qsize() + len(ends) >= 3)  # all are queued, or wait to be
    for thread in threads:
        thread.join(PATIENCE)
    answers.wait_for(4)

    assert ends == {"good": 6, "half": KeyError, "refused": StoreError, "good too": 8}
    assert sorted(numbers_in(path)) == [2, 3, 4, 6, 8]
    assert answers.given.pop(-1)[1] is False
    assert answers.given == {2: (None, True), 4: (None, True), 3: (None, False)}


def test_a_note_that_cannot_be_recorded_is_told_why(writer: Writer[int], path: Path) -> None:
    answers = Answers()

    writer.note(-1, answers.of(0))
    answers.wait_for(1)

    error, is_accepted = answers.given[0]
    assert str(error) == "-1 cannot be recorded"
    assert not is_accepted
    assert numbers_in(path) == []


def test_a_commit_that_fails_fails_all_of_it(writer: Writer[int], connection: sqlite3.Connection, path: Path) -> None:
    answers = Answers()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    with locked(path):
        for number in range(20_000):
            writer.note(number, answers.of(number))
    answers.wait_for(20_000)
    failed = {number for number, (error, _) in answers.given.items() if error is not None}
    connection.execute("PRAGMA max_page_count = 1000000")

    assert failed
    assert {type(answers.given[number][0]) for number in failed} == {StoreError}
    assert not any(answers.given[number][1] for number in failed)
    assert set(numbers_in(path)) == set(range(20_000)) - failed
    assert writer.call(insert(7)) == 7


def test_a_lock_held_by_another_process_is_waited_for(writer: Writer[int], path: Path) -> None:
    with locked(path):
        threads = started(lambda: writer.call(insert(1)))
        answers = Answers()
        writer.note(2, answers.of(2))
    answers.wait_for(1)
    for thread in threads:
        thread.join(PATIENCE)

    assert sorted(numbers_in(path)) == [1, 2]


def test_a_lock_held_for_too_long_is_an_error_and_nothing_is_recorded(path: Path) -> None:
    impatient = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.01)
    impatient.execute("PRAGMA journal_mode = WAL")
    impatient.execute("CREATE TABLE numbers (number INTEGER)")
    writer = Writer(path, impatient, record_numbers)
    answers = Answers()
    with locked(path):
        with pytest.raises(StoreError, match=f"store {path}: another process has kept it locked for too long"):
            writer.call(insert(1))
        writer.note(2, answers.of(2))
        answers.wait_for(1)

    assert isinstance(answers.given[2][0], StoreError)
    assert writer.call(insert(3)) == 3
    writer.close()
    assert numbers_in(path) == [3]


def test_a_store_whose_lock_file_is_gone_is_written_no_more(path: Path) -> None:
    held = lock_path(path).open("w")  # as a store does: its number is given to no other file
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE numbers (number INTEGER)")
    writer = Writer(path, connection, record_numbers)
    writer.call(insert(1))

    lock_path(path).unlink()
    with pytest.raises(StoreError, match=f"store {path}: has lost its lock file"):
        writer.call(insert(2))
    lock_path(path).touch()
    with pytest.raises(StoreError, match="another process may take the store"):
        writer.call(insert(3))

    held.close()
    writer.close()
    assert numbers_in(path) == [1]


def test_a_file_that_was_moved_away_is_written_no_more(writer: Writer[int], path: Path) -> None:
    answers = Answers()
    path.rename(path.with_name("elsewhere.db"))

    with pytest.raises(StoreError, match="was moved, replaced or deleted while in use"):
        writer.call(insert(1))
    writer.note(2, answers.of(2))
    answers.wait_for(1)
    path.with_name("elsewhere.db").rename(path)

    assert isinstance(answers.given[2][0], StoreError)
    assert writer.call(insert(3)) == 3
    assert numbers_in(path) == [3]


@pytest.mark.parametrize("mistake", [RuntimeError, SystemExit])
def test_a_callback_that_raises_is_logged_and_stops_nothing(
    writer: Writer[int], caplog: pytest.LogCaptureFixture, mistake: type[BaseException]
) -> None:
    answers = Answers()

    def then(error: Exception | None, is_accepted: bool) -> None:
        raise mistake("a callback's own")

    with caplog.at_level(logging.ERROR, "rapua_scheduler"):
        writer.note(2, then)
        writer.note(4, answers.of(4))
        answers.wait_for(1)

    assert answers.given == {4: (None, True)}
    assert "Callback of the store failed" in caplog.text


def test_a_callback_may_use_the_writer_while_another_caller_does(writer: Writer[int], path: Path) -> None:
    is_inside = threading.Event()
    ended = threading.Event()

    def take_a_while(connection: sqlite3.Connection) -> None:
        is_inside.set()
        ended.wait(0.1)  # in which the callback comes to the writer
        connection.execute("INSERT INTO numbers VALUES (3)")

    def then(error: Exception | None, is_accepted: bool) -> None:
        started(lambda: writer.call(take_a_while))
        assert is_inside.wait(PATIENCE)
        writer.call(insert(4))
        ended.set()

    writer.note(2, then)

    assert ended.wait(5)
    assert numbers_in(path) == [2, 3, 4]


def test_closing_records_what_is_queued_and_tells_before_it_returns(path: Path, writer: Writer[int]) -> None:
    answers = Answers()
    with locked(path):
        for number in range(100):
            writer.note(number, answers.of(number))
    writer.close()

    assert len(answers.given) == 100
    assert len(numbers_in(path)) == 100


def test_an_interrupt_undoes_what_its_caller_was_at(writer: Writer[int], path: Path) -> None:
    def be_interrupted(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES (1)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.call(be_interrupted)

    assert writer.call(insert(2)) == 2
    assert numbers_in(path) == [2]


def test_an_operation_that_loses_the_transaction_fails_all_of_it(
    writer: Writer[int], connection: sqlite3.Connection, path: Path
) -> None:
    ends: list[object] = []

    def call(operation: Callable[[sqlite3.Connection], object]) -> Callable[[], None]:
        def in_thread() -> None:
            try:
                ends.append(writer.call(operation))
            except StoreError as error:
                ends.append(type(error))

        return in_thread

    def roll_back(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("the disk is full")

    answers = Answers()
    is_waiting_for_lock = threading.Event()
    connection.set_trace_callback(lambda _: is_waiting_for_lock.set())
    with locked(path):
        writer.note(0, answers.of(0))
        assert is_waiting_for_lock.wait(PATIENCE)
        threads = started(call(insert(2)), call(roll_back), call(insert(4)))
        wait_until(lambda: writer._queue.qsize() == 3)
    for thread in threads:
        thread.join(PATIENCE)
    answers.wait_for(1)

    assert ends == [StoreError] * 3
    assert numbers_in(path) == [0]


def test_a_callback_that_closes_the_writer_ends_it(writer: Writer[int], path: Path) -> None:
    writer.note(2, lambda error, is_accepted: writer.close())
    writer._thread.join(PATIENCE)

    writer._is_waiting = True  # as it is while the thread has something to commit
    with pytest.raises(StoreError, match="closed"):
        writer.call(insert(3))

    assert numbers_in(path) == [2]


def test_reading_does_not_wait_for_a_commit(sqlite_store: SqliteStore, path: Path) -> None:
    sqlite_store.declare([some_job()], START)
    sqlite_store.decide([to_run(1)])
    told = threading.Event()
    with locked(path):
        outcome = Outcome(RunStatus.SUCCEEDED, START)
        sqlite_store.finish(some_run(1).run_id, 1, outcome, lambda error, is_recorded: told.set())

        (run,) = sqlite_store.runs()

        assert run.status is RunStatus.RUNNING
        assert not told.is_set()
    assert told.wait(PATIENCE)
    assert sqlite_store.runs()[0].status is RunStatus.SUCCEEDED


def test_what_one_commit_has_of_one_run_is_recorded_in_its_order(sqlite_store: SqliteStore, path: Path) -> None:
    sqlite_store.declare([some_job("sweep"), some_job("mop")], START)
    sqlite_store.decide([to_run(1), to_run(1, "mop")])
    run_id, answers = some_run(1).run_id, Answers()
    lines = [LogLine(START, 1, "info", str(number)) for number in range(6)]
    failed = Outcome(RunStatus.FAILED, START)
    with locked(path):
        for number, line in enumerate(lines[:3]):
            sqlite_store.report(run_id, 1, done=number, total=9 if number == 0 else None, log=[line])
            sqlite_store.report(some_run(1, "mop").run_id, 1, done=7, total=None, log=())
        sqlite_store.finish(run_id, 1, failed, answers.of(0), again=True, log=[lines[3]])
        sqlite_store.finish(run_id, 1, failed, answers.of(1), again=True, log=[lines[4]])
        sqlite_store.finish(run_id, 1, failed, answers.of(2), log=[lines[5]])
    answers.wait_for(3)

    assert answers.given == {0: (None, True), 1: (None, False), 2: (None, False)}
    assert sqlite_store.log_lines(run_id) == lines[:4]
    run = run_of(sqlite_store, run_id)
    assert (run.status, run.failures, run.done, run.total) == (RunStatus.QUEUED, 1, 2, 9)
    assert run_of(sqlite_store, some_run(1, "mop").run_id).done == 7


def test_what_one_commit_has_of_the_logs_of_several_runs_is_too_much_for_none(
    sqlite_store: SqliteStore, path: Path
) -> None:
    keys = ["mop", "sweep"]
    sqlite_store.declare([some_job(key) for key in keys], START)
    sqlite_store.decide([to_run(1, key) for key in keys])
    lines = [LogLine(START, 1, "info", str(number)) for number in range(600)]
    with locked(path):
        for key in keys:
            sqlite_store.report(some_run(1, key).run_id, 1, done=None, total=None, log=lines)
    settle(sqlite_store)

    for key in keys:
        assert sqlite_store.log_lines(some_run(1, key).run_id) == lines


def test_everything_queued_when_a_store_is_closed_is_recorded(path: Path) -> None:
    keys = [f"job-{number}" for number in range(300)]
    told: list[bool] = []
    store = SqliteStore.open(path, create=True)
    store.declare([some_job(key) for key in keys], START)
    store.decide([to_run(1, key) for key in keys])
    for key in keys:
        outcome = Outcome(RunStatus.SUCCEEDED, START)
        store.finish(some_run(1, key).run_id, 1, outcome, lambda error, is_recorded: told.append(is_recorded))

    store.close()

    assert told == [True] * 300
    with closing(SqliteStore.open_read_only(path)) as reader:
        assert len(reader.runs(statuses={RunStatus.SUCCEEDED})) == 300
