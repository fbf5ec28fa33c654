"""The training loop, from a network's first epoch to its last. Knows neither Hydra nor MLflow.

Everything random in an epoch is drawn from generators keyed by seed and epoch (`streams`), so that epoch k of a run
depends on nothing but the weights it starts from, and a training that goes on from a saved state ends the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from mnist_flow.data.dataset import DatasetInfo, Images, Splits
from mnist_flow.errors import DivergedError
from mnist_flow.models.inspection import limit_batch_size
from mnist_flow.runtime.lazy import keras, tf
from mnist_flow.training.batches import ChangedImages, SameImages, build_batches, build_validation
from mnist_flow.training.monitors import BestEpoch, EarlyStopping, Monitors
from mnist_flow.training.objective import Objective, Pair, weigh_classes
from mnist_flow.training.optimizers import Optimization
from mnist_flow.training.settings import ImageChanges, TrainingListener, TrainingResult, TrainingSettings
from mnist_flow.training.state import START, TrainingState, capture_state, restore_state
from mnist_flow.training.streams import corrupt_once, seed_layers


def train_model(
    model: keras.Model,
    objective: Objective,
    splits: Splits,
    info: DatasetInfo,
    optimization: Optimization,
    settings: TrainingSettings,
    changes: ImageChanges | None = None,
    listener: TrainingListener | None = None,
    resume_from: TrainingState | None = None,
) -> TrainingResult:
    """Train a network in place.

    Args:
        model: from images (n, *info.input_shape), float32 in [0, 1], to what the objective's loss takes.
        objective: what it is trained for.
        splits: images to learn from and images to measure each epoch on.
        optimization: optimizer and learning rate. With `use_ema` the averaged weights are validated and kept.
        settings: how long and how.
        changes: noise and augmentation of the training images; None: none.
        listener: is told of steps, epochs and states.
        resume_from: go on after this state instead of from the start; the result is the same bit for bit.

    Raises:
        DivergedError: the loss became NaN or infinite.
        RunError: `resume_from` is the state of another network or optimizer.
    """
    changes, before, told = changes or ImageChanges(), resume_from or START, listener or TrainingListener()
    learner, validate = _compile(model, objective, splits, info, optimization, settings, changes)
    monitors = _build_monitors(optimization, settings)
    if resume_from is not None:
        restore_state(learner, monitors, resume_from)
    history = list(before.history)
    epochs = range(before.epoch, before.epoch if before.stopped else settings.epochs)
    trainer = _build_trainer(learner, objective, splits.train, info.n_classes, settings, changes, epochs)
    start = time.perf_counter()
    for epoch in epochs:
        if epoch > 0:
            # Between two epochs the network has the averaged weights.
            _swap_average(learner, optimization)
        seed_layers(learner, settings.seed, epoch)
        learner.reset_metrics()
        for images_done, metrics in trainer.train_epoch(epoch):
            _check_loss(learner, epoch, metrics["loss"])
            told.on_steps(epoch + 1, images_done, metrics)
        _swap_average(learner, optimization)
        measured = {f"val_{name}": value for name, value in validate().items()}
        _swap_average(learner, optimization)
        _check_loss(learner, epoch, measured["val_loss"])
        rate = optimization.read_learning_rate(int(learner.optimizer.iterations))
        history.append({**metrics, **measured, "learning_rate": rate})
        _swap_average(learner, optimization)
        told.on_epoch(epoch + 1, history[-1])
        stopped = monitors.update(epoch + 1, history[-1], learner)
        if told.keeps_states:
            seconds = before.fit_seconds + time.perf_counter() - start
            told.on_state(capture_state(learner, monitors, history, seconds, stopped))
        if stopped:
            break
    best = monitors.best_epoch
    if best is not None:
        learner.set_weights(best.weights)
    seconds = before.fit_seconds + time.perf_counter() - start
    loss = _build_loss(objective, settings)
    if loss is not None and type(loss).__module__.partition(".")[0] == "keras":
        # So that who loads the model can evaluate it, or train on. Any other loss would have to be importable there.
        model.compile(learner.optimizer, loss, metrics=objective.build_metrics(), jit_compile=learner.jit_compile)
    return TrainingResult(history, best.epoch if best is not None else len(history), seconds)


def _build_monitors(optimization: Optimization, settings: TrainingSettings) -> Monitors:
    patience = settings.early_stopping_patience
    return Monitors(
        settings.monitor,
        optimization.plateau,
        None if patience is None else EarlyStopping(patience),
        BestEpoch() if settings.keep_best_epoch else None,
    )


def _compile(
    model: keras.Model,
    objective: Objective,
    splits: Splits,
    info: DatasetInfo,
    optimization: Optimization,
    settings: TrainingSettings,
    changes: ImageChanges,
) -> tuple[keras.Model, Callable[[], dict[str, float]]]:
    """What is trained in place of the model, whose layers it has, and the function that validates it."""
    learner = objective.build_learner(model, settings.adversarial_radius)
    learner.compile(
        optimization.optimizer,
        _build_loss(objective, settings),
        metrics=objective.build_metrics(),
        # Compiling costs more than it gains on a CPU; on a GPU Keras decides.
        jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
    )
    # Build optimizer and metrics now; otherwise the first step is traced twice.
    learner.optimizer.build(learner.trainable_variables)
    validation = objective.build_validation(splits.validation, info.n_classes, changes.corrupt)
    learner.test_step(tf.nest.map_structure(lambda part: part[:1], validation))
    return learner, build_validation(learner, validation, limit_batch_size(model, settings.evaluation_batch_size))


def _build_loss(objective: Objective, settings: TrainingSettings) -> keras.losses.Loss | None:
    return objective.build_loss(settings.label_smoothing) if settings.loss is None else settings.loss


def _build_trainer(
    learner: keras.Model,
    objective: Objective,
    train: Images,
    n_classes: int,
    settings: TrainingSettings,
    changes: ImageChanges,
    epochs: range,
) -> SameImages | ChangedImages:
    inputs, targets = train.images, objective.build_targets(train, n_classes)
    corrupt = changes.corrupt
    if corrupt is not None and not changes.redraw:
        inputs, corrupt = corrupt_once(inputs, corrupt, settings.seed), None
    pair: Pair = objective.pair
    if settings.class_weights == "balanced":
        pair = weigh_classes(pair, train.labels, n_classes)
    size, steps, seed = settings.batch_size, settings.steps_per_execution, settings.seed
    if corrupt is None and changes.draw_transforms is None and changes.augment_images is None:
        return SameImages(learner, pair, inputs, targets, size, steps, seed)
    batches = build_batches(inputs, targets, size, seed, epochs, replace(changes, corrupt=corrupt))
    return ChangedImages(learner, pair, batches, len(inputs), size, steps)


def _swap_average(learner: keras.Model, optimization: Optimization) -> None:
    """Exchange the weights and their moving average, if there is one, with a callback that remembers what it did."""
    if optimization.optimizer.use_ema:
        swap = keras.callbacks.SwapEMAWeights()
        swap.set_model(learner)
        swap.on_test_begin()


def _check_loss(learner: keras.Model, epoch: int, loss: float) -> None:
    if not math.isfinite(loss):
        penalised = any(weight.regularizer is not None for weight in learner.trainable_weights)
        raise DivergedError(
            f"the loss became {loss} in epoch {epoch + 1}: try a smaller optimizer.learning_rate, "
            f"{'a smaller reg, ' if penalised else ''}or schedule=cosine schedule.warmup_epochs=1"
        )
