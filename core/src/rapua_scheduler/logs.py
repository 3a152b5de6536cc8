"""The program's log: structlog on top of the standard library's loggers."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from rapua_scheduler.clock import Clock
from rapua_scheduler.log_output import LogOutput, short_arguments
from rapua_scheduler.redaction import redact, redact_fields
from rapua_scheduler.tracebacks import short_error

ROOT = "rapua_scheduler"
LogFormat = Literal["console", "json"]

_LOWEST_DESCRIPTOR = 10
_own_stream: TextIO | None = None

logging.getLogger(ROOT).addHandler(logging.NullHandler())


class _Line(dict[str, Any]):
    """The fields of a line, readable also through a handler that knows nothing of structlog."""

    def __str__(self) -> str:
        fields = " ".join(
            f"{name}={value!r}" for name, value in self.items() if name not in {"event", "level", "logger", "exception"}
        )
        text = f"{self.get('event', '')} {fields}".rstrip()
        return f"{text}\n{self['exception']}" if "exception" in self else text


def _as_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return _Line(event)


def _shorten_arguments(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    arguments = event.get("positional_args")
    if arguments:
        if len(arguments) == 1 and type(arguments[0]) is dict:
            event["positional_args"] = (short_arguments(arguments[0]),)
        else:
            event["positional_args"] = short_arguments(arguments)
    return event


def _shorten_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Let what is shown of an exception be bounded: its text is made all at once, and anybody's."""
    found = event.get("exc_info")
    if isinstance(found, tuple):
        found = found[1] if len(found) == 3 else None
    elif found and not isinstance(found, BaseException):
        found = sys.exc_info()[1]
    if isinstance(found, BaseException):
        short = short_error(found)
        if short is not found:
            event["exc_info"] = (type(short), short, short.__traceback__)
    return event


_TO_HANDLERS: list[Any] = [
    structlog.stdlib.add_logger_name,
    redact_fields,
    _as_line,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
_FORMATTING: list[Any] = [_shorten_arguments, structlog.stdlib.PositionalArgumentsFormatter()]
_BEFORE_HANDLERS: list[Any] = [
    structlog.stdlib.filter_by_level,
    structlog.stdlib.add_log_level,
    *_FORMATTING,
    *_TO_HANDLERS,
]


def get_logger(name: str = ROOT, *, tee: Callable[[Mapping[str, Any]], None] | None = None, **bound: Any) -> Any:
    """Return a structlog logger whose lines go to the standard library's logger *name*.

    It is silent until the application configures `logging`, as a library's should be; the host
    does so with `configure_logging`. What reads like a secret does not come through.

    Args:
        name: A logger name below "rapua_scheduler".
        tee: Called with every line, one that is not logged for its level included: "event", "level" and
            the other fields, secrets and all. Must not change them, and must not raise.
        bound: Fields of every line.
    """
    processors = _BEFORE_HANDLERS
    if tee is not None:
        processors = [
            structlog.stdlib.add_log_level,
            *_FORMATTING,
            _handing_to(tee),
            structlog.stdlib.filter_by_level,
            *_TO_HANDLERS,
        ]
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=processors,
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
        **bound,
    )


def _handing_to(tee: Callable[[Mapping[str, Any]], None]) -> Any:
    def hand_over(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        tee(event)
        return event

    return hand_over


def _drop_logger_name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("logger", None)
    return event


def _redact_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if "exception" in event:
        event.update(redact_fields(None, "", {"exception": event["exception"]}))
    return event


def _plain_traceback(stream: TextIO, exc_info: Any) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write(redact(text.getvalue()))


def stamped_by(clock: Clock, zone: tzinfo) -> Any:
    """Return a structlog processor that adds the time of *clock*, in *zone* and with its offset."""

    def stamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["timestamp"] = clock.now().astimezone(zone).isoformat(timespec="milliseconds")
        return event

    return stamp


def _own_standard_error() -> TextIO:
    """Return a stream to where standard error goes now, through a descriptor of its own."""
    global _own_stream
    try:
        theirs = sys.stderr.fileno()
        if _own_stream is None or not os.path.sameopenfile(theirs, _own_stream.fileno()):
            descriptor = fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR)
            _own_stream = open(  # noqa: SIM115  for as long as the program lives
                descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
            )
    except (AttributeError, OSError, ValueError):  # it is no file, or closed
        return sys.stderr
    return _own_stream


def configure_logging(
    format_: LogFormat, *, level: int = logging.INFO, stream: TextIO | None = None, timestamps: Any = None
) -> None:
    """Send the host's log to *stream*, one line a fact.

    Exceptions are printed without the values of local variables, which may hold secrets; so is whatever
    reads like one.

    Args:
        format_: "console" for people, "json" for machines.
        level: The lowest level that is written.
        stream: Where to; by default where standard error goes now, whatever a job does to it later.
        timestamps: A structlog processor that adds "timestamp"; the machine's time in UTC by default.
    """
    target = stream if stream is not None else _own_standard_error()
    shared: list[Any] = [
        timestamps or structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _shorten_exception,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    ]
    renderers: list[Any]
    if format_ == "json":
        renderers = [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            _redact_exception,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        renderers = [
            _drop_logger_name,
            structlog.dev.ConsoleRenderer(
                colors=target.isatty(), exception_formatter=_plain_traceback, sort_keys=False
            ),
        ]
    foreign: list[Any] = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, redact_fields]
    handler = LogOutput(target, lambda lost: get_logger().warning("Log lines were lost", lines=lost))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[*shared, *renderers], foreign_pre_chain=foreign)
    )
    for name in list(logging.root.manager.loggerDict):  # somebody's configuration may have disabled ours
        if name.partition(".")[0] == ROOT:
            logging.getLogger(name).disabled = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger(ROOT).setLevel(level)
