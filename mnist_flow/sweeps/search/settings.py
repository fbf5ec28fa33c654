"""What conf/hydra/sweeper/optuna.yaml may say."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import Field, ValidationError

from mnist_flow.config.section import Count, Positive, Section, Seed
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import reword
from mnist_flow.errors import ConfigError

# Packages that a sampler needs beside Optuna.
_NEEDED = {"gp": "torch"}
# Samplers for one objective.
_OF_ONE_OBJECTIVE = ("cmaes",)
# Objectives that each epoch is measured by.
_OF_EPOCHS = ("val_accuracy", "val_loss")


class SearchSettings(Section):
    """How a space is searched."""

    n_trials: Count
    timeout: Positive | None
    sampler: Literal["tpe", "random", "qmc", "gp", "cmaes", "nsgaii"]
    sampler_options: dict[str, Any] | None
    pruner: Literal["none", "median", "hyperband", "wilcoxon"]
    pruner_options: dict[str, Any] | None
    seed: Seed
    confirm: Annotated[int, Field(ge=0)]
    confirm_seeds: Count
    include_finished: bool
    params: dict[str, Any] | None


def read_settings(sweeper: DictConfig) -> SearchSettings:
    """Check the settings of the sweeper.

    Raises:
        ConfigError: one of them is wrong, or the sampler's package is not installed.
    """
    plain: Any = OmegaConf.to_container(sweeper, resolve=True)
    del plain["_target_"]
    try:
        settings = SearchSettings.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"hydra.sweeper.{path}={first['input']}: {reword(first['msg'])}") from error
    package = _NEEDED.get(settings.sampler)
    if package is not None and find_spec(package) is None:
        raise ConfigError(
            f"hydra.sweeper.sampler={settings.sampler}: needs the package {package}, which is not installed; "
            f"pip install {package}, or hydra.sweeper.sampler=tpe"
        )
    return settings


def _check_several(settings: SearchSettings, objectives: Sequence[str]) -> None:
    several = f"evaluation.objective=[{','.join(objectives)}]"
    if settings.sampler in _OF_ONE_OBJECTIVE:
        raise ConfigError(
            f"hydra.sweeper.sampler={settings.sampler}: takes one objective, and {several} has {len(objectives)}; "
            "hydra.sweeper.sampler=tpe and nsgaii take several"
        )
    if settings.pruner != "none":
        raise ConfigError(
            f"hydra.sweeper.pruner={settings.pruner}: compares one objective, and {several} has {len(objectives)}; "
            "leave the pruner out, or choose one objective"
        )
    if settings.confirm:
        raise ConfigError(
            f"hydra.sweeper.confirm={settings.confirm}: is for the best trials, and {several} has no order; leave it "
            "out, and train presets of sweep/pareto/ with fresh seeds"
        )


def check_objective(settings: SearchSettings, base: TrainConfig) -> None:
    """Check that a search can look at its objective when it has to.

    Raises:
        ConfigError: it can't.
    """
    objective = base.objective
    for name in base.objectives:
        if name.startswith("test_"):
            raise ConfigError(
                f"evaluation.objective={name}: a search chooses by it, and the test set is for what has been chosen; "
                f"evaluation.objective=val_{name.removeprefix('test_')}"
            )
    if len(base.objectives) > 1:
        _check_several(settings, base.objectives)
    if settings.pruner == "wilcoxon" and base.replicates == 1:
        raise ConfigError("hydra.sweeper.pruner=wilcoxon: compares seeds; set replicates=5, or pruner=median")
    if settings.pruner in ("median", "hyperband"):
        if base.replicates > 1:
            raise ConfigError(
                f"hydra.sweeper.pruner={settings.pruner}: compares the epochs of one run, and replicates="
                f"{base.replicates} makes several; hydra.sweeper.pruner=wilcoxon compares their seeds"
            )
        if objective not in _OF_EPOCHS:
            raise ConfigError(
                f"evaluation.objective={objective}: is measured at the end of a run only, and hydra.sweeper.pruner="
                f"{settings.pruner} looks at each epoch; choose {' or '.join(_OF_EPOCHS)}, or hydra.sweeper.pruner=none"
            )
