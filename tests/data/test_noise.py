import numpy as np
import pytest

from mnist_flow.data.noise.gaussian import add_noise as add_gaussian
from mnist_flow.data.noise.salt_and_pepper import add_noise as add_salt_and_pepper

SHAPE = (100, 28, 28, 1)


@pytest.fixture
def grey() -> np.ndarray:
    """78,400 pixels of 0.5: neither salt nor pepper."""
    return np.full(SHAPE, 0.5, dtype=np.float32)


@pytest.mark.parametrize(
    ("level", "n_pepper", "n_salt", "n_kept"),
    [(0.0, 0, 0, 78_400), (0.1, 3_968, 3_958, 70_474), (0.4, 15_741, 15_546, 47_113), (1.0, 39_191, 39_209, 0)],
)
def test_salt_and_pepper_counts_of_a_known_generator(grey, level, n_pepper, n_salt, n_kept):
    noisy = add_salt_and_pepper(grey, level, np.random.default_rng(0))
    assert [int(np.sum(noisy == value)) for value in (0, 1, 0.5)] == [n_pepper, n_salt, n_kept]


@pytest.mark.parametrize("level", [0.1, 0.4, 0.9, 1.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_salt_and_pepper_replaces_the_share_level_half_of_it_white(grey, level, seed):
    noisy = add_salt_and_pepper(grey, level, np.random.default_rng(seed))
    # Four standard deviations of a share of 78,400 independent pixels are at most 0.0072.
    assert np.mean(noisy == 0) == pytest.approx(level / 2, abs=0.0072)
    assert np.mean(noisy == 1) == pytest.approx(level / 2, abs=0.0072)


def test_salt_and_pepper_at_level_0_changes_nothing():
    images = np.random.default_rng(0).random((5, 28, 28, 1), dtype=np.float32)
    np.testing.assert_array_equal(add_salt_and_pepper(images, 0, np.random.default_rng(1)), images)


def test_salt_and_pepper_at_level_1_keeps_nothing():
    black, white = np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    of_black, of_white = (add_salt_and_pepper(images, 1, np.random.default_rng(1)) for images in (black, white))
    np.testing.assert_array_equal(of_black, of_white)
    assert set(np.unique(of_black)) == {0, 1}


def test_salt_and_pepper_replaces_each_pixel_by_itself(grey):
    replaced = add_salt_and_pepper(grey, 0.5, np.random.default_rng(0)) != 0.5
    # Neighbours are both replaced with probability 1/4, and no two images share their noise.
    assert np.mean(replaced[:, :, 1:] & replaced[:, :, :-1]) == pytest.approx(0.25, abs=0.01)
    assert np.mean(replaced[1:] & replaced[:-1]) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("level", [-0.1, 1.5, float("nan")])
def test_salt_and_pepper_refuses_a_level_outside_0_to_1(grey, level):
    with pytest.raises(ValueError, match=f"level={level}: must be from 0 to 1"):
        add_salt_and_pepper(grey, level, np.random.default_rng(0))


def test_gaussian_adds_the_stddev_and_does_not_clip(grey):
    noise = add_gaussian(grey, 2.0, np.random.default_rng(0)) - grey
    # Four standard errors of 78,400 draws: of the mean 0.029, of the standard deviation 0.020.
    assert noise.mean() == pytest.approx(0, abs=0.029)
    assert noise.std() == pytest.approx(2.0, abs=0.020)
    assert noise.min() < -6
    assert noise.max() > 6


def test_gaussian_at_stddev_0_changes_nothing(grey):
    np.testing.assert_array_equal(add_gaussian(grey, 0, np.random.default_rng(0)), grey)


def test_gaussian_refuses_a_negative_stddev(grey):
    with pytest.raises(ValueError, match=r"stddev=-0.1: must be at least 0"):
        add_gaussian(grey, -0.1, np.random.default_rng(0))


@pytest.mark.parametrize("add_noise", [add_gaussian, add_salt_and_pepper])
def test_noise_leaves_its_input_and_its_shape(grey, add_noise):
    noisy = add_noise(grey, 0.4, np.random.default_rng(0))
    assert (noisy.shape, noisy.dtype) == (SHAPE, np.float32)
    assert np.all(grey == 0.5)


@pytest.mark.parametrize("add_noise", [add_gaussian, add_salt_and_pepper])
def test_each_channel_has_noise_of_its_own(add_noise):
    colour = np.full((20, 28, 28, 3), 0.5, dtype=np.float32)
    noise = (add_noise(colour, 0.4, np.random.default_rng(0)) - colour).reshape(-1, 3)
    # Four standard errors of a correlation of 15,680 independent pairs are 0.032.
    np.testing.assert_allclose(np.corrcoef(noise, rowvar=False), np.eye(3), atol=0.032)


@pytest.mark.parametrize("add_noise", [add_gaussian, add_salt_and_pepper])
def test_noise_comes_from_the_generator_alone(grey, add_noise):
    first, again, other = (add_noise(grey, 0.4, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_salt_and_pepper_takes_a_level_an_image(grey):
    levels = np.linspace(0, 1, len(grey), dtype=np.float32)
    replaced = np.mean(add_salt_and_pepper(grey, levels, np.random.default_rng(0)) != 0.5, axis=(1, 2, 3))
    # Four standard deviations of a share of 784 pixels are at most 0.071.
    np.testing.assert_allclose(replaced, levels, atol=0.071)
    assert (replaced[0], replaced[-1]) == (0, 1)


def test_gaussian_takes_a_stddev_an_image(grey):
    stddevs = np.linspace(0, 2, len(grey), dtype=np.float32)
    spreads = np.std(add_gaussian(grey, stddevs, np.random.default_rng(0)) - grey, axis=(1, 2, 3))
    np.testing.assert_allclose(spreads, stddevs, rtol=0.11)


def test_one_bad_strength_among_many_is_refused(grey):
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        add_salt_and_pepper(grey[:2], np.array([0.5, 1.5]), np.random.default_rng(0))
    with pytest.raises(ValueError, match="must be at least 0"):
        add_gaussian(grey[:2], np.array([0.5, -1]), np.random.default_rng(0))
