"""What every command begins with: configuration, plugins, and the store as it is."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import click
from attrs import frozen

from rapua_scheduler.clock import Clock, SystemClock
from rapua_scheduler.config import Config, load_config
from rapua_scheduler.errors import StoreError
from rapua_scheduler.logs import configure_logging
from rapua_scheduler.plugin_loader import KnownProviders, LoadedPlugins, absences, load_plugins
from rapua_scheduler.registry import Registry
from rapua_scheduler.store.locks import lock_path
from rapua_scheduler.store.problems import store_error
from rapua_scheduler.store.sqlite import SqliteStore

_NO_PLUGINS = LoadedPlugins((), Registry(), {})


@frozen
class Session:
    """One command's view of the world.

    Attributes:
        config: The configuration.
        store: The store, opened for reading unless the command has a word to write; None if there is none yet.
        plugins: The plugins that were found, and their jobs; none if the command needs none.
        clock: Where the time comes from.
        store_error: Why the store that is there cannot be used; None if it can, or if there is none yet.
    """

    config: Config
    store: SqliteStore | None
    plugins: LoadedPlugins
    clock: Clock
    store_error: StoreError | None = None


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
def open_session(
    context: click.Context, *, import_plugins: bool = True, for_words: bool = False, for_check: bool = False
) -> Iterator[Session]:
    """Read the configuration, load the plugins, and open the store if there is one.

    Args:
        context: The command's.
        import_plugins: Whether the command needs the jobs.
        for_words: Whether it writes the operator's word to the store, which then must be there.
        for_check: Whether it goes on without a store that cannot be used, and tells why it cannot.

    Raises:
        ConfigurationError: The configuration has mistakes.
        StoreError: There is a store, but it cannot be used, unless *for_check*; or there is none, and must be.
    """
    configure_logging("console", level=logging.ERROR)
    config, clock = read_config(context), SystemClock()
    store, store_error = None, None
    try:
        store = SqliteStore.open(config.state, create=False, clock=clock) if for_words else _open_for_reading(config)
    except StoreError as error:
        if not for_check:
            raise
        store_error = error
    try:
        plugins = _NO_PLUGINS
        if import_plugins:
            known = KnownProviders.from_stored(store.jobs() if store is not None else ())
            plugins = load_plugins(config, known, safe_mode=is_safe_mode(context))
        yield Session(config, store, plugins, clock, store_error)
    finally:
        if store is not None:
            store.close()


def _open_for_reading(config: Config) -> SqliteStore | None:
    try:
        # a store that is gone while its lock file is there is no first start: opening it says so
        is_there = config.state.exists() or lock_path(config.state).exists()
    except OSError as error:
        raise store_error(config.state, error) from error
    return SqliteStore.open_read_only(config.state) if is_there else None


def note_missing_store(session: Session) -> None:
    """Say where a listing has looked for a store, if none is there: it may be the wrong folder."""
    if session.store is None:
        click.echo(f"note: there is no store yet at {session.config.state}", err=True)


@contextmanager
def open_for_words(context: click.Context, *, import_plugins: bool = False) -> Iterator[tuple[Session, SqliteStore]]:
    """Open a session and its store to write the operator's word to it; see `open_session`."""
    with open_session(context, import_plugins=import_plugins, for_words=True) as session:
        if session.store is None:
            raise AssertionError("a store that is opened for writing is there")
        yield session, session.store


def reasons_of_absence(session: Session) -> Mapping[str, str]:
    """Return why jobs that the store knows cannot be run now, by key."""
    stored = session.store.jobs() if session.store is not None else ()
    return {key: reason for key, (_, reason) in absences(stored, session.plugins).items()}


def who_asks() -> str:
    """Return who gives this command, as user@machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, as in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


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
