import keras
import numpy as np
import pytest
from scipy import ndimage

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.augmentation import choose_augmentation, choose_transforms
from mnist_flow.data.augmentation.affine import draw_affine_transforms
from mnist_flow.data.augmentation.elastic import deform_images, draw_displacements
from mnist_flow.data.augmentation.shift import draw_shifts

SIZE = (10, 20)


class Highest(np.random.Generator):
    """A generator that always draws the upper end of the range, so that the transform is known."""

    def __init__(self):
        super().__init__(np.random.PCG64(0))

    def uniform(self, low=0.0, high=1.0, size=None):
        return np.full(size, high)


def transform(images: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Apply transforms as the training does."""
    moved = keras.ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="constant")
    return np.asarray(moved)


def bright_pixel(x: int, y: int, n: int = 1) -> np.ndarray:
    """Black images with one white pixel, x to the right and y down."""
    images = np.zeros((n, 28, 28, 1), np.float32)
    images[:, y, x] = 1
    return images


def test_shifts_move_a_pixel_by_whole_pixels():
    transforms = draw_shifts(50, 3, np.random.default_rng(0))
    moved = transform(bright_pixel(10, 20, n=50), transforms)
    for image, shift in zip(moved, -transforms[:, [2, 5]], strict=True):
        dx, dy = shift.astype(int)
        np.testing.assert_array_equal(image, bright_pixel(10 + dx, 20 + dy)[0])


def test_shift_of_known_direction():
    """An output pixel is read a2 to the right and b2 further down: minus the shift."""
    right_and_up = np.array([[1, 0, -2, 0, 1, 3, 0, 0]], np.float32)
    np.testing.assert_array_equal(transform(bright_pixel(10, 20), right_and_up), bright_pixel(12, 17))


def test_shifts_move_zeros_in():
    transforms = draw_shifts(50, 3, np.random.default_rng(0))
    moved = transform(np.ones((50, 28, 28, 1), np.float32), transforms)
    for image, (dx, dy) in zip(moved, -transforms[:, [2, 5]], strict=True):
        assert image.sum() == (28 - abs(dx)) * (28 - abs(dy))
        assert set(np.unique(image)) <= {0, 1}


def test_shifts_reach_both_ends_equally_often():
    transforms = draw_shifts(7000, 3, np.random.default_rng(0))
    for column in (2, 5):
        values, counts = np.unique(transforms[:, column], return_counts=True)
        assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
        # Each is expected 1,000 times; four standard deviations are 117.
        assert np.all(np.abs(counts - 1000) < 117)


def test_shifts_along_the_axes_are_independent():
    dx, dy = draw_shifts(7000, 3, np.random.default_rng(0))[:, [2, 5]].T
    assert np.corrcoef(dx, dy)[0, 1] == pytest.approx(0, abs=0.05)


def test_shift_of_at_most_0_pixels_is_the_identity():
    np.testing.assert_array_equal(draw_shifts(3, 0, np.random.default_rng(0)), [[1, 0, 0, 0, 1, 0, 0, 0]] * 3)


def test_affine_of_all_zero_ranges_is_the_identity():
    transforms = draw_affine_transforms(3, 0, 0, 0, (28, 28), np.random.default_rng(0))
    np.testing.assert_array_equal(transforms, [[1, 0, 0, 0, 1, 0, 0, 0]] * 3)
    images = np.random.default_rng(1).random((3, 28, 28, 1), dtype=np.float32)
    np.testing.assert_array_equal(transform(images, transforms), images)


@pytest.mark.parametrize(
    ("degrees", "expected"),
    # About the centre (13.5, 13.5): (20, 10) lies 6.5 right of it and 3.5 above. A quarter turn clockwise carries
    # right to down and up to right.
    [(90, (17, 20)), (180, (7, 17))],
)
def test_rotation_is_clockwise_about_the_centre(degrees, expected):
    transforms = draw_affine_transforms(1, degrees, 0, 0, (28, 28), Highest())
    np.testing.assert_allclose(transform(bright_pixel(20, 10), transforms), bright_pixel(*expected), atol=1e-4)


def test_rotation_by_30_degrees_moves_the_centre_of_mass():
    image = np.zeros((1, 28, 28, 1), np.float32)
    image[:, 13:15, 20:24] = 1  # centre of mass (21.5, 13.5), 8 pixels right of the centre
    turned = transform(image, draw_affine_transforms(1, 30, 0, 0, (28, 28), Highest()))[0, :, :, 0]
    y, x = np.mgrid[:28, :28]
    # 8 cos 30° = 6.928 right and 8 sin 30° = 4 down.
    assert np.average(x, weights=turned) == pytest.approx(13.5 + 6.928, abs=0.05)
    assert np.average(y, weights=turned) == pytest.approx(13.5 + 4.0, abs=0.05)


def test_affine_shift_is_a_share_of_the_width():
    transforms = draw_affine_transforms(1, 0, 0, 0.25, (28, 28), Highest())
    np.testing.assert_allclose(transform(bright_pixel(10, 12), transforms), bright_pixel(17, 19), atol=1e-4)


def test_rotation_comes_before_the_shift():
    transforms = draw_affine_transforms(1, 90, 0, 0.25, (28, 28), Highest())
    np.testing.assert_allclose(transform(bright_pixel(10, 10), transforms), bright_pixel(17 + 7, 10 + 7), atol=1e-4)


def test_zoom_above_1_enlarges_about_the_centre():
    image = np.zeros((1, 28, 28, 1), np.float32)
    image[:, 10:18, 10:18] = 1
    zoomed = transform(image, draw_affine_transforms(1, 0, 0.5, 0, (28, 28), Highest()))[0, :, :, 0]
    # 8 × 8 pixels become 12 × 12; the corners are left to the interpolation.
    assert np.all(zoomed[9:19, 9:19] == 1)
    assert zoomed[:7].sum() == zoomed[21:].sum() == zoomed[:, :7].sum() == zoomed[:, 21:].sum() == 0
    assert zoomed.sum() == pytest.approx(144, rel=0.02)


def test_the_centre_and_the_shift_of_an_image_follow_its_height_and_width():
    """In an image 10 high and 20 wide a half turn about (9.5, 4.5); a quarter of the sides is 5 right and 2.5 down."""
    image = np.zeros((1, 10, 20, 1), np.float32)
    image[:, 2, 3] = 1
    turned = transform(image, draw_affine_transforms(1, 180, 0, 0, (10, 20), Highest()))
    np.testing.assert_allclose(np.argwhere(turned[0, :, :, 0] > 0.99), [[7, 16]])
    moved = draw_affine_transforms(1, 0, 0, 0.25, (10, 20), Highest())
    np.testing.assert_allclose(moved, [[1, 0, -5, 0, 1, -2.5, 0, 0]])


def test_a_config_is_drawn_from_as_it_says(compose_config):
    for name, expected in (
        (
            "affine",
            lambda config, rng: draw_affine_transforms(9, config.rotation, config.zoom, config.shift, SIZE, rng),
        ),
        ("shift", lambda config, rng: draw_shifts(9, config.max_pixels, rng)),
    ):
        config = validate_config(compose_config(f"augmentation={name}"), TrainConfig).augmentation
        draw = choose_transforms(config, SIZE)
        assert draw is not None
        np.testing.assert_array_equal(draw(9, np.random.default_rng(5)), expected(config, np.random.default_rng(5)))
    assert choose_transforms(validate_config(compose_config(), TrainConfig).augmentation, SIZE) is None


def test_affine_ranges_are_uniform_to_both_ends():
    a0, a1, _, b0, b1, *_ = draw_affine_transforms(4000, 10, 0.1, 0, (28, 28), np.random.default_rng(0)).T
    degrees = np.rad2deg(np.arctan2(a1, a0))
    scale = 1 / np.hypot(a0, a1)
    for values, low, high in ((degrees, -10, 10), (scale, 0.9, 1.1)):
        assert low <= values.min() + 1e-5
        assert values.max() - 1e-5 <= high
        quartiles = (np.quantile(values, [0, 0.25, 0.5, 0.75, 1]) - low) / (high - low)
        np.testing.assert_allclose(quartiles, [0, 0.25, 0.5, 0.75, 1], atol=0.03)
    np.testing.assert_allclose([b1, -b0], [a0, a1])  # no shear, one scale for both axes


def test_affine_shifts_are_uniform_to_both_ends():
    transforms = draw_affine_transforms(4000, 0, 0, 0.1, (28, 28), np.random.default_rng(0))
    for offset in (transforms[:, 2], transforms[:, 5]):
        assert np.abs(offset).max() <= 2.8
        np.testing.assert_allclose(np.quantile(offset, [0, 0.25, 0.5, 0.75, 1]), [-2.8, -1.4, 0, 1.4, 2.8], atol=0.15)


@pytest.mark.parametrize(
    "draw", [lambda rng: draw_shifts(20, 3, rng), lambda rng: draw_affine_transforms(20, 10, 0.1, 0.1, (28, 28), rng)]
)
def test_transforms_come_from_the_generator_alone(draw):
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (first.shape, first.dtype) == ((20, 8), np.float32)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_displacements_are_smoothed_noise():
    """As Simard et al. say: uniform in -1 to 1 for each pixel and axis, a Gaussian of sigma, times alpha."""
    fields = draw_displacements(3, 34, 4, SIZE, np.random.default_rng(0))
    drawn = 2 * np.random.default_rng(0).random((3, 2, *SIZE), dtype=np.float32) - 1
    expected = 34 * ndimage.gaussian_filter(drawn, 4, axes=(2, 3))
    np.testing.assert_allclose(fields, expected, atol=1e-4)
    assert (fields.shape, fields.dtype) == ((3, 2, *SIZE), np.float32)


def test_displacements_of_sigma_4_are_about_alpha_over_25():
    fields = draw_displacements(500, 25, 4, (28, 28), np.random.default_rng(0))
    assert np.sqrt(np.mean(fields[:, :, 8:20, 8:20] ** 2)) == pytest.approx(1, abs=0.05)


def test_deformed_pixels_are_read_at_their_displacements():
    displacements = np.zeros((1, 2, 28, 28), np.float32)
    displacements[:, 0, 20, 10], displacements[:, 1, 20, 10] = 5, -4
    deformed = deform_images(bright_pixel(6, 25), draw_shifts(1, 0, np.random.default_rng(0)), displacements)
    # The white pixel is seen where it is, and from (10, 20), too, which looks 4 to the left and 5 down.
    np.testing.assert_array_equal(deformed, bright_pixel(6, 25) + bright_pixel(10, 20))


def test_between_pixels_an_image_is_interpolated():
    still = draw_shifts(1, 0, np.random.default_rng(0))
    quarter = np.broadcast_to(np.float32([[[[0.25]], [[0.5]]]]), (1, 2, 28, 28))
    deformed = deform_images(bright_pixel(10, 20), still, quarter)[0, :, :, 0]
    np.testing.assert_allclose(deformed[19:21, 9:11], [[0.125, 0.125], [0.375, 0.375]], atol=1e-6)
    assert deformed.sum() == pytest.approx(1)


@pytest.mark.parametrize("channels", [1, 3])
def test_deforming_without_displacements_is_the_affine_transform(channels):
    images = np.random.default_rng(1).random((20, 10, 14, channels), dtype=np.float32)
    transforms = draw_affine_transforms(20, 30, 0.2, 0.2, (10, 14), np.random.default_rng(0))
    deformed = deform_images(images, transforms, np.zeros((20, 2, 10, 14), np.float32))
    np.testing.assert_allclose(deformed, transform(images, transforms), atol=1e-4)


def test_deforming_reads_images_as_scipy_does():
    rng = np.random.default_rng(2)
    images = rng.random((5, *SIZE, 2), dtype=np.float32)
    displacements = draw_displacements(5, 200, 3, SIZE, rng)
    deformed = deform_images(images, draw_shifts(5, 0, rng), displacements)
    for image, places, result in zip(images, displacements + np.indices(SIZE), deformed, strict=True):
        for channel in range(2):
            read = ndimage.map_coordinates(image[..., channel], places, order=1, mode="grid-constant")
            np.testing.assert_allclose(result[..., channel], read, atol=1e-4)
    assert np.abs(displacements).max() > 5  # far enough to leave the image


def test_elastic_config_is_augmented_as_it_says(compose_config):
    config = validate_config(compose_config("augmentation=elastic"), TrainConfig).augmentation
    augment, images = choose_augmentation(config), np.random.default_rng(1).random((9, 28, 28, 1), dtype=np.float32)
    assert augment is not None
    assert choose_transforms(config, SIZE) is None
    rng = np.random.default_rng(5)
    transforms = draw_affine_transforms(9, config.rotation, config.zoom, config.shift, (28, 28), rng)
    expected = deform_images(images, transforms, draw_displacements(9, config.alpha, config.sigma, (28, 28), rng))
    np.testing.assert_array_equal(augment(images, np.random.default_rng(5)), expected)
    assert choose_augmentation(validate_config(compose_config("augmentation=affine"), TrainConfig).augmentation) is None
