"""Schedules of the learning rate, one a file: the schema of the option and the rate of each gradient step."""
