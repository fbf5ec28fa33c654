"""A store of runs as `mnist_flow.train` logs them, without the training: for the analysis to read."""

from __future__ import annotations

import argparse
import time

import numpy as np
from hydra import compose, initialize_config_dir
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from mnist_flow import CONF_DIR
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.jobs.identity import compute_fingerprint

METRICS = ("accuracy", "val_accuracy", "loss", "val_loss")
_LEARNING_RATES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# Points that MLflow takes at once.
_BATCH = 1000


def fill(client: MlflowClient, experiment: str, runs: int, epochs: int) -> None:
    """Log runs of one network with ten learning rates and as many seeds as that takes.

    Args:
        client: of the store.
        experiment: name in MLflow; must not be there.
        runs: how many, a multiple of ten.
        epochs: points of each curve.
    """
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("config", ["model=mlp_100", f"epochs={epochs}", f"tracking.experiment_name={experiment}"])
    shared = validate_config(cfg, TrainConfig).list_params()
    experiment_id = client.create_experiment(experiment)
    rng = np.random.default_rng(0)
    steps = np.arange(1, epochs + 1)
    for number in range(runs):
        rate = _LEARNING_RATES[number % len(_LEARNING_RATES)]
        params = {**shared, "optimizer.learning_rate": rate, "seed": number // len(_LEARNING_RATES)}
        group = compute_fingerprint({key: value for key, value in params.items() if key != "seed"})
        tags = {
            "mnist_flow.kind": "train",
            "mnist_flow.fingerprint": compute_fingerprint(params),
            "mnist_flow.group": group,
        }
        run_id = client.create_run(experiment_id, tags=tags).info.run_id
        now = int(time.time() * 1000)
        error = 0.02 + 0.3 / (1 + 20 * rate * steps) + rng.normal(0, 0.001, [2, epochs])
        curves = dict(zip(METRICS, [*(1 - error), *(3 * error)], strict=True))
        points = [
            Metric(name, float(value), now + int(step), int(step))
            for name, values in curves.items()
            for step, value in zip(steps, values, strict=True)
        ]
        final = {
            "test_accuracy": curves["val_accuracy"][-1],
            "test_loss": curves["val_loss"][-1],
            "selected_val_accuracy": curves["val_accuracy"][-1],
            "selected_epoch": epochs,
            "fit_seconds": 10.0,
            "n_parameters": 79_510,
        }
        points += [Metric(name, float(value), now, 0) for name, value in final.items()]
        for start in range(0, len(points), _BATCH):
            client.log_batch(run_id, metrics=points[start : start + _BATCH])
        client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        client.set_terminated(run_id)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=40)
    parsed = parser.parse_args()
    fill(MlflowClient("sqlite:///mlflow.db"), parsed.experiment, parsed.runs, parsed.epochs)
