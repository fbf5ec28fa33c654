"""Published numbers beside ours: literal intervals and verdicts."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from mnist_flow.config.presets import Preset
from mnist_flow.config.published import Published, PublishedResult
from mnist_flow.reproduction.results import compare_with_published, judge, judge_sum


def test_one_published_number_is_compared_with_the_prediction_interval_of_our_seeds():
    verdict = judge([0.974], 1, [0.970, 0.971, 0.972], is_accuracy=True)
    # t(0.975, 2) = 4.302653, s = 0.001, sqrt(1 + 1/3) = 1.154701
    assert verdict.half_width == pytest.approx(4.302653 * 0.001 * 1.154701, rel=1e-6)
    assert verdict.agrees is True
    assert judge([0.977], 1, [0.970, 0.971, 0.972], is_accuracy=True).agrees is False


def test_a_published_mean_is_narrower_than_a_single_run():
    single = judge([0.974], 1, [0.970, 0.971, 0.972], is_accuracy=True)
    mean = judge([0.974], 3, [0.970, 0.971, 0.972], is_accuracy=True)
    assert mean.half_width == pytest.approx(single.half_width * math.sqrt((2 / 3) / (4 / 3)))


def test_published_replicates_are_compared_by_welch():
    from scipy import stats

    theirs, ours = [0.9819, 0.9813, 0.9821], [0.9823, 0.9831, 0.9829]
    interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    verdict = judge(theirs, 1, ours, is_accuracy=True)
    assert verdict.half_width == pytest.approx((interval.high - interval.low) / 2)
    assert verdict.agrees is bool(interval.low <= 0 <= interval.high)
    # Of other n and spreads; Student's interval would be ± 0.711.
    uneven = judge([0.30, 0.31], 1, [0.5, 0.9, 0.1, 0.7], is_accuracy=True)
    assert uneven.half_width == pytest.approx(0.5432134680)


def test_a_single_run_of_ours_is_compared_by_the_binomial_error():
    verdict = judge([0.99], 1, [0.99], is_accuracy=True)
    assert verdict.half_width == pytest.approx(1.959964 * math.sqrt(2 * 0.99 * 0.01 / 10_000), rel=1e-6)
    assert judge([0.99], 1, [0.994], is_accuracy=True).agrees is False
    assert judge([0.05], 1, [0.05], is_accuracy=False).agrees is None


@pytest.mark.parametrize(("published", "ours"), [([], [0.9]), ([0.9], [])])
def test_where_one_side_is_missing_nothing_is_judged(published, ours):
    assert judge(published, 1, ours, is_accuracy=True).agrees is None


def test_networks_that_learned_nothing_are_compared_by_count():
    same = judge([0.098], 1, [0.098] * 3, is_accuracy=True)
    assert (same.agrees, same.basis) == (True, "3 of 3 runs end at the published accuracy")
    left = judge([0.1135], 1, [0.1135, 0.2, 0.3, 0.35], is_accuracy=True)
    assert (left.agrees, left.basis) == (False, "1 of 4 runs end at the published accuracy")
    assert math.isnan(left.half_width)


def test_values_without_spread_agree_only_where_they_are_equal():
    assert judge([0.5, 0.5], 1, [0.5, 0.5], is_accuracy=True).agrees is True
    assert judge([0.5, 0.5], 1, [0.6, 0.6], is_accuracy=True).agrees is False
    assert judge([0.098 * 3 / 3 + 0.9], 1, [0.998] * 3, is_accuracy=True).agrees is True


def test_a_printed_sum_of_mean_and_standard_deviation():
    verdict = judge_sum(0.9796, 3, [0.978, 0.979, 0.980])
    # t(0.975, 2) = 4.302653, s = 0.001, 1/3 + 1/3 + 1/4 + 1/4
    assert verdict.half_width == pytest.approx(4.302653 * 0.001 * math.sqrt(7 / 6), rel=1e-6)
    assert verdict.agrees is True
    assert judge_sum(0.99, 3, [0.978, 0.979, 0.980]).agrees is False
    assert judge_sum(0.98, 3, [0.978, 0.979]).agrees is None


@pytest.fixture
def preset():
    def published(at, metric, values):
        return PublishedResult(row="000-2C", statement="s", at=at, metric=metric, values=values, mean_of=1)

    results = [
        published({"model.hidden_units": "[1000]", "optimizer.learning_rate": 0.1}, "test_accuracy", [0.975]),
        published({}, "test_loss", [0.1]),
        published({"direction": "right", "pixels": 3.0}, "shifted_accuracy", [0.571]),
    ]
    return Preset("width", Published(setting="784-n-10", results=results), is_search=False)


def test_each_published_number_finds_the_runs_of_its_setting(preset):
    runs = pd.DataFrame(
        {
            "run_id": ["a", "b", "c"],
            "model.hidden_units": [[1000], [1000], [10]],
            "optimizer.learning_rate": [0.1, 0.05, 0.1],
            "test_accuracy": [0.98, 0.97, 0.9],
            "test_loss": [0.1, 0.2, 0.3],
        }
    )
    shifted = pd.DataFrame(
        {"run_id": ["a", "a"], "direction": ["right", "left"], "pixels": [3, 3], "accuracy": [0.6, 0.5]}
    )
    wide, loss, shift = compare_with_published(preset, runs, shifted)
    assert (wide.run_ids, wide.ours, wide.report) == (("a",), (0.98,), "000")
    assert wide.difference == pytest.approx(0.005)
    assert math.isnan(wide.std)
    assert loss.run_ids == ("a", "b", "c")
    assert (loss.mean, loss.std) == (pytest.approx(0.2), pytest.approx(0.1))
    assert shift.ours == (0.6,)
    others = compare_with_published(preset, runs, shifted, same_settings=False)
    assert [(one.verdict.agrees, one.verdict.basis) for one in others] == [(None, "other settings")] * 3
    empty = compare_with_published(preset, pd.DataFrame(), pd.DataFrame())
    assert [one.verdict.basis for one in empty] == ["not run yet"] * 3
    assert all(math.isnan(one.mean) for one in empty)


def test_losses_sums_and_findings_are_judged_as_what_they_are():
    def published(metric, values, mean_of=1):
        return PublishedResult(row="004-2", statement="s", at={}, metric=metric, values=values, mean_of=mean_of)

    results = [
        published("test_loss", [0.1]),
        published("accuracy_mean_plus_std", [0.9815], 3),
        published("finding", []),
        published("test_accuracy", [0.098]),
    ]
    preset = Preset("x", Published(setting="784-n-10", results=results), is_search=False)
    runs = pd.DataFrame({"run_id": ["a", "b"], "test_accuracy": [0.978, 0.982], "test_loss": [0.1, 0.12]})
    loss, total, finding, accuracy = compare_with_published(preset, runs, pd.DataFrame())
    assert (loss.is_loss, total.is_loss, accuracy.is_loss) == (True, False, False)
    # Two values of a loss tell no spread, and those of an accuracy have the binomial one.
    assert loss.verdict.basis == "too few runs to judge a loss"
    assert total.verdict.basis == "too few runs to judge a standard deviation"
    assert total.mean == pytest.approx(0.98 + 0.00282843)
    assert (finding.verdict.agrees, finding.verdict.basis) == (None, "in words")
    assert math.isnan(finding.difference)
    # It learned something, and the published one did not.
    assert (accuracy.verdict.agrees, accuracy.verdict.basis) == (False, "0 of 2 runs end at the published accuracy")
    three = pd.concat([runs, runs.head(1).assign(run_id="c", test_accuracy=0.98, test_loss=0.11)])
    loss, total, _, _ = compare_with_published(preset, three, pd.DataFrame())
    assert (loss.verdict.agrees, loss.verdict.basis) == (True, "prediction from 3 seeds")
    assert (total.verdict.agrees, total.verdict.basis) == (True, "mean + sd, prediction from 3 seeds")
    assert total.difference == pytest.approx(0.98 + 0.002 - 0.9815)


def test_two_runs_beside_one_number_have_the_binomial_error_of_both():
    verdict = judge([0.98], 1, [0.97, 0.99], is_accuracy=True)
    assert verdict.basis == "binomial, 10,000 images"
    assert verdict.half_width == pytest.approx(1.959964 * math.sqrt(2 * 0.98 * 0.02 / 10_000), rel=1e-6)
    # Replicates of a network that learned nothing are told by their means.
    assert judge([0.1, 0.1], 1, [0.1], is_accuracy=True).basis == "binomial, 10,000 images"
    assert judge_sum(0.98, 1, [0.978, 0.979, 0.980]).agrees is None
