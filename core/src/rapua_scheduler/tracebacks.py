"""Keep what is told of errors short enough to be told, with all that led to them."""

from __future__ import annotations

from rapua_scheduler.representation import represent, represent_error

LONGEST_TEXT = 64 * 1024
"""Characters kept of the text of one error."""

MOST_ERRORS = 1000
"""Errors that are told of among those that led to one, or that it groups."""

_MOST_OF_GROUP = 15  # what Python's own tracebacks show of one
_DEEPEST_GROUP = 10
_MOST_NOTES = 20
_TOO_MANY = "… (the errors that led to it are left out)"


class _StandIn(BaseException):
    """Tells what another error says, and nothing of what it holds."""

    told = ""

    def __str__(self) -> str:
        return self.told


class _StandInGroup(_StandIn, BaseExceptionGroup[BaseException]):
    """The same for a group."""


def short_error(error: BaseException) -> BaseException:
    """Return *error*, or what stands for it in a traceback if it, or what led to it, has too much to say.

    The stand-in has the name and the frames of the error, as have those that led to it.

    Args:
        error: What was raised; left as it is.
    """
    errors: dict[int, BaseException] = {}
    waiting = [error]
    for found in waiting:
        if len(errors) >= MOST_ERRORS:
            return _StandIns(errors).stand_for(error)
        if id(found) not in errors:
            errors[id(found)] = found
            waiting += _around(found)
    return error if all(map(_is_short, errors.values())) else _StandIns(errors).stand_for(error)


def _around(error: BaseException) -> list[BaseException]:
    """Return those that an error was raised from, and some of those that it groups."""
    members = error.exceptions[:MOST_ERRORS] if isinstance(error, BaseExceptionGroup) else ()
    return [found for found in (error.__cause__, error.__context__, *members) if found is not None]


def _is_short(error: BaseException) -> bool:
    try:
        return represent_error(error, LONGEST_TEXT).is_whole and _has_short_notes(error)
    except BaseException:  # whoever shows it will see that too, and say so
        return True


def _has_short_notes(error: BaseException) -> bool:
    notes = getattr(error, "__notes__", None)
    if notes is None:
        return True
    is_short = isinstance(notes, (list, tuple)) and len(notes) <= MOST_ERRORS
    return is_short and all(isinstance(note, str) and len(note) <= LONGEST_TEXT for note in notes)


def _short_notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", None) or ()
    listed = notes[:_MOST_NOTES] if isinstance(notes, (list, tuple)) else [notes]
    return [note[:LONGEST_TEXT] if type(note) is str else represent(note, LONGEST_TEXT).text for note in listed]


class _StandIns:
    """Stand for some errors, as far as they are told."""

    def __init__(self, errors: dict[int, BaseException]) -> None:
        self._errors = errors
        self._made: dict[int, _StandIn] = {}
        self._kinds: dict[tuple[type[BaseException], type[_StandIn]], type[_StandIn]] = {}

    def stand_for(self, error: BaseException) -> BaseException:
        """Return what stands for one of the errors, with all that led to it."""
        for found in self._errors.values():
            self._make(found, 0)
        for number, found in self._errors.items():
            made, origins = self._made[number], (found.__cause__, found.__context__)
            made.__traceback__ = found.__traceback__
            made.__cause__, made.__context__ = (self._made.get(id(origin)) for origin in origins)
            made.__suppress_context__ = found.__suppress_context__
            notes = _short_notes(found)
            if any(origin is not None and id(origin) not in self._made for origin in origins):
                notes.append(_TOO_MANY)
            if notes:
                made.__notes__ = notes
        return self._made[id(error)]

    def _make(self, error: BaseException, depth: int) -> _StandIn:
        if id(error) in self._made:
            return self._made[id(error)]
        if isinstance(error, BaseExceptionGroup) and depth < _DEEPEST_GROUP:
            members = [self._make(member, depth + 1) for member in error.exceptions[:_MOST_OF_GROUP]]
            made = self._kind_of(error, _StandInGroup)("", members)
        else:
            made = self._kind_of(error, _StandIn)()
        try:
            text, is_whole = represent_error(error, LONGEST_TEXT)
            made.told = text if is_whole else f"{text}…"
        except BaseException:
            made.told = "<its text cannot be shown>"
        self._made[id(error)] = made
        return made

    def _kind_of(self, error: BaseException, base: type[_StandIn]) -> type[_StandIn]:
        kind = type(error)
        if (kind, base) not in self._kinds:
            name = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
            self._kinds[kind, base] = type(kind.__name__, (base,), name)
        return self._kinds[kind, base]
