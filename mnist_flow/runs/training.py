"""From a run's config to the plain values that its training takes, and from its training to its record."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mnist_flow.config.train import OptimizerConfig, TrainConfig
from mnist_flow.data.augmentation import choose_augmentation, choose_transforms
from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.data.noise import choose_corruption
from mnist_flow.runs.context import RunContext
from mnist_flow.runtime.terminal import TrainingProgress, print_line
from mnist_flow.tasks import TrainedModel
from mnist_flow.training.checkpoint import CheckpointFolder
from mnist_flow.training.loop import train_model
from mnist_flow.training.optimizers import Optimization, build_optimizer, build_plateau, build_schedule, count_steps
from mnist_flow.training.settings import ImageChanges, TrainingListener, TrainingResult, TrainingSettings
from mnist_flow.training.state import TrainingState, pack_state

if TYPE_CHECKING:
    from mnist_flow.tracking import TrackedRun

# The state of a training after its last epoch, where `training.keep_state` keeps it.
STATE_ARTIFACT = "state/last_epoch.npz"


def train_network(
    context: RunContext,
    trained: TrainedModel,
    run: TrackedRun,
    checkpoints: CheckpointFolder | None,
    state: TrainingState | None,
) -> TrainingResult:
    """Train a network in place, from a kept state on if there is one; each epoch is logged and, outside a sweep, shown.

    Raises:
        DivergedError: the loss became NaN or infinite.
        PrunedError: the observer of the run ended it.
        RunError: the state is that of another network or optimizer.
    """
    config, splits = context.config, context.splits
    first_epoch = 0 if state is None else state.epoch
    if state is not None and not context.in_sweep:
        print_line(f"run {run.run_id} goes on after epoch {state.epoch} of {config.epochs}")
    for epoch, metrics in enumerate(state.history if state is not None else [], start=1):
        # The process may have died between its checkpoint and the server.
        run.log_epoch(epoch, metrics)
        context.observer.on_epoch(epoch, metrics)
    # A sweep has one display for all its jobs.
    shown = nullcontext() if context.in_sweep else TrainingProgress(config.epochs, len(splits.train), first_epoch)
    with shown as progress:
        recorder = _Recorder(context, trained, run, checkpoints, progress)
        result = train_model(
            trained.model,
            context.task,
            splits,
            context.info,
            build_optimization(config, len(splits.train)),
            replace(build_settings(config), loss=trained.loss),
            build_changes(config, context.info),
            recorder,
            resume_from=state,
        )
    if config.training.keep_state and (last := recorder.state or state) is not None:
        run.log_artifacts(arrays={STATE_ARTIFACT: pack_state(last)})
    return result


def build_settings(config: TrainConfig) -> TrainingSettings:
    """How long and how a config trains."""
    training = config.training
    return TrainingSettings(
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        label_smoothing=training.label_smoothing,
        adversarial_radius=training.adversarial_radius,
        class_weights=training.class_weights,
        monitor=training.monitor,
        early_stopping_patience=training.early_stopping_patience,
        keep_best_epoch=training.keep_best_epoch,
        steps_per_execution=training.steps_per_execution,
        evaluation_batch_size=config.evaluation.batch_size,
    )


def build_changes(config: TrainConfig, info: DatasetInfo) -> ImageChanges:
    """What a config does to training images of this data set."""
    corrupt = choose_corruption(config.noise)
    draw_transforms = choose_transforms(config.augmentation, info.input_shape[:2])
    augment_images = choose_augmentation(config.augmentation)
    # Try each now: an error within TensorFlow's threads is hard to read.
    for change in (corrupt, augment_images):
        if change is not None:
            change(np.full((2, *info.input_shape), 0.5, np.float32), np.random.default_rng(0))
    if draw_transforms is not None:
        draw_transforms(2, np.random.default_rng(0))
    return ImageChanges(corrupt, config.noise.is_redrawn, draw_transforms, augment_images)


def depends_on_epochs(config: TrainConfig, n_images: int, epochs: int) -> bool:
    """Whether the learning rate of a step would be another if a training had `epochs` epochs, as far as is known."""
    steps = count_steps(n_images, config.batch_size)
    schedules = [
        build_schedule(config.schedule, config.optimizer.learning_rate, steps, n) for n in (epochs, config.epochs)
    ]
    try:
        described = [None if schedule is None else schedule.get_config() for schedule in schedules]
    except NotImplementedError:  # One of the user's own need not tell.
        return True
    return described[0] != described[1]


def check_optimizer(config: OptimizerConfig) -> None:
    """Check, before a run begins, that Keras has this optimizer, and that it has these options.

    Raises:
        ConfigError: it does not.
    """
    build_optimizer(config.name, config.learning_rate, **config.list_options())


def build_optimization(config: TrainConfig, n_images: int) -> Optimization:
    """The optimizer and learning rate that a config describes, for so many training images."""
    optimizer, steps = config.optimizer, count_steps(n_images, config.batch_size)
    schedule = build_schedule(config.schedule, optimizer.learning_rate, steps, config.epochs)
    rate = optimizer.learning_rate if schedule is None else schedule
    return Optimization(
        build_optimizer(optimizer.name, rate, config.training.ema_momentum, **optimizer.list_options()),
        schedule,
        build_plateau(config.schedule),
    )


class _Recorder(TrainingListener):
    """Shows and logs the metrics of each epoch, draws samples every so many epochs, and keeps the state on disk."""

    def __init__(
        self,
        context: RunContext,
        trained: TrainedModel,
        run: TrackedRun,
        checkpoints: CheckpointFolder | None,
        progress: TrainingProgress | None,
    ) -> None:
        self._context, self._trained, self._run = context, trained, run
        self._checkpoints, self._progress = checkpoints, progress
        self.keeps_states = checkpoints is not None or context.config.training.keep_state
        # The last one; None: no epoch has ended yet.
        self.state: TrainingState | None = None

    def on_steps(self, epoch: int, images_done: int, metrics: Mapping[str, float]) -> None:
        if self._progress is not None:
            self._progress.on_steps(epoch, images_done, metrics)

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        config = self._context.config
        if self._progress is not None:
            self._progress.on_epoch(epoch, metrics)
        if self._progress is None or not self._progress.prints_lines:
            # In place of a bar that stands there.
            told = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name != "learning_rate")
            self._context.console.hear(f"\repoch {epoch}/{config.epochs}  {told}\n")
        self._run.log_epoch(epoch, metrics)
        self._context.observer.on_epoch(epoch, metrics)
        if config.tracking.log_figures and epoch % config.evaluation.samples_every == 0:
            samples = self._context.task.plot_samples(self._trained, epoch)
            if samples is not None:
                self._run.log_artifacts(figures={f"samples/epochs/epoch_{epoch:03d}.png": samples})

    def on_state(self, state: TrainingState) -> None:
        self.state = state
        if self._checkpoints is not None:
            self._checkpoints.save(state)
