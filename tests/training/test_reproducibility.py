import functools
import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

from fitting import (
    BATCH,
    are_equal,
    build_rate,
    fit,
    load_digits,
    make_mlp,
)
from mnist_flow.data.augmentation.affine import draw_affine_transforms
from mnist_flow.data.augmentation.elastic import deform_images, draw_displacements
from mnist_flow.data.dataset import Images
from mnist_flow.data.noise.gaussian import add_noise as add_gaussian
from mnist_flow.data.noise.salt_and_pepper import add_noise as add_salt_and_pepper
from mnist_flow.training.devices import reset_keras
from mnist_flow.training.optimizers import build_optimizer
from mnist_flow.training.streams import draw_order, seed_layers
from support import count_calls


def add_noise(images, rng):
    return add_gaussian(add_salt_and_pepper(images, 0.2, rng), 0.1, rng)


def draw_affine(n, rng):
    return draw_affine_transforms(n, 10.0, 0.1, 0.1, (28, 28), rng)


def deform(images, rng):
    fields = draw_displacements(len(images), 30.0, 4.0, (28, 28), rng)
    return deform_images(images, draw_affine(len(images), rng), fields)


RANDOM = {
    "plain": ({}, {}),
    "noise": ({}, {"corrupt": add_noise}),
    "augmentation": ({}, {"draw_transforms": draw_affine}),
    "dropout": ({"dropout": 0.3}, {}),
    "gaussian_noise": ({"gaussian_noise": 0.3}, {}),
    "batch_normalization": ({"batch_normalization": True}, {}),
    "everything": (
        {"hidden_units": [8, 8], "dropout": 0.3, "gaussian_noise": 0.1, "batch_normalization": True},
        {"corrupt": add_noise, "draw_transforms": draw_affine},
    ),
    "elastic": ({}, {"augment_images": deform}),
}


def fit_random(kind, seed=0, **options):
    """History and weights of a training with the randomness of that kind."""
    shape, draws = RANDOM[kind]
    reset_keras(seed)
    model = make_mlp(**{"hidden_units": [8], **shape})
    _, result = fit(load_digits(0, 100), load_digits(100, 200), model, seed, **draws, **options)
    return result.history, model.get_weights()


@functools.cache
def fit_once(kind):
    """The training that others are compared to; each of those comes after it in this process."""
    return fit_random(kind)


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in ("plain", "everything") else pytest.param(kind, marks=[pytest.mark.slow, pytest.mark.launchers])
        for kind in RANDOM
    ],
)
def test_the_same_seed_gives_the_same_numbers_whatever_was_trained_between(kind):
    history, weights = fit_once(kind)
    fit_random("dropout", seed=1, epochs=1)
    same_history, same_weights = fit_random(kind)
    assert same_history == history
    assert are_equal(same_weights, weights)


@pytest.mark.parametrize("kind", ["plain", "everything"])
def test_another_seed_gives_other_numbers(kind):
    history, weights = fit_random(kind, seed=1)
    assert history != fit_once(kind)[0]
    assert not np.array_equal(weights[0], fit_once(kind)[1][0])


def test_noise_augmentation_and_dropout_change_the_training():
    assert len({fit_once(kind)[0][1]["loss"] for kind in RANDOM}) == len(RANDOM)


@pytest.mark.parametrize("kind", ["plain", "everything"])
@pytest.mark.parametrize("steps", [1, 3])
def test_steps_per_execution_changes_no_number(kind, steps):
    history, weights = fit_random(kind, steps_per_execution=steps)
    assert history == fit_once(kind)[0]
    assert are_equal(weights, fit_once(kind)[1])


@pytest.mark.parametrize("kind", ["plain", "dropout", "batch_normalization"])
def test_images_that_stay_within_tensorflow_change_no_number(kind):
    """Beside batches that numpy cuts out and hands over, as it does where noise is drawn afresh."""
    history, weights = fit_random(kind, corrupt=lambda images, rng: images)
    assert history == fit_once(kind)[0]
    assert are_equal(weights, fit_once(kind)[1])


@pytest.mark.parametrize(
    ("name", "options", "schedule", "scheduled"),
    [
        ("sgd", {}, "constant", {}),
        ("sgd", {"momentum": 0.9}, "cosine", {"warmup_epochs": 0.0, "final_fraction": 0.0}),
        ("adam", {}, "step", {"step_epochs": 1, "factor": 0.5}),
    ],
)
def test_keras_own_fit_on_the_same_batches_gives_the_same_numbers(
    train, validation, name, options, schedule, scheduled
):
    """As a notebook has it: metrics by name, the optimizer not built yet, a step a call, one data set an epoch."""

    def build():
        reset_keras(3)
        rate = build_rate(schedule, 0.01, 4, 3, **scheduled)
        return make_mlp([8]), rate, build_optimizer(name, rate or 0.01, **options)

    model, rate, optimizer = build()
    _, result = fit(train, validation, model, seed=3, optimizer=optimizer, schedule=rate, epochs=3)
    plain, _, optimizer = build()
    plain.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    for epoch, metrics in enumerate(result.history):
        order = draw_order(3, epoch, len(train))
        by_keras = plain.fit(
            train.images[order],
            train.one_hot(10)[order],
            batch_size=BATCH,
            shuffle=False,
            verbose=0,
            validation_data=(validation.images, validation.one_hot(10)),
            validation_batch_size=1000,
        ).history
        assert {key: [value] for key, value in metrics.items() if key != "learning_rate"} == by_keras
    assert are_equal(model.get_weights(), plain.get_weights())


def test_the_evaluation_batch_size_changes_no_weight():
    history, weights = fit_random("everything", evaluation_batch_size=7)
    expected_history, expected_weights = fit_once("everything")
    assert are_equal(weights, expected_weights)
    for metrics, expected in zip(history, expected_history, strict=True):
        assert metrics["val_accuracy"] == pytest.approx(expected["val_accuracy"], rel=1e-6)
        assert metrics["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-6)


def read_layer_states(model, epoch, seed=0):
    seed_layers(model, seed, epoch)
    return [variable.numpy().tolist() for variable in model.variables if variable.name == "seed_generator_state"]


def test_each_dropout_layer_has_its_own_state_each_epoch():
    model = make_mlp([8, 8], dropout=0.5)
    first, second, again = (read_layer_states(model, epoch) for epoch in (0, 1, 0))
    assert first == again
    assert len(first) == 2
    states = [tuple(state) for state in first + second + read_layer_states(model, 0, seed=1)]
    assert len(set(states)) == 6


# What must stay cheap, in counts: seconds depend on the machine


@pytest.mark.parametrize("corrupt", [None, add_noise], ids=["images stay", "batches are handed over"])
def test_a_training_is_traced_once(train, validation, monkeypatch, corrupt):
    """However many epochs, blocks and smaller last batches it has; once more a validation builds the metrics."""
    traced = count_calls(monkeypatch, (keras.Model, "train_step"), (keras.Model, "test_step"))
    fit(train, validation, epochs=3, steps_per_execution=2, corrupt=corrupt)
    assert traced == {"train_step": 1, "test_step": 2}


def test_a_training_leaves_no_images_in_tensorflow(train, validation):
    """TensorFlow keeps its graphs, so a sweep would gather the images of each of its runs."""
    images = Images(np.repeat(train.images, 50, axis=0), np.repeat(train.labels, 50))
    fit(images, validation)
    gc.collect()
    # Graphs, which it keeps, hold no values.
    kept = [value for value in gc.get_objects() if isinstance(value, (type(tf.constant(0)), tf.Variable))]
    assert len(kept) > 10
    assert not [value.shape for value in kept if len(images) in value.shape]
