"""Measures logged models anew: the story of `evaluate`, and what a measure is given and gives back."""

from mnist_flow.evaluation.subject import EvaluationResult, LoadedModel, Subject

__all__ = ["EvaluationResult", "LoadedModel", "Subject"]
