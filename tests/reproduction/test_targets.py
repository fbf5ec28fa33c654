"""What is wanted beyond the reports: literal tables and verdicts."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from mnist_flow.reproduction.targets import Target, judge_chains, judge_shifts

CHAIN = "lenet5: denoised by unet, level 0.5"


def make_target(is_loss, bound, mean):
    return Target("statement", "subject", is_loss, bound, mean, 0.0, 3)


@pytest.mark.parametrize(
    ("is_loss", "mean", "is_met"),
    [
        (False, 0.98, True),
        (False, 0.97, True),
        (False, 0.96, False),
        (True, 0.96, True),
        (True, 0.97, True),
        (True, 0.98, False),
        (False, math.nan, None),
        (True, math.nan, None),
    ],
)
def test_a_recall_must_reach_its_bound_and_a_loss_must_not_pass_it(is_loss, mean, is_met):
    assert make_target(is_loss, 0.97, mean).is_met is is_met


def test_a_chain_is_judged_at_two_levels_and_by_what_it_loses_of_clean_images():
    recalls = pd.DataFrame(
        [
            (CHAIN, 0.4, 3, 0.981, 0.001),
            (CHAIN, 0.5, 2, 0.96, 0.002),
            (CHAIN, 0.6, 3, 0.9, 0.003),
            ("lenet5: noisy images", 0.4, 3, 0.5, 0.01),
            ("lenet5: denoised by autoencoder, level 0.4", 0.4, 3, 0.7, 0.01),
        ],
        columns=["curve", "strength", "n", "mean", "std"],
    )
    crossings = pd.DataFrame(
        [("lenet5", "autoencoder, level 0.4", 5, -0.01, 0.001), ("lenet5", "unet, level 0.5", 4, -0.0005, 0.0002)],
        columns=["classifier", "denoiser", "n", "change_at_0", "change_std"],
    )
    assert judge_chains(recalls, crossings, "unet") == [
        Target("macro recall at level 0.4: at least 98 %", CHAIN, False, 0.98, 0.981, 0.001, 3),
        Target("macro recall at level 0.5: at least 98 %", CHAIN, False, 0.98, 0.96, 0.002, 2),
        Target("macro recall lost at level 0: at most 0.1 points", CHAIN, True, 0.001, 0.0005, 0.0002, 4),
    ]
    at_04, at_05, lost = judge_chains(recalls.iloc[1:2], crossings, "unet")
    assert (at_04.is_met, at_04.n, at_05.is_met, lost.is_met) == (None, 0, False, True)
    assert judge_chains(recalls, crossings, "unet_wide") == []


def test_networks_against_shifts_are_judged_at_three_pixels_by_what_their_label_names():
    labels = ["a: augmentation.name=shift", "b: model.centering=mass", "c: reg=0"]
    worst = pd.DataFrame(
        [(label, pixels, 3, 0.99 - pixels / 1000, 0.001) for label in labels for pixels in (2, 3)],
        columns=["model", "pixels", "n", "mean", "std"],
    )
    moved, centred = judge_shifts(worst)
    statement = "accuracy at 3 pixels in the worst direction: at least {} %"
    assert (moved.statement, moved.subject, moved.bound) == (statement.format(99), labels[0], 0.99)
    assert (centred.statement, centred.subject, centred.bound) == (statement.format(98), labels[1], 0.98)
    assert (moved.mean, moved.std, moved.n) == (pytest.approx(0.987), 0.001, 3)
    assert (moved.is_met, centred.is_met) == (False, True)
