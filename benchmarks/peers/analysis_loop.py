"""A notebook's comparison of runs: MLflow's client run by run, and a figure."""

from __future__ import annotations

import argparse
import json

import mlflow
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_MOST_RUNS = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--metrics", nargs="+", default=["val_accuracy"])
    arguments = parser.parse_args()
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name(arguments.experiment)
    runs: list[mlflow.entities.Run] = []
    token = None
    while len(runs) < _MOST_RUNS:
        found = client.search_runs([experiment.experiment_id], "tags.`mnist_flow.kind` = 'train'", page_token=token)
        runs += found
        token = found.token
        if not token:
            break
    figure = Figure(figsize=(10, 7))
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(1, len(arguments.metrics), squeeze=False)[0]
    points = 0
    for run in runs:
        for axes, metric in zip(all_axes, arguments.metrics, strict=True):
            history = client.get_metric_history(run.info.run_id, metric)
            axes.plot([point.step for point in history], [point.value for point in history], linewidth=0.5)
            axes.set_title(metric)
            points += len(history)
    figure.savefig("curves.png")
    print(json.dumps({"runs": len(runs), "points": points}))


if __name__ == "__main__":
    main()
