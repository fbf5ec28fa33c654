"""Compile and fit. Plain values and arrays in, a history out; knows neither Hydra nor MLflow.

Everything random in an epoch (order, noise, augmentation, dropout) is drawn from generators keyed by (seed, epoch), so
that epoch k of a run depends on nothing but the weights it starts from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from mnist_flow.arrays import FloatArray
from mnist_flow.checkpoint import TrainingState
from mnist_flow.data import IMAGE_SHAPE, N_CLASSES, Images
from mnist_flow.errors import DivergedError, RunError

# Streams of random numbers within one (seed, epoch).
_ORDER, _LAYERS, _TRANSFORMS, _NOISE = range(4)

# images, generator → images
Corrupt = Callable[[FloatArray, np.random.Generator], FloatArray]
# number of images, generator → (n, 8) transforms, see augmentation.py
DrawTransforms = Callable[[int, np.random.Generator], FloatArray]
LearningRate: TypeAlias = "float | keras.optimizers.schedules.LearningRateSchedule"

_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
}


@dataclass(frozen=True)
class Plateau:
    """Multiply the learning rate by `factor` after `patience` epochs without improvement."""

    factor: float
    patience: int
    min_learning_rate: float = 0.0


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind, beside the weights in the model."""

    # One mapping an epoch: loss accuracy val_loss val_accuracy learning_rate.
    history: list[dict[str, float]] = field(repr=False)
    # Epoch, from 1, whose weights the model ended with.
    selected_epoch: int
    fit_seconds: float

    @property
    def selected(self) -> dict[str, float]:
        """The metrics of the selected epoch."""
        return self.history[self.selected_epoch - 1]


def configure_tensorflow(threads: int) -> None:
    """Set threads, determinism and GPU memory for this process.

    Args:
        threads: TensorFlow's intra- and inter-op threads.

    Raises:
        RunError: this process already runs TensorFlow with another number of threads, fixed at its first operation.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        in_force = tf.config.threading.get_intra_op_parallelism_threads()
        if in_force != threads:
            raise RunError(
                f"training.threads={threads}: this process already runs TensorFlow with {in_force or 'all'}, and keeps "
                "them; start another process"
            ) from error
    tf.config.experimental.enable_op_determinism()


def describe_devices() -> dict[str, Any]:
    """GPUs that TensorFlow sees, the threads it uses, and the precision of the layers."""
    return {
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "precision": keras.config.dtype_policy().name,
    }


def reset_keras(seed: int, precision: str = "float32") -> None:
    """Make the next model independent of those built before in this process.

    Args:
        seed: of its weights.
        precision: a Keras dtype policy: float32, mixed_bfloat16 or mixed_float16.
    """
    # Forgets the policy and the logging choice too, so it comes first.
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    # Keras's own bars would run into ours.
    keras.config.disable_interactive_logging()


def build_learning_rate(
    learning_rate: float,
    steps_per_epoch: int,
    epochs: int,
    schedule: Literal["constant", "cosine", "step", "plateau"] = "constant",
    warmup_epochs: float = 0.0,
    final_fraction: float = 0.0,
    step_epochs: int = 1,
    factor: float = 1.0,
) -> LearningRate:
    """The learning rate of each gradient step.

    Args:
        learning_rate: the (first, or highest) rate.
        steps_per_epoch: gradient steps an epoch.
        epochs: epochs of the whole training; `cosine` ends with them.
        schedule: `plateau` is constant here: its changes follow the validation metrics, see `train_model`.
        warmup_epochs: with `cosine`, epochs of a linear rise from 0.
        final_fraction: with `cosine`, the last rate as a share of the first.
        step_epochs: with `step`, epochs between two steps.
        factor: with `step`, what a step multiplies the rate by.
    """
    if schedule == "cosine":
        warmup_steps = round(warmup_epochs * steps_per_epoch)
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else learning_rate,
            decay_steps=max(1, epochs * steps_per_epoch - warmup_steps),
            alpha=final_fraction,
            warmup_target=learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    if schedule == "step":
        return keras.optimizers.schedules.ExponentialDecay(
            learning_rate, decay_steps=step_epochs * steps_per_epoch, decay_rate=factor, staircase=True
        )
    return learning_rate


def build_optimizer(
    name: Literal["sgd", "adam", "adamw", "rmsprop"],
    learning_rate: LearningRate,
    ema_momentum: float | None = None,
    **options: Any,
) -> keras.optimizers.Optimizer:
    """A Keras optimizer; `options` are its own (momentum, beta_1, …), `ema_momentum` averages the weights."""
    averaging = {} if ema_momentum is None else {"use_ema": True, "ema_momentum": ema_momentum}
    return _OPTIMIZERS[name](learning_rate=learning_rate, **averaging, **options)


def train_model(
    model: keras.Model,
    train: Images,
    validation: Images,
    optimizer: keras.optimizers.Optimizer,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    corrupt: Corrupt | None = None,
    draw_transforms: DrawTransforms | None = None,
    label_smoothing: float = 0.0,
    plateau: Plateau | None = None,
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss",
    early_stopping_patience: int | None = None,
    keep_best_epoch: bool = False,
    steps_per_execution: int = 32,
    evaluation_batch_size: int = 1000,
    on_steps: Callable[[int, int, Mapping[str, float]], None] | None = None,
    on_epoch: Callable[[int, Mapping[str, float]], None] | None = None,
    resume_from: TrainingState | None = None,
    on_state: Callable[[TrainingState], None] | None = None,
) -> TrainingResult:
    """Fit a classifier in place.

    Args:
        model: images (n, 28, 28, 1) → class probabilities (n, 10).
        train: images to learn from.
        validation: images to measure each epoch on.
        optimizer: with `use_ema` the averaged weights are validated and kept.
        epochs: at most so many passes.
        batch_size: images a gradient step.
        seed: keys order, noise, augmentation and dropout.
        corrupt: noise on the training images, afresh each epoch.
        draw_transforms: geometric augmentation of the training images, afresh each epoch.
        label_smoothing: share of the target spread over all classes.
        plateau: lower the learning rate when `monitor` stalls.
        monitor: what `plateau`, early stopping and `keep_best_epoch` look at.
        early_stopping_patience: stop after so many epochs without improvement.
        keep_best_epoch: end with the best epoch's weights instead of the last one's.
        steps_per_execution: gradient steps a call into TensorFlow.
        evaluation_batch_size: images a validation step.
        on_steps: called with (epoch, images done in it, running metrics) while an epoch goes on.
        on_epoch: called with (epoch, its metrics) after each epoch; epochs count from 1.
        resume_from: go on after this state instead of from the start; the result is the same bit for bit.
        on_state: called after each epoch, and after `on_epoch`, with what `resume_from` takes.

    Raises:
        DivergedError: the loss became NaN or infinite.
        RunError: `resume_from` is the state of another network or optimizer.
    """
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
        # Compiling costs more than it gains on a CPU; on a GPU Keras decides.
        jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
    )
    epoch_stream = _EpochStream(model, seed)
    batches = _build_batches(train, batch_size, epoch_stream, corrupt, draw_transforms)
    higher_is_better = monitor == "val_accuracy"
    mode = "max" if higher_is_better else "min"
    recorder = _Recorder(batch_size, len(train), optimizer._learning_rate, on_steps, on_epoch)
    if resume_from is not None:
        recorder.history = list(resume_from.history)
        _restore_variables(model, resume_from)
    callbacks: list[keras.callbacks.Callback] = [epoch_stream]
    if optimizer.use_ema:
        callbacks += [keras.callbacks.SwapEMAWeights(swap_on_epoch=True), _LastWeights()]
    callbacks.append(recorder)
    if plateau is not None:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor=monitor,
                mode=mode,
                factor=plateau.factor,
                patience=plateau.patience,
                min_lr=plateau.min_learning_rate,
            )
        )
    if early_stopping_patience is not None or keep_best_epoch:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor=monitor,
                mode=mode,
                patience=early_stopping_patience if early_stopping_patience is not None else epochs,
                restore_best_weights=keep_best_epoch,
            )
        )
    first_epoch, seconds_before = 0, 0.0
    if resume_from is not None:
        first_epoch = epochs if resume_from.stopped else resume_from.epoch
        seconds_before = resume_from.fit_seconds
    start = time.perf_counter()
    # Comes last: the others reset themselves when a training begins, and change the state when an epoch ends.
    callbacks.append(_StateKeeper(list(callbacks), recorder, resume_from, seconds_before, on_state))
    model.fit(
        batches,
        epochs=epochs,
        initial_epoch=first_epoch,
        verbose=0,
        shuffle=False,
        callbacks=callbacks,
        validation_data=(validation.images, one_hot(validation)),
        validation_batch_size=evaluation_batch_size,
    )
    seconds = seconds_before + time.perf_counter() - start
    selected = len(recorder.history)
    if keep_best_epoch:
        measured = [metrics[monitor] for metrics in recorder.history]
        selected = 1 + int(np.argmax(measured) if higher_is_better else np.argmin(measured))
    return TrainingResult(history=recorder.history, selected_epoch=selected, fit_seconds=seconds)


def count_steps(n_images: int, batch_size: int) -> int:
    """Gradient steps an epoch; the last batch may be smaller."""
    return math.ceil(n_images / batch_size)


def one_hot(images: Images) -> FloatArray:
    """Labels as float32 (n, 10)."""
    return keras.utils.to_categorical(images.labels, N_CLASSES).astype(np.float32)


class _EpochStream(keras.callbacks.Callback):
    """Knows the epoch that runs, and sets the random state of dropout and noise layers at its start."""

    def __init__(self, model: keras.Model, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.epoch = 0
        self._layer_states = [variable for variable in model.variables if variable.name == "seed_generator_state"]

    def rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, *stream])

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.epoch = epoch
        for number, state in enumerate(self._layer_states):
            state.assign(self.rng(_LAYERS, number).integers(2**32, size=2, dtype=np.uint32))


class _Recorder(keras.callbacks.Callback):
    """Keeps each epoch's metrics, tells the listeners, and stops a training that diverged."""

    def __init__(
        self,
        batch_size: int,
        n_images: int,
        learning_rate: LearningRate,
        on_steps: Callable[[int, int, Mapping[str, float]], None] | None,
        on_epoch: Callable[[int, Mapping[str, float]], None] | None,
    ) -> None:
        super().__init__()
        self._learning_rate = learning_rate
        self.history: list[dict[str, float]] = []
        self._batch_size = batch_size
        self._n_images = n_images
        self._on_steps = on_steps
        self._on_epoch = on_epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        epoch, metrics = len(self.history) + 1, logs or {}
        _check_loss(epoch, float(metrics["loss"]))
        if self._on_steps is not None:
            self._on_steps(epoch, min(self._n_images, (batch + 1) * self._batch_size), metrics)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        _check_loss(epoch + 1, metrics["loss"])
        _check_loss(epoch + 1, metrics["val_loss"])
        metrics["learning_rate"] = self._last_learning_rate()
        self.history.append(metrics)
        if self._on_epoch is not None:
            self._on_epoch(epoch + 1, metrics)

    def _last_learning_rate(self) -> float:
        """The rate of the epoch's last step; the optimizer itself already tells the next one's."""
        if isinstance(self._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            return float(self._learning_rate(self.model.optimizer.iterations - 1).numpy())
        return float(self.model.optimizer.learning_rate.numpy())


class _LastWeights(keras.callbacks.Callback):
    """Ends with the last epoch's weights: Keras loses the averaged ones when a training stops early.

    Comes right after SwapEMAWeights: early stopping, which restores the best epoch, then has the last word.
    """

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.weights = self.model.get_weights()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.model.set_weights(self.weights)


# What these callbacks remember from epoch to epoch.
_COUNTERS: dict[type[keras.callbacks.Callback], tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
}


class _StateKeeper(keras.callbacks.Callback):
    """Hands on the whole state of the training after each epoch, and gives the callbacks theirs back."""

    def __init__(
        self,
        callbacks: list[keras.callbacks.Callback],
        recorder: _Recorder,
        resume_from: TrainingState | None,
        seconds_before: float,
        on_state: Callable[[TrainingState], None] | None,
    ) -> None:
        super().__init__()
        self._counted = {type(one).__name__: (one, _COUNTERS[type(one)]) for one in callbacks if type(one) in _COUNTERS}
        self._early_stopping = next((one for one in callbacks if isinstance(one, keras.callbacks.EarlyStopping)), None)
        self._last_weights = next((one for one in callbacks if isinstance(one, _LastWeights)), None)
        self._recorder = recorder
        self._resume_from = resume_from
        self._seconds_before = seconds_before
        self._on_state = on_state

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._start = time.perf_counter()
        state = self._resume_from
        if state is None:
            return
        for name, counters in state.counters.items():
            for attribute, value in counters.items():
                setattr(self._counted[name][0], attribute, value)
        best = [state.arrays[name] for name in _numbered_names("best", state.arrays)]
        if self._early_stopping is not None and best:
            self._early_stopping.best_weights = best
        if self._last_weights is not None:
            self._last_weights.weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if self._on_state is None:
            return
        best = self._early_stopping.best_weights if self._early_stopping is not None else None
        self._on_state(
            TrainingState(
                epoch=epoch + 1,
                arrays={
                    **{f"model_{number}": value.numpy() for number, value in enumerate(self.model.weights)},
                    **{f"optimizer_{n}": value.numpy() for n, value in enumerate(self.model.optimizer.variables)},
                    **{f"best_{number}": value for number, value in enumerate(best or [])},
                },
                history=list(self._recorder.history),
                fit_seconds=self._seconds_before + time.perf_counter() - self._start,
                stopped=bool(self.model.stop_training),
                counters={
                    name: {attribute: _to_plain(getattr(one, attribute)) for attribute in attributes}
                    for name, (one, attributes) in self._counted.items()
                },
            )
        )


def _restore_variables(model: keras.Model, state: TrainingState) -> None:
    model.optimizer.build(model.trainable_variables)
    for kind, variables in (("model", model.weights), ("optimizer", model.optimizer.variables)):
        saved = [state.arrays[name] for name in _numbered_names(kind, state.arrays)]
        if [value.shape for value in saved] != [tuple(variable.shape) for variable in variables]:
            raise RunError(f"the checkpoint of epoch {state.epoch} belongs to another {kind}")
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)


def _numbered_names(kind: str, arrays: Mapping[str, np.ndarray]) -> list[str]:
    return [f"{kind}_{number}" for number in range(sum(name.startswith(f"{kind}_") for name in arrays))]


def _to_plain(value: Any) -> Any:
    """Numbers of Keras's callbacks, some of them numpy's, as JSON takes them."""
    return value.item() if isinstance(value, np.generic) else value


def _check_loss(epoch: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the loss became {loss} in epoch {epoch}: try a smaller optimizer.learning_rate, a smaller reg, "
            "or schedule=cosine schedule.warmup_epochs=1"
        )


def _build_batches(
    train: Images,
    batch_size: int,
    stream: _EpochStream,
    corrupt: Corrupt | None,
    draw_transforms: DrawTransforms | None,
) -> tf.data.Dataset:
    """One epoch of (images, one-hot labels); each iteration follows the epoch that `stream` says."""
    images, targets = train.images, one_hot(train)

    def draw_order() -> np.ndarray:
        return stream.rng(_ORDER).permutation(len(train))

    def take_batch(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images[chosen], targets[chosen]

    def build_batch(number: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x, y = tf.numpy_function(take_batch, [chosen], [tf.float32, tf.float32])
        x.set_shape((None, *IMAGE_SHAPE))
        y.set_shape((None, N_CLASSES))
        if draw_transforms is not None:
            transforms = tf.numpy_function(
                lambda number, chosen: draw_transforms(len(chosen), stream.rng(_TRANSFORMS, int(number))),
                [number, chosen],
                tf.float32,
            )
            transforms.set_shape((None, 8))
            x = keras.ops.image.affine_transform(x, transforms, interpolation="bilinear", fill_mode="constant")
        # Noise comes last: it is the sensor's, and must not be smeared by the interpolation.
        if corrupt is not None:
            x = tf.numpy_function(
                lambda number, batch: corrupt(batch, stream.rng(_NOISE, int(number))), [number, x], tf.float32
            )
            x.set_shape((None, *IMAGE_SHAPE))
        return x, y

    return (
        tf.data.Dataset.range(1)
        .flat_map(lambda _: tf.data.Dataset.from_tensor_slices(tf.numpy_function(draw_order, [], tf.int64)))
        .batch(batch_size)
        .enumerate()
        .map(build_batch)
        .apply(tf.data.experimental.assert_cardinality(count_steps(len(train), batch_size)))
        .prefetch(4)
    )
