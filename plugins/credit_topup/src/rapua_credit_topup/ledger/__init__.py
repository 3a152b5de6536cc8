"""The audit rows of a Rapua site: ours, other people's, and which periods are complete."""
