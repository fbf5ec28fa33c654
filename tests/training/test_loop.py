import dataclasses
import functools
import gc
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from mnist_flow.data.augmentation.affine import draw_affine_transforms
from mnist_flow.data.augmentation.shift import draw_shifts
from mnist_flow.data.dataset import Images
from mnist_flow.data.loading import load_data_set
from mnist_flow.data.noise.gaussian import add_noise as add_gaussian
from mnist_flow.data.noise.salt_and_pepper import add_noise as add_salt_and_pepper
from mnist_flow.errors import DivergedError, RunError
from mnist_flow.metrics.reconstruction import compute_binary_cross_entropy
from mnist_flow.models.autoencoder import build_autoencoder
from mnist_flow.models.cvae import build_cvae
from mnist_flow.models.mlp import build_mlp
from mnist_flow.models.prediction import predict
from mnist_flow.training import loop as training
from mnist_flow.training.checkpoint import CheckpointFolder
from mnist_flow.training.loop import (
    Plateau,
    build_learning_rate,
    build_optimizer,
    compute_code_divergence,
    configure_tensorflow,
    corrupt_measured,
    count_steps,
    describe_devices,
    one_hot,
    reset_keras,
    train_model,
)
from support import count_calls

BATCH = 32
# Too small a learning rate to change a weight.
STILL = 1e-12


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    configure_tensorflow(1)
    # reset_keras collects garbage, which takes a second with all that is imported.
    gc.freeze()
    yield
    gc.unfreeze()
    reset_keras(seed=0)


def load_digits(first, last):
    images = load_data_set("digits").train
    return Images(images.images[first:last], images.labels[first:last])


@pytest.fixture(scope="module")
def train():
    """100 digits: three full batches and one of 4."""
    return load_digits(0, 100)


@pytest.fixture(scope="module")
def validation():
    return load_digits(100, 200)


@pytest.fixture(scope="module")
def mislabelled(validation):
    """Validation images whose loss rises while the training goes well."""
    return Images(validation.images, (validation.labels + 1) % 10)


@pytest.fixture
def numbered():
    """50 images whose pixels all hold the image's number, and whose label is its last digit."""
    numbers = np.arange(50)
    return Images(np.broadcast_to(numbers[:, None, None, None], (50, 28, 28, 1)).astype(np.float32), numbers % 10)


def fit(train, validation, model=None, seed=0, optimizer=None, epochs=2, batch_size=BATCH, **options):
    """Train a small network, if none is given, from its seed on."""
    if model is None:
        reset_keras(seed)
        model = build_mlp([8])
    optimizer = optimizer or build_optimizer("sgd", 0.1)
    result = train_model(
        model, train, validation, optimizer, epochs=epochs, batch_size=batch_size, seed=seed, **options
    )
    return model, result


def measure(model, images):
    """Loss and accuracy by Keras, with the weights that the model has now."""
    return model.evaluate(images.images, one_hot(images), batch_size=1000, verbose=0, return_dict=True)


def recorded(result, name):
    return [metrics[name] for metrics in result.history]


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


# Learning rate and optimizer


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_a_constant_learning_rate_is_a_number(schedule):
    assert build_learning_rate(0.1, steps_per_epoch=10, epochs=5, schedule=schedule) == 0.1


@pytest.mark.parametrize(
    ("final_fraction", "expected"),
    [(0.0, [0.1, 0.05, 0.0, 0.0]), (0.1, [0.1, 0.055, 0.01, 0.01])],
)
def test_cosine_at_start_half_way_end_and_beyond(final_fraction, expected):
    schedule = build_learning_rate(0.1, 10, epochs=10, schedule="cosine", final_fraction=final_fraction)
    assert rates(schedule, [0, 50, 100, 200]) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("warmup_epochs", "steps", "expected"),
    [
        # start, half of the rise, peak, half of the fall, end
        (2.0, [0, 10, 20, 60, 100], [0.0, 0.05, 0.1, 0.05, 0.0]),
        (0.5, [0, 1, 5, 100], [0.0, 0.02, 0.1, 0.0]),
    ],
)
def test_cosine_with_warm_up(warmup_epochs, steps, expected):
    schedule = build_learning_rate(0.1, 10, epochs=10, schedule="cosine", warmup_epochs=warmup_epochs)
    assert rates(schedule, steps) == pytest.approx(expected, abs=1e-8)


def test_a_warm_up_as_long_as_the_training_only_rises():
    schedule = build_learning_rate(0.1, 10, epochs=2, schedule="cosine", warmup_epochs=2)
    assert rates(schedule, [0, 10, 19]) == pytest.approx([0.0, 0.05, 0.095])


def test_step_falls_after_every_step_epochs():
    schedule = build_learning_rate(0.1, 10, epochs=6, schedule="step", step_epochs=2, factor=0.1)
    assert rates(schedule, [0, 19, 20, 39, 40]) == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("sgd", {"momentum": 0.5, "nesterov": True}, keras.optimizers.SGD),
        ("adam", {"beta_1": 0.8, "beta_2": 0.99}, keras.optimizers.Adam),
        ("adamw", {"beta_1": 0.8, "beta_2": 0.99, "weight_decay": 0.125}, keras.optimizers.AdamW),
        ("rmsprop", {"rho": 0.7, "momentum": 0.25}, keras.optimizers.RMSprop),
    ],
)
def test_an_optimizer_takes_its_options(train, validation, name, options, kind):
    optimizer = build_optimizer(name, 0.01, **options)
    assert type(optimizer) is kind
    config = optimizer.get_config()
    assert {key: config[key] for key in options} == options
    assert config["learning_rate"] == pytest.approx(0.01)
    assert not optimizer.use_ema
    _, result = fit(train, validation, optimizer=optimizer, epochs=3)
    assert result.history[2]["loss"] < result.history[0]["loss"]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.999])
def test_an_optimizer_averages_the_weights(momentum):
    optimizer = build_optimizer("sgd", 0.1, ema_momentum=momentum)
    assert optimizer.use_ema
    assert optimizer.ema_momentum == momentum


@pytest.mark.parametrize(
    ("schedule", "options", "expected"),
    [
        ("constant", {}, [0.1, 0.1, 0.1, 0.1]),
        ("step", {"step_epochs": 1, "factor": 0.5}, [0.1, 0.05, 0.025, 0.0125]),
        # Of 16 steps the last of each epoch: 0.05 (1 + cos(π s / 16)) at s = 3, 7, 11, 15.
        ("cosine", {}, [0.09157348, 0.05975452, 0.02222149, 0.00096074]),
        # 4 steps of warm-up, then 12 of the cosine at s = 3, 7, 11.
        ("cosine", {"warmup_epochs": 1}, [0.075, 0.08535534, 0.03705905, 0.00170371]),
    ],
)
def test_the_history_has_the_learning_rate_of_each_epochs_last_step(train, validation, schedule, options, expected):
    learning_rate = build_learning_rate(0.1, steps_per_epoch=4, epochs=4, schedule=schedule, **options)
    _, result = fit(train, validation, optimizer=build_optimizer("sgd", learning_rate), epochs=4)
    assert recorded(result, "learning_rate") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("precision", "minimum", "last"), [("float32", 0.0, 0.25), ("float32", 0.4, 0.4), ("mixed_float16", 0.0, 0.25)]
)
def test_a_plateau_lowers_the_learning_rate(train, validation, precision, minimum, last):
    reset_keras(0, precision)
    _, result = fit(
        train,
        validation,
        model=build_mlp([8]),
        optimizer=build_optimizer("sgd", STILL),
        epochs=4,
        monitor="val_accuracy",
        plateau=Plateau(factor=0.5, patience=1, min_learning_rate=minimum * STILL),
    )
    # Epoch 2 is the first without improvement, so that epoch 3 is the first that is slower.
    expected = [STILL, STILL, 0.5 * STILL, last * STILL]
    assert recorded(result, "learning_rate") == pytest.approx(expected, rel=1e-5, abs=0)


# Reproducibility


def add_noise(images, rng):
    return add_gaussian(add_salt_and_pepper(images, 0.2, rng), 0.1, rng)


def draw_affine(n, rng):
    return draw_affine_transforms(n, 10.0, 0.1, 0.1, rng)


RANDOM = {
    "plain": ({}, {}),
    "noise": ({}, {"corrupt": add_noise}),
    "augmentation": ({}, {"draw_transforms": draw_affine}),
    "dropout": ({"dropout": 0.3}, {}),
    "batch_normalization": ({"batch_normalization": True}, {}),
    "everything": (
        {"hidden_units": [8, 8], "dropout": 0.3, "batch_normalization": True},
        {"corrupt": add_noise, "draw_transforms": draw_affine},
    ),
}


def fit_random(kind, seed=0, **options):
    """History and weights of a training with the randomness of that kind."""
    shape, draws = RANDOM[kind]
    reset_keras(seed)
    model = build_mlp(**{"hidden_units": [8], **shape})
    _, result = fit(load_digits(0, 100), load_digits(100, 200), model, seed, **draws, **options)
    return result.history, model.get_weights()


@functools.cache
def fit_once(kind):
    """The training that others are compared to; each of those comes after it in this process."""
    return fit_random(kind)


def are_equal(weights, others):
    return all(np.array_equal(one, other) for one, other in zip(weights, others, strict=True))


@pytest.mark.parametrize("kind", RANDOM)
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
    ("name", "schedule", "options"),
    [("sgd", "constant", {}), ("sgd", "cosine", {"momentum": 0.9}), ("adam", "step", {})],
)
def test_keras_own_fit_on_the_same_batches_gives_the_same_numbers(train, validation, name, schedule, options):
    """As a notebook has it: metrics by name, the optimizer not built yet, a step a call, one data set an epoch."""

    def build():
        reset_keras(3)
        rate = build_learning_rate(0.01, steps_per_epoch=4, epochs=3, schedule=schedule, factor=0.5)
        return build_mlp([8]), build_optimizer(name, rate, **options)

    model, optimizer = build()
    _, result = fit(train, validation, model, seed=3, optimizer=optimizer, epochs=3)
    plain, optimizer = build()
    plain.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    for epoch, metrics in enumerate(result.history):
        order = training._draw_order(3, epoch, len(train))
        by_keras = plain.fit(
            train.images[order],
            one_hot(train)[order],
            batch_size=BATCH,
            shuffle=False,
            verbose=0,
            validation_data=(validation.images, one_hot(validation)),
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
    training._EpochStream(model, seed).on_epoch_begin(epoch)
    return [variable.numpy().tolist() for variable in model.variables if variable.name == "seed_generator_state"]


def test_each_dropout_layer_has_its_own_state_each_epoch():
    model = build_mlp([8, 8], dropout=0.5)
    first, second, again = (read_layer_states(model, epoch) for epoch in (0, 1, 0))
    assert first == again
    assert len(first) == 2
    states = [tuple(state) for state in first + second + read_layer_states(model, 0, seed=1)]
    assert len(set(states)) == 6


# What must stay cheap, in counts: seconds depend on the machine


@pytest.mark.parametrize("corrupt", [None, add_noise], ids=["images stay", "batches are handed over"])
def test_a_training_is_traced_once(train, validation, monkeypatch, corrupt):
    """However many epochs, blocks and smaller last batches it has."""
    traced = count_calls(monkeypatch, (training._Learner, "train_step"), (training._Learner, "test_step"))
    fit(train, validation, epochs=3, steps_per_execution=2, corrupt=corrupt)
    assert traced == {"train_step": 1, "test_step": 1}


def test_trainings_share_the_images_within_tensorflow_as_long_as_these_live(train, validation, monkeypatch):
    """TensorFlow keeps its graphs, so a sweep would gather an array a run, or the images of each data set."""
    learners = []
    original = training._Learner.keep_images

    def keep(self, inputs, targets):
        original(self, inputs, targets)
        learners.append(self)
        assert np.array_equal(self._kept[0].numpy(), inputs)
        assert np.array_equal(self._kept[1].numpy(), targets)

    monkeypatch.setattr(training._Learner, "keep_images", keep)
    monkeypatch.setattr(training, "_HELD_AT_ONCE", 100)
    copy = Images(train.images.copy(), train.labels)
    held_before = len(training._HELD)
    (model, result), (same_model, same_result) = (fit(copy, validation) for _ in range(2))
    assert result.history == same_result.history
    assert are_equal(model.get_weights(), same_model.get_weights())
    first, second = (learner._kept for learner in learners)
    assert first[0] is second[0]
    assert first[0].shape[0] is None
    # The labels' targets are made anew for each training, and end with it.
    assert [len(first[1].numpy()), len(second[1].numpy())] == [0, 0]
    assert len(training._HELD) == held_before + 1
    del copy
    assert first[0].numpy().nbytes == 0
    assert len(training._HELD) == held_before


def test_images_that_were_changed_between_two_trainings_are_the_changed_ones(train):
    images = train.images.copy()
    held = training._hold(images)
    images[3] = 0.25
    assert training._hold(images) is held
    assert np.array_equal(held.numpy(), images)
    images.setflags(write=False)
    assert training._hold(images) is held


def test_images_that_nobody_can_change_are_handed_to_tensorflow_once(train, monkeypatch):
    images = train.images.copy()
    images.setflags(write=False)
    handed = []
    variable = type(tf.Variable(0.0))
    scatter_update = variable.scatter_update

    def count(self, pieces, *arguments, **options):
        handed.append(len(pieces.indices))
        return scatter_update(self, pieces, *arguments, **options)

    monkeypatch.setattr(variable, "scatter_update", count)
    monkeypatch.setattr(training, "_HELD_AT_ONCE", 40)
    held = training._hold(images)
    assert np.array_equal(held.numpy(), images)
    assert handed == [40, 40, 20]
    assert training._hold(images) is held
    assert handed == [40, 40, 20]


def test_an_epoch_moves_the_numbers_of_its_images_and_no_image(numbered):
    blocks, images_done = training._build_blocks(len(numbered), 16, 2, seed=0, epochs=range(1, 3))
    assert images_done == [32, 48, 50]
    all_moved = [block.numpy() for block in blocks]
    assert len(all_moved) == 6
    for epoch, moved in ((1, all_moved[:3]), (2, all_moved[3:])):
        assert [block.shape for block in moved] == [(2, 16), (1, 16), (1, 2)]
        assert sum(block.nbytes for block in moved) == 400
        assert np.concatenate([block.ravel() for block in moved]).tolist() == [
            int(number) for number in read_numbers(read_epoch(numbered, epoch)[0])
        ]


@pytest.mark.parametrize(
    ("n_images", "batch_size", "shapes", "images_done"),
    [
        (10, 16, [(1, 10)], [10]),
        (32, 16, [(2, 16)], [32]),
        (100, 10, [(4, 10), (4, 10), (2, 10)], [40, 80, 100]),
        (41, 10, [(4, 10), (1, 1)], [40, 41]),
    ],
)
def test_blocks_of_other_sizes(n_images, batch_size, shapes, images_done):
    blocks, done = training._build_blocks(n_images, batch_size, 4, seed=0, epochs=range(1))
    assert [tuple(block.shape) for block in blocks] == shapes
    assert done == images_done


@pytest.fixture
def begun(monkeypatch):
    """The data sets whose iterations have begun."""
    found = []
    original = tf.data.Dataset.__iter__

    def note(self):
        found.append(self)
        return original(self)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", note)
    return found


@pytest.mark.parametrize("epochs", [2, 5])
def test_a_training_sets_up_its_blocks_once(train, validation, begun, epochs):
    """However many epochs it has: each time takes milliseconds, as much as a small network's steps."""
    fit(train, validation, epochs=epochs)
    of_blocks = [dataset for dataset in begun if isinstance(dataset.element_spec, tf.TensorSpec)]
    assert len(of_blocks) == 1
    # What Keras begins for each validation, and has no functions to set up.
    assert len(begun) - len(of_blocks) == 2 * epochs


@pytest.mark.parametrize("kind", ["plain", "noise"])
def test_no_iteration_of_a_training_is_autotuned(begun, kind):
    """Its end might wait for the tuner's next look, which may be as far off as its start."""
    fit_random(kind)
    assert {dataset.options().autotune.enabled for dataset in begun} == {False}


@pytest.mark.parametrize("kind", ["plain", "everything"])
def test_autotuning_changes_no_number(kind, monkeypatch):
    monkeypatch.setattr(training, "_disable_autotuning", lambda dataset: dataset)
    history, weights = fit_random(kind)
    assert history == fit_once(kind)[0]
    assert are_equal(weights, fit_once(kind)[1])


@pytest.mark.parametrize(("n_rows", "batches"), [(4, [4]), (10, [10]), (20, [10, 10]), (25, [10, 10, 5])])
def test_what_is_measured_comes_in_order(n_rows, batches):
    rows = np.arange(n_rows * 2, dtype=np.float32).reshape(n_rows, 2)
    cut = list(training._cut_batches(((rows, rows + 1), rows + 2), 10))
    assert [len(targets) for _, targets in cut] == batches
    for number, joined in enumerate(zip(*((one, other, targets) for (one, other), targets in cut), strict=True)):
        assert np.array_equal(np.concatenate(joined), rows + number)


# The batches of an epoch


def read_epoch(images, epoch, seed=0, corrupt=None, draw_transforms=None, batch_size=16, targets=None):
    """All batches of one epoch as lists of arrays: images, targets (the labels, if none are given)."""
    stream = training._EpochStream(build_mlp([]), seed)
    targets = one_hot(images) if targets is None else targets
    dataset = training._build_batches(images.images, targets, batch_size, stream, corrupt, draw_transforms)
    stream.on_epoch_begin(epoch)
    x, y = zip(*((x.numpy(), y.numpy()) for x, y in dataset), strict=True)
    return list(x), list(y)


def read_numbers(x):
    return np.concatenate(x)[:, 0, 0, 0].astype(int).tolist()


def test_each_image_comes_once_an_epoch_with_its_label(numbered):
    for epoch in range(3):
        x, y = read_epoch(numbered, epoch)
        numbers = read_numbers(x)
        assert sorted(numbers) == list(range(50))
        assert np.concatenate(y).argmax(axis=1).tolist() == [number % 10 for number in numbers]


def test_the_last_batch_is_smaller(numbered):
    x, y = read_epoch(numbered, 0)
    assert [batch.shape for batch in x] == [(16, 28, 28, 1)] * 3 + [(2, 28, 28, 1)]
    assert [batch.shape for batch in y] == [(16, 10)] * 3 + [(2, 10)]


def test_the_order_differs_between_epochs_and_seeds_only(numbered):
    first, second, again, other = (
        read_numbers(read_epoch(numbered, epoch, seed)[0]) for epoch, seed in [(0, 0), (1, 0), (0, 0), (0, 1)]
    )
    assert first == again
    assert len({tuple(order) for order in (first, second, other, range(50))}) == 4


def test_the_training_takes_each_epochs_own_order(numbered, validation):
    seen = []

    def note(images, rng):
        seen.append(images)
        return images

    fit(numbered, validation, optimizer=build_optimizer("sgd", STILL), epochs=3, batch_size=16, corrupt=note)
    assert [len(batch) for batch in seen] == [16, 16, 16, 2] * 3
    for epoch in range(3):
        assert read_numbers(seen[4 * epoch : 4 * epoch + 4]) == read_numbers(read_epoch(numbered, epoch)[0])


def test_noise_differs_between_epochs_and_batches(numbered):
    def draw(images, rng):
        return np.full_like(images, rng.random())

    def read_draws(epoch):
        return [float(batch[0, 0, 0, 0]) for batch in read_epoch(numbered, epoch, corrupt=draw)[0]]

    assert read_draws(0) == read_draws(0)
    assert len({*read_draws(0), *read_draws(1)}) == 8


def test_noise_is_put_on_the_training_images(train):
    x, y = read_epoch(train, 0, corrupt=lambda images, rng: 1 - images)
    clean, targets = read_epoch(train, 0)
    assert np.array_equal(np.concatenate(x), 1 - np.concatenate(clean))
    assert np.array_equal(np.concatenate(y), np.concatenate(targets))


def test_transforms_move_the_training_images(train):
    def move_right(n, rng):
        return np.tile(np.array([1, 0, -1, 0, 1, 0, 0, 0], np.float32), (n, 1))

    moved, clean = (np.concatenate(read_epoch(train, 0, draw_transforms=draw)[0]) for draw in (move_right, None))
    np.testing.assert_allclose(moved[:, :, 1:], clean[:, :, :-1], atol=1e-6)
    assert not moved[:, :, 0].any()
    assert clean[:, :, :-1].any()


def test_each_image_has_its_own_shift(train):
    ones = Images(np.ones_like(train.images), train.labels)
    x = np.concatenate(read_epoch(ones, 0, draw_transforms=lambda n, rng: draw_shifts(n, 5, rng))[0])
    assert len({image.tobytes() for image in x}) > 30


@pytest.mark.parametrize(
    "options",
    [{"corrupt": lambda images, rng: 1 - images}, {"draw_transforms": lambda n, rng: draw_shifts(n, 9, rng)}],
    ids=["noise", "augmentation"],
)
def test_validation_images_stay_as_they_are(train, validation, options):
    before = validation.images.copy()
    model, result = fit(train, validation, **options)
    assert np.array_equal(validation.images, before)
    assert result.history[-1]["val_loss"] == measure(model, validation)["loss"]


@pytest.mark.parametrize(("n", "batch_size", "steps"), [(96, 32, 3), (97, 32, 4), (1, 128, 1), (60_000, 128, 469)])
def test_the_last_smaller_batch_counts_as_a_step(n, batch_size, steps):
    assert count_steps(n, batch_size) == steps


def test_an_epoch_takes_the_counted_steps(train, validation):
    optimizer = build_optimizer("sgd", 0.1)
    fit(train, validation, optimizer=optimizer, epochs=3)
    assert int(optimizer.iterations) == 3 * count_steps(len(train), BATCH) == 12


def test_one_hot():
    images = Images(np.zeros((2, 28, 28, 1), np.float32), np.array([0, 7]))
    targets = one_hot(images)
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]]


# Which epoch's weights the model ends with


def test_the_model_ends_with_the_last_epoch(train, mislabelled):
    model, result = fit(train, mislabelled, epochs=4)
    assert result.selected_epoch == 4
    assert result.selected == result.history[3]
    assert result.selected["val_loss"] == measure(model, mislabelled)["loss"]
    assert result.fit_seconds > 0


@pytest.mark.parametrize(
    ("monitor", "best", "patience"), [("val_loss", min, None), ("val_loss", min, 2), ("val_accuracy", max, None)]
)
def test_the_best_epochs_weights_can_be_kept(train, mislabelled, monitor, best, patience):
    model, result = fit(
        train, mislabelled, epochs=6, monitor=monitor, keep_best_epoch=True, early_stopping_patience=patience
    )
    values = recorded(result, monitor)
    assert result.selected_epoch == values.index(best(values)) + 1 < len(values)
    measured = measure(model, mislabelled)
    assert (measured["loss"], measured["accuracy"]) == (result.selected["val_loss"], result.selected["val_accuracy"])


def test_early_stopping_stops_after_patience_epochs_without_improvement(train, validation):
    optimizer = build_optimizer("sgd", STILL)
    _, result = fit(train, validation, optimizer=optimizer, epochs=9, monitor="val_accuracy", early_stopping_patience=2)
    assert len(result.history) == 3
    assert result.selected_epoch == 3


def test_early_stopping_lets_a_training_that_improves_go_on(train):
    _, result = fit(train, train, optimizer=build_optimizer("sgd", 0.01), epochs=5, early_stopping_patience=1)
    assert len(result.history) == 5


@pytest.mark.parametrize(
    ("precision", "options", "stops_early"),
    [
        ("float32", {}, False),
        ("float32", {"keep_best_epoch": True}, False),
        ("float32", {"early_stopping_patience": 2}, True),
        ("float32", {"early_stopping_patience": 2, "keep_best_epoch": True}, True),
        ("mixed_float16", {}, False),
    ],
    ids=["last", "best", "stopped", "stopped-best", "mixed_float16"],
)
def test_the_model_ends_with_the_averaged_weights_that_were_validated(
    train, mislabelled, precision, options, stops_early
):
    reset_keras(0, precision)
    optimizer = build_optimizer("sgd", 0.1, ema_momentum=0.8)
    model, result = fit(train, mislabelled, build_mlp([8]), optimizer=optimizer, epochs=8, **options)
    assert (len(result.history) < 8) == stops_early
    # Keras swaps the weights in place by addition, which rounds the last bits.
    assert measure(model, mislabelled)["loss"] == pytest.approx(result.selected["val_loss"], rel=1e-5)


def test_the_average_of_the_weights_follows_its_formula(validation):
    """One step an epoch; 0.9 of the average and 0.1 of the new weights, beginning with those after the first step."""
    image = Images(validation.images[:1], validation.labels[:1])
    after = []
    reset_keras(0)
    plain = build_mlp([8])
    fit(image, image, plain, epochs=3, on_epoch=lambda *_: after.append(plain.get_weights()[-1]))
    average, _ = fit(image, image, optimizer=build_optimizer("sgd", 0.1, ema_momentum=0.9), epochs=3)
    expected = 0.9 * (0.9 * after[0] + 0.1 * after[1]) + 0.1 * after[2]
    np.testing.assert_allclose(average.get_weights()[-1], expected, atol=1e-6)
    assert np.abs(after[2] - expected).max() > 1e-3


# The loss


def build_constant_classifier():
    """Gives digit 0 the probability 0.91 and each other 0.01, whatever the image."""
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    model.layers[-1].set_weights([np.zeros((784, 10)), np.log([0.91] + [0.01] * 9)])
    return model


@pytest.mark.parametrize(
    ("label_smoothing", "loss"),
    [
        (0.0, 0.09431068),  # -ln 0.91
        (0.1, 0.50028804),  # -0.91 ln 0.91 - 0.09 ln 0.01
        (0.5, 2.12419746),  # -0.55 ln 0.91 - 0.45 ln 0.01
    ],
)
def test_label_smoothing_spreads_a_share_of_the_target(label_smoothing, loss):
    zeros = Images(np.zeros((40, 28, 28, 1), np.float32), np.zeros(40, np.int64))
    optimizer = build_optimizer("sgd", STILL)
    _, result = fit(zeros, zeros, build_constant_classifier(), optimizer=optimizer, label_smoothing=label_smoothing)
    assert recorded(result, "loss") == pytest.approx([loss, loss], rel=1e-5)
    assert recorded(result, "accuracy") == [1, 1]


def test_the_loss_includes_the_l2_penalty(train, validation):
    metrics = []
    for reg in (0.0, 0.01):
        reset_keras(0)
        model = build_mlp([8], reg=reg)
        _, result = fit(train, validation, model, optimizer=build_optimizer("sgd", STILL), epochs=1)
        metrics.append(result.history[0])
    penalty = 0.01 * np.sum(np.square(model.get_layer("dense_1").get_weights()[0]))
    assert penalty > 0.05
    for name in ("loss", "val_loss"):
        assert metrics[1][name] - metrics[0][name] == pytest.approx(penalty, rel=1e-4)


@pytest.mark.parametrize("steps_per_execution", [1, 32])
def test_a_huge_learning_rate_is_told_with_the_epoch(train, validation, steps_per_execution):
    optimizer = build_optimizer("sgd", 1e38)
    with pytest.raises(DivergedError, match=r"the loss became (nan|inf) in epoch 1: try a smaller optimizer\.learn"):
        fit(train, validation, optimizer=optimizer, steps_per_execution=steps_per_execution)


def test_a_loss_that_is_lost_later_is_told_with_its_epoch(train, validation):
    calls = []

    def spoil_third_epoch(images, rng):
        calls.append(len(images))
        return images * np.float32(math.nan) if len(calls) > 8 else images

    epochs = []
    with pytest.raises(DivergedError, match="the loss became nan in epoch 3"):
        fit(
            train,
            validation,
            build_mlp([]),
            epochs=5,
            corrupt=spoil_third_epoch,
            on_epoch=lambda epoch, metrics: epochs.append(epoch),
        )
    assert epochs == [1, 2]


def test_a_validation_loss_that_is_lost_is_told(train, validation):
    broken = Images(validation.images * np.float32(math.nan), validation.labels)
    with pytest.raises(DivergedError, match="the loss became nan in epoch 1"):
        fit(train, broken, build_mlp([]))


# Precision, devices and listeners


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_layers_compute_in_a_precision_while_weights_and_outputs_are_float32(train, validation, precision):
    reset_keras(0, precision)
    assert describe_devices()["precision"] == precision
    model = build_mlp([8])
    assert model.get_layer("dense_1").compute_dtype == {"float32": "float32"}.get(precision, precision[6:])
    learning_rate = build_learning_rate(0.1, steps_per_epoch=4, epochs=4, schedule="cosine")
    _, result = fit(train, validation, model, optimizer=build_optimizer("sgd", learning_rate), epochs=4)
    losses = recorded(result, "loss")
    assert losses[3] < losses[0]
    assert result.history[3]["learning_rate"] == pytest.approx(0.00096074, rel=1e-4)
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}
    probabilities = model(validation.images)
    assert probabilities.dtype == "float32"
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-5)


def test_the_precision_of_one_model_is_not_the_next_ones():
    reset_keras(0, "mixed_bfloat16")
    reset_keras(0)
    assert build_mlp([8]).get_layer("dense_1").compute_dtype == "float32"


def test_the_seed_decides_the_first_weights():
    def first_weights(seed):
        reset_keras(seed)
        return build_mlp([8]).get_weights()[0]

    zero, one, again = (first_weights(seed) for seed in (0, 1, 0))
    assert np.array_equal(zero, again)
    assert not np.array_equal(zero, one)


def test_a_process_keeps_the_threads_of_its_first_job():
    tf.constant(1) + 1  # TensorFlow has begun
    with pytest.raises(RunError, match=r"training\.threads=2: this process already runs TensorFlow with 1"):
        configure_tensorflow(2)
    assert describe_devices()["intra_op_threads"] == 1


@pytest.mark.parametrize(
    ("steps_per_execution", "images_done"), [(1, [32, 64, 96, 100]), (2, [64, 96, 100]), (32, [96, 100])]
)
def test_listeners_hear_of_steps_and_epochs(train, validation, steps_per_execution, images_done):
    steps, epochs = [], []
    _, result = fit(
        train,
        validation,
        steps_per_execution=steps_per_execution,
        on_steps=lambda epoch, done, metrics: steps.append((epoch, done, dict(metrics))),
        on_epoch=lambda epoch, metrics: epochs.append((epoch, dict(metrics))),
    )
    assert [(epoch, done) for epoch, done, _ in steps] == [(epoch, done) for epoch in (1, 2) for done in images_done]
    assert epochs == [(1, result.history[0]), (2, result.history[1])]
    assert set(result.history[0]) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    # The running metrics of an epoch's last steps are the epoch's.
    epoch, _, metrics = steps[-1]
    assert epoch == 2
    assert float(metrics["loss"]) == pytest.approx(result.history[1]["loss"])


@pytest.mark.parametrize(
    ("steps_per_execution", "images_done"), [(1, [32, 64, 96, 100]), (2, [64, 100]), (3, [96, 100]), (32, [100])]
)
def test_listeners_hear_of_steps_with_noise_too(train, validation, steps_per_execution, images_done):
    steps = []
    fit(
        train,
        validation,
        epochs=1,
        corrupt=lambda images, rng: add_gaussian(images, 0.1, rng),
        steps_per_execution=steps_per_execution,
        on_steps=lambda epoch, done, metrics: steps.append(done),
    )
    assert steps == images_done


# Going on after an interruption


# optimizer and schedule, with their options, and what else train_model gets
RESUMED = {
    "sgd-cosine": (("sgd", 0.1, "cosine", None, {"momentum": 0.9}), {}),
    "adam-average-best-stopped": (
        ("adam", 0.1, "constant", 0.9, {}),
        {"keep_best_epoch": True, "early_stopping_patience": 1},
    ),
    "adam-plateau-best": (
        ("adam", 0.1, "plateau", None, {}),
        {"plateau": Plateau(0.5, 1), "keep_best_epoch": True, "monitor": "val_accuracy"},
    ),
    "sgd-average-stopped": (
        ("sgd", 0.1, "constant", 0.9, {}),
        {"early_stopping_patience": 1, "monitor": "val_accuracy"},
    ),
    "sgd-average": (("sgd", 0.1, "constant", 0.9, {}), {}),
    "rmsprop-stopped": (
        ("rmsprop", 0.1, "constant", None, {}),
        {"early_stopping_patience": 1, "monitor": "val_accuracy"},
    ),
}
EPOCHS = 5


def fit_resumable(case, resume_from=None):
    """Weights, result and states of a training with all that is random."""
    (name, rate, schedule, ema_momentum, options), others = RESUMED[case]
    reset_keras(1)
    model = build_mlp([8], dropout=0.2, batch_normalization=True)
    learning_rate = build_learning_rate(rate, steps_per_epoch=4, epochs=EPOCHS, schedule=schedule)
    states = []
    _, result = fit(
        load_digits(0, 100),
        load_digits(100, 200),
        model,
        seed=1,
        optimizer=build_optimizer(name, learning_rate, ema_momentum, **options),
        epochs=EPOCHS,
        corrupt=lambda images, rng: add_gaussian(images, 0.1, rng),
        draw_transforms=lambda n, rng: draw_shifts(n, 2, rng),
        resume_from=resume_from,
        on_state=states.append,
        **others,
    )
    return model.get_weights(), result, states


@functools.cache
def fit_uninterrupted(case):
    return fit_resumable(case)


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
@pytest.mark.parametrize("case", RESUMED)
def test_a_training_goes_on_bit_for_bit_after_any_epoch(tmp_path, case, epoch):
    """From its checkpoint on disk, as another process finds it."""
    weights, result, states = fit_uninterrupted(case)
    if epoch > len(result.history):
        assert states[-1].stopped
        pytest.skip("this training has stopped before")
    with CheckpointFolder(tmp_path / "run") as checkpoints:
        checkpoints.save(states[epoch - 1])
        resumed_weights, resumed, later = fit_resumable(case, resume_from=checkpoints.load())
    assert are_equal(resumed_weights, weights)
    assert resumed.history == result.history
    assert resumed.selected_epoch == result.selected_epoch
    # So it can be interrupted again.
    assert len(later) == len(states) - epoch
    for state, expected in zip(later, states[epoch:], strict=True):
        assert state.arrays.keys() == expected.arrays.keys()
        assert are_equal(state.arrays.values(), expected.arrays.values())
        assert (state.epoch, state.counters, state.stopped) == (expected.epoch, expected.counters, expected.stopped)


@pytest.mark.parametrize("case", [case for case in RESUMED if case.endswith("-stopped")])
def test_the_resumed_trainings_do_stop_early(case):
    _, result, states = fit_uninterrupted(case)
    assert len(result.history) < EPOCHS
    assert [state.stopped for state in states] == [False] * (len(states) - 1) + [True]


def test_a_resumed_training_tells_its_own_epochs_only(train, validation):
    states, epochs, steps = [], [], []
    fit(train, validation, epochs=2, on_state=states.append)
    fit(
        train,
        validation,
        epochs=4,
        resume_from=states[-1],
        on_epoch=lambda epoch, metrics: epochs.append(epoch),
        on_steps=lambda epoch, done, metrics: steps.append((epoch, done)),
    )
    assert epochs == [3, 4]
    assert steps == [(3, 96), (3, 100), (4, 96), (4, 100)]


def test_a_state_is_handed_on_after_the_epoch_is_told(train, validation):
    order = []
    fit(
        train,
        validation,
        on_epoch=lambda epoch, metrics: order.append(("told", epoch)),
        on_state=lambda state: order.append(("state", state.epoch)),
    )
    assert order == [("told", 1), ("state", 1), ("told", 2), ("state", 2)]


def test_the_seconds_of_an_interrupted_training_add_up(train, validation):
    states = []
    _, whole = fit(train, validation, epochs=2, on_state=states.append)
    assert 0 < states[0].fit_seconds < states[1].fit_seconds <= whole.fit_seconds
    before = dataclasses.replace(states[0], fit_seconds=1000.0)
    _, resumed = fit(train, validation, epochs=2, resume_from=before, on_state=states.append)
    assert 1000 < states[-1].fit_seconds <= resumed.fit_seconds < 1100


@pytest.mark.parametrize(
    ("units", "optimizer", "kind"),
    [([9], "sgd", "model"), ([8, 8], "sgd", "model"), ([], "sgd", "model"), ([8], "adam", "optimizer")],
)
def test_the_state_of_another_network_or_optimizer_is_refused(train, validation, units, optimizer, kind):
    states = []
    fit(train, validation, on_state=states.append)
    reset_keras(0)
    with pytest.raises(RunError, match=f"the checkpoint of epoch 2 belongs to another {kind}"):
        fit(
            train,
            validation,
            build_mlp(units),
            optimizer=build_optimizer(optimizer, 0.1),
            epochs=4,
            resume_from=states[-1],
        )


# Denoisers


def season(images, rng):
    return add_salt_and_pepper(images, 0.4, rng)


def fit_denoiser(train, validation, seed=0, rate=1e-3, **options):
    reset_keras(seed)
    model = build_autoencoder([16], 4)
    optimizer = build_optimizer("adam", rate)
    return fit(train, validation, model, seed, optimizer, task="reconstruction", **{"corrupt": season} | options)


def test_noise_is_on_the_input_and_the_target_is_clean(train):
    x, y = read_epoch(train, 0, corrupt=season, targets=train.images)
    x, y = np.concatenate(x), np.concatenate(y)
    assert np.mean(x != y) > 0.1
    assert {image.tobytes() for image in y} == {image.tobytes() for image in train.images}


def test_a_target_that_is_an_image_moves_with_its_input(train):
    x, y = read_epoch(train, 0, draw_transforms=lambda n, rng: draw_shifts(n, 9, rng), targets=train.images)
    np.testing.assert_array_equal(np.concatenate(x), np.concatenate(y))
    assert {image.tobytes() for image in np.concatenate(y)} != {image.tobytes() for image in train.images}


@pytest.mark.parametrize(("redraw", "sizes"), [(True, [100, *[32, 32, 32, 4] * 2]), (False, [100, 100])])
def test_noise_is_drawn_each_epoch_or_once(train, validation, redraw, sizes):
    """100 validation images once; then batches in both epochs, or all training images once."""
    drawn = []

    def note(images, rng):
        drawn.append(len(images))
        return season(images, rng)

    fit_denoiser(train, validation, corrupt=note, redraw=redraw)
    assert sorted(drawn) == sorted(sizes)


def test_noise_that_is_drawn_once_depends_on_the_seed(train, validation):
    seen = []

    def note(images, rng):
        seen.append(season(images, rng))
        return seen[-1]

    for seed in (0, 0, 1):
        fit_denoiser(train, validation, seed, corrupt=note, redraw=False, epochs=1)
    (first, valid), (again, valid_again), (other, valid_other) = zip(seen[::2], seen[1::2], strict=True)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    # Runs of all seeds are validated on the same images.
    np.testing.assert_array_equal(valid, valid_again)
    np.testing.assert_array_equal(valid, valid_other)


def test_a_denoiser_is_validated_by_the_clean_pixels_of_noisy_images(train, validation):
    model, result = fit_denoiser(train, validation, rate=STILL, epochs=1)
    noisy = corrupt_measured(validation.images, season, "validation")
    assert np.mean(noisy != validation.images) > 0.1
    loss = compute_binary_cross_entropy(validation.images, np.asarray(model(noisy)))
    assert recorded(result, "val_loss") == [pytest.approx(loss, rel=1e-5)]
    assert set(result.history[0]) == {"loss", "val_loss", "learning_rate"}


def test_validation_and_test_images_have_noise_of_their_own(validation):
    noisy = [corrupt_measured(validation.images, season, part) for part in ("validation", "test", "validation")]
    np.testing.assert_array_equal(noisy[0], noisy[2])
    assert np.any(noisy[0] != noisy[1])
    assert corrupt_measured(validation.images, None, "test") is validation.images


def test_a_denoiser_learns_to_denoise():
    train, validation = load_digits(0, 1000), load_digits(1000, 1300)
    _, result = fit_denoiser(train, validation, rate=1e-2, epochs=15)
    losses = recorded(result, "val_loss")
    assert losses[-1] < 0.95 * losses[0]


def test_an_autoencoder_learns_the_same_from_batches_that_are_handed_over(train, validation):
    model, result = fit_denoiser(train, validation, corrupt=None)
    same_model, same_result = fit_denoiser(train, validation, corrupt=lambda images, rng: images)
    assert same_result.history == result.history
    assert are_equal(same_model.get_weights(), model.get_weights())


@pytest.mark.parametrize("redraw", [True, False])
def test_a_denoiser_goes_on_bit_for_bit(train, validation, redraw):
    states = []
    model, result = fit_denoiser(train, validation, epochs=3, redraw=redraw, on_state=states.append)
    resumed_model, resumed = fit_denoiser(train, validation, epochs=3, redraw=redraw, resume_from=states[0])
    assert are_equal(resumed_model.get_weights(), model.get_weights())
    assert resumed.history == result.history


# A conditional variational autoencoder


def fit_generator(resume_from=None, seed=1, **options):
    """Weights, result and states of a training that draws codes."""
    reset_keras(seed)
    model = build_cvae([16], 3)
    states = []
    optimizer = build_optimizer("adam", 1e-3)
    options = {"epochs": 3, "optimizer": optimizer, "task": "generation", "on_state": states.append, **options}
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
    inputs = images.images, one_hot(images)
    mean, log_stddev = model.get_layer("encoder").predict(inputs, verbose=0)
    divergence = float(np.mean(compute_code_divergence(mean, log_stddev)))
    return 784 * compute_binary_cross_entropy(images.images, predict(model, inputs)) + divergence


def test_the_loss_of_a_generator_has_two_parts(validation):
    """Zero weights: every pixel is one half, and codes have the mean 2 and the deviation e."""
    reset_keras(0)
    model = build_cvae([16], 3)
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    for name, bias in (("mean", 2.0), ("log_stddev", 1.0)):
        model.get_layer("encoder").get_layer(name).set_weights([np.zeros((16, 3)), np.full(3, bias)])
    _, result = fit(validation, validation, model, optimizer=build_optimizer("sgd", STILL), task="generation")
    expected = 784 * math.log(2) + 3 * ((4 + math.e**2 - 1) / 2 - 1)
    assert recorded(result, "loss") == pytest.approx([expected] * 2, rel=1e-4)
    assert recorded(result, "val_loss") == pytest.approx([expected] * 2, rel=1e-4)
    assert set(result.history[0]) == {"loss", "val_loss", "learning_rate"}


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
