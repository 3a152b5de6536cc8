"""Notice when a plugin changes what is not its own: the standard library, or this package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

from attrs import define

_SHARED = (
    "_thread",
    "asyncio",
    "builtins",
    "datetime",
    "io",
    "os",
    "queue",
    "select",
    "selectors",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "zoneinfo",
)
_OURS = "rapua_scheduler"
_PATCHERS = ("eventlet", "gevent")
_NAMED = 3


class Inventory:
    """The functions and classes that everybody shares, as they are at one moment."""

    def __init__(self) -> None:
        """Take stock; takes a few milliseconds."""
        self._code = list(_shared_code())
        self._patchers = {name for name in _PATCHERS if name in sys.modules}

    def changes(self) -> str:
        """Return in words what has become another one since the last look; empty if nothing has.

        What has taken its place is compared, and not touched.
        """
        found = []
        changed = [entry for entry in self._code if entry.note_change()]
        if changed:
            more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
            found.append(f"replaces {', '.join(map(str, changed[:_NAMED]))}{more}")
        patchers = [name for name in _PATCHERS if name in sys.modules and name not in self._patchers]
        self._patchers.update(patchers)
        return " and ".join([*found, *(f"imports {name}" for name in patchers)])


@define(eq=False)
class _Entry:
    """A function or class, where it is found, and what was found there last."""

    owner: ModuleType | type
    path: str
    name: str
    value: object

    def __str__(self) -> str:
        return f"{self.path}.{self.name}"

    def note_change(self) -> bool:
        before, self.value = self.value, vars(self.owner).get(self.name)
        return self.value is not before


def _shared_code() -> Iterator[_Entry]:
    for module_name, module in list(sys.modules.items()):
        if module_name in _SHARED or module_name.partition(".")[0] == _OURS:
            for name, value in list(vars(module).items()):
                if not _is_code(value):
                    continue
                yield _Entry(module, module_name, name, value)
                if isinstance(value, type) and value.__module__ == module_name:
                    for attribute, inner in list(vars(value).items()):
                        if _is_code(inner):
                            yield _Entry(value, f"{module_name}.{name}", attribute, inner)


def _is_code(value: object) -> bool:
    return callable(value) or isinstance(value, (classmethod, property, staticmethod))
