"""From a run's config to the plain values that its training takes, and from its training to its record."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

from mnist_flow.data.augmentation import choose_transforms
from mnist_flow.data.noise import choose_corruption
from mnist_flow.runs.context import RunContext
from mnist_flow.runtime.terminal import TrainingProgress, print_line
from mnist_flow.tasks import TrainedModel
from mnist_flow.training.checkpoint import CheckpointFolder, TrainingState
from mnist_flow.training.loop import (
    Plateau,
    TrainingResult,
    build_learning_rate,
    build_optimizer,
    count_steps,
    train_model,
)

if TYPE_CHECKING:
    from mnist_flow.tracking import TrackedRun


def train_network(
    context: RunContext,
    trained: TrainedModel,
    run: TrackedRun,
    checkpoints: CheckpointFolder | None,
    state: TrainingState | None,
) -> TrainingResult:
    """Train a network in place; each epoch is logged and, outside a sweep, shown.

    Args:
        context: of the run.
        trained: the network with its first weights.
        run: takes the metrics and samples of each epoch.
        checkpoints: takes the state after each epoch; None: it is not kept.
        state: to go on from; None: from the first epoch.

    Raises:
        DivergedError: the loss became NaN or infinite.
        RunError: the state is that of another network or optimizer.
    """
    config, splits, training = context.config, context.splits, context.config.training
    first_epoch = 0 if state is None else state.epoch
    if state is not None and not context.in_sweep:
        print_line(f"run {run.run_id} goes on after epoch {state.epoch} of {config.epochs}")
    for epoch, metrics in enumerate(state.history if state is not None else [], start=1):
        # The process may have died between its checkpoint and the server.
        run.log_epoch(epoch, metrics)
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
        config.optimizer.name, learning_rate, training.ema_momentum, **config.optimizer.list_options()
    )
    # A sweep has one display for all its jobs.
    shown = nullcontext() if context.in_sweep else TrainingProgress(config.epochs, len(splits.train), first_epoch)
    with shown as progress:

        def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
            if progress is not None:
                progress.on_epoch(epoch, metrics)
            _log_epoch(context, trained, run, epoch, metrics)

        return train_model(
            trained.model,
            splits.train,
            splits.validation,
            optimizer,
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            task=config.task,
            corrupt=choose_corruption(config.noise),
            redraw=config.noise.is_redrawn,
            draw_transforms=choose_transforms(config.augmentation, context.info.input_shape[0]),
            label_smoothing=training.label_smoothing,
            plateau=plateau,
            monitor=training.monitor,
            early_stopping_patience=training.early_stopping_patience,
            keep_best_epoch=training.keep_best_epoch,
            steps_per_execution=training.steps_per_execution,
            evaluation_batch_size=config.evaluation.batch_size,
            on_steps=progress.on_steps if progress is not None else None,
            on_epoch=on_epoch,
            resume_from=state,
            on_state=checkpoints.save if checkpoints is not None else None,
        )


def _log_epoch(
    context: RunContext, trained: TrainedModel, run: TrackedRun, epoch: int, metrics: Mapping[str, float]
) -> None:
    """Log the metrics of an epoch and, every so many epochs, what the network draws."""
    run.log_epoch(epoch, metrics)
    if epoch % context.config.evaluation.samples_every == 0:
        samples = context.task.plot_samples(trained, epoch)
        if samples is not None:
            run.log_artifacts(figures={f"samples/epochs/epoch_{epoch:03d}.png": samples})
