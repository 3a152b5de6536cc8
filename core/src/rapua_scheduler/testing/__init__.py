"""For the tests of jobs and of applications: clocks that stand still, and ways to run jobs on them."""

from rapua_scheduler.testing.clock import AutoClock, ManualClock
from rapua_scheduler.testing.jobs import run_job
from rapua_scheduler.testing.next_functions import check_next
from rapua_scheduler.testing.virtual import VirtualScheduler

__all__ = ["AutoClock", "ManualClock", "VirtualScheduler", "check_next", "run_job"]
