"""One run's story: check, look up, load, build, train, measure, remember."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mnist_flow.config.options import find_module
from mnist_flow.config.train import REPLICATED, DataSection, TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.loading import load_info, load_splits
from mnist_flow.errors import ConfigError, PrunedError, RunError, UndeliveredError
from mnist_flow.jobs.composition import list_replicates
from mnist_flow.jobs.grids import name_key
from mnist_flow.jobs.lookup import show_plan
from mnist_flow.jobs.tables import read_results
from mnist_flow.models import build_model
from mnist_flow.runs.context import RunContext
from mnist_flow.runs.observer import RunObserver
from mnist_flow.runtime.console import Console, hear_console
from mnist_flow.runtime.environment import count_cores
from mnist_flow.runtime.influences import settle_variables
from mnist_flow.runtime.native_output import native_stderr_hidden
from mnist_flow.runtime.own_code import refuse_result
from mnist_flow.runtime.signals import way_on_told
from mnist_flow.runtime.terminal import count, print_line, print_summary
from mnist_flow.tasks import TrainedModel
from mnist_flow.training.checkpoint import CheckpointFolder, check_writable
from mnist_flow.training.state import TrainingState

# MLflow and TensorFlow take seconds to import, so what needs them is imported when the input has been found good.
if TYPE_CHECKING:
    from mnist_flow.tracking import PastRun, TrackedRun

_PROTOCOLS = {"holdout": "", "test": " (validated on the test set, as the reports did)"}


def run_experiment(
    cfg: DictConfig, observer: RunObserver | None = None, overrides: Sequence[str] | None = None
) -> float | list[float]:
    """Train, measure and track one network, unless a finished run of the same config and data is there already.

    Args:
        cfg: the config that Hydra composed from conf/config.yaml. In a sweep whose sweeper chooses its jobs as it goes,
            `replicates` are trained one after another.
        observer: is told of the runs while they are made, and may end them.
        overrides: what `cfg` was composed from, for the run's name and record; None: Hydra's main function knows.

    Returns:
        The metric that `evaluation.objective` names, the mean over the replicates; where it lists several, a list of
        such means. NaN where `plan` starts nothing.

    Raises:
        UserError: bad config, data or tracking server; no run is left in MLflow.
        PrunedError: the observer ended a run.
        RunError: the training diverged, and the run is marked FAILED; or the run's record could not be delivered.
    """
    with hear_console() as console:
        return _make_runs(cfg, observer or RunObserver(), overrides, console)


def _make_runs(
    cfg: DictConfig, observer: RunObserver, overrides: Sequence[str] | None, console: Console
) -> float | list[float]:
    """`run_experiment`, whose runs log what the console hears."""
    settle_variables()
    config = validate_config(cfg, TrainConfig)
    hydra = HydraConfig.get() if HydraConfig.initialized() else None
    if config.replicates > 1 and (hydra is None or hydra.mode != RunMode.MULTIRUN):
        remedy = "call mnist_flow.sweep" if hydra is None else "add -m"
        raise ConfigError(f"replicates={config.replicates}: is for sweeps; {remedy}")
    if overrides is None:
        overrides = [] if hydra is None else list(hydra.overrides.task)
    if hydra is not None and hydra.mode == RunMode.RUN:
        _tell_of_sweep(hydra, overrides)
    jobs = list_replicates(overrides, config)
    if config.plan:
        show_plan(jobs, n_workers=1)
        return math.nan
    data = config.data
    options = data.list_options()
    info = load_info(data.name, data.path, data.module, options)
    splits = load_splits(
        data.name,
        data.path,
        data.validation,
        data.holdout_size,
        data.split_seed,
        data.scale,
        data.module,
        options,
        data.chosen_fold,
    )
    results: list[list[float]] = []
    for job in jobs:
        composed = OmegaConf.create({**cfg, "seed": job.config.seed, "replicates": 1})
        results.append(_run_job(RunContext(composed, job, info, splits, hydra, observer, console)))
        console.forget()
        observer.on_result(len(results), results[-1], is_last=job is jobs[-1])
    means: list[float] = np.mean(results, axis=0).tolist()
    return means if isinstance(config.evaluation.objective, list) else means[0]


def _tell_of_sweep(hydra: HydraConf, overrides: Sequence[str]) -> None:
    """Say that this is one run of a sweep, where a preset describes one over more than seeds."""
    swept = set(map(str, hydra.sweeper.get("params") or {}))
    if swept.difference(REPLICATED, map(name_key, overrides)):
        print_line("one run of the sweep that the preset describes; all of it: add -m")


def _run_job(context: RunContext) -> list[float]:
    """Make the run of one seed, or find it finished; returns its objectives."""
    config = context.config
    if config.training.checkpoint_dir is not None:
        check_writable(Path(config.training.checkpoint_dir))
    from mnist_flow import tracking
    from mnist_flow.runs.earlier import find_earlier, find_shorter, open_checkpoint
    from mnist_flow.runs.registration import check_registration, register_run
    from mnist_flow.runs.replay import fetch_original
    from mnist_flow.runs.training import check_optimizer
    from mnist_flow.runs.warm_start import fetch_first_weights

    tracking.configure(config.tracking.uri, config.tracking.experiment_name)
    experiment_id = os.environ.get(tracking.EXPERIMENT_ID_VARIABLE) or tracking.get_or_create_experiment(
        config.tracking.experiment_name
    )
    original = fetch_original(config.tracking.rerun_of, context.info.digest)
    looked_at = time.time()
    earlier = find_earlier(context, experiment_id)
    if earlier.state == "finished" and earlier.run is not None:
        context.observer.on_found(earlier.run.run_id)
        objectives = _report_finished(context, earlier.run)
        register_run(context, earlier.run.run_id)
        return objectives
    if not context.in_sweep:
        check_registration(config.tracking)
    with native_stderr_hidden():
        from mnist_flow.training.devices import configure_tensorflow

    configure_tensorflow(config.training.threads or count_cores())
    check_optimizer(config.optimizer)
    with ExitStack() as held:
        goes_on = config.resume and config.training.checkpoint_dir is not None and not context.in_sweep
        held.enter_context(way_on_told("the same command goes on from the last finished epoch", holds=goes_on))
        checkpoints, state = open_checkpoint(config, earlier, held)
        shorter = find_shorter(context, experiment_id) if state is None else None
        # A state has its weights, so that the run which they once came from may be gone by now.
        weights = fetch_first_weights(context) if state is None and shorter is None else None
        started = tracking.start_run(
            experiment_id,
            context.run_name,
            context.tags,
            parent_run_id=os.environ.get(tracking.PARENT_RUN_ID_VARIABLE),
            take_up=earlier.run.run_id if earlier.run is not None and state is not None else None,
            alone_since=looked_at if config.resume else None,
            stale_after=config.tracking.stale_after,
            system_metrics=config.tracking.system_metrics,
            options=tracking.DeliveryOptions(config.tracking.patience, Path(config.tracking.undelivered_dir)),
        )
        try:
            with started as run:
                run.keep_console(context.console)
                context.observer.on_start(run.run_id)
                if shorter is not None:
                    state = shorter[1]
                    run.set_tags({tracking.CONTINUES_TAG: shorter[0].run_id})
                if checkpoints is None and config.training.checkpoint_dir is not None:
                    checkpoints = held.enter_context(CheckpointFolder(Path(config.training.checkpoint_dir, run.run_id)))
                objectives = _train_and_measure(context, run, checkpoints, state, original, weights)
        except (UndeliveredError, PrunedError):
            # The record is kept, and whole; and nobody goes on with a run that was pruned.
            if checkpoints is not None:
                checkpoints.remove()
            raise
        if checkpoints is not None:
            checkpoints.remove()
    register_run(context, run.run_id)
    return objectives


def _train_and_measure(
    context: RunContext,
    run: TrackedRun,
    checkpoints: CheckpointFolder | None,
    state: TrainingState | None,
    original: PastRun | None,
    weights: list[np.ndarray] | None,
) -> list[float]:
    """From the first weights to the last artifact; returns the objectives."""
    from mnist_flow.runs.record import log_inputs, log_results
    from mnist_flow.runs.replay import compare_with_original
    from mnist_flow.runs.training import train_network
    from mnist_flow.training.devices import reset_keras
    from mnist_flow.training.objective import choose_loss

    config = context.config
    reset_keras(config.seed, config.training.precision, context.in_sweep)
    log_inputs(context, run)
    model = build_model(config.model, context.info, config.reg)
    if config.model.module is not None and (misfit := context.task.describe_misfit(model, context.info)):
        described, wanted = misfit
        raise refuse_result(find_module(config.model).build, model, wanted, described)
    if weights is not None:
        model.set_weights(weights)
    loss = choose_loss(config.loss, context.task.output_shape(context.info))
    trained = TrainedModel(
        model, config.model.name, context.info, context.splits, config.noise, config.evaluation, loss
    )
    result = train_network(context, trained, run, checkpoints, state)
    metrics = log_results(context, trained, result, run)
    if original is not None:
        compare_with_original(original, context.job.identity, {**result.history[-1], **metrics}, run)
    if not context.in_sweep:
        n_epochs = len(result.history)
        training_time = f"{result.fit_seconds:.1f} s, {count(n_epochs, 'epoch')}"
        _print_result(context, metrics, training_time, run.experiment_id, run.run_id)
    results = read_results(metrics)
    return [results[name] for name in config.objectives]


def _report_finished(context: RunContext, run: PastRun) -> list[float]:
    """Tell the result of a run that is there already; returns its objectives."""
    from mnist_flow.runs.earlier import keeps_state

    config = context.config
    if config.training.checkpoint_dir is not None:
        # It stays behind where the run's record was delivered later.
        CheckpointFolder(Path(config.training.checkpoint_dir, run.run_id)).remove()
    results = read_results(run.metrics)
    for objective in config.objectives:
        if objective not in results:
            raise RunError(f"run {run.run_id} is finished but has no {objective}; resume=false trains it anew")
    if not context.in_sweep:
        lacks_state = config.training.keep_state and not keeps_state(run)
        state = ("; its state was not kept", ", with its state") if lacks_state else ("", "")
        done = f"run {run.run_id} has the same config and data and is finished{state[0]}"
        print_line(f"{done}; resume=false trains it anew{state[1]}")
        _print_result(context, run.metrics, f"{run.metrics['fit_seconds']:.1f} s", run.experiment_id, run.run_id)
    return [results[name] for name in config.objectives]


def _describe_protocol(data: DataSection) -> str:
    if data.chosen_fold is None:
        return _PROTOCOLS[data.validation]
    fold, folds = data.chosen_fold
    return f" (validated on fold {fold} of 0 to {folds - 1})"


def _print_result(
    context: RunContext, metrics: Mapping[str, float], training_time: str, experiment_id: str, run_id: str
) -> None:
    """Print a table with the result of a run and how long it took (in words), and below it where to look at it."""
    from mnist_flow import tracking

    config = context.config
    print_summary(
        f"{config.model.name} on {config.data.name}{_describe_protocol(config.data)}",
        {
            **context.describe_result(metrics),
            "parameters": f"{metrics['n_parameters']:,.0f}",
            "training time": training_time,
            "run id": run_id,
            "tracked at": tracking.get_uri(),
        },
    )
    # As a line of its own, which no terminal cuts.
    print_line(f"look: {tracking.describe_look(experiment_id, run_id)}")
