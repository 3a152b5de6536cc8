"""`run`: the host process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType

import click

from rapua_scheduler.cli.session import is_safe_mode, read_config
from rapua_scheduler.clock import SystemClock
from rapua_scheduler.host import Host
from rapua_scheduler.logs import LogFormat, configure_logging, stamped_by


@click.command("run")
@click.option(
    "--log-format",
    type=click.Choice(["console", "json"]),
    help="How log lines are written to standard error. [default: log_format of the configuration, else console]",
)
@click.option("--verbose", "-v", is_flag=True, help="Log more.")
@click.pass_context
def command(context: click.Context, *, log_format: LogFormat | None, verbose: bool) -> None:
    """Run the host: every job at its times, until stopped.

    SIGTERM or SIGINT stops it: nothing new starts, running jobs are told to stop and given the grace
    period. A second signal shortens that. SIGHUP is ignored.
    """
    config = read_config(context)
    configure_logging(
        log_format or config.log_format or "console",
        level=logging.DEBUG if verbose else logging.INFO,
        timestamps=stamped_by(SystemClock(), config.timezone),
    )
    host = Host(config, safe_mode=is_safe_mode(context))
    stop_on_signals(host)
    host.run()
    end_despite_threads()


def stop_on_signals(host: Host) -> None:
    """Let SIGTERM and SIGINT stop *host*; ignore SIGHUP."""

    def stop(_: int, __: FrameType | None) -> None:
        host.request_stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def end_despite_threads() -> None:
    """End the process now if a job left a thread behind that Python would wait for."""
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        logging.getLogger("rapua_scheduler.host").warning("Ending despite threads that jobs left: %s", ", ".join(left))
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
