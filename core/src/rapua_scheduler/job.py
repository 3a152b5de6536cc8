"""What a plugin declares: a job, its key, its next function and its policies."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from attrs import Attribute, field, frozen

from rapua_scheduler.errors import InvalidJobError
from rapua_scheduler.policy import CatchUp, CatchUpMode, IfUnfinished, Isolation, Overlap, Retry, choice, parse_duration
from rapua_scheduler.schedules import BuiltInSchedule

RunFunction = Callable[[Any], object]
"""`run(ctx: JobContext)`, plain or `async def`; what it returns becomes the run's result."""

NextFunction = Callable[[datetime], datetime | None] | Callable[[], datetime | None]
"""`next(after)`: the first fire time strictly later than *after*; or, as in the original, `next()`."""

CheckFunction = Callable[[], Iterable[str]]
"""`check()`: one line for each thing that a person should know or mend."""

IsDoneFunction = Callable[[datetime], bool | None]
"""`is_done(fire_time)`: whether the effect of that fire time is complete; None if that cannot be told."""

KEY_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")

_CATCH_UP = {mode.value: CatchUp(mode) for mode in CatchUpMode}
_RETRY_NEVER = Retry()


def slug(name: str) -> str:
    """Return the key that a job called *name* has unless it says otherwise; may be empty."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-_")[:80]


def is_async(function: RunFunction) -> bool:
    """Tell whether calling *function* gives a coroutine."""
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, (FunctionType, MethodType)):  # as nearly always; asked before each attempt
        return inspect.iscoroutinefunction(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004  an object whose __call__ is async
    )


def call_run(run: RunFunction, context: object) -> object:
    """Return what *run* returns, which is a coroutine if it is `async`.

    Raises:
        TypeError: It has only made a generator or a coroutine that nobody executes.
        BaseException: Whatever it raises.
    """
    returned = run(context)
    if inspect.isgenerator(returned) or (inspect.iscoroutine(returned) and not is_async(run)):
        returned.close()
        raise TypeError(
            f"run returned a {type(returned).__name__}, which nobody executes; "
            "write it as `async def`, or as a plain function"
        )
    return returned


def takes_after(next_function: NextFunction) -> bool:
    """Tell whether *next_function* is called with the last fire time, or with nothing.

    Raises:
        InvalidJobError: It can be called neither way.
    """
    if isinstance(next_function, BuiltInSchedule):
        return True
    try:
        signature = inspect.signature(next_function)
    except (TypeError, ValueError):  # some callables written in C have none
        return True
    for arguments in ((None,), ()):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return bool(arguments)
    raise InvalidJobError("next", f"must take one argument, the last fire time; {signature} cannot be called so")


def _takes_one(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # some callables written in C have no signature
        return True
    return True


def _first_line_of_docstring(run: RunFunction) -> str:
    while isinstance(run, partial):
        run = run.func
    lines = (getattr(run, "__doc__", None) or "").strip().splitlines()
    return lines[0].strip() if lines else ""


def _overlap(value: Overlap | str) -> Overlap:
    return choice("overlap", Overlap, value)


def _isolation(value: Isolation | str) -> Isolation:
    return choice("isolation", Isolation, value)


def _if_unfinished(value: IfUnfinished | str) -> IfUnfinished:
    return choice("if_unfinished", IfUnfinished, value)


def _catch_up(value: CatchUp | str) -> CatchUp:
    return value if isinstance(value, CatchUp) else _CATCH_UP[choice("catch_up", CatchUpMode, value)]


def _retry(value: Retry | int) -> Retry:
    return value if isinstance(value, Retry) else Retry(attempts=value)


def _duration(field: str, value: timedelta | str | None) -> timedelta | None:
    if isinstance(value, str):
        try:
            value = parse_duration(value)
        except ValueError as error:
            raise InvalidJobError(field, str(error)) from None
    if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
        raise InvalidJobError(field, f"must be a timedelta longer than zero or None, not {value!r}")
    return value


def _timeout(value: timedelta | str | None) -> timedelta | None:
    return _duration("timeout", value)


def _jitter(value: timedelta | str | None) -> timedelta | None:
    return _duration("jitter", value)


def _keys(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@frozen(eq=False, weakref_slot=False)  # there may be a hundred thousand of them
class Job:
    """A job: what it is called, what it does, and when.

    Attributes:
        name: Free text, for people.
        run: Called with a `JobContext` at each fire time; plain or `async def`. What it returns, a
            mapping of plain scalars or one scalar, is kept as the run's result.
        next: The first fire time strictly later than its argument, aware; None means never again.
            Pure, and `a <= b < next(a)` implies `next(b) == next(a)`. A function that takes no
            argument is asked at start and after each run instead.
        key: The stable identifier: lower-case letters, digits, `_` and `-`, at most 80; made from the
            name unless given.
        description: One line; the first of `run`'s docstring unless given.
        catch_up: What becomes of fire times that passed while nobody could run them: a `CatchUp`, or
            its mode as a word.
        overlap: What becomes of a fire time whose job is still running.
        retry: A `Retry`, or a number of attempts.
        timeout: Longest duration of one attempt, a `timedelta` or text such as "10m"; None is no limit.
        isolation: Where attempts execute: in a thread of the host, or in a process of their own.
        if_unfinished: What becomes of a run whose host died or was stopped in the middle.
        concurrency_key: Jobs that share one run one at a time.
        pause_after_failures: Pause the job after so many failed runs in a row; None is never.
        jitter: Start up to so much later than the fire time, always by the same share of it, so that
            jobs of one time do not start at one instant; for built-in schedules. The fire time and its
            identity stay.
        formerly: Keys that this job had before; its history is taken over.
        supports_backfill: Whether `run` may be asked for fire times long past (`backfill`).
        supports_dry_run: Whether `run` honours `ctx.dry_run` by stopping short of every effect.
        check: Looks, for `rapua-scheduler check`, at what the job works on, and returns one line for
            each thing that a person should know or mend; never called by the host.
        is_done: Tells of a fire time whether its effect is complete, from where the effect itself is
            kept; None if that cannot be told. Asked when a host starts: a fire time that the store
            takes to be done, and the effect does not, is run again.

    Raises:
        InvalidJobError: A value is not one that the field can have; names the field.
    """

    name: str = field()
    run: RunFunction = field()
    next: NextFunction = field()
    key: str = field(kw_only=True)
    description: str = field(kw_only=True)
    catch_up: CatchUp = field(default=_CATCH_UP["latest"], converter=_catch_up, kw_only=True)
    overlap: Overlap = field(default=Overlap.SKIP, converter=_overlap, kw_only=True)
    retry: Retry = field(default=_RETRY_NEVER, converter=_retry, kw_only=True)
    timeout: timedelta | None = field(default=None, converter=_timeout, kw_only=True)
    isolation: Isolation = field(default=Isolation.THREAD, converter=_isolation, kw_only=True)
    if_unfinished: IfUnfinished = field(default=IfUnfinished.RERUN, converter=_if_unfinished, kw_only=True)
    concurrency_key: str | None = field(default=None, kw_only=True)
    pause_after_failures: int | None = field(default=None, kw_only=True)
    jitter: timedelta | None = field(default=None, converter=_jitter, kw_only=True)
    formerly: tuple[str, ...] = field(default=(), converter=_keys, kw_only=True)
    supports_backfill: bool = field(default=False, kw_only=True)
    supports_dry_run: bool = field(default=False, kw_only=True)
    check: CheckFunction | None = field(default=None, kw_only=True)
    is_done: IsDoneFunction | None = field(default=None, kw_only=True)

    @name.validator
    def _has_a_name(self, _: Attribute[str], value: str) -> None:
        if not isinstance(value, str) or not value.strip():
            raise InvalidJobError("name", f"must be text that is not blank, not {value!r}")

    @run.validator
    def _can_run(self, _: Attribute[RunFunction], value: RunFunction) -> None:
        if not callable(value):
            raise InvalidJobError("run", f"must be a function that takes a JobContext, not {value!r}")
        if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
            raise InvalidJobError("run", "must not `yield`: calling it would execute nothing")
        if not _takes_one(value):
            raise InvalidJobError("run", "must take one argument, the JobContext")

    @next.validator  # noqa: A003  the field, as the original calls it
    def _can_tell_what_is_next(self, _: Attribute[NextFunction], value: NextFunction) -> None:
        if not callable(value):
            raise InvalidJobError("next", f"must be a schedule or a function, not {value!r}")
        takes_after(value)

    @check.validator
    def _can_check(self, _: Attribute[CheckFunction | None], value: CheckFunction | None) -> None:
        if value is not None and not callable(value):
            raise InvalidJobError("check", f"must be a function without arguments, not {value!r}")

    @is_done.validator
    def _can_tell_what_is_done(self, _: Attribute[IsDoneFunction | None], value: IsDoneFunction | None) -> None:
        if value is not None and (not callable(value) or not _takes_one(value)):
            raise InvalidJobError("is_done", f"must be a function that takes a fire time, not {value!r}")

    @pause_after_failures.validator
    def _is_a_number(self, _: Attribute[int | None], value: int | None) -> None:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise InvalidJobError("pause_after_failures", f"must be a whole number of at least 1, not {value!r}")

    @jitter.validator
    def _has_a_known_gap(self, _: Attribute[timedelta | None], value: timedelta | None) -> None:
        if value is not None and not isinstance(self.next, BuiltInSchedule):
            raise InvalidJobError("jitter", "is for built-in schedules; have your own next function return later times")

    @concurrency_key.validator
    def _is_no_blank(self, _: Attribute[str | None], value: str | None) -> None:
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise InvalidJobError("concurrency_key", f"must be text that is not blank, or None, not {value!r}")

    @formerly.validator
    def _are_keys(self, _: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
        for key in value:
            if not isinstance(key, str) or not KEY_PATTERN.fullmatch(key):
                raise InvalidJobError("formerly", f"{key!r} is not a key; write the one that the job had")

    @key.default
    def _key_from_name(self) -> str:
        return slug(self.name) if isinstance(self.name, str) else ""

    @key.validator
    def _is_a_key(self, _: Attribute[str], value: str) -> None:
        if not isinstance(value, str) or not KEY_PATTERN.fullmatch(value):
            raise InvalidJobError(
                "key", f"{value!r} must be 1 to 80 lower-case letters, digits, '_' or '-', a letter or digit first"
            )

    @description.default
    def _description_from_docstring(self) -> str:
        return _first_line_of_docstring(self.run)
