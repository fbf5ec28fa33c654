"""One run's story: check, load, build, train, measure, remember."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mnist_flow.config.options import find_module
from mnist_flow.config.train import ModelSection, TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.augmentation import choose_transforms
from mnist_flow.data.dataset import DatasetInfo, Splits
from mnist_flow.data.loading import IMAGE_SHAPE, load_info, load_splits
from mnist_flow.data.noise import choose_corruption, describe_noise
from mnist_flow.errors import BusyError, ConfigError, RunError, UndeliveredError
from mnist_flow.jobs.composition import Job, list_replicates
from mnist_flow.jobs.lookup import look_up, show_plan
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.jobs.tables import read_results
from mnist_flow.runtime.environment import count_cores, digest_code
from mnist_flow.runtime.native_output import native_stderr_hidden
from mnist_flow.runtime.processes import name_process
from mnist_flow.runtime.terminal import TrainingProgress, print_line, print_summary
from mnist_flow.training.checkpoint import CheckpointFolder, TrainingState, check_writable

if TYPE_CHECKING:
    import keras

    from mnist_flow.tracking import PastRun, TrackedRun
    from mnist_flow.training.loop import TrainingResult

log = logging.getLogger(__name__)


def run_experiment(cfg: DictConfig) -> float:
    """Train, evaluate and track one network, unless a finished run of the same config and data is there already.

    Args:
        cfg: the config that Hydra composed from conf/config.yaml. In a sweep whose sweeper chooses its jobs as it goes,
            `replicates` are trained one after another.

    Returns:
        The metric that `evaluation.objective` names, the mean over the replicates; NaN where `plan` starts nothing.

    Raises:
        UserError: bad config, data or tracking server; no run is left in MLflow.
        RunError: the training diverged, and the run is marked FAILED; or the run's record could not be delivered.
    """
    config = validate_config(cfg, TrainConfig)
    if config.replicates > 1 and not _in_sweep():
        raise ConfigError(f"replicates={config.replicates}: is for sweeps; add -m")
    overrides = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    jobs = list_replicates(overrides, config)
    if config.plan:
        show_plan(jobs, n_workers=1)
        return math.nan
    data = config.data
    info = load_info(data.name, data.path)
    splits = load_splits(data.name, data.path, data.validation, data.holdout_size, data.split_seed, data.scale)
    objectives = [_run_job(cfg, job, info, splits) for job in jobs]
    return float(np.mean(objectives))


def _run_job(cfg: DictConfig, job: Job, info: DatasetInfo, splits: Splits) -> float:
    config = job.config
    cfg = OmegaConf.create({**cfg, "seed": config.seed, "replicates": 1})
    if config.training.checkpoint_dir is not None:
        check_writable(Path(config.training.checkpoint_dir))

    # MLflow and TensorFlow take seconds to import, so bad input is told before.
    from mnist_flow import tracking
    from mnist_flow.runs.replay import warn_of_differences

    tracking.configure(config.tracking.uri)
    experiment_id = os.environ.get(tracking.EXPERIMENT_ID_VARIABLE) or tracking.get_or_create_experiment(
        config.tracking.experiment_name
    )
    original = None
    if config.tracking.rerun_of is not None:
        original = tracking.fetch_run(config.tracking.rerun_of)
        warn_of_differences(original, info.digest)
    looked_at = time.time()
    earlier = _find_earlier(job, experiment_id)
    if earlier.state == "finished" and earlier.run is not None:
        if config.training.checkpoint_dir is not None:
            # Of a run that was delivered later.
            CheckpointFolder(Path(config.training.checkpoint_dir, earlier.run.run_id)).remove()
        return _report_finished(config, splits, earlier.run)
    with native_stderr_hidden():
        from mnist_flow.training.loop import configure_tensorflow

    configure_tensorflow(config.training.threads or count_cores())
    with ExitStack() as held:
        checkpoints, state = _open_checkpoint(config, earlier, held)
        try:
            with tracking.start_run(
                experiment_id,
                config.tracking.run_name or _build_run_name(job),
                _build_tags(job, info),
                parent_run_id=os.environ.get(tracking.PARENT_RUN_ID_VARIABLE),
                take_up=earlier.run.run_id if earlier.run is not None and state is not None else None,
                alone_since=looked_at if config.resume else None,
                stale_after=config.tracking.stale_after,
                system_metrics=config.tracking.system_metrics,
                options=tracking.DeliveryOptions(config.tracking.patience, Path(config.tracking.undelivered_dir)),
            ) as run:
                if checkpoints is None and config.training.checkpoint_dir is not None:
                    checkpoints = held.enter_context(CheckpointFolder(Path(config.training.checkpoint_dir, run.run_id)))
                objective = _train_and_measure(cfg, job, info, splits, run, checkpoints, state, original)
        except UndeliveredError:
            # The record is kept, and whole.
            if checkpoints is not None:
                checkpoints.remove()
            raise
        if checkpoints is not None:
            checkpoints.remove()
    return objective


def _find_earlier(job: Job, experiment_id: str) -> PlannedJob:
    """The run that this config and data have already, if any.

    Raises:
        BusyError: another process trains it.
    """
    from mnist_flow import tracking

    config = job.config.tracking
    # The run that `mlflow run` created is there to be filled.
    if not job.config.resume or tracking.is_project_run():
        return PlannedJob(job, "new", None)
    if not _in_sweep():
        tracking.deliver_kept_records(Path(config.undelivered_dir))
    patience = config.patience if _in_sweep() else 0
    (earlier,) = tracking.wait_for(lambda: look_up([job], experiment_id), patience)
    if earlier.state == "alive" and earlier.run is not None:
        raise BusyError(
            f"run {earlier.run.run_id} of {name_process(earlier.run.process)} has the same config; wait for it, or "
            "resume=false trains it all the same"
        )
    if earlier.other_code and not _in_sweep():
        log.warning(
            "run %s was made by another version of the code; tracking.changed_code=retrain trains it anew",
            earlier.run.run_id if earlier.run else None,
        )
    if earlier.other_data and not _in_sweep():
        log.warning("a finished run of this config has other data (its digest changed); this one is trained anew")
    return earlier


def _open_checkpoint(
    config: TrainConfig, earlier: PlannedJob, held: ExitStack
) -> tuple[CheckpointFolder | None, TrainingState | None]:
    """The checkpoint that an interrupted run goes on from; None where there is none that can be read."""
    if earlier.state != "interrupted" or earlier.run is None or config.training.checkpoint_dir is None:
        return None, None
    folder = CheckpointFolder(Path(config.training.checkpoint_dir, earlier.run.run_id))
    state = held.enter_context(folder).load()
    if state is None:
        log.warning("run %s: its checkpoint can't be read; a new run starts from the first epoch", earlier.run.run_id)
        return None, None
    return folder, state


def _train_and_measure(
    cfg: DictConfig,
    job: Job,
    info: DatasetInfo,
    splits: Splits,
    run: TrackedRun,
    checkpoints: CheckpointFolder | None,
    state: TrainingState | None,
    original: PastRun | None,
) -> float:
    """From the first weights to the last artifact; returns the objective."""
    from mnist_flow.runs.record import log_classifier, log_denoiser, log_generator, log_inputs
    from mnist_flow.runs.replay import compare_with_original
    from mnist_flow.training.loop import reset_keras

    config = job.config
    reset_keras(config.seed, config.training.precision)
    log_inputs(cfg, config, info, splits, run)
    model = build_model(config.model, config.reg)
    result = _train(config, model, splits, run, checkpoints, state)
    finish = {"classification": log_classifier, "reconstruction": log_denoiser, "generation": log_generator}
    metrics = finish[config.task](config, model, splits, result, run)
    if original is not None:
        compare_with_original(original, job.identity, {**result.history[-1], **metrics}, run)
    if not _in_sweep():
        n_epochs = len(result.history)
        time = f"{result.fit_seconds:.1f} s, {n_epochs} epoch{'s' if n_epochs > 1 else ''}"
        _print_result(config, splits, metrics, time, run.run_id)
    return read_results(metrics)[config.objective]


def build_model(model: ModelSection, reg: float) -> keras.Model:
    """The network that a model config describes, its weights drawn from the current Keras seed."""
    module = find_module(model)
    options = model.model_dump(exclude={"family"})
    if model.task == "classification":
        options["reg"] = reg
    network: keras.Model = getattr(module, f"build_{model.family}")(**options)
    return network


def _train(
    config: TrainConfig,
    model: keras.Model,
    splits: Splits,
    run: TrackedRun,
    checkpoints: CheckpointFolder | None,
    state: TrainingState | None,
) -> TrainingResult:
    from mnist_flow.runs.record import draw_samples
    from mnist_flow.training.loop import Plateau, build_learning_rate, build_optimizer, count_steps, train_model

    schedule = config.schedule.model_dump(exclude={"name"})
    plateau = Plateau(**schedule) if config.schedule.name == "plateau" else None
    learning_rate = build_learning_rate(
        config.optimizer.learning_rate,
        steps_per_epoch=count_steps(len(splits.train), config.batch_size),
        epochs=config.epochs,
        schedule=config.schedule.name,
        **({} if plateau else schedule),
    )
    optimizer = build_optimizer(
        config.optimizer.name,
        learning_rate,
        config.training.ema_momentum,
        **config.optimizer.list_options(),
    )
    if state is not None and not _in_sweep():
        print_line(f"run {run.run_id} goes on after epoch {state.epoch} of {config.epochs}")
    for epoch, metrics in enumerate(state.history if state is not None else [], start=1):
        # The process may have died between its checkpoint and the server.
        run.log_epoch(epoch, metrics)
    with ExitStack() as shown:
        # A sweep has one display for all its jobs.
        progress = None
        if not _in_sweep():
            first_epoch = state.epoch if state is not None else 0
            progress = shown.enter_context(TrainingProgress(config.epochs, len(splits.train), first_epoch))

        def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
            if progress is not None:
                progress.on_epoch(epoch, metrics)
            run.log_epoch(epoch, metrics)
            if config.task != "classification" and epoch % config.evaluation.samples_every == 0:
                path = f"samples/epochs/epoch_{epoch:03d}.png"
                run.log_artifacts(figures=draw_samples(config, model, splits, path, epoch))

        return train_model(
            model,
            splits.train,
            splits.validation,
            optimizer,
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            task=config.task,
            corrupt=choose_corruption(config.noise),
            redraw=getattr(config.noise, "redraw", True),
            draw_transforms=choose_transforms(config.augmentation, IMAGE_SHAPE[0]),
            label_smoothing=config.training.label_smoothing,
            plateau=plateau,
            monitor=config.training.monitor,
            early_stopping_patience=config.training.early_stopping_patience,
            keep_best_epoch=config.training.keep_best_epoch,
            steps_per_execution=config.training.steps_per_execution,
            evaluation_batch_size=config.evaluation.batch_size,
            on_steps=progress.on_steps if progress is not None else None,
            on_epoch=on_epoch,
            resume_from=state,
            on_state=checkpoints.save if checkpoints is not None else None,
        )


def _report_finished(config: TrainConfig, splits: Splits, run: PastRun) -> float:
    results = read_results(run.metrics)
    if config.objective not in results:
        raise RunError(f"run {run.run_id} is finished but has no {config.objective}; resume=false trains it anew")
    if not _in_sweep():
        print(f"run {run.run_id} has the same config and data and is finished; resume=false trains it anew")
        _print_result(config, splits, run.metrics, f"{run.metrics['fit_seconds']:.1f} s", run.run_id)
    return results[config.objective]


def _print_result(
    config: TrainConfig, splits: Splits, metrics: Mapping[str, float], training_time: str, run_id: str
) -> None:
    from mnist_flow import tracking

    results = read_results(metrics)
    protocol = {"holdout": "", "test": " (validated on the test set, as the reports did)"}[config.data.validation]
    if config.task == "classification":
        error = metrics["test_accuracy_standard_error"]
        measured = {
            "test accuracy": f"{results['test_accuracy']:.2%} ± {error:.2%} (standard error, n = {len(splits.test):,})",
            "test loss": f"{results['test_loss']:.5f} with the L2 penalty, {results['test_cross_entropy']:.5f} without",
            "validation accuracy": f"{results['val_accuracy']:.2%} (epoch {results['selected_epoch']:.0f})",
        }
    elif config.task == "generation":
        measured = {
            "test loss": f"{results['test_loss']:.3f} nats an image (n = {len(splits.test):,})",
            "its parts": f"{metrics['test_cross_entropy']:.3f} binary cross-entropy of the pixels, "
            f"{metrics['test_code_divergence']:.3f} divergence of the codes",
            "validation loss": f"{results['val_loss']:.3f} (epoch {results['selected_epoch']:.0f})",
        }
    else:
        n_measured = min(config.evaluation.quality_images, len(splits.test))
        measured = {
            "noise": describe_noise(config.noise),
            "test loss": f"{results['test_loss']:.5f} (binary cross-entropy a pixel, n = {len(splits.test):,})",
            "test PSNR, SSIM": f"{results['test_psnr']:.2f} dB, {results['test_ssim']:.4f} (n = {n_measured:,})",
            "validation loss": f"{results['val_loss']:.5f} (epoch {results['selected_epoch']:.0f})",
        }
    print_summary(
        f"{config.model.name} on {config.data.name}{protocol}",
        {
            **measured,
            "parameters": f"{metrics['n_parameters']:,.0f}",
            "training time": training_time,
            "run id": run_id,
            "tracked at": tracking.get_uri(),
            "look": tracking.describe_ui_command(),
        },
    )


def _build_tags(job: Job, info: DatasetInfo) -> dict[str, str]:
    from mnist_flow import tracking

    return {
        tracking.KIND_TAG: "train",
        tracking.FINGERPRINT_TAG: job.identity.fingerprint,
        tracking.GROUP_TAG: job.identity.group,
        tracking.RECIPE_TAG: job.identity.recipe,
        tracking.CODE_TAG: digest_code(),
        tracking.DATA_TAG: info.digest,
    }


def _build_run_name(job: Job) -> str:
    """What sets the run apart, as far as it says what is trained, and the model."""
    from mnist_flow import tracking

    if varying := os.environ.get(tracking.VARYING_VARIABLE):
        telling = [f"{key}={job.params[key]}" for key in varying.split(",") if key in job.params]
        return " ".join([*telling, *([] if "model.name" in varying.split(",") else [job.config.model.name])])
    telling = [text for text in job.overrides if not text.startswith(("model=", "data", "tracking.", "evaluation."))]
    # What sets the run apart first: MLflow's page shows the first twenty letters.
    return " ".join([*telling, job.config.model.name])


def _in_sweep() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
