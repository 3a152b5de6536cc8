"""Any value becomes text of bounded length, the same as Python's own as far as it goes."""

from __future__ import annotations

import dataclasses
import threading
import time
from array import array
from collections import Counter, OrderedDict, UserList, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rapua_scheduler.representation import represent, represent_error, shorten

PLENTY = 1_000_000
Pair = namedtuple("Pair", "left right")


class Named(NamedTuple):
    first: object
    last: object = 2


@dataclasses.dataclass
class Data:
    rows: object
    hidden: int = dataclasses.field(default=1, repr=False)


@attrs.define
class Defined:
    rows: object
    hidden: int = attrs.field(default=1, repr=False)


@attrs.define
class Shown:
    rows: object = attrs.field(repr=lambda rows: f"{len(rows)} rows")


class OwnList(list[object]): ...


class OwnText(str): ...


class OwnSet(set[object]): ...


class Said:
    def __repr__(self) -> str:
        return "<said>"


class Colour(Enum):
    RED = 1


def keyed(key: Callable[[Any], object]) -> st.SearchStrategy[object]:
    return st.dictionaries(st.text() | st.integers() | st.none(), st.integers()).map(key)


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.binary().map(bytearray),
    st.text().map(OwnText),
    st.sampled_from([Said(), Colour.RED, Decimal("1.5"), datetime(2026, 11, 1, tzinfo=UTC), list, len, ..., set()]),
    st.frozensets(st.text() | st.integers()),
    st.sets(st.integers()),
    st.sets(st.integers()).map(OwnSet),
    st.lists(st.integers(-9, 9)).map(lambda numbers: array("b", numbers)),
    st.lists(st.text()).map(Counter),
    keyed(lambda found: found.keys()),
    keyed(lambda found: found.values()),
    keyed(lambda found: found.items()),
    keyed(MappingProxyType),
    keyed(OrderedDict),
    keyed(lambda found: defaultdict(list, found)),
)


def nest(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    lists = st.lists(inner)
    return st.one_of(
        lists,
        lists.map(tuple),
        lists.map(OwnList),
        lists.map(deque),
        lists.map(lambda items: deque(items, maxlen=50)),
        lists.map(UserList),
        lists.map(lambda items: ValueError(*items)),
        st.dictionaries(st.text() | st.integers(), inner),
        st.dictionaries(st.text("ab", min_size=1), inner).map(lambda names: SimpleNamespace(**names)),
        inner.map(Data),
        inner.map(Defined),
        lists.map(Shown),
        inner.map(Named),
        st.builds(Pair, inner, inner),
    )


values = st.recursive(leaves, nest, max_leaves=20)
slow_draws = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(slow_draws, max_examples=300)
@given(values)
def test_a_value_that_fits_reads_as_always(value: object) -> None:
    assert represent(value, PLENTY) == (repr(value), True)


@slow_draws
@given(values, st.integers(0, 80))
def test_no_more_is_told_than_was_asked_for_and_what_is_left_out_is_known(value: object, longest: int) -> None:
    text, is_whole = represent(value, longest)

    assert len(text) <= longest
    assert is_whole == (len(repr(value)) <= longest)
    if is_whole:
        assert text == repr(value)


@slow_draws
@given(
    st.recursive(st.integers() | st.none(), lambda inner: st.lists(inner) | st.tuples(inner, inner)), st.integers(0, 80)
)
def test_what_is_told_is_the_beginning(value: object, longest: int) -> None:
    assert represent(value, longest).text == repr(value)[:longest]


def test_what_holds_itself_reads_as_always() -> None:
    items: list[object] = [1]
    items.append(items)
    entries: dict[object, object] = {}
    entries["self"] = entries
    queue: deque[object] = deque()
    queue.append((queue,))
    names = SimpleNamespace()
    names.self = [names]

    for value in (items, entries, queue, names, (items, entries), [items, items]):
        assert represent(value, PLENTY) == (repr(value), True)


def test_what_is_nested_without_end_is_cut() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]

    text, is_whole = represent(value, PLENTY)

    assert text == "[" * 50 + "…" + "]" * 50
    assert not is_whole


def test_a_huge_number_is_not_spelled_out() -> None:
    assert represent([10**5000], PLENTY) == ("[<a huge integer>]", True)
    assert represent(10**4000, PLENTY) == (str(10**4000), True)


def test_what_a_representation_raises_is_for_the_caller() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise SystemExit("no")

    with pytest.raises(SystemExit):
        represent([Silent()], PLENTY)


ERRORS: list[BaseException] = [
    ValueError(),
    ValueError("text"),
    ValueError("one", 2),
    ValueError([1, 2]),
    ValueError(b"bytes"),
    ValueError(ValueError("inner")),
    KeyError("key"),
    KeyError("key", "other"),
    KeyError(),
    OSError(2, "No such file", "path"),
    OSError(2, "No such file", "path", None, "other"),
    OSError("text"),
    ImportError("text", name="x"),
    ImportError("text", "other"),
    AttributeError("text", name="x", obj=1),
    StopIteration([1]),
    SystemExit(3),
    UnicodeDecodeError("utf-8", b"\xff" * 200_000, 0, 1, "invalid start byte"),
    SyntaxError("bad", ("file", 1, 2, "text")),
    ExceptionGroup("many", [ValueError(1), TypeError(2)]),
    ExceptionGroup("one", [ValueError(1)]),
    ValueError(OwnText("own")),
    ValueError(Colour.RED),
    attrs.exceptions.FrozenInstanceError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_error_that_fits_reads_as_always(error: BaseException) -> None:
    assert represent_error(error, PLENTY) == (str(error), True)


@slow_draws
@given(st.lists(values, max_size=3), st.sampled_from([ValueError, KeyError, RuntimeError]))
def test_an_error_of_any_arguments_reads_as_always(arguments: list[object], kind: type[Exception]) -> None:
    assert represent_error(kind(*arguments), PLENTY) == (str(kind(*arguments)), True)


def test_what_is_short_is_not_shortened() -> None:
    for value in (1, "text", [1, 2], {"a": 1}, ValueError("text"), Said(), None, b"bytes", MappingProxyType({1: 2})):
        assert shorten(value, 100) is value


LARGE: list[Callable[[], Any]] = [
    lambda: [[0] * 1000] * 100_000,
    lambda: ([0] * 10_000_000,),
    lambda: {"rows": [{"id": 1}] * 1_000_000},
    lambda: "x" * 200_000_000,
    lambda: b"x" * 200_000_000,
    lambda: bytearray(100_000_000),
    lambda: [["x" * 100_000_000]],
    lambda: dict.fromkeys(range(2_000_000)),
    lambda: dict.fromkeys(range(2_000_000)).keys(),
    lambda: set(range(2_000_000)),
    lambda: frozenset(range(2_000_000)),
    lambda: deque([1] * 5_000_000),
    lambda: array("i", [1] * 5_000_000),
    lambda: defaultdict(list, dict.fromkeys(range(1_000_000))),
    lambda: OrderedDict.fromkeys(range(500_000)),
    lambda: Counter(range(1_000_000)),
    lambda: MappingProxyType(dict.fromkeys(range(1_000_000))),
    lambda: SimpleNamespace(rows=[0] * 10_000_000),
    lambda: Data([[0] * 1000] * 100_000),
    lambda: Defined([[0] * 1000] * 100_000),
    lambda: Named([[0] * 1000] * 100_000),
    lambda: ValueError([[0] * 1000] * 100_000),
    lambda: KeyError("x" * 200_000_000),
    lambda: OSError(1, [[0] * 1000] * 100_000),
    lambda: SyntaxError([[0] * 1000] * 100_000),
    lambda: ExceptionGroup("x" * 200_000_000, [ValueError()]),
]


@pytest.mark.parametrize("make", LARGE, ids=range(len(LARGE)))
def test_a_large_value_keeps_no_thread_waiting(make: Callable[[], Any]) -> None:
    value = make()
    longest: list[int] = []

    with late_breaths() as lateness:
        for _ in range(3):
            longest += [len(represent(value, 1000).text), len(str(shorten(value, 1000)))]
            if isinstance(value, BaseException):
                longest.append(len(represent_error(value, 1000).text))
    del value  # what a failed test shows of it would take minutes

    assert max(longest) <= 1050
    assert max(lateness) < 0.2  # measured: 0.02 s; the texts themselves take up to 7 s


@contextmanager
def late_breaths() -> Iterator[list[float]]:
    """Tell how long another thread has waited for its turn meanwhile, each time; in seconds."""
    lateness, is_over = [0.0], threading.Event()

    def breathe() -> None:
        last = time.monotonic()
        while not is_over.wait(0.002):
            lateness.append(time.monotonic() - last)
            last = time.monotonic()

    thread = threading.Thread(target=breathe)
    thread.start()
    yield lateness
    is_over.set()
    thread.join()
