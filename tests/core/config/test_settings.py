"""Tables as instances of settings classes: nothing is guessed, and every mistake is named at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

import attrs
import pytest
from attrs import field, frozen, validators

from rapua_scheduler import ConfigurationError, Retry, cron, every
from rapua_scheduler.schedules import BuiltInSchedule
from rapua_scheduler.settings import ByteSize, Where, structure_settings

WHERE = Where("/etc/conf.toml", "rapua_scheduler.plugins.digest", Path("/srv/site"))


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Odd(Enum):
    LIST = "list"
    NUMBER = 2


def structured(kind: Any, value: object) -> Any:
    """Return *value* as a setting annotated with *kind*."""
    cls = attrs.make_class("Settings", {"it": field(type=kind)}, frozen=True)
    return structure_settings({"it": value}, cls, WHERE).it


def problems(cls: type, table: dict[str, object]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        structure_settings(table, cls, WHERE)
    return tuple(
        problem.removeprefix("/etc/conf.toml: [rapua_scheduler.plugins.digest").removeprefix("] ")
        for problem in caught.value.problems
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (str, "5", "5"),
        (str | None, "text", "text"),
        (int, 5, 5),
        (float, 5, 5.0),
        (float, 2.5, 2.5),
        (bool, True, True),
        (timedelta, "1h30m", timedelta(minutes=90)),
        (timedelta | None, "0", timedelta(0)),
        (Path, "static/uploads", Path("/srv/site/static/uploads")),
        (Path, "/var/uploads", Path("/var/uploads")),
        (ZoneInfo, "Pacific/Auckland", ZoneInfo("Pacific/Auckland")),
        (date, date(2026, 11, 1), date(2026, 11, 1)),
        (datetime, datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        (time, time(3), time(3)),
        (ByteSize, "512M", ByteSize(512 * 1024 * 1024)),
        (ByteSize | None, "2G", ByteSize(2 * 1024**3)),
        (BuiltInSchedule, "every 6h", every(hours=6)),
        (BuiltInSchedule | None, "0 3 * * *", cron("0 3 * * *")),
        (Colour, "red", Colour.RED),
        (Level, 1, Level.LOW),
        (Odd, 2, Odd.NUMBER),
        (Literal["a", 1], 1, 1),
        (tuple[str, ...], ["a", "b"], ("a", "b")),
        (tuple[int, str], [1, "b"], (1, "b")),
        (list[timedelta], ["1s"], [timedelta(seconds=1)]),
        (Sequence[int], [1], (1,)),
        (set[int], [1, 1], {1}),
        (frozenset[str], ["a"], frozenset("a")),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (dict[Colour, int], {"red": 1}, {Colour.RED: 1}),
        (Any, {"a": [1]}, {"a": [1]}),
        (object, 5, 5),
        (list, [1, "a"], [1, "a"]),
        (int | str, "5", "5"),
        (int | str, 5, 5),
        (Retry, {"attempts": 3, "delay": "5s"}, Retry(3, timedelta(seconds=5))),
        (int | Retry | None, {"attempts": 3}, Retry(3)),
        (int | Retry | None, 3, 3),
    ],
)
def test_a_setting_is_converted_by_its_annotation(kind: Any, value: object, expected: object) -> None:
    found = structured(kind, value)

    assert found == expected
    assert type(found) is type(expected) or isinstance(found, MappingProxyType)


def test_a_mistake_in_a_table_that_may_be_a_number_too_is_told_by_its_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        structured(int | Retry | None, {"attempt": 3})

    (found,) = caught.value.problems
    assert found == (
        "/etc/conf.toml: [rapua_scheduler.plugins.digest.it] attempt: unknown key; did you mean 'attempts'?"
    )


def test_a_mapping_is_read_only_unless_it_is_a_dict() -> None:
    assert isinstance(structured(Mapping[str, int], {"a": 1}), MappingProxyType)
    assert type(structured(dict[str, int], {"a": 1})) is dict


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (str, 5, "must be text in quotes, not a whole number"),
        (str, True, "must be text in quotes, not a truth value"),
        (str, ["a"], "must be text in quotes, not a list"),
        (int, "5", "must be a whole number, without quotes, not text"),
        (int, 5.0, "must be a whole number, without quotes, not a number"),
        (int, True, "must be a whole number, without quotes, not a truth value"),
        (float, "5", "must be a number, without quotes, not text"),
        (float, False, "must be a number, without quotes, not a truth value"),
        (bool, 1, "must be true or false, without quotes, not a whole number"),
        (bool, "true", "must be true or false, without quotes, not text"),
        (timedelta, 30, 'must be a duration in quotes, such as "30s" or "14d", not a whole number'),
        (timedelta, "30 sec", """'30 sec' is not a duration; write it like "90s", "10m", "1h30m" or "14d\""""),
        (Path, 5, "must be a path in quotes, not a whole number"),
        (Path, " ", "must be a path, not blank; take the key out to have none"),
        (Path, "~no-such-user/x", "'~no-such-user/x' cannot be found: there is no such home folder"),
        (ZoneInfo, 5, 'must be the name of a time zone in quotes, such as "Pacific/Auckland", not a whole number'),
        (ZoneInfo, "Pacific/Aukland", """no time zone is called 'Pacific/Aukland'; did you mean "Pacific/Auckland"?"""),
        (ZoneInfo, "../etc/passwd", "no time zone is called '../etc/passwd'; write it like "),
        (ZoneInfo, "America", "no time zone is called 'America'; "),
        (date, datetime(2026, 1, 1, tzinfo=UTC), "must be a date without quotes, such as 2026-11-23, not a date with"),
        (datetime, date(2026, 1, 1), "must be a date with a time, without quotes, such as 2026-11-23T"),
        (time, "03:00", "must be a time of day without quotes, such as 03:00:00, not text"),
        (ByteSize, 512, 'must be a size in quotes, such as "512M" or "2G", not a whole number'),
        (ByteSize, "512", """'512' is not a size; write it like "512M" or "2G", the units being K, M, G and T"""),
        (ByteSize, "512MB", "'512MB' is not a size; "),
        (BuiltInSchedule, 5, 'must be a schedule in quotes, such as "0 3 * * *" or "every 6h", not a whole number'),
        (BuiltInSchedule, "0 0 31 2 *", "'0 0 31 2 *': "),
        (BuiltInSchedule, "every day", "'every day': write \"every\" and a duration, such as "),
        (Colour, "green", 'must be one of "red", "blue"'),
        (Level, True, "must be one of 1"),
        (Literal["a", 1], True, 'must be one of "a", 1'),
        (tuple[str, ...], "abc", "must be a list in square brackets, not text"),
        (tuple[int, str], [1], "must be a list of 2, not of 1"),
        (Mapping[str, int], [1], "must be a table, not a list"),
        (int | bool, "x", "must be a whole number, without quotes, not text; or must be true or false, "),
        (Retry, 5, "must be a table, not a whole number"),
        (bytes, "x", "a setting cannot be bytes; the settings class should say str"),
    ],
)  # fmt: skip
def test_nothing_is_guessed(kind: Any, value: object, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        structured(kind, value)

    (found,) = caught.value.problems
    assert found.startswith(f"/etc/conf.toml: [rapua_scheduler.plugins.digest] it: {problem}")


class OwnText(str):
    __slots__ = ()


@pytest.mark.parametrize("kind", [OwnText, complex, type("Own", (), {})])
def test_a_type_that_no_setting_has_is_refused(kind: type) -> None:
    with pytest.raises(ConfigurationError, match=r"it: a setting cannot be of the type"):
        structured(kind, "x")


@frozen
class Server:
    host: str
    port: int = field(default=25, validator=validators.in_(range(1, 65536)))


@frozen
class Settings:
    sender: str
    min_age: timedelta = timedelta(days=1)
    servers: tuple[Server, ...] = ()
    names: Mapping[str, int] = field(factory=dict)
    least: int = field(default=1, validator=validators.ge(0))
    most: int = field(default=10)

    @most.validator
    def _not_less(self, _: object, value: int) -> None:
        if value < self.least:
            raise ValueError(f"must not be less than least, {self.least}")


def test_all_mistakes_are_found_at_once_and_unknown_keys_come_first() -> None:
    table: dict[str, object] = {
        "min_age": 5,
        "servers": [{"host": "a"}, {"prot": 1, "port": "x"}, {"host": "b", "port": 0}],
        "names": {"one": 1, "a b": "2"},
        "least": -1,
        "most": -2,
        "min-age": "1h",
        "odd": {},
    }

    assert problems(Settings, table) == (
        "min-age: unknown key; did you mean 'min_age'?",
        "odd: unknown table; there are: least, min_age, most, names, sender, servers",
        "sender: is missing, and has no default",
        'min_age: must be a duration in quotes, such as "30s" or "14d", not a whole number',
        ".servers[1]] prot: unknown key; did you mean 'port'?",
        ".servers[1]] host: is missing, and has no default",
        ".servers[1]] port: must be a whole number, without quotes, not text",
        ".servers[2]] port: 'port' must be in range(1, 65536) (got 0)",
        '.names] "a b": must be a whole number, without quotes, not text',
        "least: 'least' must be >= 0: -1",
        "most: must not be less than least, -1",
    )


def test_a_validator_that_looks_at_a_refused_value_says_nothing() -> None:
    assert problems(Settings, {"sender": "x", "least": "1", "most": 5}) == (
        "least: must be a whole number, without quotes, not text",
    )


def test_a_validator_that_fails_by_itself_is_reported() -> None:
    @frozen
    class Broken:
        it: int = field(default=1, validator=lambda instance, _, __: instance.no_such_thing)

    assert problems(Broken, {"it": 2}) == ("it: 'Broken' object has no attribute 'no_such_thing'",)


def test_converters_and_what_comes_after_init_are_reported() -> None:
    @frozen
    class Converted:
        it: str = field(converter=attrs.Converter(lambda value, _: value[99], takes_self=True))  # type: ignore[misc]

    @frozen
    class Checked:
        it: int = 1

        def __attrs_post_init__(self) -> None:
            raise ValueError("cannot be\nso")

    assert problems(Converted, {"it": "x"}) == ("it: string index out of range",)
    assert problems(Checked, {"it": 2}) == ("]: cannot be so",)


def test_defaults_that_depend_on_others_are_checked_too() -> None:
    @frozen
    class Derived:
        least: int = field(validator=validators.ge(0))
        most: int = field(validator=validators.ge(0))

        @most.default
        def _twice(self) -> int:
            return self.least * 2

    assert structure_settings({"least": 2}, Derived, WHERE) == Derived(2, 4)
    assert len(problems(Derived, {"least": -2})) == 2


def test_a_dataclass_can_be_a_settings_class() -> None:
    @dataclasses.dataclass(frozen=True)
    class Data:
        sender: str
        limit: int = 5
        tags: list[str] = dataclasses.field(default_factory=list)

    globals()["Data"] = Data

    assert structure_settings({"sender": "x", "tags": ["a"]}, Data, WHERE) == Data("x", 5, ["a"])
    assert problems(Data, {"limit": "5"}) == (
        "sender: is missing, and has no default",
        "limit: must be a whole number, without quotes, not text",
    )


def test_a_private_field_is_written_without_its_underscore() -> None:
    @frozen
    class Private:
        _limit: int = 5

    assert structure_settings({"limit": 6}, Private, WHERE) == Private(6)


def test_a_class_whose_annotations_cannot_be_resolved_says_so() -> None:
    nowhere: Any = "Nowhere"
    unresolvable = attrs.make_class("Unresolvable", {"it": field(type=nowhere)})

    (problem,) = problems(unresolvable, {})

    assert "Unresolvable: name 'Nowhere' is not defined" in problem


def test_a_refused_value_is_not_shown_as_it_may_be_a_secret() -> None:
    @frozen
    class Secretive:
        password: int
        tokens: str

    assert "hunter2" not in "".join(problems(Secretive, {"password": "hunter2", "tokens": ["hunter2"]}))


def test_a_table_whose_name_needs_quotes_is_shown_with_them() -> None:
    assert WHERE.below("a.b").problem(["c d", 0], "x") == (
        '/etc/conf.toml: [rapua_scheduler.plugins.digest."a.b"] "c d"[0]: x'
    )
