"""Optuna's study: its sampler and pruner, and its trials as MLflow remembers them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from mnist_flow.config.train import is_minimised
from mnist_flow.errors import ConfigError
from mnist_flow.jobs.tables import read_results
from mnist_flow.sweeps.search.settings import SearchSettings
from mnist_flow.sweeps.search.space import Space
from mnist_flow.tracking import PastTrialRun

Direction = Literal["minimize", "maximize"]
State = Literal["running", "complete", "pruned", "failed"]

# As Optuna names the ends of a trial.
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
}
_PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "hyperband": "HyperbandPruner",
    "wilcoxon": "WilcoxonPruner",
}


@dataclass
class TrialRecord:
    """A trial of a search."""

    # Counts from 0; runs have it as a tag.
    number: int
    # By the keys of the space.
    choices: Mapping[str, Any]
    state: State = "running"
    # The objectives of each replicate, and their runs.
    replicates: list[list[float]] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    # What was reported to the pruner, which takes one objective only, by epoch or by replicate, from 1.
    reports: dict[int, float] = field(default_factory=dict)
    # Why it was pruned or failed.
    reason: str = ""
    # It was finished by another sweep, and is one more than `n_trials`.
    included: bool = False
    # Its runs, finished before, or its state, pruned between two seeds, can't tell it: the parent run remembers it.
    kept: bool = False
    # Unix time in seconds, where its runs are its own; they may have been finished before.
    started: float | None = None
    ended: float | None = None

    @property
    def objectives(self) -> tuple[float, ...] | None:
        """The objectives, each the mean over the replicates; of a pruned trial, the one that was reported last."""
        if self.state == "complete":
            return tuple(sum(values) / len(values) for values in zip(*self.replicates, strict=True))
        return (self.reports[max(self.reports)],) if self.state == "pruned" and self.reports else None


def choose_direction(objective: str) -> Direction:
    """Name the direction in which an objective is searched."""
    return "minimize" if is_minimised(objective) else "maximize"


def calm_optuna() -> None:
    """Silence Optuna's lines about new studies, and its warnings that a class may change."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def build_study(settings: SearchSettings, space: Space, objectives: Sequence[str], n_known: int) -> optuna.Study:
    """Make an empty study in memory.

    Args:
        space: that the sampler must be able to take.
        objectives: what is searched for.
        n_known: number of trials that are known already; the sampler draws others than it drew for them.

    Raises:
        ConfigError: the sampler or the pruner does not take its options or the space.
    """
    calm_optuna()
    if settings.sampler == "cmaes":
        for key, distribution in space.dimensions.items():
            if isinstance(distribution, CategoricalDistribution):
                raise ConfigError(
                    f"hydra.sweeper.sampler=cmaes: searches numbers only, and {key} has choices; "
                    "hydra.sweeper.sampler=tpe takes both"
                )
    # Each trial tells the pruner one value an epoch or a seed; the same trial may tell it again after its process died.
    warnings.filterwarnings("ignore", message="The reported value is ignored", module="optuna")
    options: dict[str, Any] = {"seed": settings.seed + n_known}
    if settings.sampler == "qmc":
        # Optuna's sequence begins anew where a search goes on; scrambled by the seed it has other points.
        options["scramble"] = True
    options |= settings.sampler_options or {}
    return optuna.create_study(
        # Hyperband chooses a trial's bracket by this name.
        study_name="search",
        directions=[choose_direction(objective) for objective in objectives],
        sampler=_construct(optuna.samplers, _SAMPLERS[settings.sampler], "sampler", settings.sampler, options),
        pruner=_construct(
            optuna.pruners, _PRUNERS[settings.pruner], "pruner", settings.pruner, settings.pruner_options or {}
        ),
    )


def _construct(module: Any, name: str, role: str, choice: str, options: Mapping[str, Any]) -> Any:
    try:
        return getattr(module, name)(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"hydra.sweeper.{role}={choice}: Optuna's {name} refuses its options ({error})") from error


def make_trial(dimensions: Mapping[str, BaseDistribution], record: TrialRecord) -> FrozenTrial:
    """Make Optuna's trial of one that has ended, to be added to a study."""
    return optuna.create_trial(
        state=STATES[record.state],
        values=record.objectives,
        params=dict(record.choices),
        distributions={key: dimensions[key] for key in record.choices},
        intermediate_values=record.reports,
    )


def rebuild_trials(
    runs: Sequence[PastTrialRun],
    adopted: Mapping[int, Mapping[str, Any]],
    curves: Mapping[str, Mapping[int, float]],
    objectives: Sequence[str],
    n_replicates: int,
) -> list[TrialRecord]:
    """Rebuild the trials of a search from what the tracking server has.

    Args:
        runs: of the trials, oldest first; the last of each seed counts, unless an earlier one is finished.
        adopted: by trial number, the state, choices, values and run_ids of trials that can't be told by their runs:
            those whose runs were finished before, and those that were pruned between two seeds.
        curves: the only objective by epoch, for runs whose pruner looks at epochs.
        objectives: names of the metrics.
        n_replicates: number of seeds of a trial.

    Returns:
        In the order of their numbers. A trial that has not ended is `running`: its runs were cut off, or still run.
    """
    by_number: dict[int, dict[int, PastTrialRun]] = {}
    for run in runs:
        seeds = by_number.setdefault(run.trial, {})
        if run.seed not in seeds or seeds[run.seed].state != "finished":
            seeds[run.seed] = run
    records = {number: _rebuild(number, seeds, curves, objectives, n_replicates) for number, seeds in by_number.items()}
    for number, kept in adopted.items():
        # One number a replicate where there is one objective.
        replicates = [value if isinstance(value, list) else [value] for value in kept["values"]]
        record = TrialRecord(number, kept["choices"], kept["state"], replicates, kept["run_ids"])
        curve = curves.get(kept["run_ids"][-1], {})
        record.reports = _list_reports(replicates) if n_replicates > 1 else dict(curve)
        record.included, record.reason = kept.get("included", False), kept.get("reason", "")
        records[number] = record
        if number in by_number:
            record.started, record.ended = _measure_span(by_number[number].values())
    return [records[number] for number in sorted(records)]


def _rebuild(
    number: int,
    seeds: Mapping[int, PastTrialRun],
    curves: Mapping[str, Mapping[int, float]],
    objectives: Sequence[str],
    n_replicates: int,
) -> TrialRecord:
    ordered = [seeds[seed] for seed in sorted(seeds)]
    started, ended = _measure_span(ordered)
    record = TrialRecord(
        number,
        ordered[0].choices,
        run_ids=[run.run_id for run in ordered],
        started=started,
        ended=ended,
        replicates=[
            [read_results(run.metrics)[objective] for objective in objectives]
            for run in ordered
            if run.state == "finished"
        ],
    )
    last = ordered[-1]
    record.reports = _list_reports(record.replicates) if n_replicates > 1 else dict(curves.get(last.run_id, {}))
    states = {run.state for run in ordered}
    if "failed" in states:
        record.state, record.reason = "failed", "failed before"
    elif "pruned" in states:
        record.state, record.reason = "pruned", last.pruned_because
    elif states == {"finished"} and len(ordered) == n_replicates:
        record.state = "complete"
    return record


def _list_reports(replicates: Sequence[Sequence[float]]) -> dict[int, float]:
    return {number: values[0] for number, values in enumerate(replicates, start=1)}


def _measure_span(runs: Iterable[PastTrialRun]) -> tuple[float, float]:
    """When the first of some runs began, and when the last one ended."""
    spans = [(run.started, run.ended) for run in runs]
    return min(started for started, _ in spans), max(ended for _, ended in spans)
