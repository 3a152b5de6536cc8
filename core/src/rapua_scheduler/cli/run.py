"""`run`: the host process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from queue import SimpleQueue
from types import FrameType

import click

from rapua_scheduler.cli.session import is_safe_mode, parse_instant, read_config
from rapua_scheduler.clock import SystemClock
from rapua_scheduler.host import Host
from rapua_scheduler.interrupts import Interrupted
from rapua_scheduler.logs import LogFormat, configure_logging, get_logger, stamped_by


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
        signals.install()

    host = Host(
        config,
        safe_mode=is_safe_mode(context),
        standby=standby,
        adopt_from=adopted,
        after_loading=set_up_process,
    )
    signals = StopSignals(host)
    set_up_process()
    host.run()
    ignore_signals()
    end_despite_threads()


_STRAY = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2)
"""What a job can have sent to its own process, as by an alarm, and what ends a process that has not taken it."""

_log = get_logger("rapua_scheduler.host")


class StopSignals:
    """Lets SIGTERM and SIGINT stop a host, SIGHUP do nothing, and what jobs send themselves no more than be told."""

    def __init__(self, host: Host) -> None:
        """Prepare; nothing is changed yet.

        Args:
            host: Asked to stop in a thread of its own, as a handler may have interrupted the very lock
                that this needs, and started now, as the system may have none left when it is needed.
        """
        self._host = host
        self._asked: SimpleQueue[int] = SimpleQueue()
        self._is_asked = False
        threading.Thread(target=self._heed, name="rapua-scheduler-signals", daemon=True).start()

    def install(self) -> None:
        """Take the signals, or take them back from whoever has taken them since; for the main thread."""
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in _STRAY:
            signal.signal(number, self._tell)  # not SIG_IGN, which every program that a job starts would inherit

    def _tell(self, number: int, _: FrameType | None) -> None:
        self._asked.put(number)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._asked.put(number)
        if self._is_asked and not self._host.is_serving:
            raise Interrupted  # a plugin that hangs in its import must not keep the process
        self._is_asked = True

    def _heed(self) -> None:
        while True:
            number = self._asked.get()
            if number in _STRAY:
                _log.warning("Signal ignored", signal=signal.Signals(number).name, hint="a job may have sent it")
            else:
                self._host.request_stop()


def ignore_signals() -> None:
    """Let a signal that comes now find nothing to stop: Python would let it kill the process while it ends."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_despite_threads(code: int = 0) -> None:
    """End the process now, with *code*, if a job left a thread behind that Python would wait for."""
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        logging.getLogger("rapua_scheduler.host").warning("Ending despite threads that jobs left: %s", ", ".join(left))
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
