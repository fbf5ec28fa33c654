import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from fitting import STILL, are_equal, fit, load_digits, make_cvae, recorded
from mnist_flow.data.augmentation.shift import draw_shifts
from mnist_flow.metrics.reconstruction import compute_binary_cross_entropy
from mnist_flow.models.cvae import build_cvae
from mnist_flow.models.prediction import predict
from mnist_flow.tasks.generation import TASK as GENERATION
from mnist_flow.tasks.generation import compute_kl_divergence
from mnist_flow.training.checkpoint import CheckpointFolder
from mnist_flow.training.devices import reset_keras
from mnist_flow.training.optimizers import build_optimizer
from support import COLOUR


def fit_generator(resume_from=None, seed=1, **options):
    """Weights, result and states of a training that draws codes."""
    reset_keras(seed)
    model = make_cvae([16], 3)
    states = []
    optimizer = build_optimizer("adam", 1e-3)
    options = {"epochs": 3, "optimizer": optimizer, "task": GENERATION, "on_state": states.append, **options}
    _, result = fit(load_digits(0, 100), load_digits(100, 200), model, seed=seed, resume_from=resume_from, **options)
    return model, result, states


def test_a_generator_learns_the_same_from_batches_that_are_handed_over():
    model, result, _ = fit_generator()
    same_model, same_result, _ = fit_generator(draw_transforms=lambda n, rng: draw_shifts(n, 0, rng))
    assert same_result.history == result.history
    assert are_equal(same_model.get_weights(), model.get_weights())


def measure_generator(model):
    """Its loss on the validation images, from its predictions."""
    images = load_digits(100, 200)
    inputs = images.images, images.one_hot(10)
    mean, log_stddev = model.get_layer("encoder").predict(inputs, verbose=0)
    divergence = float(np.mean(compute_kl_divergence(mean, log_stddev)))
    return 784 * compute_binary_cross_entropy(images.images, predict(model, inputs)) + divergence


def test_the_loss_of_a_generator_has_two_parts(validation):
    """Zero weights: every pixel is one half, and codes have the mean 2 and the deviation e."""
    reset_keras(0)
    model = make_cvae([16], 3)
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    for name, bias in (("mean", 2.0), ("log_stddev", 1.0)):
        model.get_layer("encoder").get_layer(name).set_weights([np.zeros((16, 3)), np.full(3, bias)])
    _, result = fit(validation, validation, model, optimizer=build_optimizer("sgd", STILL), task=GENERATION)
    expected = 784 * math.log(2) + 3 * ((4 + math.e**2 - 1) / 2 - 1)
    assert recorded(result, "loss") == pytest.approx([expected] * 2, rel=1e-4)
    assert recorded(result, "val_loss") == pytest.approx([expected] * 2, rel=1e-4)
    assert set(result.history[0]) == {"loss", "val_loss", "learning_rate"}


def test_the_pixels_of_all_channels_count():
    """Every pixel of a 32×32 image of three channels is one half, and latents are N(0, I)."""
    model = build_cvae(COLOUR.input_shape, COLOUR.n_classes, [4], 2)
    images, zeros = tf.ones((5, *COLOUR.input_shape)), tf.zeros((5, 2))
    loss = GENERATION.build_learner(model).compute_loss(y=images, y_pred=(images / 2, zeros, zeros))
    assert float(loss) == pytest.approx(32 * 32 * 3 * math.log(2), rel=1e-5)


def test_a_generator_learns_with_the_same_numbers_for_a_seed():
    (model, result, _), (_, again, _), (_, other, _) = fit_generator(), fit_generator(), fit_generator(seed=2)
    assert again.history == result.history != other.history
    assert recorded(result, "loss")[-1] < recorded(result, "loss")[0]
    # In place: the model that was given, not only the one that trains it.
    assert result.selected["val_loss"] == pytest.approx(measure_generator(model), rel=1e-5)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_generator_goes_on_bit_for_bit(tmp_path, epoch):
    model, result, states = fit_generator()
    with CheckpointFolder(tmp_path / "run") as checkpoints:
        checkpoints.save(states[epoch - 1])
        resumed, resumed_result, _ = fit_generator(resume_from=checkpoints.load())
    assert are_equal(resumed.get_weights(), model.get_weights())
    assert resumed_result.history == result.history


def test_a_generator_ends_with_the_averaged_weights_that_were_validated():
    optimizer = build_optimizer("adam", 1e-2, ema_momentum=0.8)
    model, result, _ = fit_generator(optimizer=optimizer, keep_best_epoch=True)
    assert result.selected["val_loss"] == pytest.approx(measure_generator(model), rel=1e-5)


def test_the_measure_of_a_generator_is_its_loss_in_parts_and_five_inputs_are_its_example():
    model, _, _ = fit_generator()
    test = load_digits(100, 200)
    trained = SimpleNamespace(
        model=model,
        splits=SimpleNamespace(test=test),
        info=SimpleNamespace(n_classes=10),
        evaluation=SimpleNamespace(batch_size=100),
    )
    report = GENERATION.measure(trained, 3)
    assert report.metrics["test_loss"] == pytest.approx(measure_generator(model), rel=1e-6)
    parts = report.metrics["test_cross_entropy"] + report.metrics["test_code_divergence"]
    assert parts == pytest.approx(report.metrics["test_loss"])
    np.testing.assert_array_equal(report.input_example["images"], test.images[:5])
    np.testing.assert_array_equal(report.input_example["classes"], test.one_hot(10)[:5])
    np.testing.assert_array_equal(report.output_example, predict(model, (test.images, test.one_hot(10)))[:5])
