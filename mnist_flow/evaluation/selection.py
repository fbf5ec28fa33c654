"""Chooses the training runs to be measured, and for each the runs of the other models that take part."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mnist_flow.config.evaluate import EvaluateConfig, OptionalPartnerConfig, PartnerConfig
from mnist_flow.config.options import find_module
from mnist_flow.config.presets import describe_remedy
from mnist_flow.config.section import OptionSection
from mnist_flow.config.train import FOLD, Task
from mnist_flow.errors import RunError, TrackingError
from mnist_flow.jobs.tables import read_results

if TYPE_CHECKING:
    from mnist_flow.tracking import LoggedRun

# A measured run → the run whose model takes part.
ChoosePartner = Callable[["LoggedRun"], "LoggedRun"]


def choose_runs(config: EvaluateConfig) -> tuple[list[LoggedRun], list[str]]:
    """Choose the runs that can be measured.

    Returns:
        The runs, and a line for each other run that was asked for.

    Raises:
        TrackingError: the server does not answer, or there is no run that can be measured.
    """
    from mnist_flow import tracking

    if config.run_ids:
        runs, troubles = _fetch_named(config.run_ids)
        if not runs:
            raise TrackingError("; ".join(troubles))
        return runs, troubles
    tracking.check_filter("filter", config.filter)
    name = tracking.choose_experiment_name(config.tracking.experiment_name)
    experiment_id = tracking.find_experiment(name)
    task = find_module(next(iter(dict(config.measure).values()))).TASKS[0]
    runs, troubles = [], []
    if experiment_id is not None:
        runs, troubles = tracking.fetch_logged_runs(experiment_id, config.filter)
    if not runs and troubles:
        raise TrackingError("; ".join(troubles))
    if not runs:
        raise TrackingError(
            f"tracking.experiment_name={name}: no finished runs at {tracking.get_uri()}"
            f"{_describe_filter(config.filter)}; make some: {describe_remedy(name, task)}"
        )
    return (runs if config.choose == "all" else [min(runs, key=rank_run)]), troubles


def find_partners(name: str, measure: OptionSection) -> Mapping[str, ChoosePartner]:
    """Find the other models that take part in a measure of this name, by the key of its config that names them.

    Raises:
        TrackingError: the server does not answer, or there is none; the message names the command that makes one.
    """
    tasks = getattr(find_module(measure), "PARTNER_TASKS", {})
    partners = {key: value for key, value in measure if _is_partner(value)}
    return {key: _find_partner(f"measure.{name}.{key}", value, tasks[key]) for key, value in partners.items()}


def rank_run(run: LoggedRun) -> float:
    """Rank a run by the validation of the epoch that its model has: lower is better."""
    results = read_results(run.metrics)
    return -results["val_accuracy"] if "val_accuracy" in results else results.get("val_loss", math.inf)


def _fetch_named(run_ids: list[str]) -> tuple[list[LoggedRun], list[str]]:
    from mnist_flow import tracking

    runs: list[LoggedRun] = []
    troubles: list[str] = []
    for run_id in dict.fromkeys(run_ids):
        try:
            runs.append(tracking.fetch_logged_run(run_id))
        except RunError as error:
            troubles.append(str(error))
    return runs, troubles


def _is_partner(value: Any) -> bool:
    """Whether a value of a measure's config names another model; an optional one may name none."""
    if isinstance(value, OptionalPartnerConfig):
        return value.run_id is not None or value.experiment_name is not None
    return isinstance(value, PartnerConfig)


def _find_partner(key: str, config: Any, task: Task) -> ChoosePartner:
    from mnist_flow import tracking

    if config.run_id is not None:
        try:
            only = tracking.fetch_logged_run(config.run_id)
        except RunError as error:
            raise TrackingError(f"{key}: {error}") from error
        return lambda run: only
    tracking.check_filter(f"{key}.filter", config.filter)
    experiment_id = tracking.find_experiment(config.experiment_name)
    found = tracking.fetch_logged_runs(experiment_id, config.filter)[0] if experiment_id is not None else []
    if not found:
        raise TrackingError(
            f"{key}.experiment_name={config.experiment_name}: no finished runs with a model at {tracking.get_uri()}"
            f"{_describe_filter(config.filter)}; make some: {describe_remedy(config.experiment_name, task)}"
        )
    if config.choose == "best":
        best = min(found, key=rank_run)
        return lambda run: best

    def choose_same_seed(run: LoggedRun) -> LoggedRun:
        candidates = [one for one in found if one.params["seed"] == run.params["seed"]]
        if not candidates:
            seeds = " ".join(sorted({one.params["seed"] for one in found}, key=int))
            raise RunError(
                f"{key}.choose=same_seed: experiment '{config.experiment_name}' has no run of seed "
                f"{run.params['seed']}, but of {seeds}; {key}.choose=best takes the best of them"
            )
        fold = _find_fold(run)
        return min(candidates, key=lambda one: (_find_fold(one) != fold, rank_run(one)))

    return choose_same_seed


def _find_fold(run: LoggedRun) -> tuple[str | None, str | None]:
    return run.params.get(FOLD), run.params.get("data.folds")


def _describe_filter(chosen: str | None) -> str:
    return f" that match filter={chosen}" if chosen else ""
