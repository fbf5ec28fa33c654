import keras
import numpy as np
import pandas as pd
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mnist_flow.metrics.reconstruction import (
    compute_binary_cross_entropy,
    compute_psnr,
    compute_quality,
    compute_ssim,
    filter_median,
    measure_reconstruction,
)
from mnist_flow.metrics.robustness import list_gaussian, list_salt_and_pepper


@pytest.fixture
def clean() -> np.ndarray:
    return np.random.default_rng(0).random((6, 28, 28, 1), dtype=np.float32)


@pytest.fixture
def made(clean) -> np.ndarray:
    return np.clip(clean + np.float32(0.1) * np.random.default_rng(1).standard_normal(clean.shape), 0, 1).astype("f4")


def test_psnr_of_a_known_error(clean):
    """A constant error of 0.1 is a mean square of 0.01: 20 dB; of 0.01, 40 dB; and the mean is over the images."""
    assert compute_psnr(clean, clean + np.float32(0.1)) == pytest.approx(20, abs=1e-4)
    errors = np.array([0.1, 0.1, 0.1, 0.01, 0.01, 0.01], dtype=np.float32).reshape(6, 1, 1, 1)
    assert compute_psnr(clean, clean + errors) == pytest.approx(30, abs=1e-3)


def test_psnr_and_ssim_are_the_means_of_scikit_images(clean, made):
    pairs = list(zip(clean[..., 0], made[..., 0], strict=True))
    psnr = np.mean([peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs])
    ssim = np.mean([structural_similarity(a, b, data_range=1, win_size=7) for a, b in pairs])
    assert compute_psnr(clean, made) == pytest.approx(psnr, rel=1e-6)
    assert compute_ssim(clean, made) == pytest.approx(ssim, rel=1e-6)


def test_ssim_of_colour_images_is_the_mean_over_the_channels():
    rng = np.random.default_rng(0)
    clean = rng.random((2, 16, 12, 3), dtype=np.float32)
    made = np.clip(clean + np.array([0, 0.1, 0.4], np.float32) * rng.standard_normal(clean.shape, np.float32), 0, 1)
    of_channels = [compute_ssim(clean[..., [channel]], made[..., [channel]]) for channel in range(3)]
    assert of_channels[0] == 1 > of_channels[1] > of_channels[2]
    assert compute_ssim(clean, made) == pytest.approx(np.mean(of_channels), rel=1e-12)
    np.testing.assert_allclose(
        compute_ssim(clean, made),
        np.mean([structural_similarity(a, b, data_range=1, channel_axis=2) for a, b in zip(clean, made, strict=True)]),
        rtol=1e-6,
    )


def test_equal_images_have_no_error(clean):
    assert compute_psnr(clean, clean) == np.inf
    assert compute_ssim(clean, clean) == pytest.approx(1)


def test_binary_cross_entropy_is_that_of_keras(clean, made):
    # Keras's clipping of 0 and 1 is coarser, in float32.
    made = np.clip(made, 0.01, 0.99)
    expected = float(keras.losses.BinaryCrossentropy()(clean, made))
    assert compute_binary_cross_entropy(clean, made) == pytest.approx(expected, rel=1e-5)
    assert compute_binary_cross_entropy(np.ones((1, 28, 28, 1), "f4"), np.full((1, 28, 28, 1), 0.25, "f4")) == (
        pytest.approx(-np.log(0.25))
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pixels_that_are_certain_and_wrong_cost_a_bounded_loss(value):
    wrong, right = (np.full((1, 2, 2, 1), one, "f4") for one in (1 - value, value))
    assert compute_binary_cross_entropy(wrong, right) == pytest.approx(-np.log(1e-7))
    assert compute_binary_cross_entropy(right, right) == pytest.approx(1e-7)


def test_the_median_filter_takes_the_middle_of_nine_pixels_and_zeros_around_the_image():
    image = np.array([[9, 2, 3, 4], [5, 6, 7, 8], [1, 12, 11, 10], [16, 15, 14, 13]], np.float32)
    # At a corner five of the nine are zeros outside, at a side three.
    expected = [[0, 3, 3, 0], [2, 6, 7, 4], [5, 11, 11, 8], [0, 11, 11, 0]]
    np.testing.assert_array_equal(filter_median(image[None, :, :, None])[0, :, :, 0], expected)


def test_the_median_filter_is_three_pixels_wide():
    """A square of 3×3 pixels keeps all but its corners; a filter of 5×5 would remove it, of one pixel keep it all."""
    images = np.zeros((1, 28, 28, 1), np.float32)
    images[0, 10:13, 20:23] = 1
    kept = images.copy()
    kept[0, [10, 10, 12, 12], [20, 22, 20, 22]] = 0
    np.testing.assert_array_equal(filter_median(images), kept)


def test_the_median_filter_keeps_images_and_channels_apart():
    images = np.random.default_rng(0).random((3, 8, 6, 3), dtype=np.float32)
    filtered = filter_median(images)
    assert filtered.shape == images.shape
    for index in np.ndindex(3, 3):
        alone = images[index[0], :, :, index[1]][None, :, :, None]
        np.testing.assert_array_equal(filtered[index[0], :, :, index[1]], filter_median(alone)[0, :, :, 0])


def test_a_table_has_three_methods_a_condition(clean):
    table = measure_reconstruction(list_salt_and_pepper([0.0, 0.5], 2, seed=0), clean, lambda images: images * 0)
    assert list(table) == ["level", "draw", "method", "n", "psnr", "ssim"]
    assert table["method"].tolist() == ["noisy", "median_3x3", "denoised"] * 4
    assert set(table["n"]) == {6}
    unchanged = table[(table["level"] == 0) & (table["method"] == "noisy")]
    assert unchanged["psnr"].tolist() == [np.inf, np.inf]
    black = compute_psnr(clean, np.zeros_like(clean))
    assert table.loc[table["method"] == "denoised", "psnr"].tolist() == [pytest.approx(black)] * 4
    noisy = table[(table["level"] == 0.5) & (table["method"] == "noisy")]
    assert noisy["psnr"].iloc[0] != noisy["psnr"].iloc[1]


def test_a_row_is_about_the_image_that_its_method_made(clean):
    (condition,) = list_salt_and_pepper([0.3], 1, seed=0)
    noisy = condition.transform(clean)
    made = {"noisy": noisy, "median_3x3": filter_median(noisy), "denoised": np.sqrt(noisy)}
    table = measure_reconstruction([condition], clean, np.sqrt).set_index("method")
    for method, images in made.items():
        assert table.loc[method, "psnr"] == compute_psnr(clean, images)
        assert table.loc[method, "ssim"] == compute_ssim(clean, images)
    assert table["psnr"].nunique() == table["ssim"].nunique() == 3


def test_gaussian_noise_has_its_own_column(clean):
    table = measure_reconstruction(list_gaussian([0.1], 1, seed=0), clean, lambda images: images)
    assert "stddev" in table
    # 20 dB, but for the chance of 784 pixels an image.
    assert table["psnr"][0] == pytest.approx(20, abs=0.5)


def test_the_quality_is_the_mean_over_the_draws_of_what_was_denoised():
    table = pd.DataFrame(
        {
            "level": [0.0, 0.4, 0.4, 0.4],
            "method": ["denoised", "denoised", "denoised", "noisy"],
            "psnr": [np.inf, 10.0, 14.0, 5.0],
            "ssim": [1.0, 0.4, 0.6, 0.1],
        }
    )
    assert compute_quality(table, "level") == {
        "test_ssim_at_level_0": 1.0,
        "test_psnr_at_level_0.4": 12.0,
        "test_ssim_at_level_0.4": 0.5,
    }
