"""Clean-up of uploads that nothing refers to for a Rapua site."""
