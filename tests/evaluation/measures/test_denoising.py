"""The measure on networks whose answers are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.data.noise.salt_and_pepper import add_noise
from mnist_flow.evaluation.measures import denoising
from mnist_flow.evaluation.subject import Subject

# Two images a digit; digit k is k white rows.
LABELS = np.repeat(np.arange(10), 2)
PARTNER = {"run_id": None, "experiment_name": "denoisers", "filter": None, "choose": "best"}


@pytest.fixture
def data_set() -> DataSet:
    images = np.zeros((20, 28, 28, 1), np.float32)
    for image, label in zip(images, LABELS, strict=True):
        image[:label] = 1
    part = Images(images, LABELS)
    return DataSet("rows", "here", "0" * 16, (28, 28, 1), tuple("0123456789"), part, part)


def count_rows(images):
    """A classifier that is right as long as an image holds no noise: full rows are counted, and any grey or lone pixel
    makes it predict 0."""
    full = np.all(images == 1, axis=(2, 3)).sum(axis=1)
    clean = np.all((images == 0).all(axis=(2, 3)) | (images == 1).all(axis=(2, 3)), axis=1)
    return np.eye(10, dtype=np.float32)[np.where(clean, np.minimum(full, 9), 0)]


def measure(data_set, denoise, **settings):
    options = {"noise": "salt_and_pepper", "levels": [0.0, 0.5], "draws": 2, "seed": 0, "quality_images": 20}
    config = denoising.Config(**options | {"shown_levels": [0.0, 0.32], "denoiser": PARTNER} | settings)
    classifier = SimpleNamespace(predict=count_rows, label="counter")
    denoiser = SimpleNamespace(predict=denoise, label="perfect")
    return denoising.measure("denoising", config, Subject(classifier, data_set, {"denoiser": denoiser}))


def restore(data_set):
    """A denoiser that knows the clean images: the images come in the order of the data set, or are the shown ones."""

    def denoise(images):
        return data_set.test.images if len(images) == 20 else data_set.test.images[::2]

    return denoise


def test_a_perfect_denoiser_gives_back_what_noise_took(data_set):
    result = measure(data_set, restore(data_set))
    table = result.tables["tables/denoising.json"]
    recalls = table.groupby(["level", "input"])["macro_recall"].mean()
    # The median turns the upper corners of white rows black, so that only the images without any are still known.
    assert recalls[0.0].to_dict() == {"denoised": 1.0, "median_3x3": pytest.approx(0.1), "noisy": 1.0}
    # With noise on half of the pixels every image is taken for a 0: one digit of ten is found.
    assert recalls[0.5, "noisy"] == pytest.approx(0.1)
    assert recalls[0.5, "denoised"] == 1.0
    noisy = table[(table["level"] == 0.5) & (table["input"] == "noisy")].iloc[0]
    assert [noisy[f"recall_{digit}"] for digit in range(10)] == [1.0] + [0.0] * 9
    assert (noisy["n"], noisy["denoiser"], noisy["accuracy"]) == (20, "", pytest.approx(0.1))
    assert set(table.loc[table["input"] == "denoised", "denoiser"]) == {"perfect"}
    assert set(table.loc[table["input"] == "denoised", "psnr"]) == {np.inf}
    assert result.metrics["denoised_macro_recall_at_level_0.5"] == 1.0
    assert result.metrics["noisy_macro_recall_at_level_0.5"] == pytest.approx(0.1)


def test_every_level_and_draw_has_a_row_of_each_input_and_its_quality(data_set):
    """The denoiser paints all grey; noise and median are made again here."""
    table = measure(data_set, lambda x: np.full_like(x, 0.5), quality_images=6).tables["tables/denoising.json"]
    expected, x = [], data_set.test.images[:6]
    for level in (0.0, 0.5):
        for draw in (0, 1):
            noisy = add_noise(data_set.test.images, level, np.random.default_rng((0, draw)))[:6]
            padded = np.pad(noisy[..., 0], ((0, 0), (1, 1), (1, 1)))
            median = np.median(sliding_window_view(padded, (3, 3), axis=(1, 2)), axis=(3, 4))[..., None]
            for method, made in (("noisy", noisy), ("median_3x3", median), ("denoised", np.full_like(x, 0.5))):
                with np.errstate(divide="ignore"):
                    psnr = -10 * np.log10(np.mean((x - made) ** 2, axis=(1, 2, 3), dtype=np.float64))
                expected.append((level, draw, method, psnr.mean()))
    assert list(table[["level", "draw", "input"]].itertuples(index=False, name=None)) == [row[:3] for row in expected]
    np.testing.assert_allclose(table["psnr"], [row[3] for row in expected], rtol=1e-5)
    unchanged = (table["level"] == 0) & (table["input"] == "noisy")
    assert table.loc[unchanged, "ssim"].tolist() == [1.0, 1.0]
    assert table.loc[~unchanged, "ssim"].max() < 0.99


def test_gaussian_noise_is_measured_by_its_standard_deviation(data_set):
    table = measure(data_set, lambda images: images, noise="gaussian").tables["tables/denoising.json"]
    assert sorted(set(table["stddev"])) == [0.0, 0.5]
    assert "level" not in table


def test_the_pictures_are_one_image_of_each_digit_at_the_levels_to_be_shown(data_set):
    arrays = measure(data_set, restore(data_set)).arrays["samples/denoised.npz"]
    assert arrays["original"].shape == (10, 28, 28, 1)
    np.testing.assert_array_equal(arrays["levels"], np.float32([0.0, 0.32]))
    np.testing.assert_array_equal(arrays["noisy"][0], arrays["original"])
    changed = np.mean(arrays["noisy"][1] != arrays["original"])
    # Half of the replaced pixels keep their value: 0.16, four standard deviations of 7,840 pixels are 0.017.
    assert changed == pytest.approx(0.16, abs=0.017)
    np.testing.assert_array_equal(arrays["denoised"][1], arrays["original"])
    assert str(arrays["denoiser"]) == "perfect"
    inverted = measure(data_set, lambda x: 1 - x).arrays["samples/denoised.npz"]
    np.testing.assert_array_equal(inverted["denoised"], 1 - arrays["noisy"])


def test_the_summary_shows_the_level_nearest_to_one_half():
    metrics = {
        f"{which}_macro_recall_at_level_{level}": level for which in ("noisy", "denoised") for level in (0, 0.4, 1)
    }
    assert denoising.summarise("denoising", metrics) == {"noisy recall at 0.4": 0.4, "denoised recall at 0.4": 0.4}


def test_the_commands_table_has_the_recalls_at_the_level_nearest_to_one_half():
    metrics = {
        f"{method}_macro_recall_{level}": value
        for value, (method, level) in enumerate(
            (method, level) for method in ("noisy", "median_3x3", "denoised") for level in ("0", "0.4", "1")
        )
    }
    assert denoising.summarise("denoising", metrics) == {"noisy recall at 0.4": 1, "denoised recall at 0.4": 7}
