"""The batches of an epoch, in the order that seed and epoch say, and of the validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from mnist_flow.data.arrays import FloatArray
from mnist_flow.runtime.lazy import keras, tf
from mnist_flow.training.objective import Pair
from mnist_flow.training.settings import ImageChanges
from mnist_flow.training.streams import build_noise_rng, build_transform_rng, draw_order

# An epoch's (images done, running metrics) after each call into TensorFlow.
Steps = Iterator[tuple[int, Mapping[str, float]]]


class SameImages:
    """Trains on images that no epoch changes: TensorFlow holds them, and a call takes blocks of image numbers.

    So a call takes many gradient steps and copies no image but to its batch.

    Args:
        learner: compiled and built.
        pair: what a training step is given, of inputs and targets.
        inputs: float32 (n, …).
        targets: float32 (n, …).
        batch_size: images a gradient step.
        steps: gradient steps a call, at most.
        seed: keys the order.
    """

    def __init__(
        self,
        learner: keras.Model,
        pair: Pair,
        inputs: FloatArray,
        targets: FloatArray,
        batch_size: int,
        steps: int,
        seed: int,
    ) -> None:
        self._images = tf.convert_to_tensor(inputs), tf.convert_to_tensor(targets)
        self._n, self._batch_size, self._steps, self._seed = len(inputs), batch_size, steps, seed
        # One graph for all blocks: with a smaller last batch the size of a batch is left open.
        rows = tf.TensorSpec((None, batch_size if self._n % batch_size == 0 else None), tf.int64)
        kept = [tf.TensorSpec(one.shape, one.dtype) for one in self._images]

        @tf.function(input_signature=(*kept, rows), jit_compile=learner.jit_compile)
        def train_block(inputs: tf.Tensor, targets: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
            """Take a gradient step a row of image numbers, int64 (steps, batch size)."""

            def take_step(step: tf.Tensor) -> tuple[tf.Tensor]:
                learner.train_step(pair(tf.gather(inputs, rows[step]), tf.gather(targets, rows[step])))
                return (step + 1,)

            tf.while_loop(lambda step: step < tf.shape(rows)[0], take_step, (0,), parallel_iterations=1)
            return learner.get_metrics_result()

        self._train_block = train_block

    def train_epoch(self, epoch: int) -> Steps:
        """Take the steps of an epoch, from 0; a smaller last batch is a block of its own."""
        done = 0
        for rows in self._cut(draw_order(self._seed, epoch, self._n)):
            done += rows.size
            yield done, _to_floats(self._train_block(*self._images, tf.constant(rows)))

    def _cut(self, order: np.ndarray) -> Iterator[np.ndarray]:
        in_whole_batches = self._n - self._n % self._batch_size
        rows = order[:in_whole_batches].reshape(-1, self._batch_size)
        for start in range(0, len(rows), self._steps):
            yield rows[start : start + self._steps]
        if in_whole_batches < self._n:
            yield order[None, in_whole_batches:]


class ChangedImages:
    """Trains on images that are moved or get noise afresh each epoch, which is prepared beside the training.

    Args:
        learner: compiled and built.
        pair: what a training step is given, of inputs and targets.
        batches: from `build_batches`, of the epochs that are trained, one after another.
        n_images: images an epoch.
        batch_size: images a gradient step.
        steps: gradient steps a call, at most.
    """

    def __init__(
        self,
        learner: keras.Model,
        pair: Pair,
        batches: tf.data.Dataset,
        n_images: int,
        batch_size: int,
        steps: int,
    ) -> None:
        self._batches = iter(batches.map(pair))
        self._n, self._batch_size, self._steps = n_images, batch_size, steps

        @tf.function(jit_compile=learner.jit_compile)
        def train_steps(batches: Iterator[Any], n_steps: tf.Tensor) -> dict[str, tf.Tensor]:
            for _ in tf.range(n_steps):
                learner.train_step(next(batches))
            return learner.get_metrics_result()

        self._train_steps = train_steps

    def train_epoch(self, epoch: int) -> Steps:
        """Take the steps of the next epoch."""
        ends = range(self._batch_size, self._n + self._batch_size, self._batch_size)
        for start in range(0, len(ends), self._steps):
            ended = ends[start : start + self._steps]
            yield min(ended[-1], self._n), _to_floats(self._train_steps(self._batches, tf.constant(len(ended))))


def build_batches(
    inputs: FloatArray,
    targets: FloatArray,
    batch_size: int,
    seed: int,
    epochs: range,
    changes: ImageChanges,
) -> tf.data.Dataset:
    """Build the batches of (images, targets) of several epochs, one after another.

    Targets that are images are moved with the inputs, and stay clean.

    Args:
        inputs: float32 (n, height, width, channels).
        targets: float32 (n, …).
        batch_size: images a batch; the last of an epoch may be smaller.
        seed: keys order, augmentation and noise.
        epochs: that are trained, from 0.
        changes: augmentation and noise, drawn afresh for each batch.
    """
    draws_images = targets.ndim == inputs.ndim
    corrupt, draw_transforms, augment_images = changes.corrupt, changes.draw_transforms, changes.augment_images

    def take_batch(epoch: np.int64, batch: np.int64, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
        x, y, transforms = inputs[chosen], targets[chosen], np.empty((0, 8), np.float32)
        rng = build_transform_rng(seed, int(epoch), int(batch))
        if augment_images is not None:
            x = augment_images(x, rng)
            y = x if draws_images else y
        if draw_transforms is not None:
            transforms = draw_transforms(len(x), rng)
        return x, y, transforms

    def add_noise(epoch: np.int64, batch: np.int64, images: np.ndarray) -> np.ndarray:
        assert corrupt is not None
        return corrupt(images, build_noise_rng(seed, int(epoch), int(batch)))

    def build_batch(epoch: tf.Tensor, batch: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x, y, transforms = tf.numpy_function(take_batch, [epoch, batch, chosen], [tf.float32] * 3)
        x.set_shape((None, *inputs.shape[1:]))
        y.set_shape((None, *targets.shape[1:]))
        transforms.set_shape((None, 8))
        if draw_transforms is not None:
            x = keras.ops.image.affine_transform(x, transforms, interpolation="bilinear", fill_mode="constant")
            y = x if draws_images else y
        # Noise comes last: it is the sensor's, and must not be smeared by the interpolation.
        if corrupt is not None:
            x = tf.numpy_function(add_noise, [epoch, batch, x], tf.float32)
            x.set_shape((None, *inputs.shape[1:]))
        return x, y

    def cut(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.numpy_function(lambda epoch: draw_order(seed, int(epoch), len(inputs)), [epoch], tf.int64)
        numbered = tf.data.Dataset.from_tensor_slices(order).batch(batch_size).enumerate()
        return numbered.map(lambda batch, chosen: build_batch(epoch, batch, chosen))

    batches = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(cut).prefetch(4)
    return disable_autotuning(batches)


def build_validation(learner: keras.Model, measured: Any, batch_size: int) -> Callable[[], dict[str, float]]:
    """Build the function that measures a network at the end of an epoch.

    Args:
        learner: compiled and built.
        measured: (inputs, targets), tuples, perhaps nested, of float32 arrays with n rows each.
        batch_size: images at a time.

    Returns:
        A function that returns the loss and the metrics of the task.
    """
    parts = tf.nest.map_structure(tf.convert_to_tensor, measured)
    n = len(tf.nest.flatten(measured)[0])
    # One graph for all batches: with a smaller last batch the size of a batch is left open.
    size = None if n > batch_size and n % batch_size else min(n, batch_size)
    spec = tf.nest.map_structure(lambda part: tf.TensorSpec((size, *part.shape[1:]), part.dtype), parts)

    @tf.function(input_signature=(spec,), jit_compile=learner.jit_compile)
    def measure(batch: Any) -> dict[str, tf.Tensor]:
        learner.test_step(batch)
        return learner.get_metrics_result()

    def validate() -> dict[str, float]:
        learner.reset_metrics()
        result: dict[str, float] = {}
        for start in range(0, n, batch_size):
            batch = tf.nest.map_structure(lambda part: part[start : start + batch_size], parts)  # noqa: B023
            result = measure(batch)
        return _to_floats(result)

    return validate


def disable_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Iterate without tf.data's tuner: at the end of an iteration it may wait as long as the iteration took."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _to_floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}
