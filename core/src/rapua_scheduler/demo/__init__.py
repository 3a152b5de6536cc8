"""The demonstration: a small Rapua site, and the real host at work on it."""
