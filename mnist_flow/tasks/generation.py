"""Making images of a class: conditional variational autoencoders."""

from __future__ import annotations

from typing import Any

from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import DatasetInfo, Images
from mnist_flow.data.noise import Corrupt
from mnist_flow.models.cvae import read_code_distribution
from mnist_flow.runtime.lazy import keras, tf
from mnist_flow.tasks.task import Shape, Task


class Generation(Task):
    """Minimises the negative evidence lower bound in nats an image, and validates with the means of the latents."""

    title = "a conditional autoencoder"

    def input_shapes(self, info: DatasetInfo) -> tuple[Shape, ...]:
        return info.input_shape, (info.n_classes,)

    def output_shape(self, info: DatasetInfo) -> Shape:
        return info.input_shape

    def build_loss(self, label_smoothing: float) -> None:
        return None

    def build_targets(self, images: Images, n_classes: int) -> FloatArray:
        return images.one_hot(n_classes)

    def pair(self, inputs: tf.Tensor, targets: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return (inputs, targets), inputs

    def build_validation(self, images: Images, n_classes: int, corrupt: Corrupt | None) -> tuple[Any, FloatArray]:
        return (images.images, images.one_hot(n_classes)), images.images

    def build_learner(self, model: keras.Model) -> keras.Model:
        return _build_learner_class()(model.inputs, [model.output, *read_code_distribution(model)], name=model.name)


def compute_kl_divergence(mean: tf.Tensor, log_stddev: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence of normal latents from N(0, I), nats, (n,); Kingma and Welling (2014), appendix B.

    Args:
        mean: float32 (n, latent units).
        log_stddev: the same shape, the natural logarithm of the standard deviations.
    """
    return keras.ops.sum((mean**2 + keras.ops.exp(2 * log_stddev) - 1) / 2 - log_stddev, axis=1)


def _build_learner_class() -> type[keras.Model]:
    """Keras is imported when it is needed, so its subclass is defined here."""

    class VariationalLearner(keras.Model):
        """Also answers the distribution of the latent, which the loss needs."""

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
            return keras.ops.mean(cross_entropy + compute_kl_divergence(mean, log_stddev))

    return VariationalLearner


TASK = Generation()
