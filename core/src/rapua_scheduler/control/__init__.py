"""What the command line asks of registry and store: listings, answers, and the operator's word, as plain values."""
