import numpy as np
import pytest

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.noise import choose_corruption, describe_noise
from mnist_flow.data.noise.gaussian import add_noise as add_gaussian
from mnist_flow.data.noise.salt_and_pepper import add_noise as add_salt_and_pepper
from mnist_flow.metrics.robustness import list_noise_conditions

IMAGES = np.full((200, 28, 28, 1), 0.5, dtype=np.float32)


@pytest.fixture
def noise_of(compose_config):
    return lambda *overrides: validate_config(compose_config(*overrides), TrainConfig).noise


def test_no_noise_is_no_function(noise_of):
    assert choose_corruption(noise_of("noise=none")) is None
    assert describe_noise(noise_of("noise=none")) == "no noise"


def test_one_strength_is_that_of_every_image(noise_of):
    salt = noise_of("noise=salt_and_pepper", "noise.level=0.3")
    gaussian = noise_of("noise=gaussian", "noise.stddev=0.2")
    for config, add, strength in ((salt, add_salt_and_pepper, 0.3), (gaussian, add_gaussian, 0.2)):
        np.testing.assert_array_equal(
            choose_corruption(config)(IMAGES, np.random.default_rng(1)), add(IMAGES, strength, np.random.default_rng(1))
        )
    assert (describe_noise(salt), describe_noise(gaussian)) == ("level 0.3", "stddev 0.2")


def test_a_range_gives_each_image_its_own_level(noise_of):
    config = noise_of("noise=salt_and_pepper", "noise.level=0.8", "noise.min_level=0.2")
    noisy = choose_corruption(config)(IMAGES, np.random.default_rng(0))
    shares = np.mean(noisy != 0.5, axis=(1, 2, 3))
    # Four standard deviations of a share of 784 pixels are at most 0.071.
    assert 0.2 - 0.071 < shares.min() < 0.25
    assert 0.75 < shares.max() < 0.8 + 0.071
    # Uniform from 0.2 to 0.8: standard deviation 0.6/√12 = 0.173, and its error with 200 images.
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert np.std(shares) == pytest.approx(0.173, abs=0.02)
    assert describe_noise(config) == "level 0.2 to 0.8"


def test_a_range_of_gaussian_noise(noise_of):
    config = noise_of("noise=gaussian", "noise.stddev=0.5", "noise.min_stddev=0")
    spreads = np.std(choose_corruption(config)(IMAGES, np.random.default_rng(0)), axis=(1, 2, 3))
    assert spreads.min() < 0.02
    assert 0.45 < spreads.max() < 0.55


def test_conditions_are_of_the_configs_kind(noise_of):
    salt, column = list_noise_conditions(noise_of("noise=none"), [0.0, 0.4])
    assert ([one.columns for one in salt], column) == ([{"level": 0.0, "draw": 0}, {"level": 0.4, "draw": 0}], "level")
    gaussian, column = list_noise_conditions(noise_of("noise=gaussian"), [0.4])
    assert ([one.columns for one in gaussian], column) == ([{"stddev": 0.4, "draw": 0}], "stddev")
    assert np.std(gaussian[0].transform(IMAGES)) == pytest.approx(0.4, abs=0.01)
