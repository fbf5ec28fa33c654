"""Compile and fit. Plain values and arrays in, a history out; knows neither Hydra nor MLflow.

Everything random in an epoch (order, noise, augmentation, dropout) is drawn from generators keyed by (seed, epoch), so
that epoch k of a run depends on nothing but the weights it starts from.
"""

from __future__ import annotations

import gc
import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import Images
from mnist_flow.data.loading import N_CLASSES
from mnist_flow.data.noise import Corrupt
from mnist_flow.errors import DivergedError, RunError
from mnist_flow.models.cvae import read_code_distribution
from mnist_flow.models.inspection import limit_batch_size
from mnist_flow.training.checkpoint import TrainingState

# Streams of random numbers within one (seed, epoch).
_ORDER, _LAYERS, _TRANSFORMS, _NOISE = range(4)
# Images that are handed to TensorFlow together.
_HELD_AT_ONCE = 5_000
# id of an array of images or targets → the same within TensorFlow.
_HELD: dict[int, tf.Variable] = {}
# Keys noise that is drawn once: no epoch counts so far.
_ONCE = 2**32
# Keys the noise of validation and test images, the same whatever the seed, so that runs are compared on equal images.
_MEASURED_NOISE = {"validation": 0, "test": 1}

# number of images, generator → (n, 8) transforms, see augmentation.py
DrawTransforms = Callable[[int, np.random.Generator], FloatArray]
LearningRate: TypeAlias = "float | keras.optimizers.schedules.LearningRateSchedule"

_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
}


# task → label smoothing → loss; the loss of `generation` is its model's own.
_LOSSES: dict[str, Callable[[float], keras.losses.Loss | None]] = {
    "classification": lambda smoothing: keras.losses.CategoricalCrossentropy(label_smoothing=smoothing),
    "reconstruction": lambda _: keras.losses.BinaryCrossentropy(),
    "generation": lambda _: None,
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

    # One mapping an epoch: loss val_loss learning_rate, and of a classifier accuracy val_accuracy.
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
    if gc.get_freeze_count() == 0:
        # What was imported stays: collecting the garbage of a training, which Keras does here, need not look at it.
        gc.freeze()
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
    schedule: str = "constant",
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
    name: str,
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
    task: Literal["classification", "reconstruction", "generation"] = "classification",
    corrupt: Corrupt | None = None,
    redraw: bool = True,
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
    """Fit a classifier, an autoencoder or a conditional variational autoencoder in place.

    Args:
        model: images (n, 28, 28, 1) → class probabilities (n, 10), or images; for `generation` from
            `models.cvae.build_cvae`.
        train: images to learn from.
        validation: images to measure each epoch on.
        optimizer: with `use_ema` the averaged weights are validated and kept.
        epochs: at most so many passes.
        batch_size: images a gradient step.
        seed: keys order, noise, augmentation and dropout.
        task: `classification` minimises the cross-entropy of the labels; `reconstruction` the binary cross-entropy of
            the clean pixels, mean over the pixels, and validates on corrupted images, too; `generation` minimises the
            negative evidence lower bound in nats an image: the binary cross-entropy, summed over the pixels, and the
            divergence of the codes from N(0, I), and validates with the codes' means instead of draws.
        corrupt: noise on the training images; not for `generation`.
        redraw: draw the noise afresh each epoch; or once, which is for images without augmentation.
        draw_transforms: geometric augmentation of the training images, afresh each epoch.
        label_smoothing: share of a classifier's target spread over all classes.
        plateau: lower the learning rate when `monitor` stalls.
        monitor: what `plateau`, early stopping and `keep_best_epoch` look at.
        early_stopping_patience: stop after so many epochs without improvement.
        keep_best_epoch: end with the best epoch's weights instead of the last one's.
        steps_per_execution: gradient steps a call into TensorFlow.
        evaluation_batch_size: images a validation step at most, see `inspection.limit_batch_size`.
        on_steps: called with (epoch, images done in it, running metrics) while an epoch goes on.
        on_epoch: called with (epoch, its metrics) after each epoch; epochs count from 1.
        resume_from: go on after this state instead of from the start; the result is the same bit for bit.
        on_state: called after each epoch, and after `on_epoch`, with what `resume_from` takes.

    Raises:
        DivergedError: the loss became NaN or infinite.
        RunError: `resume_from` is the state of another network or optimizer.
    """
    inputs, corrupt_batch = train.images, corrupt
    if corrupt is not None and not redraw:
        inputs, corrupt_batch = corrupt(train.images, np.random.default_rng([seed, _ONCE, _NOISE])), None
    targets = train.images if task == "reconstruction" else one_hot(train)
    epoch_stream = _EpochStream(model, seed)
    compiled = {
        "optimizer": optimizer,
        "loss": _LOSSES[task](label_smoothing),
        # Compiling costs more than it gains on a CPU; on a GPU Keras decides.
        "jit_compile": "auto" if tf.config.list_physical_devices("GPU") else False,
    }
    learner = _build_learner(model, task)
    images_stay = draw_transforms is None and corrupt_batch is None
    first_epoch, seconds_before = 0, 0.0
    if resume_from is not None:
        first_epoch = epochs if resume_from.stopped else resume_from.epoch
        seconds_before = resume_from.fit_seconds
    if images_stay:
        remaining = range(first_epoch, epochs)
        batches, images_done = _build_blocks(len(train), batch_size, steps_per_execution, seed, remaining)
        learner.keep_images(inputs, targets)
    else:
        batches = _build_batches(inputs, targets, batch_size, epoch_stream, corrupt_batch, draw_transforms)
        batches = batches.map(learner.pair)
        images_done = [*range(batch_size, len(train), batch_size), len(train)]
    learner.compile(
        **compiled,
        metrics=_build_metrics(task),
        # A block has so many steps in it already.
        steps_per_execution=1 if images_stay else steps_per_execution,
    )
    # Or its variables would come to be in the middle of the first step, which would be traced twice.
    learner.optimizer.build(learner.trainable_variables)
    measured: tuple[Any, FloatArray]
    if task == "generation":
        measured = (validation.images, one_hot(validation)), validation.images
    elif task == "classification":
        measured = validation.images, one_hot(validation)
    else:
        measured = corrupt_measured(validation.images, corrupt, "validation"), validation.images
    higher_is_better = monitor == "val_accuracy"
    mode = "max" if higher_is_better else "min"
    recorder = _Recorder(images_done, optimizer._learning_rate, on_steps, on_epoch)
    if resume_from is not None:
        recorder.history = list(resume_from.history)
        _restore_variables(learner, resume_from)
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
    start = time.perf_counter()
    # Comes last: the others reset themselves when a training begins, and change the state when an epoch ends.
    callbacks.append(_StateKeeper(list(callbacks), recorder, resume_from, seconds_before, on_state))
    learner.fit(
        _disable_autotuning(batches),
        epochs=epochs,
        initial_epoch=first_epoch,
        # The blocks of all epochs are one after another.
        steps_per_epoch=len(images_done) if images_stay else None,
        verbose=0,
        shuffle=False,
        callbacks=callbacks,
        validation_data=_disable_autotuning(_cut_batches(measured, limit_batch_size(model, evaluation_batch_size))),
    )
    seconds = seconds_before + time.perf_counter() - start
    if task != "generation":
        # So that who loads the model can evaluate it, or train on.
        model.compile(**compiled | {"optimizer": learner.optimizer}, metrics=_build_metrics(task))
    selected = len(recorder.history)
    if keep_best_epoch:
        monitored = [metrics[monitor] for metrics in recorder.history]
        selected = 1 + int(np.argmax(monitored) if higher_is_better else np.argmin(monitored))
    return TrainingResult(history=recorder.history, selected_epoch=selected, fit_seconds=seconds)


def corrupt_measured(images: FloatArray, corrupt: Corrupt | None, part: Literal["validation", "test"]) -> FloatArray:
    """Images as a denoiser is validated or tested on: the same noise in every epoch and for every seed."""
    return images if corrupt is None else corrupt(images, np.random.default_rng([_ONCE, _MEASURED_NOISE[part]]))


def compute_code_divergence(mean: tf.Tensor, log_stddev: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence of normal codes from N(0, I), nats, (n,); Kingma and Welling (2014), appendix B.

    Args:
        mean: float32 (n, latent units).
        log_stddev: the same shape, the natural logarithm of the standard deviations.
    """
    return keras.ops.sum((mean**2 + keras.ops.exp(2 * log_stddev) - 1) / 2 - log_stddev, axis=1)


def count_steps(n_images: int, batch_size: int) -> int:
    """Gradient steps an epoch; the last batch may be smaller."""
    return math.ceil(n_images / batch_size)


def one_hot(images: Images) -> FloatArray:
    """Labels as float32 (n, 10)."""
    return keras.utils.to_categorical(images.labels, N_CLASSES).astype(np.float32)


def _hold(values: FloatArray) -> tf.Variable:
    """The same values within TensorFlow, as long as the array lives: the next job of a process often has the same.

    TensorFlow keeps traced graphs and what they name, so this is a variable, which can be emptied.

    Args:
        values: (n, …) of any dtype. What is read-only counts as unchanged since the last call, so it must not be a view
            of an array that somebody writes to.
    """
    held = _HELD.get(id(values))
    if held is None:
        held = tf.Variable(tf.zeros(values.shape, values.dtype), trainable=False, shape=(None, *values.shape[1:]))
        _HELD[id(values)] = held
        weakref.finalize(values, _release, id(values)).atexit = False
    elif not values.flags.writeable:
        return held
    # By pieces: TensorFlow makes a copy of what it is to copy, and of a variable that is read where it is written.
    for start in range(0, len(values), _HELD_AT_ONCE):
        piece = values[start : start + _HELD_AT_ONCE]
        held.scatter_update(tf.IndexedSlices(piece, np.arange(start, start + len(piece))))
    return held


def _release(key: int) -> None:
    held = _HELD.pop(key)
    # Wherever the array ends: a graph may be traced meanwhile.
    with tf.init_scope():
        held.assign(tf.zeros((0, *held.shape[1:]), held.dtype))


def _build_metrics(task: str) -> list[keras.metrics.Metric]:
    # Given by its name, its variables would come to be in the middle of the first step, too.
    return [keras.metrics.CategoricalAccuracy("accuracy")] if task == "classification" else []


def _build_learner(model: keras.Model, task: str) -> _Learner:
    if task == "generation":
        return _VariationalLearner(model.inputs, [model.output, *read_code_distribution(model)], name=model.name)
    return _Learner(model.inputs[0], model.outputs[0], name=model.name)


class _Learner(keras.Model):
    """What is compiled and fitted: the layers of a network, and images that stay where they are.

    After `keep_images` it learns from blocks of image numbers, int64 (steps, batch size), so that one call into
    TensorFlow takes many gradient steps and copies no image but to its batch.
    """

    _kept: tuple[tf.Variable, tf.Variable] | None = None

    def keep_images(self, inputs: FloatArray, targets: FloatArray) -> None:
        """Both float32 (n, …); while they live, no longer."""
        self._kept = _hold(inputs), _hold(targets)

    def pair(self, inputs: tf.Tensor, targets: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """What the network is given, and what it shall answer."""
        return inputs, targets

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        if self._kept is None:
            return super().train_step(data)
        inputs, targets = self._kept

        def take_step(step: tf.Tensor) -> tuple[tf.Tensor]:
            super(_Learner, self).train_step(self.pair(tf.gather(inputs, data[step]), tf.gather(targets, data[step])))
            return (step + 1,)

        tf.while_loop(lambda step: step < tf.shape(data)[0], take_step, (0,), parallel_iterations=1)
        return self.get_metrics_result()


class _VariationalLearner(_Learner):
    """Of a conditional variational autoencoder; also answers the distribution of the code, which the loss needs."""

    def pair(self, inputs: tf.Tensor, targets: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return (inputs, targets), inputs

    def compute_loss(
        self,
        x: Any = None,
        y: tf.Tensor | None = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        images, mean, log_stddev = y_pred
        cross_entropy = keras.ops.sum(keras.losses.binary_crossentropy(y, images), axis=(1, 2))
        return keras.ops.mean(cross_entropy + compute_code_divergence(mean, log_stddev))


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
        images_done: Sequence[int],
        learning_rate: LearningRate,
        on_steps: Callable[[int, int, Mapping[str, float]], None] | None,
        on_epoch: Callable[[int, Mapping[str, float]], None] | None,
    ) -> None:
        super().__init__()
        self._learning_rate = learning_rate
        self.history: list[dict[str, float]] = []
        self._images_done = images_done
        self._on_steps = on_steps
        self._on_epoch = on_epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        epoch, metrics = len(self.history) + 1, logs or {}
        _check_loss(epoch, float(metrics["loss"]))
        if self._on_steps is not None:
            # Keras counts the steps of a shorter last call as if it were whole.
            done = self._images_done[min(batch, len(self._images_done) - 1)]
            self._on_steps(epoch, done, metrics)

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


def _draw_order(seed: int, epoch: int, n_images: int) -> np.ndarray:
    """The image numbers of an epoch, int64 (n_images,)."""
    return np.random.default_rng([seed, epoch, _ORDER]).permutation(n_images)


def _disable_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same without tf.data's autotuning (AUTOTUNE), which has nothing to tune here.

    Of TensorFlow 2.21 it is a thread of each iteration that wakes after 10, 20, 40, … ms. Where several threads train,
    it sometimes is not woken when the iteration ends; the end then waits for its next turn, up to as long as the
    iteration took, while all cores are idle.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _build_blocks(
    n_images: int, batch_size: int, steps: int, seed: int, epochs: range
) -> tuple[tf.data.Dataset, list[int]]:
    """Image numbers, int64 (at most `steps`, batch size), and how many images are done after each block of an epoch.

    A smaller last batch is a block of its own. One iteration is all epochs, one after another: Keras would begin two an
    epoch, and each sets up the functions below anew.
    """
    in_whole_batches = n_images - n_images % batch_size

    def draw_order(epoch: np.int64) -> np.ndarray:
        return _draw_order(seed, int(epoch), n_images)

    def cut(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.ensure_shape(tf.numpy_function(draw_order, [epoch], tf.int64), (n_images,))
        rows = tf.reshape(order[:in_whole_batches], (-1, batch_size))
        blocks = tf.data.Dataset.from_tensor_slices(rows).batch(steps)
        if in_whole_batches == n_images:
            return blocks
        return blocks.concatenate(tf.data.Dataset.from_tensors(order[None, in_whole_batches:]))

    images_done = [*range(batch_size * steps, in_whole_batches, batch_size * steps), in_whole_batches, n_images]
    return tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(cut), sorted(set(images_done) - {0})


def _cut_batches(measured: Any, batch_size: int) -> tf.data.Dataset:
    """Batches of what is measured after each epoch, in its order; the last may be smaller.

    Made without functions, which TensorFlow would set up anew for each epoch.

    Args:
        measured: tuples, perhaps nested, of arrays with n rows each.
        batch_size: rows of a batch.
    """
    n_rows = len(tf.nest.flatten(measured)[0])
    in_whole_batches = n_rows - n_rows % batch_size

    def stack(values: FloatArray) -> FloatArray:
        return values[:in_whole_batches].reshape(-1, batch_size, *values.shape[1:])

    last = tf.data.Dataset.from_tensors(tf.nest.map_structure(lambda values: values[in_whole_batches:], measured))
    if in_whole_batches == 0:
        return last
    batches = tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(stack, measured))
    return batches if in_whole_batches == n_rows else batches.concatenate(last)


def _build_batches(
    inputs: FloatArray,
    targets: FloatArray,
    batch_size: int,
    stream: _EpochStream,
    corrupt: Corrupt | None,
    draw_transforms: DrawTransforms | None,
) -> tf.data.Dataset:
    """One epoch of (images, targets); each iteration follows the epoch that `stream` says.

    Targets that are images are transformed with the inputs, and stay clean.
    """
    draws_images = targets.ndim == inputs.ndim

    def draw_order() -> np.ndarray:
        return _draw_order(stream.seed, stream.epoch, len(inputs))

    def take_batch(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return inputs[chosen], targets[chosen]

    def build_batch(number: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x, y = tf.numpy_function(take_batch, [chosen], [tf.float32, tf.float32])
        x.set_shape((None, *inputs.shape[1:]))
        y.set_shape((None, *targets.shape[1:]))
        if draw_transforms is not None:
            transforms = tf.numpy_function(
                lambda number, chosen: draw_transforms(len(chosen), stream.rng(_TRANSFORMS, int(number))),
                [number, chosen],
                tf.float32,
            )
            transforms.set_shape((None, 8))
            x = keras.ops.image.affine_transform(x, transforms, interpolation="bilinear", fill_mode="constant")
            y = x if draws_images else y
        # Noise comes last: it is the sensor's, and must not be smeared by the interpolation.
        if corrupt is not None:
            x = tf.numpy_function(
                lambda number, batch: corrupt(batch, stream.rng(_NOISE, int(number))), [number, x], tf.float32
            )
            x.set_shape((None, *inputs.shape[1:]))
        return x, y

    return (
        tf.data.Dataset.range(1)
        .flat_map(lambda _: tf.data.Dataset.from_tensor_slices(tf.numpy_function(draw_order, [], tf.int64)))
        .batch(batch_size)
        .enumerate()
        .map(build_batch)
        .apply(tf.data.experimental.assert_cardinality(count_steps(len(inputs), batch_size)))
        .prefetch(4)
    )
