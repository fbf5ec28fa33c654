"""What a person is told of a finished run."""

from __future__ import annotations

from collections.abc import Mapping

from mnist_flow import tracking
from mnist_flow.jobs.tables import read_results
from mnist_flow.runs.context import RunContext
from mnist_flow.runtime.terminal import print_summary

_PROTOCOLS = {"holdout": "", "test": " (validated on the test set, as the reports did)"}


def print_result(context: RunContext, metrics: Mapping[str, float], training_time: str, run_id: str) -> None:
    """Print a table with the result of a run, how long it took, and where to look at it.

    Args:
        context: of the run.
        metrics: its final metrics.
        training_time: in words.
        run_id: its id in MLflow.
    """
    config = context.config
    results = {**metrics, **read_results(metrics)}
    n_test, n_quality = len(context.splits.test), config.evaluation.quality_images
    print_summary(
        f"{config.model.name} on {config.data.name}{_PROTOCOLS[config.data.validation]}",
        {
            **context.task.describe_result(results, config.noise, n_test, n_quality),
            "parameters": f"{metrics['n_parameters']:,.0f}",
            "training time": training_time,
            "run id": run_id,
            "tracked at": tracking.get_uri(),
            "look": tracking.describe_ui_command(),
        },
    )
