"""What one run is, in one object: its config, identity, data and task, how it was started, and its name and tags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mnist_flow.config.train import TrainConfig
from mnist_flow.data.dataset import DatasetInfo, Splits
from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.tables import read_results
from mnist_flow.runs.observer import RunObserver
from mnist_flow.runtime.console import Console
from mnist_flow.runtime.environment import digest_code
from mnist_flow.tasks import Task, find_task

# Beginnings of overrides that a run's name leaves out: the name says what sets the run apart, and then the model.
_UNTOLD = ("model=", "data", "tracking.", "evaluation.")


@dataclass(frozen=True)
class RunContext:
    """One run before it starts."""

    # The config as Hydra composed it, with the seed of this run.
    composed: DictConfig
    # The checked config and what follows from it: the run's identity, params and overrides.
    job: Job
    info: DatasetInfo
    splits: Splits
    # Hydra's own config; None where the run was not started by Hydra.
    hydra: HydraConf | None
    observer: RunObserver = field(default_factory=RunObserver)
    # What was said since the command began, or the run before.
    console: Console = field(default_factory=Console)

    @property
    def config(self) -> TrainConfig:
        """The checked config."""
        return self.job.config

    @property
    def task(self) -> Task:
        """What the network is for."""
        return find_task(self.config.task)

    @property
    def in_sweep(self) -> bool:
        """Whether the run is one of a sweep, which shows the progress of all its jobs itself."""
        return self.hydra is not None and self.hydra.mode == RunMode.MULTIRUN

    @property
    def run_name(self) -> str:
        """The name that the config gives the run; or what sets it apart from others, and its model.

        What sets it apart comes first, because MLflow's page shows the first twenty letters.
        """
        from mnist_flow import tracking

        if self.config.tracking.run_name:
            return self.config.tracking.run_name
        model = self.config.model.name
        if varying := os.environ.get(tracking.VARYING_VARIABLE):
            keys = varying.split(",")
            telling = [f"{key}={self.job.params[key]}" for key in keys if key in self.job.params]
            return " ".join(telling if "model.name" in keys else [*telling, model])
        telling = [text for text in self.job.overrides if not text.startswith(_UNTOLD)]
        return " ".join([*telling, model])

    @property
    def tags(self) -> dict[str, str]:
        """The tags that tell what the run is."""
        from mnist_flow import tracking

        return {
            tracking.KIND_TAG: "train",
            tracking.FINGERPRINT_TAG: self.job.identity.fingerprint,
            tracking.GROUP_TAG: self.job.identity.group,
            tracking.RECIPE_TAG: self.job.identity.recipe,
            tracking.CODE_TAG: digest_code(),
            tracking.DATA_TAG: self.info.digest,
            **self.observer.tags,
        }

    def describe_result(self, metrics: Mapping[str, float]) -> dict[str, str]:
        """The result of the run in words, by what it is, given its metrics."""
        results = {**metrics, **read_results(metrics)}
        return self.task.describe_result(results, self.config, len(self.splits.test))

    def describe_invocation(self) -> dict[str, str]:
        """What was composed and by which overrides, as texts by the path of their artifact."""
        texts = {"config/config.yaml": OmegaConf.to_yaml(self.composed, resolve=True)}
        typed = list(self.job.overrides) if self.hydra is None else self.hydra.overrides.task
        if self.hydra is not None or typed:
            texts["config/overrides.yaml"] = OmegaConf.to_yaml(typed)
        if self.hydra is not None:
            texts["config/hydra.yaml"] = OmegaConf.to_yaml(OmegaConf.create({"hydra": self.hydra}))
        return texts
