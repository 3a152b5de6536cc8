"""`run`: the host process."""

from __future__ import annotations

import _thread
import logging
import os
import signal
import sys
import threading
from types import FrameType

import click

from rapua_scheduler.cli.session import is_safe_mode, parse_instant, read_config
from rapua_scheduler.clock import SystemClock
from rapua_scheduler.host import Host
from rapua_scheduler.interrupts import Interrupted
from rapua_scheduler.logs import LogFormat, configure_logging, stamped_by


@click.command("run")
@click.option(
    "--log-format",
    type=click.Choice(["console", "json"]),
    help="How log lines are written to standard error. [default: log_format of the configuration, else console]",
)
@click.option("--verbose", "-v", is_flag=True, help="Log more.")
@click.option("--standby", is_flag=True, help="Wait while another host is active, and take over when it has gone.")
@click.option(
    "--adopt-from",
    metavar="T",
    help="Make up the fire times from this time on of jobs that the store does not know yet. [default: none]",
)
@click.pass_context
def command(
    context: click.Context, *, log_format: LogFormat | None, verbose: bool, standby: bool, adopt_from: str | None
) -> None:
    """Run the host: every job at its times, until stopped.

    SIGTERM or SIGINT stops it: nothing new starts, running jobs are told to stop and given the grace
    period. A second signal shortens that. SIGHUP is ignored.
    """
    config = read_config(context)
    adopted = parse_instant(adopt_from, config) if adopt_from else None

    def set_up_process() -> None:
        configure_logging(
            log_format or config.log_format or "console",
            level=logging.DEBUG if verbose else logging.INFO,
            timestamps=stamped_by(SystemClock(), config.timezone),
        )
        stop_on_signals(host)

    host = Host(
        config,
        safe_mode=is_safe_mode(context),
        standby=standby,
        adopt_from=adopted,
        after_loading=set_up_process,
    )
    set_up_process()
    host.run()
    end_despite_threads()


def stop_on_signals(host: Host) -> None:
    """Let SIGTERM and SIGINT stop *host*; ignore SIGHUP."""
    asked: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1 and not host.is_serving:
            raise Interrupted  # a plugin that hangs in its import must not keep the process
        _thread.start_new_thread(host.request_stop, ())

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def end_despite_threads(code: int = 0) -> None:
    """End the process now, with *code*, if a job left a thread behind that Python would wait for."""
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        logging.getLogger("rapua_scheduler.host").warning("Ending despite threads that jobs left: %s", ", ".join(left))
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
