"""Years of a host's life in seconds: the real engine, planner, policies and store under faults from a seed."""
