"""Turn any value into text of bounded length, without making the whole text first.

`repr` and `str` of what the interpreter brings are made in one go, during which no other thread has its
turn: of a large value that takes seconds. What a class says of itself is called as it is.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from types import FunctionType, MappingProxyType, SimpleNamespace, WrapperDescriptorType
from typing import Any, NamedTuple, cast

import attrs

_DEEPEST = 50
_LARGEST = 14_285  # bits, of the longest integer that Python turns into text by default
_MOST_SORTED = 1000

_ORDERED_IN_PAIRS = repr(OrderedDict(a=1)).startswith("OrderedDict([")  # up to Python 3.11


class Representation(NamedTuple):
    """The text of a value.

    Attributes:
        text: The text, or the beginning of it.
        is_whole: Whether nothing is left out.
    """

    text: str
    is_whole: bool


def represent(value: object, longest: int) -> Representation:
    """Return what `repr` says of a value, up to *longest* characters.

    Raises:
        BaseException: Whatever somebody's own representation raises.
    """
    writer = _Writer(longest)
    with suppress(_FullError):
        writer.add(value)
    return Representation("".join(writer.parts), not writer.has_left_out)


def represent_error(error: BaseException, longest: int) -> Representation:
    """Return what `str` says of an error, up to *longest* characters.

    Raises:
        BaseException: Whatever somebody's own text raises.
    """
    kind = type(error).__str__
    args = _args_of(error)
    if kind is ImportError.__str__ and type(getattr(error, "msg", None)) is str:
        return _beginning(getattr(error, "msg", ""), longest)
    if isinstance(error, BaseExceptionGroup) and kind is BaseExceptionGroup.__str__:
        text, is_whole = _beginning(error.message, longest)
        number = len(error.exceptions)
        return Representation(f"{text} ({number} sub-exception{'s' if number > 1 else ''})", is_whole)
    if kind in _PLAIN_TEXTS or (kind in _TEXTS_OF_FIELDS and not _has_short_fields(error)):
        if not args:
            return Representation("", is_whole=True)
        if len(args) > 1:
            return represent(args, longest)
        if kind is KeyError.__str__:
            return represent(args[0], longest)
        return _as_text(args[0], longest)
    return _beginning(str(error), longest)


def shorten(value: object, longest: int) -> object:
    """Return *value*, or in its place something that reads as the beginning of its text, if that is long.

    Of what has a text of its own making, no text is made.
    """
    kind = type(value)
    has_own_text = isinstance(kind.__str__, FunctionType) or _form_of(value) is None
    if has_own_text or kind in _SHORT:
        return value
    found = _as_text(value, longest)
    return value if found.is_whole else Shortened(found.text)


class Shortened:
    """Stands for a value whose text is too long; reads as the beginning of it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"{self._text}…"


def _beginning(text: str, longest: int) -> Representation:
    return Representation(str.__getitem__(text, slice(longest)), len(text) <= longest)


def _as_text(value: object, longest: int) -> Representation:
    """Return what `str` says of a value."""
    if isinstance(value, str) and type(value).__str__ is str.__str__:
        return _beginning(value, longest)
    if isinstance(value, BaseException):
        return represent_error(value, longest)
    if isinstance(value, MappingProxyType):
        return _as_text(value.copy(), longest)
    if type(value).__str__ in _TEXTS_AS_REPRESENTED:
        return represent(value, longest)
    return _beginning(str(value), longest)


class _FullError(Exception):
    """Enough is written."""


class _Writer:
    """Writes the representations of values one after another, until there is no room left."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.parts: list[str] = []
        self.has_left_out = False
        self._within: list[object] = []

    def write(self, text: str) -> None:
        if len(text) > self.room:
            self.parts.append(text[: self.room])
            self.has_left_out = True
            raise _FullError
        self.parts.append(text)
        self.room -= len(text)

    def add(self, value: object) -> None:
        form = _form_of(value)
        if form is None:
            self.write(repr(value))
        elif form in _LEAVES:
            form(self, value)
        elif any(value is outer for outer in self._within):
            self.write(_LOOPS.get(form, "...").format(type(value).__name__))
        elif len(self._within) >= _DEEPEST:
            self.write("…")
            self.has_left_out = True
        else:
            self._within.append(value)
            form(self, value)
            self._within.pop()

    def add_all(self, opening: str, items: Iterable[object], closing: str) -> None:
        self.write(opening)
        for number, item in enumerate(self._first(items)):
            self.write(", " if number else "")
            self.add(item)
        self.write(closing)

    def add_pairs(
        self,
        opening: str,
        pairs: Iterable[tuple[Any, object]],
        closing: str,
        *,
        between: str = ": ",
        add_name: Callable[[Any], None] | None = None,
    ) -> None:
        self.write(opening)
        for number, (name, item) in enumerate(self._first(pairs)):
            self.write(", " if number else "")
            (add_name or self.add)(name)
            self.write(between)
            self.add(item)
        self.write(closing)

    def _first(self, items: Iterable[Any]) -> list[Any]:
        """Return as many items as there can be room for, before somebody changes what they are taken from."""
        return list(islice(items, self.room // 3 + 2))


_Form = Callable[[_Writer, Any], None]


def _add_text(writer: _Writer, value: str) -> None:
    writer.write(repr(str.__getitem__(value, slice(writer.room))))


def _add_bytes(writer: _Writer, value: bytes) -> None:
    writer.write(repr(bytes.__getitem__(value, slice(writer.room))))


def _add_bytearray(writer: _Writer, value: bytearray) -> None:
    beginning = repr(bytearray(memoryview(value)[: writer.room]))  # which escapes otherwise than bytes
    writer.write(type(value).__name__ + beginning.removeprefix("bytearray"))


def _add_array(writer: _Writer, value: array[Any]) -> None:
    writer.write(repr(value[: writer.room]))


def _add_int(writer: _Writer, value: int) -> None:
    writer.write(int.__repr__(value) if int.bit_length(value) <= _LARGEST else "<a huge integer>")


def _add_list(writer: _Writer, value: list[object]) -> None:
    writer.add_all("[", list.__iter__(value), "]")


def _add_tuple(writer: _Writer, value: tuple[object, ...]) -> None:
    writer.add_all("(", tuple.__iter__(value), ",)" if tuple.__len__(value) == 1 else ")")


def _add_dict(writer: _Writer, value: dict[object, object]) -> None:
    writer.add_pairs("{", dict.items(value), "}")


def _add_set(writer: _Writer, value: set[object]) -> None:
    name = type(value).__name__
    if not set.__len__(value):
        writer.write(f"{name}()")
    elif type(value) is set:
        writer.add_all("{", set.__iter__(value), "}")
    else:
        writer.add_all(f"{name}({{", set.__iter__(value), "})")


def _add_frozenset(writer: _Writer, value: frozenset[object]) -> None:
    name = type(value).__name__
    if frozenset.__len__(value):
        writer.add_all(f"{name}({{", frozenset.__iter__(value), "})")
    else:
        writer.write(f"{name}()")


def _add_deque(writer: _Writer, value: deque[object]) -> None:
    end = "])" if value.maxlen is None else f"], maxlen={value.maxlen})"
    writer.add_all(f"{type(value).__name__}([", deque.__iter__(value), end)


def _add_defaultdict(writer: _Writer, value: defaultdict[object, object]) -> None:
    writer.write(f"{type(value).__name__}({value.default_factory!r}, ")
    writer.add_pairs("{", dict.items(value), "})")


def _add_ordered(writer: _Writer, value: OrderedDict[object, object]) -> None:
    name = type(value).__name__
    if not dict.__len__(value):
        writer.write(f"{name}()")
    elif _ORDERED_IN_PAIRS:
        writer.add_all(f"{name}([", OrderedDict.items(value), "])")
    else:
        writer.add_pairs(f"{name}({{", OrderedDict.items(value), "})")


def _add_counter(writer: _Writer, value: Counter[object]) -> None:
    name = type(value).__name__
    if not dict.__len__(value):
        writer.write(f"{name}()")
        return
    pairs: Iterable[tuple[object, int]] = dict.items(value)
    if dict.__len__(value) <= _MOST_SORTED:
        with suppress(TypeError):  # counts that cannot be compared
            pairs = Counter.most_common(value)
    writer.add_pairs(f"{name}({{", pairs, "})")


def _add_proxy(writer: _Writer, value: MappingProxyType[object, object]) -> None:
    writer.write("mappingproxy(")
    writer.add(value.copy())
    writer.write(")")


def _add_view(writer: _Writer, value: Iterable[object]) -> None:
    writer.add_all(f"{type(value).__name__}([", value, "])")


def _add_namespace(writer: _Writer, value: SimpleNamespace) -> None:
    name = "namespace" if type(value) is SimpleNamespace else type(value).__name__
    writer.add_pairs(f"{name}(", vars(value).items(), ")", between="=", add_name=writer.write)


def _add_error(writer: _Writer, value: BaseException) -> None:
    writer.add_all(f"{type(value).__name__}(", _args_of(value), ")")


def _add_named(writer: _Writer, value: Any) -> None:
    pairs = zip(type(value)._fields, tuple.__iter__(value), strict=False)
    writer.add_pairs(f"{type(value).__name__}(", pairs, ")", between="=", add_name=writer.write)


def _add_attrs(writer: _Writer, value: Any) -> None:
    pairs = ((field.name, getattr(value, field.name, attrs.NOTHING)) for field in _attributes(value) if field.repr)
    name = type(value).__qualname__.rsplit(">.", 1)[-1]
    writer.add_pairs(f"{name}(", pairs, ")", between="=", add_name=writer.write)


def _attributes(value: object) -> tuple[Any, ...]:
    return tuple(attrs.fields(cast("type[attrs.AttrsInstance]", type(value))))


def _add_dataclass(writer: _Writer, value: Any) -> None:
    pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr)
    writer.add_pairs(f"{type(value).__qualname__}(", pairs, ")", between="=", add_name=writer.write)


_FORMS: dict[object, _Form] = {
    str.__repr__: _add_text,
    bytes.__repr__: _add_bytes,
    bytearray.__repr__: _add_bytearray,
    array.__repr__: _add_array,
    int.__repr__: _add_int,
    list.__repr__: _add_list,
    tuple.__repr__: _add_tuple,
    dict.__repr__: _add_dict,
    set.__repr__: _add_set,
    frozenset.__repr__: _add_frozenset,
    deque.__repr__: _add_deque,
    defaultdict.__repr__: _add_defaultdict,
    OrderedDict.__repr__: _add_ordered,
    Counter.__repr__: _add_counter,
    MappingProxyType.__repr__: _add_proxy,
    type({}.keys()).__repr__: _add_view,
    type({}.values()).__repr__: _add_view,
    type({}.items()).__repr__: _add_view,
    SimpleNamespace.__repr__: _add_namespace,
    BaseException.__repr__: _add_error,
}
"""How each representation that the interpreter brings is written, whichever class has inherited it."""

_LEAVES = {_add_text, _add_bytes, _add_bytearray, _add_array, _add_int}
_LOOPS = {
    _add_list: "[...]",
    _add_tuple: "(...)",
    _add_dict: "{{...}}",
    _add_set: "{}(...)",
    _add_frozenset: "{}(...)",
    _add_deque: "[...]",
    _add_defaultdict: "{}(..., {{...}})",
    _add_namespace: "namespace(...)",
}


def _form_of(value: object) -> _Form | None:
    """Return how the representation of a value is written; None if its class has one of its own making."""
    said_by: object = type(value).__repr__
    if not isinstance(said_by, FunctionType):
        return _FORMS.get(said_by) if isinstance(said_by, WrapperDescriptorType) else None
    if said_by in _FORMS:
        return _FORMS[said_by]
    if said_by.__module__ == "collections" and isinstance(value, tuple):
        return _add_named
    if said_by.__code__.co_filename.startswith("<attrs generated"):
        is_plain = all(isinstance(field.repr, bool) for field in _attributes(value))
        return _add_attrs if is_plain else None
    made = getattr(said_by, "__wrapped__", None)
    if isinstance(made, FunctionType) and made.__code__.co_filename == "<string>" and dataclasses.is_dataclass(value):
        return _add_dataclass
    return None


_args_of: Callable[[BaseException], tuple[object, ...]] = vars(BaseException)["args"].__get__
_SHORT = {bool, float, type(None)}
_TEXTS_AS_REPRESENTED = {object.__str__, bytes.__str__, bytearray.__str__}
_PLAIN_TEXTS = {BaseException.__str__, AttributeError.__str__, NameError.__str__, ImportError.__str__, KeyError.__str__}
_TEXTS_OF_FIELDS = {OSError.__str__, SyntaxError.__str__}
_FIELDS = ("errno", "strerror", "filename", "filename2", "msg", "lineno")
_LONGEST_FIELD = 10_000


def _has_short_fields(error: BaseException) -> bool:
    fields = (getattr(error, name, None) for name in _FIELDS)
    return all(
        field is None or isinstance(field, int) or (isinstance(field, (str, bytes)) and len(field) <= _LONGEST_FIELD)
        for field in fields
    )
