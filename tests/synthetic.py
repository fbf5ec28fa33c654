"""Runs as train logs them, without training: params, metrics, tags and artifacts, through MLflow's client."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence

import mlflow
import numpy as np
from hydra import compose, initialize_config_dir
from mlflow.entities import Metric, Param

from mnist_flow import CONF_DIR
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.jobs.identity import compute_fingerprint

TEST_IMAGES = 10_000


class SyntheticSweep:
    """Logs a sweep and its runs to a store.

    Args:
        client: of the store.
        experiment: name in MLflow; created where it is not there.
        overrides: of the composed config that all runs share.
        note: what was typed.
    """

    def __init__(
        self,
        client: mlflow.MlflowClient,
        experiment: str,
        overrides: Sequence[str],
        note: str = "",
        grouped: bool = True,
    ) -> None:
        self.client = client
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("config", [*overrides, f"tracking.experiment_name={experiment}"])
        self.params = validate_config(cfg, TrainConfig).list_params()
        found = client.get_experiment_by_name(experiment)
        self.experiment_id = found.experiment_id if found else client.create_experiment(experiment)
        tags = {"mnist_flow.kind": "sweep", "mnist_flow.overrides": note or " ".join(overrides)}
        self.parent = client.create_run(self.experiment_id, tags=tags).info.run_id if grouped else None
        self._jobs: list[dict[str, object]] = []

    def add(
        self,
        accuracy: float,
        epochs: int = 3,
        finished: bool = True,
        confusion: np.ndarray | None = None,
        metrics: Mapping[str, float] | None = None,
        **params: object,
    ) -> str | None:
        """Log a run that ends with a test accuracy; one that is not finished is only in the sweep's grid."""
        given = {key.replace("__", "."): value for key, value in params.items()}
        all_params = {**self.params, **given}
        fingerprint = compute_fingerprint(all_params)
        self._jobs.append({**given, "fingerprint": fingerprint})
        if not finished:
            return None
        group = compute_fingerprint({key: value for key, value in all_params.items() if key != "seed"})
        tags = {"mnist_flow.kind": "train", "mnist_flow.fingerprint": fingerprint, "mnist_flow.group": group}
        tags |= {"mlflow.parentRunId": self.parent} if self.parent else {}
        now = int(time.time() * 1000)
        final = {
            "test_accuracy": accuracy,
            "test_loss": 2 * (1 - accuracy) + 0.01,
            "test_cross_entropy": 2 * (1 - accuracy),
            "test_l2_penalty": 0.01,
            "test_accuracy_standard_error": (accuracy * (1 - accuracy) / TEST_IMAGES) ** 0.5,
            "selected_val_accuracy": accuracy,
            "selected_epoch": epochs,
            "fit_seconds": 1.0,
            "n_parameters": 79_510,
            **(metrics or {}),
        }
        points = [Metric(name, float(value), now, 0) for name, value in final.items()]
        for epoch in range(1, epochs + 1):
            reached = accuracy - 0.1 * (1 / epoch - 1 / epochs)
            values = {"accuracy": reached, "val_accuracy": reached, "loss": 1 - reached, "val_loss": 1.1 - reached}
            points += [Metric(name, value, now + epoch, epoch) for name, value in values.items()]
        run_id = self.client.create_run(self.experiment_id, tags=tags).info.run_id
        self.client.log_batch(
            run_id,
            metrics=points[:1000],
            params=[Param(key, str(value)) for key, value in all_params.items()],
        )
        if confusion is not None:
            record = {"rows": "true digit", "columns": "predicted digit", "counts": confusion.tolist()}
            self.client.log_text(run_id, json.dumps(record), "confusion_matrix/confusion_matrix.json")
        self.client.set_terminated(run_id)
        return run_id

    def end(self, status: str = "FINISHED") -> None:
        """Log the table of the jobs and end the parent."""
        keys = dict.fromkeys(itertools.chain.from_iterable(self._jobs))
        columns = ["job", *[key for key in keys if key != "fingerprint"], "fingerprint"]
        data = [[number, *[job.get(key) for key in columns[1:]]] for number, job in enumerate(self._jobs)]
        self.client.log_text(self.parent, json.dumps({"columns": columns, "data": data}), "sweep/grid.json")
        self.client.set_terminated(self.parent, status)
