"""The studies under conf/experiment: their names, their experiments in MLflow, and what the reports printed of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from omegaconf import OmegaConf

from mnist_flow import CONF_DIR
from mnist_flow.config.overrides import type_override
from mnist_flow.config.published import Published
from mnist_flow.config.train import Task
from mnist_flow.errors import ConfigError
from mnist_flow.runtime.suggestions import did_you_mean

_FOLDER = Path(CONF_DIR, "experiment")
# What chooses a network for a task.
_MODELS: dict[Task, tuple[str, ...]] = {
    "classification": (),
    "reconstruction": ("model=autoencoder", "noise=salt_and_pepper"),
    "generation": ("model=cvae",),
}


@dataclass(frozen=True)
class Preset:
    """One file of conf/experiment."""

    name: str  # also that of the MLflow experiment in which its runs are
    published: Published
    is_search: bool  # of a space, instead of a grid

    @property
    def arguments(self) -> list[str]:
        """Of the train command that makes its runs."""
        return ["-m", *(["hydra/sweeper=optuna"] if self.is_search else []), f"experiment={self.name}"]

    @property
    def command(self) -> str:
        """What makes its runs."""
        return f"python -m mnist_flow.train {' '.join(self.arguments)}"


def list_presets() -> list[str]:
    """Names of all presets: the reports' first, then their honest twins, each sorted."""
    return sorted((file.stem for file in _FOLDER.glob("*.yaml")), key=lambda name: (name.endswith("_holdout"), name))


def load_preset(name: str) -> Preset:
    """Read one preset, without composing it.

    Raises:
        ConfigError: there is none of this name; the message names those there are.
    """
    if name not in list_presets():
        known = list_presets()
        raise ConfigError(f"experiment={name}: no such preset{did_you_mean(name, known)} Choices: {' '.join(known)}")
    content = OmegaConf.load(_FOLDER / f"{name}.yaml")
    published = OmegaConf.to_container(content.published)
    is_search = OmegaConf.select(content, "hydra.sweeper.n_trials") is not None
    return Preset(name, Published.model_validate(published), is_search)


def describe_preset(experiment_name: str) -> str:
    """Describe the preset whose runs an experiment of MLflow has, as its file does; empty where there is none.

    An experiment has the name of its preset.
    """
    if experiment_name not in list_presets():
        return ""
    lines = (_FOLDER / f"{experiment_name}.yaml").read_text(encoding="utf-8").splitlines()
    # The first line is Hydra's, the second the command.
    return " ".join(line.removeprefix("# ") for line in takewhile(lambda line: line.startswith("# "), lines[2:]))


def describe_remedy(experiment_name: str, task: Task) -> str:
    """The command that makes runs of an experiment of MLflow: those of its preset, or else networks for a task."""
    if experiment_name in list_presets():
        return load_preset(experiment_name).command
    options = [*_MODELS[task], "'seed=range(3)'", type_override("tracking.experiment_name", experiment_name)]
    return f"python -m mnist_flow.train -m {' '.join(options)}"
