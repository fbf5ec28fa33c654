"""A store of runs as `mnist_flow.train` logs them, without the training: for plans and the analysis to read."""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from sqlalchemy import event
from sqlalchemy.engine import Engine

from benchmarks.work import SETTING, STORED_LEARNING_RATES
from mnist_flow import CONF_DIR
from mnist_flow.config.train import REPLICATED, TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.loading import load_info
from mnist_flow.jobs.identity import compute_fingerprint, describe_identity
from mnist_flow.runtime.environment import digest_code

METRICS = ("accuracy", "val_accuracy", "loss", "val_loss")
_STORE = Path("mlflow.db")
# Points in a call; MLflow takes a thousand things at once, params and tags among them.
_BATCH = 800


def fill(client: MlflowClient, experiment: str, runs: int, epochs: int, copies: Sequence[int] = ()) -> None:
    """Log runs of one network with ten learning rates and as many seeds as that takes; a plan finds them finished.

    Args:
        experiment: name in MLflow; must not be there.
        runs: how many, a multiple of ten.
        epochs: points of each curve.
        copies: numbers of runs at which mlflow.db is copied, to store_NUMBER.db.
    """
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("config", [*SETTING, f"epochs={epochs}", f"tracking.experiment_name={experiment}"])
    config = validate_config(cfg, TrainConfig)
    digest = load_info("digits").digest
    params, identity = config.list_params(), describe_identity(config, digest)
    experiment_id = client.create_experiment(experiment)
    rng = np.random.default_rng(0)
    for number in range(runs):
        rate = STORED_LEARNING_RATES[number % len(STORED_LEARNING_RATES)]
        own = {"optimizer.learning_rate": rate, "seed": number // len(STORED_LEARNING_RATES)}
        described = {**identity, **own}
        tags = {
            "mnist_flow.kind": "train",
            "mnist_flow.fingerprint": compute_fingerprint(described),
            "mnist_flow.group": compute_fingerprint(
                {key: value for key, value in described.items() if key not in REPLICATED}
            ),
            "mnist_flow.code": digest_code(),
            "mnist_flow.data": digest,
        }
        _log(client, experiment_id, {**params, **own}, tags, _draw_curves(rng, rate, epochs))
        if number + 1 in copies:
            with closing(sqlite3.connect(_STORE)) as store, closing(sqlite3.connect(f"store_{number + 1}.db")) as copy:
                store.backup(copy)


def _draw_curves(rng: np.random.Generator, rate: float, epochs: int) -> dict[str, np.ndarray]:
    """Curves of the metrics over the epochs, as a training has them."""
    error = 0.02 + 0.3 / (1 + 20 * rate * np.arange(1, epochs + 1)) + rng.normal(0, 0.001, [2, epochs])
    return dict(zip(METRICS, [*(1 - error), *(3 * error)], strict=True))


def _log(
    client: MlflowClient,
    experiment_id: str,
    params: dict[str, object],
    tags: dict[str, str],
    curves: dict[str, np.ndarray],
) -> None:
    """Log one finished run with as few calls as MLflow allows."""
    run_id = client.create_run(experiment_id).info.run_id
    now = int(time.time() * 1000)
    final = {
        "test_accuracy": curves["val_accuracy"][-1],
        "test_loss": curves["val_loss"][-1],
        "selected_val_accuracy": curves["val_accuracy"][-1],
        "selected_epoch": len(curves["val_accuracy"]),
        "fit_seconds": 10.0,
        "n_parameters": 79_510,
    }
    points = [
        Metric(name, float(value), now + step, step)
        for name, values in curves.items()
        for step, value in enumerate(values, start=1)
    ]
    points += [Metric(name, float(value), now, 0) for name, value in final.items()]
    first, *others = [points[start : start + _BATCH] for start in range(0, len(points), _BATCH)]
    texts = [Param(key, str(value)) for key, value in params.items()]
    client.log_batch(run_id, first, texts, [RunTag(key, value) for key, value in tags.items()])
    for some in others:
        client.log_batch(run_id, some)
    client.set_terminated(run_id)


def _do_not_wait_for_the_disk(connection: sqlite3.Connection, _: object) -> None:
    """What is in the store is the same; only a power cut while it is filled would lose some of it."""
    connection.execute("PRAGMA synchronous = OFF")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--copies", type=int, nargs="*", default=[], help="copy the store when it has so many runs")
    parsed = parser.parse_args()
    event.listen(Engine, "connect", _do_not_wait_for_the_disk)
    client = MlflowClient(f"sqlite:///{_STORE}")
    fill(client, parsed.experiment, parsed.runs, parsed.epochs, parsed.copies)
