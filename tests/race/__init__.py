"""Processes that want the same fire times at once: `python -m tests.race --fire-times 100000 --processes 8`."""
