"""From a network's first weights to its last: the loop, its state, optimizers and random streams."""
