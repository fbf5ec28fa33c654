"""Losses in place of a task's own, one a file: the schema of the option and `build_loss`, which builds it."""
