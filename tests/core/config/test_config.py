"""Which file the configuration is in, what it says, and what holds where it says nothing."""

from __future__ import annotations

import textwrap
import zoneinfo
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import tzlocal

from rapua_scheduler import ConfigurationError
from rapua_scheduler.config import Config, load_config

Load = Callable[..., Config]


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "cwd"
    folder.mkdir()
    return folder


@pytest.fixture
def load(cwd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load with *text* in the working directory's file, on a machine in Pacific/Auckland."""
    monkeypatch.setattr(tzlocal, "get_localzone_name", lambda: "Pacific/Auckland")

    def load_with(
        text: str | None = None,
        *,
        config: Path | None = None,
        site: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> Config:
        if text is not None:
            (cwd / "rapua-scheduler.toml").write_text(textwrap.dedent(text))
        return load_config(config, site, env or {}, cwd, system_file=tmp_path / "etc" / "config.toml")

    return load_with


def refused(load: Load, *args: object, **more: object) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(*args, **more)
    return caught.value.problems


def rapua(folder: Path, env: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".env").write_text(textwrap.dedent(env))
    return folder


# Which file


def test_no_file_is_fine(load: Load, cwd: Path) -> None:
    config = load()

    assert config.path is None
    assert config.state == cwd / "rapua-scheduler.db"
    assert config.timezone == config.site.timezone == ZoneInfo("Pacific/Auckland")
    assert config.shutdown_grace == timedelta(seconds=30)
    assert (config.allow_plugins, config.deny_plugins, config.require_plugins) == ((), (), ())
    assert (config.site.database, config.site.url, config.site.uploads_dir) == (None, None, None)
    assert config.site.state_dir == cwd
    assert (config.retention, config.keep_runs) == (timedelta(days=400), 10_000)
    assert (dict(config.jobs), dict(config.plugins)) == ({}, {})


def test_the_file_that_was_asked_for_comes_before_the_working_directorys_and_that_before_the_systems(
    load: Load, cwd: Path, tmp_path: Path
) -> None:
    for folder, name in ((tmp_path / "etc", "config.toml"), (cwd, "rapua-scheduler.toml"), (tmp_path, "mine.toml")):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("")

    asked_for = load(config=Path("../mine.toml"))
    assert asked_for.path is not None
    assert asked_for.path.resolve() == tmp_path / "mine.toml"
    assert load().path == cwd / "rapua-scheduler.toml"
    (cwd / "rapua-scheduler.toml").unlink()
    assert load().path == tmp_path / "etc" / "config.toml"


def test_a_file_that_was_asked_for_must_be_there(load: Load, tmp_path: Path) -> None:
    assert refused(load, config=tmp_path / "absent.toml") == (f"{tmp_path / 'absent.toml'}: there is no such file",)


def test_a_link_to_nowhere_is_not_passed_over_in_silence(load: Load, cwd: Path) -> None:
    (cwd / "rapua-scheduler.toml").symlink_to(cwd / "absent")

    assert refused(load) == (f"{cwd / 'rapua-scheduler.toml'}: there is no such file",)


def test_a_file_that_cannot_be_read_is_named(load: Load, cwd: Path) -> None:
    (cwd / "rapua-scheduler.toml").mkdir()

    assert refused(load) == (f"{cwd / 'rapua-scheduler.toml'}: cannot be read: Is a directory",)


def test_a_mistake_of_syntax_is_shown_with_its_line(load: Load, cwd: Path) -> None:
    (problem,) = refused(load, "[rapua_scheduler]\ntimezone = Pacific/Auckland\n")

    assert problem.startswith(f"{cwd / 'rapua-scheduler.toml'}: line 2, column 12: ")


@pytest.mark.parametrize("content", [b"[rapua_scheduler]\nstate = '\xff'\n", "[rapua_scheduler]".encode("utf-16")])
def test_text_that_is_not_utf8_is_refused(load: Load, cwd: Path, content: bytes) -> None:
    (cwd / "rapua-scheduler.toml").write_bytes(content)

    assert "is not UTF-8 text" in refused(load)[0]


def test_a_byte_order_mark_is_passed_over(load: Load, cwd: Path) -> None:
    (cwd / "rapua-scheduler.toml").write_bytes(b"\xef\xbb\xbf[rapua_scheduler]\nstate = 'a.db'\n")

    assert load().state == cwd / "a.db"


# What it says


def test_the_whole_file_is_read(load: Load, cwd: Path) -> None:
    config = load(
        """
        [rapua_scheduler]
        timezone = "Europe/Berlin"
        state = "state/jobs.db"
        shutdown_grace = "2m"
        allow_plugins = ["digest", "credit_topup"]
        deny_plugins = ["other"]
        require_plugins = ["credit_topup"]
        log_format = "json"
        plugin_timeout = "5s"
        retention = "90d"
        keep_runs = 500

        [rapua_scheduler.site]
        database = "scanscout.db"
        url = "https://rapua.example/"
        uploads_dir = "/srv/uploads"

        [rapua_scheduler.plugins.digest]
        sender = "x@example.org"
        [rapua_scheduler.plugins.digest.nested]
        a = 1
        """
    )

    assert config.timezone == config.site.timezone == ZoneInfo("Europe/Berlin")
    assert config.state == cwd / "state" / "jobs.db"
    assert config.site.state_dir == cwd / "state"
    assert config.shutdown_grace == timedelta(minutes=2)
    assert config.allow_plugins == ("digest", "credit_topup")
    assert config.deny_plugins == ("other",)
    assert config.require_plugins == ("credit_topup",)
    assert config.log_format == "json"
    assert config.plugin_timeout == timedelta(seconds=5)
    assert (config.retention, config.keep_runs) == (timedelta(days=90), 500)
    assert config.site.database == cwd / "scanscout.db"
    assert config.site.url == "https://rapua.example"
    assert config.site.uploads_dir == Path("/srv/uploads")
    assert config.plugins["digest"] == {"sender": "x@example.org", "nested": {"a": 1}}


def test_all_mistakes_are_shown_at_once_each_with_file_table_and_key(load: Load, cwd: Path) -> None:
    found = refused(
        load,
        """
        [rapua-scheduler]
        [rapua_scheduler]
        time_zone = "Pacific/Auckland"
        timezone = "Pacific/Aukland"
        state = 5
        shutdown_grace = "soon"
        allow_plugins = "digest"
        deny_plugins = [1]
        log_format = "xml"
        plugin_timeout = "0"
        retention = "1h"
        keep_runs = 0
        [rapua_scheduler.jobs.credit-topup]
        timout = "10m"
        overlap = "queue"
        [rapua_scheduler.jobs.credit-topup.retry]
        attempt = 5
        delay = "0"
        [rapua_scheduler.site]
        databse = "x.db"
        url = "rapua.nz"
        uploads_dir = 5
        [rapua_scheduler.plugins]
        digest = 5
        """,
    )

    file = cwd / "rapua-scheduler.toml"
    here, site = f"{file}: [rapua_scheduler]", f"{file}: [rapua_scheduler.site]"
    job = f"{file}: [rapua_scheduler.jobs.credit-topup]"
    assert found == (
        f"{file}: [rapua-scheduler]: is not of this program; everything is below [rapua_scheduler]",
        f"{here} time_zone: unknown key; did you mean 'timezone'?",
        f"""{here} timezone: no time zone is called 'Pacific/Aukland'; did you mean "Pacific/Auckland"?""",
        f"{here} state: must be a path in quotes, not a whole number",
        f"""{here} shutdown_grace: 'soon' is not a duration; write it like "90s", "10m", "1h30m" or "14d\"""",
        f"{here} allow_plugins: must be a list in square brackets, not text",
        f"{here} deny_plugins[0]: must be text in quotes, not a whole number",
        f'{here} log_format: must be one of "console", "json"',
        f"{job} timout: unknown key; did you mean 'timeout'?",
        f'{job} overlap: must be one of "skip", "queue_one", "queue_all", "cancel_previous", "allow"',
        f"{file}: [rapua_scheduler.jobs.credit-topup.retry] attempt: unknown key; did you mean 'attempts'?",
        f"{file}: [rapua_scheduler.jobs.credit-topup.retry] delay: must be longer than zero",
        f"{file}: [rapua_scheduler.plugins] digest: must be a table, not a whole number",
        f"{here} plugin_timeout: must be longer than zero",
        f'{here} retention: must be at least "1d"',
        f"{here} keep_runs: must be at least 1",
        f"{site} databse: unknown key; did you mean 'database'?",
        f"{site} uploads_dir: must be a path in quotes, not a whole number",
        f"""{site} url: 'rapua.nz' is not the address of a web site; write it like "https://rapua.nz\"""",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rapua_scheduler = 5", "rapua_scheduler: must be a table, written [rapua_scheduler]"),
        ("[rapua_scheduler]\nsite = 5", "[rapua_scheduler] site: must be a table, not a whole number"),
        ("[rapua_scheduler]\nplugins = []", "[rapua_scheduler] plugins: must be a table, not a list"),
        (
            "[rapua_scheduler]\nrequire_plugins = ['a']\ndeny_plugins = ['a']",
            "[rapua_scheduler] require_plugins: requires 'a', which deny_plugins names; take it out of one of the two",
        ),
        (
            "[rapua_scheduler]\nrequire_plugins = ['a']\nallow_plugins = ['b']",
            "[rapua_scheduler] require_plugins: requires 'a', which allow_plugins leaves out; add it there",
        ),
        (
            "[rapua_scheduler.site]\ndatabase = 'rapua-scheduler.db'",
            "[rapua_scheduler] state: {cwd}/rapua-scheduler.db is the site's database; name a file of the store's own",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(load: Load, cwd: Path, text: str, problem: str) -> None:
    assert refused(load, text) == (f"{cwd / 'rapua-scheduler.toml'}: {problem}".replace("{cwd}", str(cwd)),)


# The store's file


def test_the_store_is_where_the_configuration_says_before_all_else(load: Load, cwd: Path) -> None:
    config = load("[rapua_scheduler]\nstate = 'a.db'", env={"STATE_DIRECTORY": "/var/lib/x"}, site=rapua(cwd / "s", ""))

    assert config.state == cwd / "a.db"


def test_the_store_is_in_systemds_state_directory_before_the_configurations_folder(load: Load) -> None:
    config = load("", env={"STATE_DIRECTORY": "/var/lib/x:/var/lib/y"})

    assert config.state == Path("/var/lib/x/rapua-scheduler.db")
    assert config.site.state_dir == Path("/var/lib/x")


def test_the_store_is_beside_the_configuration_wherever_the_program_is_started(load: Load, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.toml").write_text("")

    config = load(config=tmp_path / "elsewhere" / "c.toml", site=rapua(tmp_path / "site", ""))

    assert config.state == tmp_path / "elsewhere" / "rapua-scheduler.db"


def test_without_a_configuration_the_store_is_in_the_sites_folder(load: Load, tmp_path: Path) -> None:
    assert load(site=rapua(tmp_path / "site", "")).state == tmp_path / "site" / "rapua-scheduler.db"


# The site


def test_a_sites_own_env_says_where_its_parts_are(load: Load, cwd: Path) -> None:
    folder = rapua(
        cwd / "rapua",
        """
        DB_TYPE=sqlite3
        DB_CONNECTION="file:scanscout.db?_pragma=busy_timeout(5000)"
        SITE_URL=https://rapua.example/
        STRIPE_SECRET=hunter2
        """,
    )

    config = load(site=Path("rapua"))

    assert config.site.database == folder / "scanscout.db"
    assert config.site.uploads_dir == folder / "static" / "uploads"
    assert config.site.url == "https://rapua.example"
    assert "hunter2" not in repr(config)


def test_the_configuration_beats_the_sites_own_env(load: Load, tmp_path: Path) -> None:
    folder = rapua(tmp_path / "rapua", "DB_TYPE=mysql\nDB_CONNECTION=x\nSITE_URL=not an address\n")

    config = load(
        """
        [rapua_scheduler.site]
        database = "other.db"
        url = "https://other.example"
        uploads_dir = "files"
        """,
        site=folder,
    )

    assert config.site.database == folder / "other.db"
    assert config.site.uploads_dir == folder / "files"
    assert config.site.url == "https://other.example"


def test_a_site_that_is_not_on_sqlite_or_has_no_address_is_refused(load: Load, tmp_path: Path) -> None:
    folder = rapua(tmp_path / "rapua", "DB_TYPE=mysql\nDB_CONNECTION=x\nSITE_URL=rapua.nz\n")

    assert refused(load, site=folder) == (
        f"""{folder / ".env"}: DB_TYPE: is 'mysql'; the jobs work on "sqlite3" only""",
        f"""{folder / ".env"}: SITE_URL: 'rapua.nz' is not the address of a web site; write it like "https://rapua.nz\"""",
    )


def test_a_folder_that_is_no_site_is_refused(load: Load, tmp_path: Path) -> None:
    assert refused(load, site=tmp_path / "absent") == (
        f"{tmp_path}/absent/.env: cannot be read (No such file or directory); --site takes the folder of a Rapua site",
    )


def test_a_site_needs_no_env_if_the_configuration_names_its_database(load: Load, tmp_path: Path) -> None:
    config = load("[rapua_scheduler.site]\ndatabase = 'x.db'", site=tmp_path / "site")

    assert config.site.database == tmp_path / "site" / "x.db"


# The zone


@pytest.mark.parametrize("value", ["Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin"])
def test_the_environments_zone_comes_before_the_systems(load: Load, value: str) -> None:
    assert load(env={"TZ": value}).timezone == ZoneInfo("Europe/Berlin")


def test_the_configurations_zone_comes_before_the_environments(load: Load) -> None:
    config = load("[rapua_scheduler]\ntimezone = 'Asia/Tokyo'", env={"TZ": "NZST-12NZDT"})

    assert config.timezone == ZoneInfo("Asia/Tokyo")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: None, "and this system's zone has no name"),
        (lambda: "Mars/Olympus", "and this system's zone cannot be used: no time zone is called 'Mars/Olympus'"),
        (lambda: 1 / 0, "and this system's zone cannot be told: ZeroDivisionError"),
        (
            lambda: (_ for _ in ()).throw(zoneinfo.ZoneInfoNotFoundError("Multiple conflicting")),
            "and this system's zone cannot be told: ZoneInfoNotFoundError",
        ),
    ],
)
def test_a_system_whose_zone_cannot_be_told_is_never_taken_to_be_on_utc(
    load: Load, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], str], reason: str
) -> None:
    monkeypatch.setattr(tzlocal, "get_localzone_name", answer)

    (problem,) = refused(load)

    assert problem.startswith(f"no configuration file: [rapua_scheduler] timezone: is missing, {reason}")
    assert problem.endswith('set timezone = "Area/City", or "UTC" if that is what you want')


def test_rules_without_a_name_are_no_zone(load: Load) -> None:
    (problem,) = refused(load, env={"TZ": "NZST-12NZDT"})

    assert "and TZ='NZST-12NZDT' names no zone" in problem


def test_a_machine_without_time_zone_data_is_told_to_install_it(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "available_timezones", lambda: set[str]())

    (problem,) = refused(load, "[rapua_scheduler]\ntimezone = 'Nowhere/AtAll'")

    assert problem.endswith("there is no time zone data; pip install tzdata")
