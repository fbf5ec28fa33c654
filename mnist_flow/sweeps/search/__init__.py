"""A sweep that chooses its jobs as it goes: a search for the best config, by Optuna, whose only memory is MLflow."""
