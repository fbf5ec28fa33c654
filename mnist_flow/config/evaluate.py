"""The config of `evaluate`: conf/evaluate.yaml and the measures that are chosen from conf/measure/."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import model_validator

from mnist_flow.config.options import Option, find_module, list_options
from mnist_flow.config.section import Count, ExperimentName, FilePath, OptionSection, RunId, Section
from mnist_flow.config.tracking import EvaluateTrackingConfig
from mnist_flow.config.train import Task
from mnist_flow.runtime.own_code import locate_name

_MEASURES = "mnist_flow.evaluation.measures"


class _PartnerKeys(Section):
    # Of a training run; None: chosen among the runs of experiment_name.
    run_id: RunId | None
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
            _check_tasks(section)
        return self


def _check_tasks(section: OptionSection) -> None:
    """Refuse a measure of the user's own for tasks that there are not, or one that doesn't say its partners' tasks."""
    module, known = find_module(section), get_args(Task)
    partners = {key for key, value in section if isinstance(value, _PartnerKeys)}
    tasks, of_partners = module.TASKS, getattr(module, "PARTNER_TASKS", {})
    if not isinstance(tasks, tuple | list) or not tasks or not set(tasks) <= set(known):
        raise ValueError(f"{locate_name(module, 'TASKS')}={tasks!r}: must be a tuple of some of {' '.join(known)}")
    if not isinstance(of_partners, dict) or not set(of_partners.values()) <= set(known) or partners - set(of_partners):
        raise ValueError(
            f"{locate_name(module, 'PARTNER_TASKS')}={of_partners!r}: must give each of "
            f"{' '.join(sorted(partners))} one of {' '.join(known)}"
        )


class MeasuredDataConfig(Section):
    path: FilePath
    mnist_npz: FilePath


class EvaluateConfig(Section):
    """What `evaluate` measures of which runs, and how."""

    run_ids: list[RunId]
    filter: str | None
    choose: Literal["all", "best"]
    resume: bool
    batch_size: Count
    threads: Count | None
    data: MeasuredDataConfig
    measure: Annotated[MeasureConfig, Option(_MEASURES, several=True)]
    tracking: EvaluateTrackingConfig

    @model_validator(mode="after")
    def check_choice(self) -> EvaluateConfig:
        for key, value, neutral in (("filter", self.filter, None), ("choose", self.choose, "all")):
            if self.run_ids and value != neutral:
                raise ValueError(f"{key}={value}: chooses among the runs of an experiment; leave out run_ids")
        return self
