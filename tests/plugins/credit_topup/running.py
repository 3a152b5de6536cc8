"""Runs of the job: here, and in processes that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from rapua_credit_topup import CreditTopUpSettings, register_jobs
from rapua_scheduler import Job, Site
from rapua_scheduler.testing import run_job
from tests.plugins.credit_topup.sites import MadeSite


def site_of(made: MadeSite, kind: type[Site] = Site, **fields: Any) -> Any:
    return kind(database=made.path, timezone=made.zone, **{"busy_timeout": timedelta(seconds=20), **fields})


def job_of(site: Site, batch_size: int = 7) -> Job:
    (job,) = register_jobs(CreditTopUpSettings(batch_size=batch_size), site)
    return job


def top_up(
    made: MadeSite, *, fire_time: datetime | None = None, batch_size: int = 7, site: Site | None = None, **how: Any
) -> dict[str, Any]:
    """Run the job on *made*, in this process, on a clock whose waits take no time."""
    job = job_of(site or site_of(made), batch_size)
    result: dict[str, Any] = run_job(job, fire_time=fire_time or made.fire_time, **how)
    return result


class CountingSite(Site):
    """A site that calls a function before each statement of a write transaction, the commit included."""

    before_statement: Callable[[str], None]

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        with super().write() as db:
            db.set_trace_callback(type(self).before_statement)
            yield db


def counting_site(made: MadeSite, before_statement: Callable[[str], None], **fields: Any) -> Site:
    kind = type("CountingSite", (CountingSite,), {"before_statement": staticmethod(before_statement)})
    site: Site = site_of(made, kind, **fields)
    return site


def killer(at: int) -> Callable[[str], None]:
    """Return a function that kills this process, for good, when it is called for the *at*-th time."""
    left = at

    def strike(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return strike


def fork(work: Callable[[], object]) -> int:
    """Start *work* in a child process of this one, and return its id; it ends with 0, or 1 if it raises."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(child: int) -> int:
    """Wait for a child's end, and return its exit status; minus the signal's number if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
