"""reference/command-line.md tells every command, every option and every JSON name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import click
import pytest

from rapua_scheduler.cli import main
from rapua_scheduler.control.condition import examine
from rapua_scheduler.control.explanations import Answer, Explanation
from rapua_scheduler.control.exports import stored_fields
from rapua_scheduler.control.fields import (
    attempt_fields,
    backfill_fields,
    condition_fields,
    explanation_fields,
    gap_fields,
    job_fields,
    line_fields,
    record_fields,
    run_fields,
    window_fields,
)
from rapua_scheduler.control.listings import JobListing
from rapua_scheduler.control.records import RunRecord
from rapua_scheduler.control.words import Backfill
from rapua_scheduler.run import (
    Gap,
    GapReason,
    LogLine,
    PastAttempt,
    Run,
    RunStatus,
    Trigger,
    Window,
    WindowKind,
)
from rapua_scheduler.store.memory import MemoryStore
from rapua_scheduler.store.port import StoredJob
from tests.core.docs.pages import read, sections

_OPTION = re.compile(r"`(--?[a-z][a-z-]*)")


def _commands() -> Iterator[str]:
    for name in main._COMMANDS:
        found = command(name)
        yield from (f"{name} {each}" for each in found.commands) if isinstance(found, click.Group) else [name]


def page() -> dict[str, str]:
    return dict(sections(read("reference/command-line.md")))


def command(name: str) -> click.Command:
    found: click.Command | None = main.group
    for word in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None
    return found


COMMANDS = list(_commands())


def options_of(command: click.Command) -> set[str]:
    options = {option for param in command.params if isinstance(param, click.Option) for option in param.opts}
    return options | {"--no-" + option[2:] for param in command.params for option in param.secondary_opts}


def options_told_in(section: str) -> set[str]:
    """Return the options that begin a row of the section's table."""
    return {
        option
        for line in section.splitlines()
        if line.startswith("| `-")
        for option in _OPTION.findall(line.split("|")[1])
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_section_with_its_usage(name: str) -> None:
    arguments = [param for param in command(name).params if isinstance(param, click.Argument)]

    section = page()[name]

    usage = re.search(rf"^rapua-scheduler {name}\b(.*)$", section, re.MULTILINE)
    assert usage
    for argument in arguments:
        assert argument.human_readable_name.upper() in usage[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_section_tells_exactly_its_options(name: str) -> None:
    assert options_told_in(page()[name]) == options_of(command(name))


def test_the_page_tells_exactly_the_options_for_all_commands() -> None:
    assert options_told_in(page()["Options for all commands"]) == options_of(main.group) | {"-h", "--help"}


def test_the_page_tells_of_no_command_that_does_not_exist() -> None:
    assert set(page()) == {*COMMANDS, "Options for all commands", "Exit codes", "Names in JSON"}


def test_the_page_tells_every_exit_code() -> None:
    codes = {value for name, value in vars(main).items() if name.startswith("EXIT_")}

    told = {int(code) for code in re.findall(r"^\| (\d+) \|", page()["Exit codes"], re.MULTILINE)}

    assert told == {0, *codes}


def test_the_page_tells_every_name_in_json() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    run = Run("1", "sweep", at, "key", Trigger.SCHEDULE, RunStatus.SUCCEEDED)
    listing = JobListing("sweep", "Sweep", "", "", "", "", at, None)
    stored = StoredJob("sweep", "Sweep", "", "", "", "", "", at, at, at, at)
    gap = Gap("sweep", at, at, 1, GapReason.MISSED)
    promised = {
        "Jobs": set(job_fields(listing, UTC)),
        "Jobs as stored": set(stored_fields(stored, UTC)),
        "Runs": set(run_fields(run, UTC)),
        "Gaps": set(gap_fields(gap, UTC)) - set(run_fields(run, UTC)),
        "Records": set(record_fields(RunRecord(run, (), ()), UTC)) - set(run_fields(run, UTC)),
        "Attempts": set(attempt_fields(PastAttempt(1, RunStatus.FAILED, at, at), UTC)),
        "Log lines": set(line_fields(LogLine(at, 1, "info", ""), UTC)),
        "Windows": set(window_fields(Window("sweep", WindowKind.PAUSED, at, None, ""), UTC)),
        "Answers": set(explanation_fields(Explanation(job_key="sweep", at=at, answer=Answer.TO_COME, lines=()), UTC)),
        "Backfills": set(backfill_fields(Backfill((), ()), UTC, is_dry_run=True)),
        "Words": {"changed", "job", "window", "lowered", "answer", "run"},
        "Conditions": {*condition_fields(examine(MemoryStore(), [], {}, now=at, zone=UTC), UTC), "store"},
        "Plugins": {"name", "distribution", "version", "state", "jobs", "error", "warning"},
        "Fire times": {"job", "name", "fire_time"},
        "Findings": {"subject", "severity", "text"},
    }

    told = {
        heading: set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
        for heading, text in sections(page()["Names in JSON"], level=3).items()
    }

    assert told == promised
