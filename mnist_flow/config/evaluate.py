"""The config of `evaluate`: conf/evaluate.yaml and the measures that are chosen from conf/measure/."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mnist_flow.config.options import Option, list_options
from mnist_flow.config.section import Count, ExperimentName, FilePath, OptionSection, Section
from mnist_flow.config.tracking import EvaluateTrackingConfig

_MEASURES = "mnist_flow.evaluation.measures"
_RunId = Annotated[str, Field(pattern=r"^\w+$")]


class _PartnerKeys(Section):
    # Of a training run; None: chosen among the runs of experiment_name.
    run_id: _RunId | None
    filter: str | None
    choose: Literal["same_seed", "best"]


class PartnerConfig(_PartnerKeys):
    """Another trained model that takes part in a measure."""

    experiment_name: ExperimentName


class OptionalPartnerConfig(_PartnerKeys):
    """Another trained model that may take part: none does if neither a run nor an experiment is named."""

    experiment_name: ExperimentName | None


class MeasureConfig(Section):
    """The options of conf/measure that were chosen, by name."""

    @model_validator(mode="after")
    def check_lists(self) -> MeasureConfig:
        chosen: dict[str, OptionSection] = dict(self)
        if not chosen:
            raise ValueError(f"measure: nothing is chosen; choose from {' '.join(list_options(_MEASURES))}")
        for name, section in chosen.items():
            for key, values in section:
                if isinstance(values, list) and any(value in values[:place] for place, value in enumerate(values)):
                    raise ValueError(f"measure.{name}.{key}={values}: holds a value twice")
        return self


class MeasuredDataConfig(Section):
    path: FilePath
    mnist_npz: FilePath


class EvaluateConfig(Section):
    """What `evaluate` measures of which runs, and how."""

    run_ids: list[_RunId]
    filter: str | None
    choose: Literal["all", "best"]
    resume: bool
    batch_size: Count
    threads: Count | None
    data: MeasuredDataConfig
    measure: Annotated[MeasureConfig, Option(_MEASURES, needs=("TASKS", "measure"), several=True)]
    tracking: EvaluateTrackingConfig

    @model_validator(mode="after")
    def check_choice(self) -> EvaluateConfig:
        for key, value, neutral in (("filter", self.filter, None), ("choose", self.choose, "all")):
            if self.run_ids and value != neutral:
                raise ValueError(f"{key}={value}: chooses among the runs of an experiment; leave out run_ids")
        return self
