"""Clean-up of abandoned credit purchases for a Rapua site."""
