"""Runs and evaluations of them in a store, with literal results and without any training."""

from __future__ import annotations

import json
from collections.abc import Mapping

import mlflow
import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.query import StudyRuns


class MeasuredRuns:
    """Logs training runs and their evaluations as `train` and `evaluate` do."""

    def __init__(self, client: mlflow.MlflowClient) -> None:
        self.client = client
        self._rows: list[dict[str, object]] = []

    def train(self, experiment: str, seed: int) -> str:
        """Log a run of an experiment, which is made where it is not there; returns its id."""
        found = self.client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else self.client.create_experiment(experiment)
        run_id = self.client.create_run(experiment_id).info.run_id
        self._rows.append(
            {
                "run_id": run_id,
                "experiment": experiment,
                "experiment_id": experiment_id,
                "seed": seed,
                "model.name": experiment,
                "data.name": "mnist",
                "data.validation": "test",
            }
        )
        return run_id

    def evaluate(
        self,
        run_id: str,
        measure: str,
        table: pd.DataFrame | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
        path: str = "",
    ) -> None:
        """Log an evaluation of a run: its table, and its arrays below samples/."""
        (about,) = [row for row in self._rows if row["run_id"] == run_id]
        tags = {"mnist_flow.kind": "evaluation", "mnist_flow.measure": measure, "mnist_flow.measured_run": run_id}
        # The later one is the newer one.
        number = len(self.client.search_runs([str(about["experiment_id"])]))
        evaluation = self.client.create_run(str(about["experiment_id"]), number, tags).info.run_id
        for name in ("model.name", "seed", "data.name", "data.validation"):
            self.client.log_param(evaluation, name, about[name])
        if table is not None:
            record = table.to_dict("split", index=False)
            self.client.log_text(evaluation, json.dumps(record), f"tables/{measure}.json")
        if arrays is not None:
            np.savez(path or f"{measure}.npz", **arrays)
            self.client.log_artifact(evaluation, path or f"{measure}.npz", "samples")
        self.client.set_terminated(evaluation)

    def build(self) -> StudyRuns:
        """What a study gets of them."""
        published = ["experiment", "row", "statement", "at", "metric", "mean_of", "value"]
        return StudyRuns(pd.DataFrame(self._rows), pd.DataFrame([], columns=published), [])


@pytest.fixture
def measured_runs(store: mlflow.MlflowClient) -> MeasuredRuns:
    return MeasuredRuns(store)
