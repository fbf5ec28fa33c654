"""Measures logged models as planned, and logs each evaluation as a run below its training run."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_flow.config.evaluate import EvaluateConfig
from mnist_flow.config.options import find_module
from mnist_flow.config.section import flatten
from mnist_flow.config.train import INCIDENTAL
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.data.noise import describe_level
from mnist_flow.errors import RunError, TrackingError, UserError
from mnist_flow.evaluation.plan import Evaluation, name_run
from mnist_flow.evaluation.subject import EvaluationResult, LoadedModel, Subject
from mnist_flow.runtime.environment import count_cores, digest_code
from mnist_flow.runtime.native_output import native_stderr_hidden
from mnist_flow.runtime.own_code import refuse_result
from mnist_flow.runtime.terminal import print_line
from mnist_flow.tasks import find_task
from mnist_flow.tasks.task import Shape

if TYPE_CHECKING:
    from mnist_flow.tracking import LoggedRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """What all evaluations of a command share."""

    config: EvaluateConfig
    composed: str  # the config as Hydra composed it, YAML
    looked_at: float  # Unix time in seconds, before the look for earlier evaluations
    patience: float  # seconds to wait for a server that is away
    tells_failures: bool  # at once, each in a line of the log


def measure_all(context: Context, planned: Sequence[Evaluation]) -> tuple[list[dict[str, Any]], list[str]]:
    """Measure what is planned, one run after another.

    Returns:
        A row of the command's table for each evaluation that is done, and a line for each that is not.
    """
    from mnist_flow import tracking

    with native_stderr_hidden():
        from mnist_flow.training.devices import configure_tensorflow, reset_keras

    configure_tensorflow(context.config.threads or count_cores())
    rows: list[dict[str, Any]] = []
    troubles: list[str] = []

    def note(run_id: str, error: Exception) -> None:
        nonlocal context
        troubles.append(name_run(run_id, error))
        if context.tells_failures:
            log.error("%s", troubles[-1])
        if isinstance(error, TrackingError):
            # Wait only once for a server that is away, not again with every run.
            context = replace(context, patience=0.0)

    number = 0
    for run, group in groupby(planned, key=lambda evaluation: evaluation.run):
        evaluations = list(group)
        # Forget the models of earlier runs; otherwise all would stay in memory.
        reset_keras(seed=0)
        try:
            measured = tracking.wait_for(partial(_load_model, run, context.config.batch_size), context.patience)
        except (UserError, RunError) as error:
            number += len(evaluations)
            note(run.run_id, error)
            continue
        for evaluation in evaluations:
            number += 1
            start = time.perf_counter()
            try:
                row = _measure(context, evaluation, measured)
            except (UserError, RunError) as error:
                note(run.run_id, error)
                continue
            rows.append(row)
            results = [f"{key} {value:.4f}" for key, value in row.items() if isinstance(value, float)]
            told = ", ".join([*results, f"{time.perf_counter() - start:.1f} s"])
            print_line(f"{number} of {len(planned)}: {evaluation.measure} of {run.name}: {told}")
    return rows, troubles


def _load_model(run: LoggedRun, batch_size: int) -> LoadedModel:
    """Load the model of a run.

    Raises:
        TrackingError: the server does not answer.
        RunError: it can't be loaded.
    """
    from mnist_flow import tracking

    scale = float(run.params.get("data.scale", 1))
    experiments = {experiment_id: name for name, experiment_id in tracking.list_experiments().items()}
    label = _label(experiments.get(run.experiment_id, run.experiment_id), run.params)
    return LoadedModel(run.run_id, label, tracking.load_model(run), scale, batch_size)


def _label(experiment: str, params: Mapping[str, str]) -> str:
    """Name a model by its experiment and noise: `autoencoder, level 0.4`, `denoisers, level 0 to 1`."""
    key = next((name for name in ("level", "stddev") if f"noise.{name}" in params), None)
    if key is None:
        return experiment
    lowest = params.get(f"noise.min_{key}", "None")
    described = describe_level(key, float(params[f"noise.{key}"]), None if lowest == "None" else float(lowest))
    return f"{experiment}, {described}"


def _measure(context: Context, evaluation: Evaluation, measured: LoadedModel) -> dict[str, Any]:
    """Measure once, as a run of MLflow; returns its row of the command's table."""
    # Imported here: the plan does without them.
    from matplotlib import style

    from mnist_flow import tracking
    from mnist_flow.figures import STYLE

    config, run = context.config, evaluation.run
    subject = _build_subject(evaluation, measured, config.batch_size)
    own_run = tracking.start_run(
        run.experiment_id,
        f"{evaluation.measure} of {run.name}",
        _list_tags(evaluation),
        parent_run_id=run.run_id,
        alone_since=context.looked_at if config.resume else None,
        stale_after=config.tracking.stale_after,
        options=tracking.DeliveryOptions(context.patience, Path(config.tracking.undelivered_dir)),
    )
    with style.context(STYLE), own_run as tracked:
        tracked.log_params(_list_params(evaluation))
        for one in (run, *evaluation.partners.values()):
            tracked.link_model(one.model_id)
        tracked.log_data_set(evaluation.data_set, {"test": evaluation.data_set.test})
        module = find_module(evaluation.config)
        result = module.measure(evaluation.measure, evaluation.config, subject)
        if not isinstance(result, EvaluationResult):
            raise refuse_result(module.measure, result, "a mnist_flow.evaluation.subject.EvaluationResult")
        for table in result.tables.values():
            table.insert(0, "run_id", run.run_id)
        tracked.log_metrics(result.metrics, model_id=run.model_id)
        tracked.log_artifacts(
            figures=result.figures,
            texts={"config/config.yaml": context.composed},
            arrays=result.arrays,
            tables=result.tables,
        )
    return evaluation.describe(tracked.run_id, result.metrics, "measured")


def _build_subject(evaluation: Evaluation, measured: LoadedModel, batch_size: int) -> Subject:
    """Load the partners.

    Raises:
        RunError: a model can't be loaded, or is for something else than the measure wants.
    """
    module, measure, data_set = find_module(evaluation.config), evaluation.measure, evaluation.data_set
    _check_model(measured, module.TASKS, data_set, f"measure={measure}")
    for layer in getattr(module, "NEEDED_LAYERS", ()):
        if layer not in {one.name for one in measured.model.layers}:
            raise RunError(
                f"run {measured.run_id}: its model has no {layer}, and measure={measure} wants one; "
                "choose runs of an autoencoder, such as model=autoencoder"
            )
    partners = {key: _load_model(partner, batch_size) for key, partner in evaluation.partners.items()}
    for key, partner in partners.items():
        _check_model(partner, [module.PARTNER_TASKS[key]], data_set, f"measure.{measure}.{key}")
    return Subject(measured, data_set, partners)


def _check_model(loaded: LoadedModel, tasks: Sequence[str], info: DatasetInfo, what: str) -> None:
    """Refuse a model whose shapes are those of none of the tasks, or of images of another size."""
    shapes = tuple(tuple(one.shape[1:]) for one in loaded.model.inputs), tuple(loaded.model.output_shape[1:])
    wanted = {task.title: (task.input_shapes(info), task.output_shape(info)) for task in map(find_task, tasks)}
    if shapes not in wanted.values():
        described = " or ".join(f"{title}, which {_describe_shapes(*one)}" for title, one in wanted.items())
        raise RunError(f"run {loaded.run_id}: its model {_describe_shapes(*shapes)}, but {what} wants {described}")


def _describe_shapes(inputs: Sequence[Shape], output: Shape) -> str:
    return f"takes {' and '.join(map(str, inputs))} and gives {output}"


def _list_tags(evaluation: Evaluation) -> dict[str, str]:
    from mnist_flow import tracking

    return {
        tracking.KIND_TAG: "evaluation",
        tracking.MEASURE_TAG: evaluation.measure,
        tracking.MEASURED_RUN_TAG: evaluation.run.run_id,
        tracking.FINGERPRINT_TAG: evaluation.fingerprint,
        tracking.CODE_TAG: digest_code("evaluation"),
        tracking.DATA_TAG: evaluation.data_set.digest,
    }


def _list_params(evaluation: Evaluation) -> dict[str, Any]:
    """List the measured run's own params, and those of the measure; of a partner the run that was chosen."""
    prefix, partners = f"measure.{evaluation.measure}.", evaluation.partners
    own = {key: value for key, value in evaluation.run.params.items() if not key.startswith(INCIDENTAL)}
    settings = flatten(evaluation.config.model_dump(exclude=set(partners)), prefix=prefix)
    settings |= {f"{prefix}{key}": value for key, value in evaluation.read.items()}
    return own | settings | {f"{prefix}{key}.run_id": partner.run_id for key, partner in partners.items()}
