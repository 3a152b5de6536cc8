"""What every command begins with: configuration, plugins, and the store as it is."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import click
from attrs import frozen

from rapua_scheduler.clock import Clock, SystemClock
from rapua_scheduler.config import Config, load_config
from rapua_scheduler.logs import configure_logging
from rapua_scheduler.plugin_loader import KnownProviders, LoadedPlugins, load_plugins
from rapua_scheduler.store.locks import lock_path
from rapua_scheduler.store.sqlite import SqliteStore


@frozen
class Session:
    """One command's view of the world; nothing in it is written to.

    Attributes:
        config: The configuration.
        store: The store, opened for reading; None if there is none yet.
        plugins: The plugins that were found, and their jobs.
        clock: Where the time comes from.
    """

    config: Config
    store: SqliteStore | None
    plugins: LoadedPlugins
    clock: Clock


def read_config(context: click.Context) -> Config:
    """Return the configuration that the global options name.

    Raises:
        ConfigurationError: It has mistakes; lists all of them.
    """
    options = context.find_root().obj
    return load_config(options["config"], options["site"], os.environ, Path.cwd())


def is_safe_mode(context: click.Context) -> bool:
    """Tell whether no plugin may be imported."""
    return bool(context.find_root().obj["safe_mode"])


@contextmanager
def open_session(context: click.Context, *, import_plugins: bool = True) -> Iterator[Session]:
    """Read the configuration, load the plugins, and open the store for reading if there is one.

    Args:
        context: The command's.
        import_plugins: Whether the command needs the jobs.

    Raises:
        ConfigurationError: The configuration has mistakes.
        StoreError: There is a store, but it cannot be read.
    """
    configure_logging("console", level=logging.ERROR)
    config = read_config(context)
    # a store that is gone while its lock file is there is no first start: opening it says so
    is_there = config.state.exists() or lock_path(config.state).exists()
    store = SqliteStore.open_read_only(config.state) if is_there else None
    try:
        known = KnownProviders.from_stored(store.jobs() if store is not None else ())
        plugins = load_plugins(config, known, safe_mode=is_safe_mode(context) or not import_plugins)
        yield Session(config, store, plugins, SystemClock())
    finally:
        if store is not None:
            store.close()


def plugins_print_elsewhere() -> AbstractContextManager[object]:
    """Keep what plugins print while the block calls them out of the command's own output."""
    return redirect_stdout(sys.stderr)


def parse_instant(text: str, config: Config) -> datetime:
    """Return the instant written as ISO 8601; a date is its midnight, and the site's zone the default.

    Raises:
        click.BadParameter: It is not written so.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a time; write it like 2026-11-01, 2026-11-01T03:00 or 2026-11-01T03:00+13:00"
        ) from None
    instant = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=config.timezone)
    try:
        instant.astimezone(UTC).astimezone(config.timezone)
    except (OverflowError, ValueError):
        raise click.BadParameter(f"{text!r} is beyond the times that can be told in every zone") from None
    return instant
