import numpy as np
import pytest

from fitting import STILL, are_equal, fit, load_digits, make_autoencoder, recorded
from mnist_flow.data.noise.salt_and_pepper import add_noise as add_salt_and_pepper
from mnist_flow.metrics.reconstruction import compute_binary_cross_entropy
from mnist_flow.tasks.reconstruction import TASK as RECONSTRUCTION
from mnist_flow.training.devices import reset_keras
from mnist_flow.training.optimizers import build_optimizer
from mnist_flow.training.streams import corrupt_measured


def season(images, rng):
    return add_salt_and_pepper(images, 0.4, rng)


def fit_denoiser(train, validation, seed=0, rate=1e-3, **options):
    reset_keras(seed)
    model = make_autoencoder([16], 4)
    optimizer = build_optimizer("adam", rate)
    return fit(train, validation, model, seed, optimizer, task=RECONSTRUCTION, **{"corrupt": season} | options)


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
    (valid, first), (valid_again, again), (valid_other, other) = zip(seen[::2], seen[1::2], strict=True)
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
