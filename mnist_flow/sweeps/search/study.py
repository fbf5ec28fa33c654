"""Optuna's study: its sampler and pruner, and its trials."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from mnist_flow.config.train import is_minimised
from mnist_flow.errors import ConfigError
from mnist_flow.sweeps.search.settings import SearchSettings
from mnist_flow.sweeps.search.space import Space

Direction = Literal["minimize", "maximize"]
State = Literal["running", "complete", "pruned", "failed"]

# As Optuna names the ends of a trial.
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


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
        sampler=_construct(optuna.samplers, "sampler", settings.sampler, options),
        pruner=_construct(optuna.pruners, "pruner", settings.pruner, settings.pruner_options or {}),
    )


def _construct(module: Any, role: str, choice: str, options: Mapping[str, Any]) -> Any:
    """Construct Optuna's class of a name, such as `CmaEsSampler` for the sampler `cmaes`."""
    wanted = f"{'nop' if choice == 'none' else choice}{role}"
    name = next(name for name in module.__all__ if name.lower() == wanted)
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
