import numpy as np
import pytest

from mnist_flow.metrics.robustness import (
    Condition,
    list_gaussian,
    list_rotations,
    list_salt_and_pepper,
    list_shifts,
    measure_conditions,
)

MEASURES = ["n", "accuracy", "standard_error", "macro_recall", "cross_entropy"]


@pytest.fixture
def images():
    return np.random.default_rng(0).random((20, 28, 28, 1), dtype=np.float32)


def test_shifts_are_listed_with_the_unmoved_images_once_a_fill():
    conditions = list_shifts(2, ["right", "up_left"], ["wrap", "zero"])
    assert [tuple(one.columns.values()) for one in conditions] == [
        (direction, pixels, dx, dy, fill)
        for fill in ("wrap", "zero")
        for direction, pixels, dx, dy in [
            ("none", 0, 0, 0),
            ("right", 1, 1, 0),
            ("right", 2, 2, 0),
            ("up_left", 1, -1, -1),
            ("up_left", 2, -2, -2),
        ]
    ]
    assert list(conditions[0].columns) == ["direction", "pixels", "dx", "dy", "fill"]


def test_a_listed_shift_moves_as_its_columns_say(images):
    wrap, zero = list_shifts(1, ["right"], ["wrap", "zero"])[1::2]
    np.testing.assert_array_equal(wrap.transform(images), np.roll(images, 1, axis=2))
    assert not zero.transform(images)[:, :, 0].any()


def test_an_unknown_direction_is_told():
    with pytest.raises(ValueError, match="direction=north: must be one of right left up down"):
        list_shifts(1, ["north"], ["wrap"])


@pytest.mark.parametrize(
    ("make", "column"),
    [(list_gaussian, "stddev"), (list_salt_and_pepper, "level")],
    ids=["gaussian", "salt_and_pepper"],
)
def test_noise_is_listed_by_level_and_draw_and_repeatable(images, make, column):
    conditions = make([0.0, 0.5], draws=2, seed=3)
    expected = [{column: level, "draw": draw} for level in (0.0, 0.5) for draw in (0, 1)]
    assert [one.columns for one in conditions] == expected
    unchanged, _, first, second = [one.transform(images) for one in conditions]
    np.testing.assert_array_equal(unchanged, images)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(make([0.5], draws=1, seed=3)[0].transform(images), first)
    assert not np.array_equal(make([0.5], draws=1, seed=4)[0].transform(images), first)


def test_a_draw_of_gaussian_noise_is_the_same_at_every_level(images):
    weak, strong = (one.transform(images) - images for one in list_gaussian([0.25, 0.5], draws=1, seed=0))
    np.testing.assert_allclose(strong, 2 * weak, atol=1e-6)


def test_rotations_are_listed(images):
    conditions = list_rotations([-90.0, 0.0])
    assert [one.columns for one in conditions] == [{"degrees": -90.0}, {"degrees": 0.0}]
    np.testing.assert_array_equal(conditions[1].transform(images), images)


def predict_brightness(images):
    """A classifier that knows white from black: `1` for images of ones, else `0`; sure to 80 %."""
    white = images.reshape(len(images), -1).mean(axis=1) > 0.5
    probabilities = np.zeros((len(images), 10), dtype=np.float32)
    probabilities[np.arange(len(images)), white.astype(int)] = 0.8
    probabilities[np.arange(len(images)), 1 - white.astype(int)] = 0.2
    return probabilities


CONDITIONS = [
    Condition({"level": 0.0, "draw": 0}, lambda images: images),
    Condition({"level": 1.0, "draw": 0}, np.zeros_like),
]


def test_conditions_are_measured_against_literals():
    images = np.stack([np.zeros((28, 28, 1)), *[np.ones((28, 28, 1))] * 3]).astype(np.float32)
    table = measure_conditions(CONDITIONS, images, np.array([0, 1, 1, 1]), predict_brightness)
    assert list(table) == ["level", "draw", *MEASURES]
    assert table["n"].tolist() == [4, 4]
    assert table["accuracy"].tolist() == [1.0, 0.25]
    np.testing.assert_allclose(table["standard_error"], [0, np.sqrt(0.25 * 0.75 / 4)])
    # All zeros and no one is found; the digits that are not there do not count.
    assert table["macro_recall"].tolist() == [1.0, 0.5]
    np.testing.assert_allclose(table["cross_entropy"], [-np.log(0.8), -(np.log(0.8) + 3 * np.log(0.2)) / 4], rtol=1e-6)
