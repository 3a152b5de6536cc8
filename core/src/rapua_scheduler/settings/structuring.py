"""Structure a table into a settings class: cattrs dispatches on the types, our hooks are strict."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from cattrs import Converter

from rapua_scheduler.errors import ConfigurationError
from rapua_scheduler.settings.classes import is_settings_class, settings_instance
from rapua_scheduler.settings.containers import collection, is_collection, is_mapping, is_union, mapping, union
from rapua_scheduler.settings.mistakes import Where, mistakes_of
from rapua_scheduler.settings.scalars import SCALARS, one_of, path

T = TypeVar("T")


def structure_settings(table: Mapping[str, object], cls: type[T], where: Where) -> T:
    """Return an instance of *cls* made from *table*, converted by the annotations of its fields.

    A field may be text, a number, a truth value, a `timedelta` (written "30s"), an absolute `Path`
    (written relative to the folder), a `ZoneInfo`, an enum or a `Literal`, a TOML date or time, a list,
    tuple, set or mapping of these, another attrs class or dataclass, or a union. Nothing is guessed:
    5 is not text, and "5" is not a number.

    Args:
        table: The table as it was read.
        cls: An attrs class or a dataclass.
        where: Where the table is written.

    Raises:
        ConfigurationError: Keys are unknown or missing, values are of the wrong type, or the class's
            own validators refuse them; names all of these, unknown keys first.
    """
    try:
        return _converter_for(where.folder).structure(table, cls)
    except Exception as error:
        raise ConfigurationError([where.problem(path, text) for path, text in mistakes_of(error)]) from None


def _converter_for(folder: Path) -> Converter:
    converter = Converter(detailed_validation=False)
    by_predicate: list[tuple[Callable[[Any], bool], Callable[[Any, Any], Any]]] = [
        (is_collection, lambda value, kind: collection(converter, value, kind)),
        (is_mapping, lambda value, kind: mapping(converter, value, kind)),
        (is_union, lambda value, kind: union(converter, value, kind)),
        (_is_literal, lambda value, kind: one_of(value, [(choice, choice) for choice in typing.get_args(kind)])),
        (_is_enum, _member),
        (is_settings_class, lambda value, cls: settings_instance(converter, value, cls)),
        (lambda kind: kind is object, lambda value, _: value),
    ]
    for accepts, hook in by_predicate:
        converter.register_structure_hook_func(accepts, hook)
    # By class: cattrs asks its own lenient hooks for str, int, float and Path before any predicate.
    for kind, hook in SCALARS.items():
        converter.register_structure_hook(kind, _for_exactly(kind, hook))
    converter.register_structure_hook(Path, _for_exactly(Path, lambda value, _: path(value, folder)))
    return converter


def _for_exactly(kind: type, hook: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return *hook* as cattrs calls it, which is also for subclasses, such as a StrEnum of str."""

    def structure(value: object, wanted: Any) -> object:
        if wanted is kind:
            return hook(value, wanted)
        if _is_enum(wanted):
            return _member(value, wanted)
        raise TypeError(f"a setting cannot be of the type {wanted!r}; the settings class should say {kind.__name__}")

    return structure


def _member(value: object, kind: Any) -> object:
    return one_of(value, [(member.value, member) for member in kind])


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Literal
