"""Settings classes: attrs classes and dataclasses, made from a table."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen
from cattrs import Converter

from rapua_scheduler.settings.mistakes import Mistake, Mistakes, below_key, did_you_mean, mistakes_of, refuse


def is_settings_class(kind: Any) -> bool:
    """Tell whether *kind* is an attrs class or a dataclass."""
    return isinstance(kind, type) and (attrs.has(kind) or dataclasses.is_dataclass(kind))


@frozen
class _Field:
    key: str
    kind: Any
    required: bool
    attribute: attrs.Attribute[Any] | None = None


def _fields_of(cls: Any) -> list[_Field]:
    if attrs.has(cls):
        attrs.resolve_types(cls)
        return [
            _Field(
                attribute.alias or attribute.name,
                attribute.type if attribute.type is not None else Any,
                attribute.default is attrs.NOTHING,
                attribute,
            )
            for attribute in attrs.fields(cls)
            if attribute.init
        ]
    kinds = typing.get_type_hints(cls, include_extras=True)
    missing = dataclasses.MISSING
    return [
        _Field(field.name, kinds[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(cls)
        if field.init
    ]


def settings_instance(converter: Converter, table: object, cls: Any) -> object:
    """Return an instance of *cls* made from *table*.

    Raises:
        Mistakes: Of keys and values; unknown keys first, then missing ones and wrong types, then what
            the class's validators refuse.
    """
    if not isinstance(table, Mapping):
        refuse(table, "a table")
    try:
        fields = _fields_of(cls)
    except NameError as error:
        raise ValueError(
            f"{cls.__name__}: {error}; a settings class must be importable, and so must what it is annotated with"
        ) from None
    keys = [field.key for field in fields]
    mistakes: list[Mistake] = [
        ((key,), f"unknown {'table' if isinstance(value, Mapping) else 'key'}{did_you_mean(key, keys)}")
        for key, value in table.items()
        if key not in keys
    ]
    values: dict[str, Any] = {}
    for field in fields:
        if field.key in table:
            try:
                values[field.key] = converter.structure(table[field.key], field.kind)
            except Exception as error:
                mistakes += below_key(field.key, error)
        elif field.required:
            mistakes.append(((field.key,), "is missing, and has no default"))
    if not mistakes:
        try:
            return cls(**values)
        except Exception as error:
            mistakes = _refused_by_validators(cls, fields, values, table) or mistakes_of(error)
    else:
        mistakes += _refused_by_validators(cls, fields, values, table)
    raise Mistakes(mistakes)


def _refused_by_validators(
    cls: Any, fields: Sequence[_Field], values: Mapping[str, Any], table: Mapping[str, object]
) -> list[Mistake]:
    """Return what each validator and converter of *cls* says to *values*; attrs would stop at the first."""
    mistakes: list[Mistake] = []
    instance = cls.__new__(cls)
    attributes = [(field.key, field.attribute) for field in fields if field.attribute is not None]
    for key, attribute in attributes:
        if key not in values and (key in table or attribute.default is attrs.NOTHING):
            continue  # refused already
        try:
            value = values[key] if key in values else _default(attribute, instance)
            object.__setattr__(instance, attribute.name, _converted(attribute, instance, value))
        except Exception as error:
            mistakes += below_key(key, error)
    complete = all(hasattr(instance, attribute.name) for _, attribute in attributes)
    for key, attribute in attributes:
        if attribute.validator is None or not hasattr(instance, attribute.name):
            continue
        try:
            attribute.validator(instance, attribute, getattr(instance, attribute.name))
        except AttributeError as error:
            if complete:  # else it has looked at a value that is not there
                mistakes += below_key(key, error)
        except Exception as error:
            mistakes += below_key(key, error)
    return mistakes


def _default(attribute: attrs.Attribute[Any], instance: object) -> Any:
    default: Any = attribute.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return default.factory(instance) if default.takes_self else default.factory()
    return default


def _converted(attribute: attrs.Attribute[Any], instance: object, value: Any) -> Any:
    convert: Any = attribute.converter
    if convert is None:
        return value
    if not isinstance(convert, attrs.Converter):
        return convert(value)
    wrapper: Any = convert  # its stub leaves out the attributes
    extra = ([instance] if wrapper.takes_self else []) + ([attribute] if wrapper.takes_field else [])
    return wrapper.converter(value, *extra)
