import math

import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.crossings import find_crossing, find_crossings


def make_chain(classifier: str, denoiser: str, run_id: str, noisy: dict[float, float], denoised: dict[float, float]):
    """Recalls of one run on noisy and on denoised images, by noise level."""
    rows = [("noisy", "", *one) for one in noisy.items()] + [("denoised", denoiser, *one) for one in denoised.items()]
    table = pd.DataFrame(rows, columns=["input", "denoiser", "strength", "macro_recall"])
    return table.assign(classifier=classifier, run_id=run_id)


@pytest.mark.parametrize(
    ("gains", "crossing"),
    [
        ([-0.01, 0.02, 0.1], 1 / 6),
        ([-0.01, -0.01, 0.01], 0.75),
        ([0.0, 0.02, 0.1], 0.0),
        ([0.01, 0.02, -0.1], 0.0),
        ([-0.01, 0.0, 0.02], 0.5),
        ([-0.01, -0.03, 0.02], 0.8),
        ([-0.02, -0.01, 0.0], math.nan),
    ],
)
def test_the_crossing_lies_on_a_straight_line(gains, crossing):
    found = find_crossing(np.array([0.0, 0.5, 1.0]), np.array(gains))
    assert found == pytest.approx(crossing, nan_ok=True)


def test_crossings_have_their_spread_over_the_seeds():
    # The levels of the second run come in another order, and its denoiser costs nothing on clean images.
    chains = pd.concat(
        [
            make_chain("cnn", "dense", "a", {0.0: 0.99, 0.5: 0.7}, {0.0: 0.98, 0.5: 0.9}),
            make_chain("cnn", "dense", "b", {0.5: 0.71, 0.0: 0.99}, {0.5: 0.93, 0.0: 0.995}),
            make_chain("cnn", "dense", "c", {0.0: 0.99, 0.5: 0.7}, {0.0: 0.95, 0.5: 0.9}),
        ],
        ignore_index=True,
    )
    (row,) = find_crossings(chains).to_dict("records")
    # From -0.01 to +0.2, from +0.005 on, and from -0.04 to +0.2.
    crossed = [0.5 / 21, 0.0, 0.5 / 6]
    assert (row["classifier"], row["denoiser"], row["n"], row["crossed"]) == ("cnn", "dense", 3, 3)
    assert row["crossing"] == pytest.approx(sum(crossed) / 3)
    assert row["std"] == pytest.approx(np.std(crossed, ddof=1))
    # t of 2 degrees of freedom at 97.5 %: 4.30265.
    half = 4.30265 * np.std(crossed, ddof=1) / math.sqrt(3)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((row["crossing"] - half, row["crossing"] + half), rel=1e-4)
    assert row["change_at_0"] == pytest.approx((-0.01 + 0.005 - 0.04) / 3)
    assert row["change_std"] == pytest.approx(np.std([-0.01, 0.005, -0.04], ddof=1))


def test_every_classifier_has_a_row_for_every_denoiser_in_their_order():
    chains = pd.concat(
        [
            make_chain("noisy cnn", "unet", "b", {0.0: 0.98, 0.5: 0.9}, {0.0: 0.97, 0.5: 0.91}),
            make_chain("cnn", "unet", "a", {0.0: 0.99, 0.5: 0.7}, {0.0: 0.97, 0.5: 0.9}),
            make_chain("cnn", "dense", "a", {}, {0.0: 0.98, 0.5: 0.8}),
        ],
        ignore_index=True,
    )
    found = find_crossings(chains)
    assert found[["classifier", "denoiser"]].to_numpy().tolist() == [
        ["noisy cnn", "unet"],
        ["cnn", "unet"],
        ["cnn", "dense"],
    ]
    np.testing.assert_allclose(found["crossing"], [0.25, 0.5 / 11, 0.5 / 11])
    np.testing.assert_allclose(found["change_at_0"], [-0.01, -0.02, -0.01])
    assert found["std"].isna().all()


def test_a_gain_at_chance_accuracy_does_not_count():
    noisy, denoised = {0.0: 0.99, 0.5: 0.3, 1.0: 0.1}, {0.0: 0.98, 0.5: 0.2, 1.0: 0.15}
    (row,) = find_crossings(make_chain("cnn", "dense", "a", noisy, denoised)).to_dict("records")
    assert (row["n"], row["crossed"]) == (1, 0)
    assert math.isnan(row["crossing"])


def test_without_clean_images_no_cost_is_known():
    chain = make_chain("cnn", "dense", "a", {0.25: 0.9, 0.5: 0.7}, {0.25: 0.8, 0.5: 0.9})
    (row,) = find_crossings(chain).to_dict("records")
    assert row["crossing"] == pytest.approx(0.25 + 0.25 / 3)
    assert math.isnan(row["change_at_0"])
