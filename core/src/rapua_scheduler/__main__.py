"""`python -m rapua_scheduler` is the command `rapua-scheduler`."""

from rapua_scheduler.cli.main import main

main()
