"""The story of `python -m mnist_flow.evaluate`: choose runs, load their models, measure, remember."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from mnist_flow.config.evaluate import EvaluateConfig, OptionalPartnerConfig, PartnerConfig
from mnist_flow.config.options import find_module
from mnist_flow.config.presets import describe_remedy
from mnist_flow.config.section import OptionSection, flatten
from mnist_flow.config.train import INCIDENTAL, Task
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DataSet
from mnist_flow.data.loading import load_data_set
from mnist_flow.data.noise import describe_level
from mnist_flow.errors import DataError, RunError, TrackingError, UserError
from mnist_flow.evaluation.subject import LoadedModel, Outcome, Subject
from mnist_flow.jobs.identity import compute_fingerprint
from mnist_flow.jobs.tables import read_results
from mnist_flow.runtime.environment import count_cores, digest_code
from mnist_flow.runtime.native_output import native_stderr_hidden
from mnist_flow.runtime.processes import name_process
from mnist_flow.runtime.terminal import print_evaluations, print_line

if TYPE_CHECKING:
    from mnist_flow.tracking import LoggedRun, PastRun

log = logging.getLogger(__name__)


IMAGE_SHAPE, N_CLASSES = (28, 28, 1), 10
# Shapes that a model of a task takes, one an input, and gives.
_SHAPES: dict[Task, tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]] = {
    "classification": ((IMAGE_SHAPE,), (N_CLASSES,)),
    "reconstruction": ((IMAGE_SHAPE,), IMAGE_SHAPE),
    "generation": ((IMAGE_SHAPE, (N_CLASSES,)), IMAGE_SHAPE),
}
_NAMES: dict[Task, str] = {
    "classification": "a classifier",
    "reconstruction": "an autoencoder",
    "generation": "a conditional autoencoder",
}


@dataclass(frozen=True)
class Evaluation:
    """One measure of one run: to be done, or there already."""

    run: LoggedRun
    data_set: DataSet
    name: str  # of the measure
    measure: OptionSection
    # Other runs whose models take part, by their key in the measure's config.
    partners: Mapping[str, LoggedRun]
    fingerprint: str
    # The newest finished evaluation with this fingerprint.
    earlier: PastRun | None


def evaluate_runs(cfg: DictConfig) -> pd.DataFrame:
    """Measure the logged models of the chosen runs, unless that is done; an evaluation is a run below its training run.

    Args:
        cfg: the config that Hydra composed from conf/evaluate.yaml.

    Returns:
        A row an evaluation, those done before included: run, run_id, seed, measure, the columns of each measure's
        `summarise`, evaluation (its run id), state.

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
    return (runs if config.choose == "all" else [min(runs, key=_rank)]), troubles


def _plan(config: EvaluateConfig, runs: Sequence[LoggedRun]) -> tuple[list[Evaluation], list[str]]:
    """The tasks, those of a run one after another, and a line for each run or task that can't be done."""
    tasks: list[Evaluation] = []
    troubles: list[str] = []
    n_outdated = 0
    data_sets = {name: _load_data(name, config.data.path) for name in {run.params["data.name"] for run in runs}}
    past = _fetch_earlier(config, {run.experiment_id for run in runs}) if config.resume else {}
    choices = {name: _list_partners(measure) for name, measure in config.measure.list_chosen().items()}
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
            try:
                partners = {key: choose(run) for key, choose in choices[name].items()}
            except RunError as error:
                troubles.append(_name_run(run.run_id, error))
                continue
            fingerprint = _identify(run, name, measure, partners, data_set)
            earlier = past.get(fingerprint)
            if earlier is not None and earlier.state == "alive":
                who = name_process(earlier.process)
                troubles.append(f"run {run.run_id}: {who} measures its {name}; wait for it")
                continue
            if earlier is not None and earlier.code != digest_code("evaluation"):
                n_outdated += 1
                earlier = None if config.tracking.changed_code == "retrain" else earlier
            tasks.append(Evaluation(run, data_set, name, measure, partners, fingerprint, earlier))
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


def _list_partners(measure: OptionSection) -> dict[str, Callable[[LoggedRun], LoggedRun]]:
    """Who takes part in a measure, by the key of its config: measured run → partner.

    Raises:
        TrackingError: the server does not answer, or there is none; the message names the command that makes one.
    """
    return {key: _find_partners(key, value) for key, value in measure if _is_partner(value)}


def _is_partner(value: Any) -> bool:
    """Whether a measure's config names another model here; the measured one is no partner of itself."""
    if isinstance(value, OptionalPartnerConfig):
        return value.run_id is not None or value.experiment_name is not None
    return isinstance(value, PartnerConfig)


def _find_partners(key: str, config: Any) -> Callable[[LoggedRun], LoggedRun]:
    from mnist_flow import tracking

    if config.run_id is not None:
        try:
            only = tracking.fetch_logged_run(config.run_id)
        except RunError as error:
            raise TrackingError(f"{key}: {error}") from error
        return lambda run: only
    experiment_id = tracking.find_experiment(config.experiment_name)
    found = tracking.fetch_logged_runs(experiment_id, config.filter)[0] if experiment_id is not None else []
    if not found:
        matching = f" that match filter={config.filter}" if config.filter else ""
        raise TrackingError(
            f"{key}.experiment_name={config.experiment_name}: no finished runs with a model at "
            f"{tracking.get_uri()}{matching}; make some: {describe_remedy(config.experiment_name)}"
        )
    best = min(found, key=_rank)

    def choose(run: LoggedRun) -> LoggedRun:
        if config.choose == "best":
            return best
        of_seed = [one for one in found if one.params["seed"] == run.params["seed"]]
        if not of_seed:
            seeds = " ".join(sorted({one.params["seed"] for one in found}, key=int))
            raise RunError(
                f"{key}.choose=same_seed: experiment '{config.experiment_name}' has no run of seed "
                f"{run.params['seed']}, but of {seeds}; {key}.choose=best takes the best of them"
            )
        return min(of_seed, key=_rank)

    return choose


def _rank(run: LoggedRun) -> float:
    """Lower is better, by the validation of the epoch that the model has."""
    results = read_results(run.metrics)
    return -results["val_accuracy"] if "val_accuracy" in results else results.get("val_loss", math.inf)


def _identify(
    run: LoggedRun, name: str, measure: OptionSection, partners: Mapping[str, LoggedRun], data_set: DataSet
) -> str:
    """What makes two evaluations the same: runs, measure and data; neither the batch size nor threads."""
    return compute_fingerprint(
        {
            "run_id": run.run_id,
            "measure": name,
            **measure.model_dump(exclude=set(partners)),
            **{key: partner.run_id for key, partner in partners.items()},
            "data.digest": data_set.digest,
        }
    )


def _measure_all(
    cfg: DictConfig, config: EvaluateConfig, todo: Sequence[Evaluation], looked_at: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Do the tasks; returns a row for each that is done, and a line for each that is not."""
    from mnist_flow import tracking

    with native_stderr_hidden():
        from mnist_flow.training.devices import configure_tensorflow, reset_keras

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
            measured = tracking.wait_for(partial(_load, run, config.batch_size), patience)
        except (UserError, RunError) as error:
            number += len(tasks)
            note(run.run_id, error)
            continue
        for task in tasks:
            number += 1
            start = time.perf_counter()
            try:
                row = _measure(cfg, config, task, measured, looked_at, patience)
            except (UserError, RunError) as error:
                note(run.run_id, error)
                continue
            rows.append(row)
            results = ", ".join(f"{key} {value:.4f}" for key, value in row.items() if isinstance(value, float))
            print_line(
                f"{number} of {len(todo)}: {task.name} of {run.name}: {results}{', ' if results else ''}"
                f"{time.perf_counter() - start:.1f} s"
            )
    return rows, troubles


def _load(run: LoggedRun, batch_size: int) -> LoadedModel:
    """The model of a run.

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
    """What tells a model from others: its experiment and noise, `autoencoder, level 0.4`, `denoisers, level 0 to 1`."""
    strength = next((name for name in ("level", "stddev") if f"noise.{name}" in params), None)
    if strength is None:
        return experiment
    lowest = params.get(f"noise.min_{strength}", "None")
    described = describe_level(
        strength, float(params[f"noise.{strength}"]), None if lowest == "None" else float(lowest)
    )
    return f"{experiment}, {described}"


def _check_shapes(loaded: LoadedModel, tasks: Sequence[Task], what: str) -> None:
    """Refuse a model that is for something else, or for images of another size."""
    takes = tuple(tuple(one.shape[1:]) for one in loaded.model.inputs)
    gives = tuple(loaded.model.output_shape[1:])
    if (takes, gives) not in [_SHAPES[task] for task in tasks]:
        wanted = " or ".join(
            f"{_NAMES[task]}, which takes {_join(_SHAPES[task][0])} and gives {_SHAPES[task][1]}" for task in tasks
        )
        raise RunError(
            f"run {loaded.run_id}: its model takes {_join(takes)} and gives {gives}, but {what} wants {wanted}"
        )


def _join(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))


def _measure(
    cfg: DictConfig,
    config: EvaluateConfig,
    task: Evaluation,
    measured: LoadedModel,
    looked_at: float,
    patience: float,
) -> dict[str, Any]:
    """Do one task, as a run of MLflow; returns its row of the summary."""
    from mnist_flow import tracking

    run, module = task.run, find_module(task.measure)
    _check_shapes(measured, module.TASKS, f"measure={task.name}")
    partners = {key: _load(partner, config.batch_size) for key, partner in task.partners.items()}
    for key, partner in partners.items():
        _check_shapes(partner, [module.PARTNER_TASKS[key]], f"measure.{task.name}.{key}")
    tags = {
        tracking.KIND_TAG: "evaluation",
        tracking.MEASURE_TAG: task.name,
        tracking.MEASURED_RUN_TAG: run.run_id,
        tracking.FINGERPRINT_TAG: task.fingerprint,
        tracking.CODE_TAG: digest_code("evaluation"),
        tracking.DATA_TAG: task.data_set.digest,
    }
    params = {key: value for key, value in run.params.items() if not key.startswith(INCIDENTAL)}
    settings = flatten(task.measure.model_dump(exclude=set(partners)), prefix=f"measure.{task.name}.")
    settings |= {f"measure.{task.name}.{key}.run_id": partner.run_id for key, partner in partners.items()}
    with tracking.start_run(
        run.experiment_id,
        f"{task.name} of {run.name}",
        tags,
        parent_run_id=run.run_id,
        alone_since=looked_at if config.resume else None,
        stale_after=config.tracking.stale_after,
        options=tracking.DeliveryOptions(patience, Path(config.tracking.undelivered_dir)),
    ) as tracked:
        tracked.log_params(params | settings)
        for one in (run, *task.partners.values()):
            tracked.link_model(one.model_id)
        tracked.log_data_set(task.data_set, {"test": task.data_set.test})
        outcome: Outcome = module.measure(task.name, task.measure, Subject(measured, task.data_set, partners))
        for table in outcome.tables.values():
            table.insert(0, "run_id", run.run_id)
        tracked.log_metrics(outcome.metrics, model_id=run.model_id)
        tracked.log_artifacts(
            figures=outcome.figures,
            texts={"config/config.yaml": OmegaConf.to_yaml(cfg, resolve=True)},
            arrays=outcome.arrays,
            tables=outcome.tables,
        )
    return _describe(task, tracked.run_id, outcome.metrics, "measured")


def _describe(task: Evaluation, evaluation: str, metrics: Mapping[str, float], state: str) -> dict[str, Any]:
    return {
        "run": task.run.name,
        "run_id": task.run.run_id,
        "seed": int(task.run.params["seed"]),
        "measure": task.name,
        **find_module(task.measure).summarise(task.name, metrics),
        "evaluation": evaluation,
        "state": state,
    }


def _name_run(run_id: str, error: Exception) -> str:
    text = str(error)
    return text if text.startswith(f"run {run_id}") else f"run {run_id}: {text}"
