"""The story of `python -m mnist_flow.evaluate`: choose runs, load their models, measure, remember."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from mnist_flow.arrays import FloatArray
from mnist_flow.config import (
    INCIDENTAL,
    EvaluateConfig,
    GaussianMeasure,
    RotationMeasure,
    SaltAndPepperMeasure,
    ShiftMeasure,
    validate_config,
)
from mnist_flow.console import print_evaluations, print_line
from mnist_flow.data import IMAGE_SHAPE, N_CLASSES, DataSet, load_data_set
from mnist_flow.environment import count_cores, digest_code
from mnist_flow.errors import DataError, RunError, TrackingError, UserError
from mnist_flow.figures import plot_shifted_digits
from mnist_flow.identity import compute_fingerprint
from mnist_flow.native_output import native_stderr_hidden
from mnist_flow.processes import name_process
from mnist_flow.robustness import (
    Condition,
    compute_headlines,
    list_gaussian,
    list_rotations,
    list_salt_and_pepper,
    list_shifts,
    measure_conditions,
)

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from mnist_flow.tracking import LoggedRun, PastRun

log = logging.getLogger(__name__)

# Of a figure of samples; 3 pixels are what report 000-4B shows.
_SHOWN_IMAGES, _SHOWN_PIXELS = 10, 3

Measure = ShiftMeasure | GaussianMeasure | SaltAndPepperMeasure | RotationMeasure


@dataclass(frozen=True)
class Task:
    """One measure of one run: an evaluation to be, or one that is there."""

    run: LoggedRun
    data_set: DataSet
    name: str  # of the measure
    measure: Measure
    fingerprint: str
    # The newest finished evaluation with this fingerprint.
    earlier: PastRun | None


def evaluate_runs(cfg: DictConfig) -> pd.DataFrame:
    """Measure the logged models of the chosen runs, unless that is done; an evaluation is a run below its training run.

    Args:
        cfg: the config that Hydra composed from conf/evaluate.yaml.

    Returns:
        A row an evaluation, those done before included: run, run_id, seed, measure, mean accuracy, worst accuracy,
        evaluation (its run id), state.

    Raises:
        UserError: bad config, a tracking server that does not answer, or no run that can be measured.
        RunError: some runs could not be measured; all others are.
    """
    config = validate_config(cfg, EvaluateConfig)

    # MLflow and TensorFlow take seconds to import, so bad input is told before.
    from mnist_flow import tracking

    tracking.configure(config.tracking.uri)
    adopted = tracking.adopt_project_run("evaluation")
    tracking.deliver_kept_records(Path(config.tracking.undelivered_dir))
    runs, troubles = _choose_runs(config)
    for trouble in troubles:
        log.error("%s", trouble)
    looked_at = time.time()
    tasks, refused = _plan(config, runs)
    done = [task for task in tasks if task.earlier is not None]
    todo = [task for task in tasks if task.earlier is None]
    print_line(
        f"{len(tasks)} evaluation{'' if len(tasks) == 1 else 's'}: {len(done)} done before, {len(todo)} to measure"
    )
    rows = [_describe(task, task.earlier.run_id, task.earlier.metrics, "done before") for task in done if task.earlier]
    measured, failed = _measure_all(cfg, config, todo, looked_at) if todo else ([], [])
    summary = pd.DataFrame(rows + measured)
    if not summary.empty:
        summary = summary.sort_values(["run", "seed", "measure"], kind="stable", ignore_index=True)
        print_evaluations(summary)
        if adopted is not None:
            tracking.log_summary(adopted, summary)
        print_line(f"tracked at {tracking.get_uri()}, below the runs measured; look: {tracking.describe_ui_command()}")
    if troubles := troubles + refused + failed:
        more = f"; and {len(troubles) - 5} more" if len(troubles) > 5 else ""
        raise RunError(f"not all is measured: {'; '.join(troubles[:5])}{more}")
    return summary


def list_conditions(measure: Measure) -> list[Condition]:
    """The conditions that a measure's config describes."""
    options = measure.model_dump()
    match measure:
        case ShiftMeasure():
            return list_shifts(**options)
        case GaussianMeasure():
            return list_gaussian(**options)
        case SaltAndPepperMeasure():
            return list_salt_and_pepper(**options)
        case RotationMeasure():
            return list_rotations(**options)


def _choose_runs(config: EvaluateConfig) -> tuple[list[LoggedRun], list[str]]:
    """The runs that can be measured, and a line for each of the others.

    Raises:
        TrackingError: the server does not answer, or there is none that can be measured.
    """
    from mnist_flow import tracking

    runs: list[LoggedRun] = []
    troubles: list[str] = []
    if config.run_ids:
        for run_id in dict.fromkeys(config.run_ids):
            try:
                runs.append(tracking.fetch_logged_run(run_id))
            except RunError as error:
                troubles.append(str(error))
        if not runs:
            raise TrackingError("; ".join(troubles))
        return runs, troubles
    name = tracking.choose_experiment_name(config.tracking.experiment_name)
    experiment_id = tracking.find_experiment(name)
    if experiment_id is not None:
        runs, troubles = tracking.fetch_logged_runs(experiment_id, config.filter)
    if not runs and troubles:
        raise TrackingError("; ".join(troubles))
    if not runs:
        matching = f" that match filter={config.filter}" if config.filter else ""
        raise TrackingError(
            f"tracking.experiment_name={name}: no finished runs at {tracking.get_uri()}{matching}; make some: "
            f"python -m mnist_flow.train -m 'seed=range(3)' tracking.experiment_name={name}"
        )
    return runs, troubles


def _plan(config: EvaluateConfig, runs: Sequence[LoggedRun]) -> tuple[list[Task], list[str]]:
    """The tasks, those of a run one after another, and a line for each run or task that can't be done."""
    tasks: list[Task] = []
    troubles: list[str] = []
    n_outdated = 0
    data_sets = {name: _load_data(name, config.data.path) for name in {run.params["data.name"] for run in runs}}
    past = _fetch_earlier(config, {run.experiment_id for run in runs}) if config.resume else {}
    for run in runs:
        data_set = data_sets[run.params["data.name"]]
        if isinstance(data_set, DataError):
            troubles.append(_name_run(run.run_id, data_set))
            continue
        # Runs older than the tag have no digest.
        if run.data_digest not in ("", data_set.digest):
            troubles.append(
                f"run {run.run_id}: was trained on other data (digest {run.data_digest}) than {data_set.source} "
                f"(digest {data_set.digest}); name its file: data.path=FILE.npz"
            )
            continue
        for name, measure in config.measure.list_chosen().items():
            fingerprint = _identify(run, name, measure, data_set)
            earlier = past.get(fingerprint)
            if earlier is not None and earlier.state == "alive":
                who = name_process(earlier.process)
                troubles.append(f"run {run.run_id}: {who} measures its {name}; wait for it")
                continue
            if earlier is not None and earlier.code != digest_code("evaluation"):
                n_outdated += 1
                earlier = None if config.tracking.changed_code == "retrain" else earlier
            tasks.append(Task(run, data_set, name, measure, fingerprint, earlier))
    if n_outdated and config.tracking.changed_code == "keep":
        log.warning(
            "evaluations by another version of the code: %d; tracking.changed_code=retrain measures anew", n_outdated
        )
    for trouble in troubles:
        log.error("%s", trouble)
    return tasks, troubles


def _load_data(name: Any, path: str | None) -> DataSet | DataError:
    """A data set, or why it can't be had, which is one attempt for all its runs."""
    try:
        return load_data_set(name, path if name == "mnist" else None)
    except DataError as error:
        return error


def _fetch_earlier(config: EvaluateConfig, experiment_ids: set[str]) -> dict[str, PastRun]:
    """The evaluations that are finished or alive, by fingerprint, the newest of each."""
    from mnist_flow import tracking

    return {
        run.fingerprint: run
        for experiment_id in experiment_ids
        for run in tracking.fetch_past_runs(experiment_id, stale_after=config.tracking.stale_after, kind="evaluation")
        if run.state != "interrupted"
    }


def _identify(run: LoggedRun, name: str, measure: Measure, data_set: DataSet) -> str:
    """What makes two evaluations the same: the run, the measure and the data; neither the batch size nor threads."""
    return compute_fingerprint(
        {"run_id": run.run_id, "measure": name, **measure.model_dump(), "data.digest": data_set.digest}
    )


def _measure_all(
    cfg: DictConfig, config: EvaluateConfig, todo: Sequence[Task], looked_at: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Do the tasks; returns a row for each that is done, and a line for each that is not."""
    from mnist_flow import tracking

    with native_stderr_hidden():
        from mnist_flow.training import configure_tensorflow, reset_keras

    configure_tensorflow(config.threads or count_cores())
    rows: list[dict[str, Any]] = []
    troubles: list[str] = []
    patience, number = config.tracking.patience, 0

    def note(run_id: str, error: Exception) -> None:
        nonlocal patience
        troubles.append(_name_run(run_id, error))
        log.error("%s", troubles[-1])
        if isinstance(error, TrackingError):
            # Who waited once for a server that is away need not wait with every run.
            patience = 0

    for run, group in groupby(todo, key=lambda task: task.run):
        tasks = list(group)
        # Else the models of a hundred runs would stay in memory.
        reset_keras(seed=0)
        try:
            model = tracking.wait_for(partial(tracking.load_model, run), patience)
            _check_shapes(model, run)
        except (UserError, RunError) as error:
            number += len(tasks)
            note(run.run_id, error)
            continue
        for task in tasks:
            number += 1
            start = time.perf_counter()
            try:
                row, table = _measure(cfg, config, task, model, looked_at, patience)
            except (UserError, RunError) as error:
                note(run.run_id, error)
                continue
            rows.append(row)
            print_line(
                f"{number} of {len(todo)}: {task.name} of {run.name}: accuracy {table['accuracy'].max():.4f} to "
                f"{table['accuracy'].min():.4f} over {len(table)} conditions, {time.perf_counter() - start:.1f} s"
            )
    return rows, troubles


def _check_shapes(model: keras.Model, run: LoggedRun) -> None:
    takes, gives = model.input_shape[1:], model.output_shape[1:]
    if (takes, gives) != (IMAGE_SHAPE, (N_CLASSES,)):
        raise RunError(
            f"run {run.run_id}: its model takes {takes} and gives {gives}, but a classifier takes {IMAGE_SHAPE} and "
            f"gives {(N_CLASSES,)}"
        )


def _measure(
    cfg: DictConfig, config: EvaluateConfig, task: Task, model: keras.Model, looked_at: float, patience: float
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Do one task, as a run of MLflow; returns its row of the summary and its table."""
    from mnist_flow import tracking

    run, test = task.run, task.data_set.test
    tags = {
        tracking.KIND_TAG: "evaluation",
        tracking.MEASURE_TAG: task.name,
        tracking.MEASURED_RUN_TAG: run.run_id,
        tracking.FINGERPRINT_TAG: task.fingerprint,
        tracking.CODE_TAG: digest_code("evaluation"),
        tracking.DATA_TAG: task.data_set.digest,
    }
    measured = {key: value for key, value in run.params.items() if not key.startswith(INCIDENTAL)}
    settings = {f"measure.{task.name}.{key}": value for key, value in task.measure}
    with tracking.start_run(
        run.experiment_id,
        f"{task.name} of {run.name}",
        tags,
        parent_run_id=run.run_id,
        alone_since=looked_at if config.resume else None,
        stale_after=config.tracking.stale_after,
        options=tracking.DeliveryOptions(patience, Path(config.tracking.undelivered_dir)),
    ) as tracked:
        tracked.log_params(measured | settings)
        tracked.link_model(run.model_id)
        tracked.log_data_set(task.data_set, {"test": test})
        table = measure_conditions(
            list_conditions(task.measure),
            test.images,
            test.labels,
            scale=float(run.params.get("data.scale", 1)),
            predict=partial(_predict, model, config.batch_size),
        )
        table.insert(0, "run_id", run.run_id)
        headlines = compute_headlines(task.name, table)
        tracked.log_metrics(headlines, model_id=run.model_id)
        tracked.log_artifacts(
            figures=_draw_samples(task.measure, test.images),
            texts={"config/config.yaml": OmegaConf.to_yaml(cfg, resolve=True)},
            tables={f"tables/{task.name}.json": table},
        )
    return _describe(task, tracked.run_id, headlines, "measured"), table


def _draw_samples(measure: Measure, images: FloatArray) -> dict[str, Figure]:
    """Some of the images that were measured, by the path of their figure."""
    if not isinstance(measure, ShiftMeasure):
        return {}
    pixels = min(_SHOWN_PIXELS, measure.max_pixels)
    return {
        "samples/shifted.png": plot_shifted_digits(images[:_SHOWN_IMAGES], pixels, measure.fills, measure.directions)
    }


def _predict(model: keras.Model, batch_size: int, images: FloatArray) -> FloatArray:
    """Class probabilities, float32 (n, 10).

    Keras's `predict` gives the same bits, and sets up a pipeline for each call, which takes a small network four times
    as long.
    """
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    return np.concatenate([model.predict_on_batch(batch) for batch in batches]).astype(np.float32, copy=False)


def _describe(task: Task, evaluation: str, metrics: Any, state: str) -> dict[str, Any]:
    return {
        "run": task.run.name,
        "run_id": task.run.run_id,
        "seed": int(task.run.params["seed"]),
        "measure": task.name,
        "mean accuracy": metrics[f"{task.name}_mean_accuracy"],
        "worst accuracy": metrics[f"{task.name}_worst_accuracy"],
        "evaluation": evaluation,
        "state": state,
    }


def _name_run(run_id: str, error: Exception) -> str:
    text = str(error)
    return text if text.startswith(f"run {run_id}") else f"run {run_id}: {text}"
