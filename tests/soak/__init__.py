"""An embedded scheduler that runs for long: `python -m tests.soak --runs 1000000`."""
