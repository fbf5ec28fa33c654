"""Which runs are listed, deleted, exported or imported, as conf/runs.yaml describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from mnist_flow.config.section import ExperimentName, Name, NonNegative, RunId, Section
from mnist_flow.config.tracking import SyncTrackingConfig

Status = Literal["running", "finished", "failed", "killed", "pruned"]


class RunsTrackingConfig(SyncTrackingConfig):
    # None: all experiments.
    experiment_name: ExperimentName | None


class ChosenModelConfig(Section):
    name: Name | None


class RunsConfig(Section):
    """What is done with which runs."""

    action: Literal["list", "delete", "delete_models", "delete_checkpoints", "delete_records", "export", "import"]
    folder: Annotated[str, Field(min_length=1)] | None
    apply: bool
    run_ids: list[RunId]
    sweep: RunId | None
    status: Annotated[list[Status], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]
    model: ChosenModelConfig
    older_than: NonNegative | None
    larger_than: NonNegative | None
    filter: str | None
    checkpoint_dir: Annotated[str, Field(min_length=1)]
    tracking: RunsTrackingConfig

    @model_validator(mode="after")
    def check_heeded(self) -> RunsConfig:
        """Refuse a key that would choose among runs where the action heeds it not: more would be deleted than meant."""
        heeded = {"delete_checkpoints": ("run_ids",), "delete_records": ("run_ids", "older_than")}.get(self.action)
        given = {
            "sweep": self.sweep is not None,
            "status": bool(self.status),
            "model.name": self.model.name is not None,
            "older_than": self.older_than is not None,
            "larger_than": self.larger_than is not None,
            "filter": self.filter is not None,
            "tracking.experiment_name": self.tracking.experiment_name is not None,
        }
        for key, is_given in given.items():
            if heeded is not None and is_given and key not in heeded:
                raise ValueError(f"{key}: action={self.action} does not heed it; it heeds {' and '.join(heeded)}")
        return self

    @property
    def chooses(self) -> bool:
        """Whether the config chooses some of the runs; otherwise all are meant."""
        chosen = (self.run_ids, self.sweep, self.status, self.model.name, self.filter, self.tracking.experiment_name)
        return any(chosen) or self.older_than is not None or self.larger_than is not None
