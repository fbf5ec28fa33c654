import numpy as np
import pytest

from mnist_flow.metrics.synthesis import (
    choose_nearer,
    compute_spread,
    find_nearest,
    interpolate_latents,
    label_by_nearest,
    measure_samples,
    salt_latents,
    sample_mixture_latents,
    sample_uniform_latents,
)


def paint(*values):
    """Images of one grey each."""
    return np.stack([np.full((28, 28, 1), value, np.float32) for value in values])


def predict(*digits, confidence=0.91):
    """Probabilities by a reference classifier that is sure of these digits."""
    probabilities = np.full((len(digits), 10), (1 - confidence) / 9, np.float32)
    probabilities[np.arange(len(digits)), digits] = confidence
    return probabilities


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_an_interpolation_goes_from_the_first_code_to_the_second():
    first, second = np.array([[0.0, 4.0]] * 4, np.float32), np.array([[8.0, 0.0]] * 4, np.float32)
    shares = np.array([0, 0.25, 0.75, 1], np.float32)
    assert interpolate_latents(first, second, shares).tolist() == [[0, 4], [2, 3], [6, 1], [8, 0]]
    fractions = np.array([0, 0.25, 0.5, 0.75, 1], np.float32)
    assert choose_nearer(np.array([3] * 5), np.array([5] * 5), fractions).tolist() == [3, 3, 3, 5, 5]


def test_salt_comes_from_the_range_of_its_own_code(rng):
    codes = np.tile(np.array([[0.0, 2.0], [10.0, 11.0]], np.float32).repeat(2000, axis=1), 1)
    assert salt_latents(codes, 0.0, rng).tolist() == codes.tolist()
    everything = salt_latents(codes, 1.0, rng)
    for row, (low, high) in zip(everything, ((0, 2), (10, 11)), strict=True):
        assert low <= row.min() < row.max() <= high
        assert row.mean() == pytest.approx((low + high) / 2, abs=0.05)
    changed = salt_latents(codes, 0.25, rng) != codes
    assert changed.mean() == pytest.approx(0.25, abs=0.02)


def test_uniform_codes_fill_the_box_of_the_given_ones(rng):
    codes = np.array([[0, -1], [4, 1], [2, 0]], np.float32)
    drawn = sample_uniform_latents(codes, 5000, rng)
    assert (drawn.shape, drawn.dtype) == ((5000, 2), np.float32)
    np.testing.assert_allclose(drawn.min(axis=0), [0, -1], atol=0.01)
    np.testing.assert_allclose(drawn.max(axis=0), [4, 1], atol=0.01)
    np.testing.assert_allclose(drawn.mean(axis=0), [2, 0], atol=0.1)


def test_a_mixture_finds_its_two_heaps(rng):
    heaps = np.concatenate([rng.normal(0, 0.1, (100, 3)), rng.normal(5, 0.1, (300, 3))]).astype(np.float32)
    drawn = sample_mixture_latents(heaps, 400, components=2, max_dimensions=3, keep=1.0, rng=rng)
    assert (drawn.shape, drawn.dtype) == ((400, 3), np.float32)
    assert np.all((drawn >= heaps.min(axis=0)) & (drawn <= heaps.max(axis=0)))
    in_second = drawn.mean(axis=1) > 2.5
    assert in_second.mean() == pytest.approx(0.75, abs=0.1)
    # In no order: the first are as the others, for a figure shows them.
    assert in_second[:200].mean() == pytest.approx(0.75, abs=0.1)
    assert np.abs(drawn - np.where(in_second, 5, 0)[:, None]).max() < 0.5


def test_a_mixture_keeps_the_densest_draws(rng):
    codes = rng.standard_normal((500, 2)).astype(np.float32)
    spreads = [
        sample_mixture_latents(codes, 500, 1, 2, keep, np.random.default_rng(1)).std(axis=0).mean()
        for keep in (1.0, 0.3)
    ]
    assert spreads[1] < 0.7 * spreads[0]


def test_a_mixture_of_fewer_dimensions_stays_on_their_plane(rng):
    plane = rng.standard_normal((200, 2)).astype(np.float32)
    codes = np.column_stack([plane, plane.sum(axis=1), np.full(200, 7)]).astype(np.float32)
    drawn = sample_mixture_latents(codes, 50, 3, 2, 0.9, rng)
    inside = np.all((drawn > codes.min(axis=0)) & (drawn < codes.max(axis=0)), axis=1, where=[True, True, True, False])
    np.testing.assert_allclose(drawn[inside, 2], drawn[inside, :2].sum(axis=1), atol=1e-4)
    np.testing.assert_allclose(drawn[:, 3], 7)


def test_a_class_of_few_codes_has_few_components(rng):
    codes = rng.standard_normal((4, 30)).astype(np.float32)
    assert sample_mixture_latents(codes, 6, 20, 40, 0.5, rng).shape == (6, 30)


def test_the_same_generator_gives_the_same_mixture(rng):
    codes = rng.standard_normal((100, 5)).astype(np.float32)
    first, second = (sample_mixture_latents(codes, 9, 2, 3, 0.5, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_nearest_code_gives_its_label():
    known = np.array([[0, 0], [10, 0]], np.float32)
    assert label_by_nearest(np.array([[1, 1], [8, -1]], np.float32), known, np.array([7, 2])).tolist() == [7, 2]


def test_distances_are_roots_of_mean_squares():
    distances, indices = find_nearest(paint(0.4, 1, 0.1), paint(0, 0.5, 1))
    np.testing.assert_allclose(distances, [0.1, 0, 0.1], atol=1e-6)
    assert indices.tolist() == [1, 2, 0]


def test_spread_is_the_mean_over_the_pairs():
    assert compute_spread(paint(0, 0.3, 0.6)) == pytest.approx((0.3 + 0.3 + 0.6) / 3)
    assert compute_spread(paint(0.5, 0.5)) == 0
    assert np.isnan(compute_spread(paint(0.5)))


def test_samples_are_measured_digit_by_digit():
    table = measure_samples(
        images=paint(0, 0.2, 0.5, 0.6),
        intended=np.array([3, 3, 8, 8]),
        probabilities=np.concatenate([predict(3, 5), predict(8, 8, confidence=0.55)]),
        distances=np.array([0.1, 0.3, 0.0, 0.2]),
        real_images=paint(0, 0.4, 0, 0.1),
        real_labels=np.array([3, 3, 8, 8]),
        class_names="abcdefghij",
    )
    assert table["digit"].tolist() == ["all", "d", "i"]
    assert table["n"].tolist() == [4, 2, 2]
    np.testing.assert_allclose(table["agreement"], [0.75, 0.5, 1])
    np.testing.assert_allclose(table["confidence"], [0.73, 0.91, 0.55], rtol=1e-6)
    np.testing.assert_allclose(table["diversity"], [0.75, 0.5, 1], rtol=1e-6)
    np.testing.assert_allclose(table["nearest_distance"], [0.15, 0.2, 0.1])


def test_samples_without_an_intended_digit_have_no_agreement():
    real = paint(0, 0.4), np.array([3, 8])
    table = measure_samples(paint(0, 0.2), None, predict(1, 1), np.array([0.1, 0.2]), *real, "0123456789")
    assert table["digit"].tolist() == ["all"]
    assert table["agreement"].isna().all()
    assert table["diversity"].tolist() == pytest.approx([0.5])
    assert table["confidence"].tolist() == pytest.approx([0.91])
