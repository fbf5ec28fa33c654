"""A search with many finished trials, without their training: copies of the one that it has."""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from mnist_flow.jobs.identity import compute_fingerprint

# Tags by which runs are told from each other.
_IDENTITIES = ("mnist_flow.fingerprint", "mnist_flow.group", "mnist_flow.recipe")


def fill(client: MlflowClient, experiment: str, trials: int) -> None:
    """Log copies of a search's only trial, with other choices and other metrics, until there are so many.

    Args:
        experiment: name in MLflow; it has one search of one trial, over the learning rate, momentum and λ.
        trials: how many there are in the end.
    """
    experiment_id = client.get_experiment_by_name(experiment).experiment_id
    (first,) = client.search_runs([experiment_id], "tags.`mnist_flow.trial` = '0'")
    histories = [point for name in first.data.metrics for point in client.get_metric_history(first.info.run_id, name)]
    rng = np.random.default_rng(0)
    for number in range(1, trials):
        choices = {
            "optimizer.learning_rate": 10 ** rng.uniform(-3, -1),
            "optimizer.momentum": rng.uniform(0, 0.9),
            "reg": 10 ** rng.uniform(-7, -3),
        }
        params = {**first.data.params, **{key: str(value) for key, value in choices.items()}}
        tags = {
            **first.data.tags,
            "mnist_flow.trial": str(number),
            "mnist_flow.choices": json.dumps(choices),
            **dict.fromkeys(_IDENTITIES, compute_fingerprint(params)),
        }
        run_id = client.create_run(experiment_id).info.run_id
        factor, now = rng.uniform(0.9, 1.0), int(time.time() * 1000)
        client.log_batch(
            run_id,
            metrics=[Metric(point.key, point.value * factor, now, point.step) for point in histories],
            params=[Param(key, value) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        client.set_terminated(run_id)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--trials", type=int, default=1000)
    parsed = parser.parse_args()
    fill(MlflowClient("sqlite:///mlflow.db"), parsed.experiment, parsed.trials)
