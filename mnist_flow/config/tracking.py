"""Where runs are kept: the `tracking` keys of each command."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
    rerun_of: str | None
