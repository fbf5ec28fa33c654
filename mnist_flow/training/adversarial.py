"""Virtual adversarial training: Miyato, Maeda, Koyama and Ishii, 2018, "Virtual Adversarial Training: A Regularization
Method for Supervised and Semi-Supervised Learning", IEEE TPAMI 41(8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mnist_flow.runtime.lazy import keras, tf

# How far an image is moved, as a Euclidean distance, to find the direction in which the answer changes most. The paper
# has 1e-6, which is less than the next float32 beside a white pixel.
_PROBE = 0.1


def build_adversarial_learner(model: keras.Model, radius: float) -> keras.Model:
    """Build a classifier's learner whose training loss has the local distributional smoothness added, with weight 1.

    Args:
        model: from images (n, height, width, channels) to class probabilities (n, classes).
        radius: the paper's epsilon, see `measure_smoothness`.

    Returns:
        A model of the same layers. The loss of the validation is the plain one.
    """

    class AdversarialLearner(keras.Model):
        def __init__(self, *layers: Any, **options: Any) -> None:
            super().__init__(*layers, **options)
            self._directions = keras.random.SeedGenerator(0)

        def compute_loss(
            self,
            x: tf.Tensor | None = None,
            y: tf.Tensor | None = None,
            y_pred: tf.Tensor | None = None,
            sample_weight: tf.Tensor | None = None,
            training: bool = True,
        ) -> tf.Tensor:
            loss = super().compute_loss(x, y, y_pred, sample_weight, training)
            return loss + measure_smoothness(self._answer, x, radius, self._directions) if training else loss

        def _answer(self, images: tf.Tensor) -> tf.Tensor:
            # Without side effects: batch normalisation must not take moved images into its statistics, and dropout and
            # noise are the same in each of these calls.
            given, _ = self.stateless_call(
                self.trainable_variables, self.non_trainable_variables, images, training=True
            )
            # Where a layer computes in 16 bits, a divergence has more.
            return tf.cast(given, tf.float32)

    return AdversarialLearner(model.inputs[0], model.outputs[0], name=model.name)


def measure_smoothness(
    answer: Callable[[Any], tf.Tensor], images: tf.Tensor, radius: float, directions: keras.random.SeedGenerator
) -> tf.Tensor:
    """Measure by how much the answers change if each image moves by `radius` in the direction that changes them most.

    The direction is found by one step of the power method from a random one, and no gradient flows through it; nor does
    one through the answers to the images as they are.

    Args:
        answer: from images to class probabilities, (n, classes).
        images: float32 (n, height, width, channels).
        radius: Euclidean distance by which an image moves, over all its pixels.
        directions: draws the random directions.

    Returns:
        Mean Kullback-Leibler divergence of the answers, nats: the paper's equation 5.
    """
    pixels = range(1, len(images.shape))
    expected = tf.stop_gradient(answer(images))
    step = _PROBE * tf.math.l2_normalize(keras.random.normal(tf.shape(images), seed=directions), pixels)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(step)
        divergence = keras.losses.kl_divergence(expected, answer(images + step))
    # Where an answer is as good as certain, its gradient is tiny.
    direction = tf.math.l2_normalize(tape.gradient(divergence, step), pixels, epsilon=1e-30)
    moved = images + radius * tf.stop_gradient(direction)
    return tf.reduce_mean(keras.losses.kl_divergence(expected, answer(moved)))
