"""Monthly credit top-up for a Rapua site."""
