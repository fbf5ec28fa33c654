from __future__ import annotations

import numpy as np
import pytest

from fitting import STILL, fit, load_digits, make_mlp, recorded
from mnist_flow.runtime.lazy import keras, tf
from mnist_flow.training.adversarial import build_adversarial_learner, compute_virtual_adversarial_loss
from mnist_flow.training.devices import reset_keras
from mnist_flow.training.optimizers import build_optimizer

# Over four pixels, with the Euclidean norm 2.
SLOPE = np.array([1.2, 0.0, -1.6, 0.0], np.float32)


def predict_by_slope(images):
    """Two classes; the logit of the first one is the images' product with the slope, and that of the other is 0."""
    logit = tf.linalg.matvec(keras.ops.reshape(images, (-1, 4)), SLOPE)
    return keras.ops.softmax(keras.ops.stack([logit, keras.ops.zeros_like(logit)], axis=1))


@pytest.mark.parametrize(
    ("radius", "divergence"),
    [
        # The probabilities go from a half to 1 / (1 + exp(-2 radius)) along the slope, or to 1 minus that.
        (0.5, 0.12011451),  # -ln(4 · 0.73105858 · 0.26894142) / 2
        (1.0, 0.43378083),  # -ln(4 · 0.88079708 · 0.11920292) / 2
    ],
)
def test_images_move_by_the_radius_in_the_direction_that_changes_the_prediction_most(radius, divergence):
    images = tf.zeros((3, 2, 2, 1))
    for seed in range(3):
        measured = compute_virtual_adversarial_loss(predict_by_slope, images, radius, keras.random.SeedGenerator(seed))
        assert float(measured) == pytest.approx(divergence, rel=1e-4)


@pytest.mark.parametrize(
    ("seed", "divergence", "gradient"),
    [
        # From the logit 2 to the logit 4 or 0, as the random direction has it, p and q are 1 / (1 + exp(-logit)):
        # p ln(p / q) + (1 - p) ln((1 - p) / (1 - q)), and (q - p) times the moved logit.
        (2, 0.12962776, 0.40486685),
        (1, 0.32781332, 0.0),
    ],
)
def test_the_divergence_is_from_the_prediction_which_no_gradient_pulls(seed, divergence, gradient):
    images, scale = tf.reshape(tf.constant(SLOPE / 2), (1, 2, 2, 1)), tf.Variable(1.0)
    with tf.GradientTape() as tape:
        measured = compute_virtual_adversarial_loss(
            lambda images: predict_by_slope(scale * images), images, 1.0, keras.random.SeedGenerator(seed)
        )
    assert float(measured) == pytest.approx(divergence, rel=1e-5)
    assert float(tape.gradient(measured, scale)) == pytest.approx(gradient, rel=1e-5, abs=1e-6)


def fit_still(adversarial_radius, model=None, **settings):
    """A network with batch normalisation, if none is given, whose trained weights stay as they are."""
    if model is None:
        reset_keras(0)
        model = make_mlp([8], batch_normalization=True)
    still = build_optimizer("sgd", STILL)
    settings |= {"optimizer": still, "adversarial_radius": adversarial_radius}
    return fit(load_digits(0, 100), load_digits(100, 200), model, **settings)


def test_it_counts_in_the_loss_of_training_alone_and_leaves_layers_as_they_are():
    (plain, without), (model, result) = fit_still(None), fit_still(2.0)
    assert np.all(np.subtract(recorded(result, "loss"), recorded(without, "loss")) > 0.05)
    # The running mean and variance are those of the images, not of moved ones.
    for name in ("accuracy", "val_loss", "val_accuracy"):
        assert recorded(result, name) == recorded(without, name)
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_dropout_is_the_same_for_an_image_and_where_it_is_moved_to():
    reset_keras(0)
    model, images = make_mlp([8], dropout=0.5), load_digits(0, 100)
    learner = build_adversarial_learner(model, 1e-3)
    learner.compile(loss="categorical_crossentropy")
    targets, predictions = images.one_hot(10), model(images.images, training=True)
    plain = np.mean(keras.losses.categorical_crossentropy(targets, predictions))
    assert float(learner.compute_loss(images.images, targets, predictions)) == pytest.approx(plain, abs=1e-5)


def test_weights_of_classes_do_not_count_in_it():
    plain, weighted = (
        recorded(fit_still(2.0, class_weights=weights)[1], "loss")[0]
        - recorded(fit_still(None, class_weights=weights)[1], "loss")[0]
        for weights in (None, "balanced")
    )
    assert weighted == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_network_that_predicts_in_16_bits_is_moved_in_nearly_the_same_way(precision):
    def fit_own(precision):
        reset_keras(0, precision)
        layers = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
        model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
        return recorded(fit_still(1.0, model)[1], "loss")

    assert fit_own(precision) == pytest.approx(fit_own("float32"), rel=0.03)
