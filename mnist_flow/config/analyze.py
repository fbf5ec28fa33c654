"""A comparison of runs, as conf/analyze.yaml and conf/study/ describe it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mnist_flow.config.options import Option
from mnist_flow.config.section import ExperimentName, Name, OptionSection, Section
from mnist_flow.config.tracking import AnalyzeTrackingConfig


class StudySection(OptionSection):
    """What all studies have."""

    name: Name
    # Experiments of MLflow whose runs are compared.
    experiments: Annotated[list[ExperimentName], Field(min_length=1)]
    # A further condition in MLflow's language.
    filter: str | None


class AnalyzeConfig(Section):
    """One comparison of runs, as `conf/analyze.yaml` and its groups describe it."""

    output_dir: Annotated[str, Field(min_length=1)]
    study: Annotated[StudySection, Option("mnist_flow.analysis.studies")]
    tracking: AnalyzeTrackingConfig
