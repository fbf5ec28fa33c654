"""The notebook's loop under mlflow.tensorflow.autolog(), tracked to mlflow.db in the working directory."""

from __future__ import annotations

from contextlib import AbstractContextManager

import mlflow

from benchmarks.peers.arguments import Fit, parse_arguments, print_accuracies
from benchmarks.peers.keras_loop import train


def start_run(fit: Fit) -> AbstractContextManager[object]:
    """A run named by what varies."""
    return mlflow.start_run(run_name=f"learning_rate={fit.learning_rate} reg={fit.reg} seed={fit.seed}")


if __name__ == "__main__":
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("autolog")
    mlflow.tensorflow.autolog()
    print_accuracies(train(parse_arguments(__doc__), start_run))
