import numpy as np
import pytest

from mnist_flow.data.transforms import DIRECTIONS, rotate_images, shift_images

GRID = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=np.float32)


def as_images(*grids: np.ndarray) -> np.ndarray:
    return np.stack(grids)[..., None]


def shift(dx: int, dy: int, fill: str) -> list[list[float]]:
    return shift_images(as_images(GRID), dx, dy, fill)[0, :, :, 0].tolist()


@pytest.mark.parametrize(
    ("direction", "wrapped", "zero_filled"),
    [
        ("right", [[3, 1, 2], [6, 4, 5], [9, 7, 8]], [[0, 1, 2], [0, 4, 5], [0, 7, 8]]),
        ("left", [[2, 3, 1], [5, 6, 4], [8, 9, 7]], [[2, 3, 0], [5, 6, 0], [8, 9, 0]]),
        ("up", [[4, 5, 6], [7, 8, 9], [1, 2, 3]], [[4, 5, 6], [7, 8, 9], [0, 0, 0]]),
        ("down", [[7, 8, 9], [1, 2, 3], [4, 5, 6]], [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),
        ("up_right", [[6, 4, 5], [9, 7, 8], [3, 1, 2]], [[0, 4, 5], [0, 7, 8], [0, 0, 0]]),
        ("up_left", [[5, 6, 4], [8, 9, 7], [2, 3, 1]], [[5, 6, 0], [8, 9, 0], [0, 0, 0]]),
        ("down_right", [[9, 7, 8], [3, 1, 2], [6, 4, 5]], [[0, 0, 0], [0, 1, 2], [0, 4, 5]]),
        ("down_left", [[8, 9, 7], [2, 3, 1], [5, 6, 4]], [[0, 0, 0], [2, 3, 0], [5, 6, 0]]),
    ],
)
def test_one_pixel_in_each_direction(direction, wrapped, zero_filled):
    dx, dy = DIRECTIONS[direction]
    assert shift(dx, dy, "wrap") == wrapped
    assert shift(dx, dy, "zero") == zero_filled


def test_every_direction_was_tried():
    assert len(DIRECTIONS) == 8


@pytest.mark.parametrize("fill", ["wrap", "zero"])
def test_no_pixels_change_nothing(fill):
    assert shift(0, 0, fill) == GRID.tolist()


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (-4, 0), (0, 3), (0, -5)])
def test_an_image_that_has_left_is_black(dx, dy):
    assert shift(dx, dy, "zero") == np.zeros((3, 3)).tolist()


def test_wrapping_around_once_is_the_image_again():
    assert shift(3, -3, "wrap") == GRID.tolist()


@pytest.mark.parametrize("fill", ["wrap", "zero"])
def test_each_image_moves_by_its_own_axes_and_the_input_stays(fill):
    images = as_images(GRID, 10 * GRID)
    before = images.copy()
    moved = shift_images(images, 1, -1, fill)
    np.testing.assert_array_equal(moved[1], 10 * moved[0])
    np.testing.assert_array_equal(images, before)
    assert moved.dtype == np.float32
    assert moved.shape == (2, 3, 3, 1)


def test_an_unknown_fill_is_told():
    with pytest.raises(ValueError, match="fill=mirror: must be wrap or zero"):
        shift(1, 0, "mirror")


@pytest.mark.parametrize("degrees", [90, 180, -90, 270])
def test_quarter_turns_are_exact_and_counter_clockwise(degrees):
    turned = rotate_images(as_images(GRID), degrees)
    np.testing.assert_array_equal(turned[0, :, :, 0], np.rot90(GRID, degrees // 90))


def test_no_degrees_change_nothing():
    images = np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32)
    turned = rotate_images(images, 0.0)
    np.testing.assert_array_equal(turned, images)
    assert turned.dtype == np.float32


def test_an_eighth_of_a_turn_is_bilinear_with_zeros_moving_in():
    # (0, 1) is read at distance 1 up and to the right of the centre: row 1 - √½, column 1 + √½, among 2 3 5 6; the
    # corners are read outside.
    inside = np.sqrt(0.5)
    expected = 2 * inside * (1 - inside) + 3 * inside**2 + 5 * (1 - inside) ** 2 + 6 * inside * (1 - inside)
    turned = rotate_images(as_images(GRID), 45)[0, :, :, 0]
    assert turned[0, 1] == pytest.approx(expected, abs=1e-6)
    assert turned[1, 1] == 5
    assert turned[0, 0] == turned[0, 2] == turned[2, 0] == turned[2, 2] == 0
