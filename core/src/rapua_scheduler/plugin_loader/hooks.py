"""One plugin's hooks, checked and called; with `hookspecs` the only place that knows pluggy."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterable, Mapping, MutableMapping
from itertools import islice
from typing import Any

import pluggy

from rapua_scheduler import hookspecs
from rapua_scheduler.events import Event
from rapua_scheduler.job import Job, is_async
from rapua_scheduler.plugin_loader.guard import Refused
from rapua_scheduler.plugin_loader.plugins import Observer
from rapua_scheduler.settings import did_you_mean, is_settings_class
from rapua_scheduler.site import Site

MOST_JOBS = 10_000
"""Jobs that one plugin may declare; a generator that never ends must not hang the host."""

_Parameter = inspect.Parameter


class Hooks:
    """The hooks of one plugin, in a plugin manager of its own.

    Of its own, because a manager compares and hashes the plugins in it: one whose `__eq__` raises
    would take the others along.
    """

    def __init__(self, name: str, plugin: object) -> None:
        """Check what *plugin* implements.

        Raises:
            Refused: It implements no hook, one that does not exist, or one in a way it cannot be called.
        """
        self._manager = pluggy.PluginManager(hookspecs.GROUP)
        self._manager.add_hookspecs(hookspecs)
        _check_kind(plugin)
        self._check_implementations(plugin)
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise Refused(f"hooks: {' '.join(str(error).split())}") from None

    def _check_implementations(self, plugin: object) -> None:
        specified = {hook: caller.spec for hook, caller in vars(self._manager.hook).items() if caller.spec}
        implemented: dict[str, str] = {}
        for attribute in dir(plugin):
            options = self._manager.parse_hookimpl_opts(plugin, attribute)
            if options is None:
                continue
            hook = options.get("specname") or attribute
            if hook not in specified:
                if options.get("optionalhook"):
                    continue
                raise Refused(
                    f"hooks: {attribute} is marked @hookimpl, but there is no such hook{did_you_mean(hook, specified)}"
                )
            if hook in implemented:
                raise Refused(f"hooks: both {implemented[hook]} and {attribute} implement {hook}; keep one of them")
            if options.get("wrapper") or options.get("hookwrapper"):
                raise Refused(
                    f"hooks: {attribute} is a hook wrapper, which could change what others declare; "
                    "mark it @hookimpl without arguments"
                )
            _check_signature(attribute, getattr(plugin, attribute), specified[hook].argnames)
            implemented[hook] = attribute
        for hook in specified.keys() - implemented:
            if inspect.isroutine(getattr(plugin, hook, None)):
                raise Refused(f"hooks: {hook} is not marked; write @hookimpl above it (from rapua_scheduler)")
        if not implemented:
            raise Refused(f"hooks: it implements none of {', '.join(specified)}; write one, and @hookimpl above it")

    @property
    def observer(self) -> Observer | None:
        """What to call with every event; None if the plugin does not observe."""
        if not self._manager.hook.on_event.get_hookimpls():
            return None
        return self._observe

    def _observe(self, event: Event) -> None:
        self._manager.hook.on_event(event=event)

    @property
    def declares_jobs(self) -> bool:
        """Whether the plugin implements `register_jobs`."""
        return bool(self._manager.hook.register_jobs.get_hookimpls())

    @property
    def takes_settings(self) -> bool:
        """Whether its `register_jobs` looks at its table of the configuration."""
        return "settings" in inspect.signature(self._register_jobs).parameters

    def settings_type(self) -> type[Any] | None:
        """Return the class that `register_jobs` wants its table as; None for the table itself.

        Only that annotation is looked at: another may name what is imported for type checkers only.

        Raises:
            Refused: The annotation cannot be resolved, or is not a class that settings can be.
        """
        function: Any = inspect.unwrap(self._register_jobs)
        function = getattr(function, "__func__", function)
        annotation = getattr(function, "__annotations__", {}).get("settings", Any)
        holder = types.SimpleNamespace(__annotations__={"settings": annotation})
        try:
            wanted = typing.get_type_hints(holder, globalns=function.__globals__)["settings"]
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            raise Refused(
                f"settings: the annotation {annotation!r} cannot be resolved ({error}); name a class that is "
                "defined or imported at the top of the module, outside `if TYPE_CHECKING`"
            ) from None
        origin = typing.get_origin(wanted) or wanted
        if wanted in {Any, object} or origin in {Mapping, typing.Mapping}:
            return None
        if origin in {dict, MutableMapping}:
            return dict
        if not is_settings_class(wanted):
            raise Refused(f"settings: {wanted!r} is neither an attrs class nor Mapping; annotate it with one of these")
        return typing.cast("type[Any]", wanted)

    def register_jobs(self, settings: object, site: Site) -> tuple[Job, ...]:
        """Return the jobs that the plugin declares.

        Raises:
            Refused: What it returned is not jobs.
            BaseException: It raised.
        """
        returned = self._manager.hook.register_jobs(settings=settings, site=site)
        if not returned:
            raise Refused("register_jobs: returned None; return a list of jobs")
        return _jobs(returned[0])

    @property
    def _register_jobs(self) -> Any:
        return self._manager.hook.register_jobs.get_hookimpls()[0].function


def _check_kind(plugin: object) -> None:
    if plugin is None:
        raise Refused("import: the entry point refers to None; let it name a module")
    if inspect.isclass(plugin):
        raise Refused("import: the entry point refers to a class; let it name a module, or an instance")
    if inspect.isroutine(plugin):
        raise Refused("import: the entry point refers to a function; let it name the module that it is in")


def _check_signature(name: str, function: Any, known: tuple[str, ...]) -> None:
    if is_async(function):
        raise Refused(f"hooks: {name} is async; hooks are plain functions, only jobs may be async")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in {_Parameter.VAR_POSITIONAL, _Parameter.VAR_KEYWORD}:
            continue
        if parameter.name not in known:
            raise Refused(
                f"hooks: {name} takes {parameter.name!r}; it can take {' and '.join(known)}"
                f"{did_you_mean(parameter.name, known)}"
            )
        if parameter.kind is _Parameter.KEYWORD_ONLY:
            raise Refused(f"hooks: {name} takes {parameter.name!r} by keyword only, which hooks cannot; drop the `*`")


def _jobs(returned: object) -> tuple[Job, ...]:
    if isinstance(returned, Job):
        raise Refused("register_jobs: returned a single job; return a list")
    if inspect.iscoroutine(returned):
        returned.close()
    if isinstance(returned, (str, bytes, Mapping)) or not isinstance(returned, Iterable):
        raise Refused(f"register_jobs: returned {_article(returned)}; return a list of jobs")
    jobs: dict[str, Job] = {}
    for number, item in enumerate(islice(returned, MOST_JOBS + 1), start=1):
        if number > MOST_JOBS:
            raise Refused(f"register_jobs: declares more than {MOST_JOBS} jobs")
        if not isinstance(item, Job):
            raise Refused(f"register_jobs: item {number} of what it returned is {_article(item)}, not a Job")
        if jobs.setdefault(item.key, item) is not item:
            raise Refused(f"register_jobs: declares two jobs with the key {item.key!r}; give one of them another key")
    return tuple(jobs.values())


def _article(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
