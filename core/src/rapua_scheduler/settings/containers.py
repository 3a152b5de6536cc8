"""Settings that hold others: lists, sets, mappings and unions."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cattrs import Converter

from rapua_scheduler.settings.classes import is_settings_class
from rapua_scheduler.settings.mistakes import Mistakes, below_key, mistakes_of, refuse

_COLLECTIONS: Mapping[Any, Callable[[list[Any]], Collection[Any]]] = {
    list: list,
    collections.abc.MutableSequence: list,
    set: set,
    collections.abc.MutableSet: set,
    frozenset: frozenset,
    collections.abc.Set: frozenset,
    tuple: tuple,
    collections.abc.Sequence: tuple,
    collections.abc.Collection: tuple,
    collections.abc.Iterable: tuple,
}


def is_mapping(kind: Any) -> bool:
    """Tell whether *kind* is a mapping type, with or without its parameters."""
    origin = typing.get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Mapping) and not typing.is_typeddict(origin)


def is_collection(kind: Any) -> bool:
    """Tell whether *kind* is a list, tuple, set, or the abstract type of one."""
    origin = typing.get_origin(kind) or kind
    return origin in _COLLECTIONS


def is_union(kind: Any) -> bool:
    """Tell whether *kind* is `A | B`, or `A | None`."""
    return typing.get_origin(kind) in {typing.Union, types.UnionType}


def collection(converter: Converter, value: object, kind: Any) -> Collection[Any]:
    """Return a TOML array as what *kind* says, each item converted."""
    if not isinstance(value, list):
        refuse(value, "a list in square brackets")
    origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        if len(inner) != len(value):
            raise ValueError(f"must be a list of {len(inner)}, not of {len(value)}")
        kinds = list(inner)
    else:
        kinds = [inner[0] if inner else Any] * len(value)
    mistakes, items = [], []
    for index, (item, item_kind) in enumerate(zip(value, kinds, strict=True)):
        try:
            items.append(converter.structure(item, item_kind))
        except Exception as error:
            mistakes += below_key(index, error)
    if mistakes:
        raise Mistakes(mistakes)
    return _COLLECTIONS[origin](items)


def mapping(converter: Converter, value: object, kind: Any) -> Mapping[str, Any]:
    """Return a TOML table as what *kind* says, each value converted; read-only unless it says `dict`."""
    if not isinstance(value, Mapping):
        refuse(value, "a table")
    origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    mistakes, items = [], {}
    for key, item in value.items():
        try:
            items[converter.structure(key, inner[0]) if inner else key] = converter.structure(
                item, inner[1] if inner else Any
            )
        except Exception as error:
            mistakes += below_key(key, error)
    if mistakes:
        raise Mistakes(mistakes)
    return items if issubclass(origin, collections.abc.MutableMapping) else types.MappingProxyType(items)


def union(converter: Converter, value: object, kind: Any) -> object:
    """Return *value* as the first member of *kind* that accepts it; None, which TOML lacks, left out.

    A table is for the members that are tables, if there are any: so its mistakes are told by their keys.
    """
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    if isinstance(value, Mapping):
        members = [member for member in members if is_mapping(member) or is_settings_class(member)] or members
    if len(members) == 1:
        return converter.structure(value, members[0])
    refusals = []
    for member in members:
        try:
            return converter.structure(value, member)
        except Exception as error:
            refusals.append(" and ".join(text for _, text in mistakes_of(error)))
    raise ValueError("; or ".join(refusals))
