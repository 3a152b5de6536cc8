"""The configuration of a host: which file it is in, what it says, and what holds where it says nothing.

The file is the one that was asked for, else `./rapua-scheduler.toml`, else
`/etc/rapua-scheduler/config.toml`; having none is fine. Paths in it are relative to its folder, those of
its `[rapua_scheduler.site]` table to the site's folder if one was given (`--site DIR`).
"""

from __future__ import annotations

import os
import re
import tomllib
import types
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import attrs
import tzlocal
from attrs import field, frozen

from rapua_scheduler.errors import ConfigurationError
from rapua_scheduler.logs import LogFormat
from rapua_scheduler.outcomes import summarize_error
from rapua_scheduler.overrides import JobOverrides
from rapua_scheduler.settings import Where, named_zone, structure_settings
from rapua_scheduler.site import Site, database_path, read_env_file

T = TypeVar("T")

TABLE = "rapua_scheduler"
"""The table of the file that everything is below."""

FILE = "rapua-scheduler.toml"
"""The file's name where it is looked for in the working directory."""

SYSTEM_FILE = Path("/etc/rapua-scheduler/config.toml")
"""The file that is read when there is none in the working directory."""

STATE = "rapua-scheduler.db"
"""The store's file, unless `state` names another."""

_NO_TABLE: Mapping[str, Mapping[str, object]] = types.MappingProxyType({})
_NO_OVERRIDES: Mapping[str, JobOverrides] = types.MappingProxyType({})
_SYNTAX_ERROR = re.compile(r"(.*) \(at (.*)\)", re.DOTALL)


@frozen(kw_only=True)
class Config:
    """What a host goes by; every path is absolute.

    Attributes:
        path: The configuration file; None if there is none.
        timezone: The zone in which days and months begin.
        state: The store's file.
        shutdown_grace: How long running jobs may go on once the host is told to stop.
        allow_plugins: Names of the plugins that may be loaded; empty for every installed one.
        deny_plugins: Names of plugins that are not loaded.
        require_plugins: Names of plugins without which the host does not start.
        plugin_timeout: How long a plugin may take to load.
        log_format: How log lines look; None if the file leaves it to the host.
        retention: How long ended runs and gaps are kept.
        keep_runs: How many of them are kept of each job at most.
        site: The web site the jobs work on.
        site_folder: The folder of the Rapua site that was asked for; None if none was.
        jobs: What the operator says about jobs, by the job's key.
        plugins: The tables for plugins, by the plugin's name, as they were read.
    """

    path: Path | None
    timezone: ZoneInfo
    state: Path
    shutdown_grace: timedelta = timedelta(seconds=30)
    allow_plugins: tuple[str, ...] = ()
    deny_plugins: tuple[str, ...] = ()
    require_plugins: tuple[str, ...] = ()
    plugin_timeout: timedelta = timedelta(seconds=30)
    log_format: LogFormat | None = None
    retention: timedelta = timedelta(days=400)
    keep_runs: int = 10_000
    site: Site
    site_folder: Path | None = None
    jobs: Mapping[str, JobOverrides] = _NO_OVERRIDES
    plugins: Mapping[str, Mapping[str, object]] = _NO_TABLE

    def where(self, *tables: str) -> Where:
        """Return where our table, or one inside it, is written, or would be."""
        folder = self.state.parent if self.path is None else self.path.parent
        return Where(_shown(self.path), TABLE, folder).below(*tables)


def _not_negative(_: object, __: object, value: timedelta) -> None:
    if value < timedelta(0):
        raise ValueError("must not be negative")


def _longer_than_zero(_: object, __: object, value: timedelta) -> None:
    if value <= timedelta(0):
        raise ValueError("must be longer than zero")


def _at_least_a_day(_: object, __: object, value: timedelta) -> None:
    if value < timedelta(days=1):
        raise ValueError('must be at least "1d"')


def _at_least_one(_: object, __: object, value: int) -> None:
    if value < 1:
        raise ValueError("must be at least 1")


def _can_be_met(table: _SchedulerTable, _: object, required: tuple[str, ...]) -> None:
    for name in required:
        if name in table.deny_plugins:
            raise ValueError(f"requires {name!r}, which deny_plugins names; take it out of one of the two")
        if table.allow_plugins and name not in table.allow_plugins:
            raise ValueError(f"requires {name!r}, which allow_plugins leaves out; add it there")


def _is_web_address(_: object, __: object, value: str | None) -> None:
    if value is not None and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).netloc):
        raise ValueError(f'{value!r} is not the address of a web site; write it like "https://rapua.nz"')


def _without_slash(value: str | None) -> str | None:
    return None if value is None else value.rstrip("/")


@frozen
class _SchedulerTable:
    timezone: ZoneInfo | None = None
    state: Path | None = None
    shutdown_grace: timedelta = field(default=timedelta(seconds=30), validator=_not_negative)
    allow_plugins: tuple[str, ...] = ()
    deny_plugins: tuple[str, ...] = ()
    require_plugins: tuple[str, ...] = field(default=(), validator=_can_be_met)
    plugin_timeout: timedelta = field(default=timedelta(seconds=30), validator=_longer_than_zero)
    log_format: LogFormat | None = None
    retention: timedelta = field(default=timedelta(days=400), validator=_at_least_a_day)
    keep_runs: int = field(default=10_000, validator=_at_least_one)
    site: Mapping[str, object] = _NO_TABLE
    jobs: Mapping[str, JobOverrides] = _NO_OVERRIDES
    plugins: Mapping[str, Mapping[str, object]] = _NO_TABLE


@frozen
class _SiteTable:
    database: Path | None = None
    url: str | None = field(default=None, converter=_without_slash, validator=_is_web_address)
    uploads_dir: Path | None = None


def load_config(
    config: Path | None, site: Path | None, env: Mapping[str, str], cwd: Path, *, system_file: Path = SYSTEM_FILE
) -> Config:
    """Return the configuration that holds for a program started so.

    The store is where `state` says; else in systemd's `$STATE_DIRECTORY`; else beside the configuration
    file; else, so that the same site has the same store wherever the program is started, in the site's
    folder; else in the working directory. The zone is `timezone`, else the system's; if that has no name
    known to the time zone database, one must be written: it is never UTC by default.

    Args:
        config: The configuration file that was asked for (`--config`).
        site: The folder of a Rapua site that was asked for (`--site`); its `.env` says where its database
            is and what its address is, unless the configuration does.
        env: The environment.
        cwd: The working directory, absolute.
        system_file: The file to read when there is none in the working directory.

    Raises:
        ConfigurationError: Something cannot be used; names every mistake.
    """
    path = _find(config, cwd, system_file)
    site_folder = None if site is None else cwd / site
    here = Where(_shown(path), TABLE, cwd if path is None else path.parent)
    problems: list[str] = []

    table = {} if path is None else _read(path, problems)
    site_table = table.get("site")
    main = _structured(table, _SchedulerTable, here, problems)
    written = _structured(
        site_table if isinstance(site_table, Mapping) else {},
        _SiteTable,
        attrs.evolve(here.below("site"), folder=site_folder or here.folder),
        problems,
    )
    found = _SiteTable() if site_folder is None else _read_site(site_folder, written, problems)
    database = written.database or found.database
    state = main.state or _default_state(path, site_folder, env, cwd)
    if database == state:
        problems.append(here.problem(["state"], f"{state} is the site's database; name a file of the store's own"))
    timezone = _system_zone(env, here, problems) if "timezone" not in table else main.timezone
    if problems or timezone is None:
        raise ConfigurationError(problems)
    return Config(
        path=path,
        timezone=timezone,
        state=state,
        shutdown_grace=main.shutdown_grace,
        allow_plugins=main.allow_plugins,
        deny_plugins=main.deny_plugins,
        require_plugins=main.require_plugins,
        plugin_timeout=main.plugin_timeout,
        log_format=main.log_format,
        retention=main.retention,
        keep_runs=main.keep_runs,
        site=Site(
            url=written.url or found.url,
            uploads_dir=written.uploads_dir or found.uploads_dir,
            timezone=timezone,
            database=database,
            state_dir=state.parent,
        ),
        site_folder=site_folder,
        jobs=main.jobs,
        plugins=main.plugins,
    )


def _shown(path: Path | None) -> str:
    return "no configuration file" if path is None else str(path)


def _find(asked_for: Path | None, cwd: Path, system_file: Path) -> Path | None:
    if asked_for is not None:
        return cwd / asked_for
    # lexists: a link to nowhere is a mistake to be shown, not a reason to look elsewhere
    return next((path for path in (cwd / FILE, system_file) if os.path.lexists(path)), None)


def _read(path: Path, problems: list[str]) -> dict[str, object]:
    """Return what the file says below our table.

    Raises:
        ConfigurationError: It cannot be read, or is not TOML.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigurationError([f"{path}: there is no such file"]) from None
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: is not UTF-8 text, at byte {error.start}"]) from None
    except tomllib.TOMLDecodeError as error:
        text, place = _SYNTAX_ERROR.fullmatch(str(error)), ""
        if text:
            place = f"{text[2]}: "
        raise ConfigurationError([f"{path}: {place}{text[1] if text else error}"]) from None
    except RecursionError:
        raise ConfigurationError([f"{path}: is nested too deeply"]) from None
    problems += [
        f"{path}: [{key}]: is not of this program; everything is below [{TABLE}]" for key in document if key != TABLE
    ]
    table = document.get(TABLE, {})
    if isinstance(table, dict):
        return table
    problems.append(f"{path}: {TABLE}: must be a table, written [{TABLE}]")
    return {}


def _structured(table: Mapping[str, object], cls: type[T], where: Where, problems: list[str]) -> T:
    """Return *table* as an instance of *cls*; if it has mistakes, add them, and return the defaults."""
    try:
        return structure_settings(table, cls, where)
    except ConfigurationError as error:
        problems += error.problems
        return cls()


def _read_site(folder: Path, written: _SiteTable, problems: list[str]) -> _SiteTable:
    """Return what the folder of a Rapua site says of it, as far as the configuration does not."""
    file = folder / ".env"
    uploads = folder / "static" / "uploads"
    try:
        env = read_env_file(file)
    except OSError as error:
        if written.database is None:
            problems.append(f"{file}: cannot be read ({error.strerror}); --site takes the folder of a Rapua site")
        return _SiteTable(uploads_dir=uploads)
    database = None
    if written.database is None:
        if env.get("DB_TYPE", "sqlite3") != "sqlite3":
            problems.append(f'{file}: DB_TYPE: is {env["DB_TYPE"]!r}; the jobs work on "sqlite3" only')
        elif env.get("DB_CONNECTION"):
            database = database_path(env["DB_CONNECTION"], folder)
    url = None
    if written.url is None and env.get("SITE_URL"):
        try:
            url = _SiteTable(url=env["SITE_URL"]).url
        except ValueError as error:
            problems.append(f"{file}: SITE_URL: {error}")
    return _SiteTable(database, url, uploads)


def _default_state(path: Path | None, site_folder: Path | None, env: Mapping[str, str], cwd: Path) -> Path:
    systemd = env.get("STATE_DIRECTORY", "").partition(":")[0]
    if systemd:
        return cwd / systemd / STATE
    if path is not None:
        return path.parent / STATE
    return (site_folder or cwd) / STATE


def _system_zone(env: Mapping[str, str], where: Where, problems: list[str]) -> ZoneInfo | None:
    """Return the zone that this machine is set to, by its name.

    Rules without a name (a copied `/etc/localtime`, `TZ=NZST-12NZDT`) are refused: the name is what a
    newer time zone database is asked for.
    """
    advice = 'set timezone = "Area/City", or "UTC" if that is what you want'
    from_env = env.get("TZ", "").removeprefix(":")
    if from_env:
        name = from_env.rpartition("zoneinfo/")[2] if from_env.startswith("/") else from_env
        try:
            return named_zone(name)
        except ValueError:
            problems.append(where.problem(["timezone"], f"is missing, and TZ={from_env!r} names no zone; {advice}"))
            return None
    try:
        name = tzlocal.get_localzone_name()
        if name:
            return named_zone(name)
        problem = "and this system's zone has no name"
    except ValueError as error:
        problem = f"and this system's zone cannot be used: {error}"
    except Exception as error:  # tzlocal warns, and raises, whatever it finds in old configuration files
        problem = f"and this system's zone cannot be told: {summarize_error(error)}"
    problems.append(where.problem(["timezone"], f"is missing, {problem}; {advice}"))
    return None
