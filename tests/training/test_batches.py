from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from fitting import BATCH, STILL, fit, measure
from mnist_flow.data.augmentation.shift import draw_shifts
from mnist_flow.data.dataset import Images
from mnist_flow.data.noise.salt_and_pepper import add_noise as add_salt_and_pepper
from mnist_flow.tasks.classification import TASK as CLASSIFICATION
from mnist_flow.training.batches import SameImages, build_batches, build_validation
from mnist_flow.training.optimizers import build_optimizer, count_steps
from mnist_flow.training.settings import ImageChanges
from mnist_flow.training.streams import build_noise_rng, build_transform_rng


def read_epoch(images, epoch, seed=0, batch_size=16, targets=None, **changes):
    """All batches of one epoch as lists of arrays: images, targets (the labels, if none are given)."""
    targets = images.one_hot(10) if targets is None else targets
    epochs = range(epoch, epoch + 1)
    dataset = build_batches(images.images, targets, batch_size, seed, epochs, ImageChanges(**changes))
    x, y = zip(*((x.numpy(), y.numpy()) for x, y in dataset), strict=True)
    return list(x), list(y)


def season(images, rng):
    return add_salt_and_pepper(images, 0.4, rng)


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


@pytest.mark.parametrize(
    ("change", "build_rng"),
    [("augment_images", build_transform_rng), ("corrupt", build_noise_rng)],
)
def test_what_is_drawn_for_a_batch_is_keyed_by_seed_epoch_and_batch(numbered, change, build_rng):
    drawn = []

    def note(images, rng):
        drawn.append(rng.random())
        return images

    read_epoch(numbered, 5, seed=7, **{change: note})
    assert sorted(drawn) == sorted(build_rng(7, 5, batch).random() for batch in range(4))


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


def test_images_are_augmented_in_numpy_anew_in_each_epoch(train):
    def darken(images, rng):
        return images * rng.uniform(0.1, 0.9, (len(images), 1, 1, 1)).astype(np.float32)

    first, again, later = (np.concatenate(read_epoch(train, k, augment_images=darken)[0]) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    clean = np.concatenate(read_epoch(train, 0)[0])
    shares = first.sum(axis=(1, 2, 3)) / clean.sum(axis=(1, 2, 3))
    assert np.all((shares > 0.09) & (shares < 0.91))
    assert len(np.unique(shares)) == len(train)
    assert {image.tobytes() for image in first}.isdisjoint(image.tobytes() for image in later)


def test_each_image_has_its_own_shift(train):
    ones = Images(np.ones_like(train.images), train.labels)
    x = np.concatenate(read_epoch(ones, 0, draw_transforms=lambda n, rng: draw_shifts(n, 5, rng))[0])
    assert len({image.tobytes() for image in x}) > 30


@pytest.mark.parametrize(
    "options",
    [
        {"corrupt": lambda images, rng: 1 - images},
        {"draw_transforms": lambda n, rng: draw_shifts(n, 9, rng)},
        {"augment_images": lambda images, rng: 1 - images},
    ],
    ids=["noise", "augmentation", "augmentation_in_numpy"],
)
def test_validation_images_stay_as_they_are(train, validation, options):
    before = validation.images.copy()
    model, result = fit(train, validation, **options)
    assert np.array_equal(validation.images, before)
    assert result.history[-1]["val_loss"] == measure(model, validation)["loss"]


def test_an_epoch_takes_the_counted_steps(train, validation):
    optimizer = build_optimizer("sgd", 0.1)
    fit(train, validation, optimizer=optimizer, epochs=3)
    assert int(optimizer.iterations) == 3 * count_steps(len(train), BATCH) == 12


def read_blocks(images, epoch, batch_size, steps):
    """What an epoch hands to TensorFlow: images done after each block, and the blocks of image numbers."""
    learner = SimpleNamespace(jit_compile=False)
    trainer = SameImages(learner, CLASSIFICATION.pair, images.images, images.images, batch_size, steps, 0)
    blocks = []
    trainer._train_block = lambda inputs, targets, rows: blocks.append(rows.numpy()) or {}
    return [done for done, _ in trainer.train_epoch(epoch)], blocks


def test_an_epoch_moves_the_numbers_of_its_images_and_no_image(numbered):
    for epoch in (1, 2):
        done, blocks = read_blocks(numbered, epoch, 16, 2)
        assert done == [32, 48, 50]
        assert [block.shape for block in blocks] == [(2, 16), (1, 16), (1, 2)]
        assert sum(block.nbytes for block in blocks) == 400
        numbers = np.concatenate([block.ravel() for block in blocks]).tolist()
        assert numbers == read_numbers(read_epoch(numbered, epoch)[0])


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
    images = Images(np.zeros((n_images, 1, 1, 1), np.float32), np.zeros(n_images, np.int64))
    done, blocks = read_blocks(images, 0, batch_size, 4)
    assert [block.shape for block in blocks] == shapes
    assert done == images_done


def test_several_epochs_are_one_iteration(numbered):
    """Setting up the functions of an iteration takes milliseconds, as much as a small network's steps."""
    dataset = build_batches(
        numbered.images, numbered.labels[:, None].astype(np.float32), 16, 0, range(2), ImageChanges()
    )
    numbers = read_numbers([x.numpy() for x, _ in dataset])
    assert numbers == [number for epoch in range(2) for number in read_numbers(read_epoch(numbered, epoch)[0])]


def test_no_iteration_is_autotuned(numbered):
    """Its end might wait for the tuner's next look, which may be as far off as its start."""
    dataset = build_batches(numbered.images, numbered.images, 16, 0, range(1), ImageChanges())
    assert dataset.options().autotune.enabled is False


@pytest.mark.parametrize(("n_rows", "batches"), [(4, [4]), (10, [10]), (20, [10, 10]), (25, [10, 10, 5])])
def test_what_is_measured_comes_in_order(n_rows, batches):
    rows = np.arange(n_rows * 2, dtype=np.float32).reshape(n_rows, 2)
    seen = []

    def keep(one, other, targets):
        seen.append((one, other, targets))
        return np.float32(0)

    class Learner:
        jit_compile = False

        def reset_metrics(self):
            seen.clear()

        def test_step(self, batch):
            (one, other), targets = batch
            self.done = tf.numpy_function(keep, [one, other, targets], tf.float32)

        def get_metrics_result(self):
            return {"loss": self.done}

    validate = build_validation(Learner(), ((rows, rows + 1), rows + 2), 10)
    for _ in range(2):
        assert validate() == {"loss": 0.0}
        assert [len(targets) for _, _, targets in seen] == batches
        for number, joined in enumerate(zip(*seen, strict=True)):
            assert np.array_equal(np.concatenate(joined), rows + number)


def test_noise_is_on_the_input_and_the_target_is_clean(train):
    x, y = read_epoch(train, 0, corrupt=season, targets=train.images)
    x, y = np.concatenate(x), np.concatenate(y)
    assert np.mean(x != y) > 0.1
    assert {image.tobytes() for image in y} == {image.tobytes() for image in train.images}


@pytest.mark.parametrize(
    "changes",
    [
        {"draw_transforms": lambda n, rng: draw_shifts(n, 9, rng)},
        {"augment_images": lambda images, rng: images[:, ::-1] * rng.random(dtype=np.float32)},
    ],
    ids=["transforms", "images"],
)
def test_a_target_that_is_an_image_moves_with_its_input(train, changes):
    x, y = read_epoch(train, 0, targets=train.images, **changes)
    np.testing.assert_array_equal(np.concatenate(x), np.concatenate(y))
    assert {image.tobytes() for image in np.concatenate(y)} != {image.tobytes() for image in train.images}
