"""What a training loop must know of a task: its loss and metrics, and what the network is given and shall answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from mnist_flow.config.options import find_module
from mnist_flow.config.train import LossSection
from mnist_flow.data.arrays import FloatArray, IntArray
from mnist_flow.data.dataset import Images
from mnist_flow.data.noise import Corrupt
from mnist_flow.runtime.lazy import keras, tf
from mnist_flow.runtime.own_code import refuse_result

# From inputs and targets to what a training step is given: what the network sees, what it shall answer, and perhaps how
# much each image counts.
Pair = Callable[[Any, Any], tuple[Any, ...]]


class Objective(ABC):
    """What a network is trained for."""

    @abstractmethod
    def build_loss(self, label_smoothing: float) -> keras.losses.Loss | None:
        """Build the loss; None: it is the learner's own."""

    def build_metrics(self) -> list[keras.metrics.Metric]:
        """Build the metrics beside the loss, which each epoch logs of training and validation."""
        return []

    @abstractmethod
    def build_targets(self, images: Images, n_classes: int) -> FloatArray:
        """Build what the network shall answer for training images, float32 (n, …)."""

    def pair(self, inputs: tf.Tensor, targets: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Pair what the network is given in a training step with what it shall answer."""
        return inputs, targets

    @abstractmethod
    def build_validation(self, images: Images, n_classes: int, corrupt: Corrupt | None) -> tuple[Any, FloatArray]:
        """Build what the network is given at the end of an epoch, and what it shall answer, float32 (n, …) each."""

    def build_learner(self, model: keras.Model, adversarial_radius: float | None = None) -> keras.Model:
        """Build what is compiled and trained: a model of the same layers whose output the loss takes.

        Args:
            model: its layers are trained in place.
            adversarial_radius: of the virtual adversarial training, which only classifiers have; None: there is none.
        """
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def choose_loss(config: LossSection | None, output_shape: tuple[int, ...]) -> keras.losses.Loss | None:
    """Build the loss that a config names in place of the objective's own, and try it; None: it names none.

    Args:
        config: one of conf/loss, or of the user's own. Its `build_loss` gives a loss of Keras, or a function of what
            the network shall give and what it gives, both (n, *output_shape), that returns one number an image, (n,).
        output_shape: of what the network gives for one image.

    Raises:
        RunError: it gives neither; the message names file and line.
    """
    if config is None:
        return None
    build = find_module(config).build_loss
    built = build(config)
    loss = built if isinstance(built, keras.losses.Loss) else _wrap_loss(build, built)
    example = tf.fill((2, *output_shape), 1.0 / output_shape[-1])
    if np.shape(value := loss(example, example)) != ():
        raise refuse_result(build, value, "a loss that gives one number for a batch")
    return loss


def measure_loss(loss: keras.losses.Loss, targets: FloatArray, outputs: FloatArray, batch_size: int) -> float:
    """Measure a loss, its mean over the images, in batches as the validation of an epoch does.

    Args:
        loss: from `choose_loss`.
        targets: what the network shall give, float32 (n, …).
        outputs: what it gives, of the same shape.
        batch_size: images at a time.
    """
    starts = range(0, len(targets), batch_size)
    batches = [(targets[start : start + batch_size], outputs[start : start + batch_size]) for start in starts]
    return float(np.average([float(loss(*one)) for one in batches], weights=[len(one[0]) for one in batches]))


def _wrap_loss(build: Callable[..., Any], function: Any) -> keras.losses.Loss:
    """Make a function a loss of Keras, the mean over the images."""
    if not callable(function):
        raise refuse_result(build, function, "a keras.losses.Loss, or a function of y_true and y_pred")

    class FunctionLoss(keras.losses.Loss):
        def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
            values = function(y_true, y_pred)
            if len(np.shape(values)) != 1:
                raise refuse_result(function, values, "one number an image, of the shape (n,)")
            return values

    return FunctionLoss()


def weigh_classes(pair: Pair, labels: IntArray, n_classes: int) -> Pair:
    """Let the classes count alike in the loss, however many images they have.

    An image counts n / (k · m): n images of k classes, m of them of its own; their mean is 1. Scikit-learn calls these
    weights balanced.

    Args:
        pair: of the objective of a classifier, whose targets are one-hot.
        labels: int64 (n,) of the training images.
    """
    counts = np.bincount(labels, minlength=n_classes)
    # A class without training images weighs nothing that is ever counted.
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)).astype(np.float32)

    def weigh(inputs: tf.Tensor, targets: tf.Tensor) -> tuple[Any, ...]:
        return *pair(inputs, targets), tf.linalg.matvec(targets, weights)

    return weigh
