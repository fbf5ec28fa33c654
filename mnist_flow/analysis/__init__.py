"""Runs → tidy table → figure → files. Imports neither TensorFlow nor the training."""
