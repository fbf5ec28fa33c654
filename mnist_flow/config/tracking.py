"""Where runs are kept: the `tracking` keys of each command."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mnist_flow.config.section import ExperimentName, NonNegative, Section


class ServerConfig(Section):
    uri: str | None


class AnalyzeTrackingConfig(ServerConfig):
    # None: the experiments of the study.
    experiment_name: ExperimentName | None


class SyncTrackingConfig(ServerConfig):
    undelivered_dir: Annotated[str, Field(min_length=1)]


class EvaluateTrackingConfig(SyncTrackingConfig):
    experiment_name: ExperimentName
    patience: NonNegative
    stale_after: Annotated[float, Field(ge=120)]
    changed_code: Literal["keep", "retrain"]


class TrackingConfig(EvaluateTrackingConfig):
    run_name: str | None
    system_metrics: bool
    log_model: bool
    log_figures: bool
    keep_models: Literal["all", "best", "last", "none"]
    # The key `register`, a name that pydantic's classes have. What a URI of MLflow can hold: models:/NAME@ALIAS.
    registered_name: Annotated[str, Field(pattern=r"^[^/:@]+$")] | None = Field(alias="register")
    alias: Annotated[str, Field(pattern=r"^[\w-]+$", max_length=255)]
    move_alias: bool
    rerun_of: str | None

    @model_validator(mode="after")
    def check_register(self) -> TrackingConfig:
        """Refuse to register a model that is not kept, and aliases that MLflow has for versions."""
        if re.fullmatch(r"[vV]\d+|(?i:latest)", self.alias):
            raise ValueError(f"tracking.alias={self.alias}: is MLflow's own name for a version; choose another")
        if self.registered_name is not None and (not self.log_model or self.keep_models == "none"):
            key = "keep_models=none" if self.log_model else "log_model=false"
            name = f"tracking.register={self.registered_name}"
            raise ValueError(f"{name}: there is no model with tracking.{key}; leave one out")
        return self
