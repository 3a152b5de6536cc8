"""The command `rapua-scheduler`: options for all commands, and the commands, loaded when used."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from rapua_scheduler.cli.ending import end_in_time
from rapua_scheduler.cli.streams import let_go_of_output, take_streams
from rapua_scheduler.errors import (
    AnotherHostError,
    ConfigurationError,
    FolderNotEmptyError,
    RapuaSchedulerError,
    StoreError,
    UnknownJobError,
)
from rapua_scheduler.interrupts import interrupt_on_ctrl_c

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ANOTHER_HOST = 75
EXIT_UNUSABLE = 78

_COMMANDS = {
    "run": ("Run the host: every job at its times, until stopped.", "run"),
    "demo": ("Make a small Rapua site and let the real host work on it.", "demo"),
    "jobs": ("List the jobs, and when each is next due.", "jobs"),
    "plugins": ("List the installed plugins, and what is wrong with which.", "plugins"),
    "upcoming": ("List the next fire times.", "upcoming"),
    "exec": ("Run one job here and now.", "exec_"),
    "trigger": ("Have the host run one job by hand.", "trigger"),
    "backfill": ("Run one job for fire times long past.", "backfill"),
    "history": ("List past runs and fire times that were not run.", "history"),
    "show": ("Show everything about one run.", "show"),
    "why": ("Explain what a job is at, or what became of any instant.", "why"),
    "status": ("Show how the host and its jobs are doing, and what needs a look.", "status"),
    "simulate": ("Show what would run, and what would not and why.", "simulate"),
    "pause": ("Let no fire time of a job run until it is resumed.", "pause"),
    "resume": ("End the pause of a job.", "resume"),
    "cancel": ("Tell a run to stop, or keep it from starting.", "cancel"),
    "release": ("Say that the clock is right, so that what is held goes on.", "release"),
    "check": ("Check configuration, plugins, store and site.", "check"),
    "store": ("Check, back up, restore or export the store.", "store"),
}


class _LazyGroup(click.Group):
    """Knows its commands by name and help; imports a command's module only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"rapua_scheduler.cli.{_COMMANDS[cmd_name][1]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (help_, _) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415  costs start-up time, and is needed for a typing error only

            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. [default: ./rapua-scheduler.toml, else /etc/rapua-scheduler/config.toml]",
)
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="A Rapua folder: its .env is read, and paths are relative to it.",
)
@click.option("--safe-mode", is_flag=True, help="Import no plugin.")
@click.version_option(package_name="rapua-scheduler", prog_name="rapua-scheduler")
@click.pass_context
def group(ctx: click.Context, config: Path | None, site: Path | None, *, safe_mode: bool) -> None:
    """Run periodic background jobs that installed packages bring.

    Nothing missed, nothing twice, every non-run explained.

    Exit codes: 0 ok, 1 the run failed, 2 usage, 75 another host is active, 78 configuration or
    store unusable.
    """
    ctx.obj = {"config": config, "site": site, "safe_mode": safe_mode}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, and exit with its code.

    Args:
        arguments: What to do in somebody else's process; by default this is the program, which ends
            whatever plugins leave behind.
    """
    take_streams()
    interrupt_on_ctrl_c()
    code = _execute(arguments)
    if arguments is None:
        end_in_time(code)
    sys.exit(code)


def _execute(arguments: list[str] | None) -> int:
    """Do what the command line says, and return the exit code."""
    try:
        result: Any = group.main(args=arguments, prog_name="rapua-scheduler", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        click.echo("aborted", err=True)
        return EXIT_FAILED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RapuaSchedulerError as error:
        click.echo(f"error: {error}", err=True)
        return exit_code(error)
    except KeyboardInterrupt:
        click.echo("aborted", err=True)
        return EXIT_FAILED
    except BrokenPipeError:  # whoever read the output has gone; there is nothing more to say
        let_go_of_output()
        return EXIT_FAILED
    except OSError as error:
        let_go_of_output()
        click.echo(f"error: {error}", err=True)
        return EXIT_FAILED
    return result if isinstance(result, int) else 0


def exit_code(error: RapuaSchedulerError) -> int:
    """Return the process's exit code for *error*."""
    if isinstance(error, AnotherHostError):
        return EXIT_ANOTHER_HOST
    if isinstance(error, (ConfigurationError, StoreError)):
        return EXIT_UNUSABLE
    if isinstance(error, (UnknownJobError, FolderNotEmptyError)):
        return EXIT_USAGE
    return EXIT_FAILED
