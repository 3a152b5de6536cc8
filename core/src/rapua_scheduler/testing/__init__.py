"""For the tests of jobs and of applications: clocks that stand still, and a way to run one job."""

from rapua_scheduler.testing.clock import AutoClock, ManualClock
from rapua_scheduler.testing.jobs import run_job

__all__ = ["AutoClock", "ManualClock", "run_job"]
