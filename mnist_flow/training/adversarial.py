"""Virtual adversarial training: Miyato, Maeda, Koyama and Ishii, 2018, "Virtual Adversarial Training: A Regularization
Method for Supervised and Semi-Supervised Learning", IEEE TPAMI 41(8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mnist_flow.runtime.lazy import keras, tf

# How far an image is moved, as a Euclidean distance, to find the direction in which its prediction changes most. The
# paper has 1e-6, of which the part of a pixel, 4e-8, is less than the distance of a white pixel to the next float32.
_PROBE = 0.1


def build_adversarial_learner(model: keras.Model, radius: float) -> keras.Model:
    """Build a classifier's learner whose training loss has the virtual adversarial loss added, with weight 1.

    Args:
        model: from images (n, height, width, channels) to class probabilities (n, classes).
        radius: the paper's epsilon, see `compute_virtual_adversarial_loss`.

    Returns:
        A model of the same layers. The loss of the validation is the plain one. Weights of images, such as those of
        balanced classes, do not count in the virtual adversarial loss.
    """

    class AdversarialLearner(keras.Model):
        def __init__(self, *layers: Any, **options: Any) -> None:
            super().__init__(*layers, **options)
            self._seeds = keras.random.SeedGenerator(0)

        def compute_loss(
            self,
            x: tf.Tensor | None = None,
            y: tf.Tensor | None = None,
            y_pred: tf.Tensor | None = None,
            sample_weight: tf.Tensor | None = None,
            training: bool = True,
        ) -> tf.Tensor:
            loss = super().compute_loss(x, y, y_pred, sample_weight, training)
            return loss + compute_virtual_adversarial_loss(self._predict, x, radius, self._seeds) if training else loss

        def _predict(self, images: tf.Tensor) -> tf.Tensor:
            # Without side effects: batch normalisation must not take moved images into its statistics, and dropout and
            # noise are the same in each of these calls.
            given, _ = self.stateless_call(
                self.trainable_variables, self.non_trainable_variables, images, training=True
            )
            # In 16 bits a small divergence rounds to 0, and it can't be added to a loss of 32.
            return tf.cast(given, tf.float32)

    return AdversarialLearner(model.inputs[0], model.outputs[0], name=model.name)


def compute_virtual_adversarial_loss(
    predict: Callable[[Any], tf.Tensor], images: tf.Tensor, radius: float, seeds: keras.random.SeedGenerator
) -> tf.Tensor:
    """Compute by how much predictions change if each image moves by `radius` in the direction that changes them most.

    The direction is found by one step of the power method from a random one, and no gradient flows through it; nor does
    one through the predictions of the images as they are. An image whose prediction is certain to 1e-7, Keras's limit
    of a probability, has no such direction and stays where it is. Layers of 16 bits give coarse directions.

    Args:
        predict: from images to class probabilities, float32 (n, classes).
        images: float32 (n, height, width, channels).
        radius: Euclidean distance by which an image moves, over all its pixels.
        seeds: of the random directions.

    Returns:
        Mean over the images of the Kullback-Leibler divergence of the predictions, nats: the paper's equations 5 to 7.
    """
    pixels = range(1, len(images.shape))
    expected = tf.stop_gradient(predict(images))
    step = _PROBE * tf.math.l2_normalize(keras.random.normal(tf.shape(images), seed=seeds), pixels)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(step)
        divergence = keras.losses.kl_divergence(expected, predict(images + step))
    # Where a prediction is nearly certain, its gradient is tiny.
    direction = tf.math.l2_normalize(tape.gradient(divergence, step), pixels, epsilon=1e-30)
    moved = images + radius * tf.stop_gradient(direction)
    return tf.reduce_mean(keras.losses.kl_divergence(expected, predict(moved)))
