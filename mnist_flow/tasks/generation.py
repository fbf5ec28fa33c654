"""Making images of a class: conditional variational autoencoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_flow.config.train import TrainConfig
from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import DatasetInfo, Images
from mnist_flow.data.noise import Corrupt
from mnist_flow.models.cvae import read_code_distribution
from mnist_flow.models.prediction import predict
from mnist_flow.runtime.lazy import keras, tf
from mnist_flow.tasks.task import Report, Shape, Task, TrainedModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Images of each class in a figure of samples.
_SAMPLES = 10


class Generation(Task):
    """Minimises the negative evidence lower bound in nats an image, and validates with the means of the latents."""

    title = "a conditional autoencoder"
    loss_name = "loss (cross-entropy + KL divergence, nats an image)"

    def input_shapes(self, info: DatasetInfo) -> tuple[Shape, ...]:
        return info.input_shape, (info.n_classes,)

    def output_shape(self, info: DatasetInfo) -> Shape:
        return info.input_shape

    def describe_misfit(self, model: keras.Model, info: DatasetInfo) -> tuple[str, str] | None:
        if (misfit := super().describe_misfit(model, info)) is not None:
            return misfit
        missing = sorted({"encoder", "decoder", "zeros", "stddev"} - {layer.name for layer in model.layers})
        if not missing:
            return None
        return (
            f"a keras.Model without layers named {' '.join(missing)}",
            "one that has them, as mnist_flow.models.cvae.build_cvae makes it",
        )

    def check_config(self, config: TrainConfig) -> None:
        super().check_config(config)
        if config.noise.level_key is not None:
            raise ValueError(
                f"noise={config.noise.name}: model={config.model.name} learns from clean images; leave it out, or "
                "choose an autoencoder"
            )

    def build_loss(self, label_smoothing: float) -> None:
        return None

    def build_targets(self, images: Images, n_classes: int) -> FloatArray:
        return images.one_hot(n_classes)

    def pair(self, inputs: tf.Tensor, targets: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return (inputs, targets), inputs

    def build_validation(self, images: Images, n_classes: int, corrupt: Corrupt | None) -> tuple[Any, FloatArray]:
        return (images.images, images.one_hot(n_classes)), images.images

    def build_learner(self, model: keras.Model, adversarial_radius: float | None = None) -> keras.Model:
        return _build_learner_class()(model.inputs, [model.output, *read_code_distribution(model)], name=model.name)

    def plot_samples(self, trained: TrainedModel, epoch: int) -> Figure:
        """Draw new images, a row a class; the latent of a column is the same for all, in every run and epoch."""
        from mnist_flow import figures

        decoder = trained.model.get_layer("decoder")
        latents = np.random.default_rng(0).standard_normal((_SAMPLES, decoder.input_shape[0][1]), dtype=np.float32)
        one_hot = np.eye(trained.info.n_classes, dtype=np.float32)
        rows = [
            (f"class {name}", predict(decoder, (latents, np.tile(one_hot[label], (_SAMPLES, 1)))))
            for label, name in enumerate(trained.info.class_names[: figures.MOST_SHOWN])
        ]
        return figures.plot_image_rows(rows, f"{trained.name} after epoch {epoch}: one random input a column")

    def measure(self, trained: TrainedModel, epoch: int) -> Report:
        """Measure the loss, the mean over the images in nats, in its two parts; latents are their means.

        Its parts are `test_cross_entropy` of the pixels, and `test_code_divergence`, the Kullback-Leibler divergence.
        """
        from mnist_flow.metrics.reconstruction import compute_binary_cross_entropy

        test, batch_size = trained.splits.test, trained.evaluation.batch_size
        inputs = test.images, test.one_hot(trained.info.n_classes)
        made = predict(trained.model, inputs, batch_size)
        cross_entropy = made[0].size * compute_binary_cross_entropy(test.images, made)
        mean, log_stddev = trained.model.get_layer("encoder").predict(inputs, batch_size=batch_size, verbose=0)
        divergence = float(np.mean(compute_kl_divergence(mean, log_stddev)))
        return Report(
            metrics={
                "test_loss": cross_entropy + divergence,
                "test_cross_entropy": cross_entropy,
                "test_code_divergence": divergence,
            },
            input_example={"images": inputs[0][:5], "classes": inputs[1][:5]},
            output_example=made[:5],
            draw=lambda: {"samples/generated.png": self.plot_samples(trained, epoch)},
        )

    def describe_result(self, results: Mapping[str, float], config: TrainConfig, n_test: int) -> dict[str, str]:
        return {
            "test loss": f"{results['test_loss']:.3f} nats an image (n = {n_test:,})",
            "its parts": f"{results['test_cross_entropy']:.3f} binary cross-entropy of the pixels, "
            f"{results['test_code_divergence']:.3f} KL divergence of the latents",
            "validation loss": f"{results['val_loss']:.3f} (epoch {results['selected_epoch']:.0f})",
        }


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
            # Keras takes the mean over the channels.
            cross_entropy = images.shape[-1] * keras.ops.sum(keras.losses.binary_crossentropy(y, images), axis=(1, 2))
            return keras.ops.mean(cross_entropy + compute_kl_divergence(mean, log_stddev))

    return VariationalLearner


TASK = Generation()
