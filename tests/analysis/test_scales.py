"""Axes chosen by the values that are drawn on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_flow.analysis import scales


def make_axes() -> Axes:
    return Figure().subplots()


def list_y_ticks(axes: Axes) -> list[float]:
    return [float(tick) for tick in axes.yaxis.get_majorticklocs()]


@pytest.mark.parametrize(
    ("grid", "logarithmic"),
    [
        ([0.001, 0.01, 0.1], True),
        ([0.1, 0.2, 0.3, 0.4], False),
        ([1, 2, 4, 8], True),
        ([10, 20, 30], False),
        # Of two values the factor decides, and zero does not count.
        ([1, 10], True),
        ([1, 9], False),
        ([0, 1, 10], True),
        ([0, 0.001, 0.01, 0.1], True),
        ([-1, 1], False),
        ([5], False),
        ([0], False),
    ],
)
def test_a_grid_is_logarithmic_where_its_factors_are_more_even(grid, logarithmic):
    assert bool(scales.is_logarithmic(grid)) is logarithmic


@pytest.mark.parametrize(
    ("grid", "asked", "scale"),
    [
        ([1, 2, 3], None, "linear"),
        ([0.001, 0.01, 0.1], None, "log"),
        ([0, 0.001, 0.01, 0.1], None, "symlog"),
        ([0.001, 0.01, 0.1], False, "linear"),
        ([1, 2, 3], True, "log"),
        ([0, 1, 2], True, "symlog"),
        # No logarithm knows them.
        ([-1, 1, 2], True, "linear"),
        ([0], True, "symlog"),
        ([7], True, "log"),
        ([7], None, "linear"),
    ],
)
def test_an_axis_shows_its_whole_grid_on_the_scale_asked_for_or_the_grids_own(grid, asked, scale):
    axes = make_axes()
    scales.set_scale(axes, grid, asked)
    assert axes.get_xscale() == scale
    low, high = axes.get_xlim()
    assert low < min(grid)
    assert high > max(grid)


def test_zero_stands_close_to_the_smallest_of_a_logarithmic_grid():
    axes = make_axes()
    scales.set_scale(axes, [0, 0.001, 0.01, 0.1])
    place = {x: axes.transData.transform((x, 0))[0] for x in (0, 0.001, 0.01, 0.1)}
    # Between zero and the smallest about half a power of ten is left, and between all others one.
    assert place[0.01] - place[0.001] == pytest.approx(place[0.1] - place[0.01])
    assert 0.3 < (place[0.001] - place[0]) / (place[0.01] - place[0.001]) < 0.8
    assert not len(axes.xaxis.get_minorticklocs())


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ([0.001, 0.03, 0.1], ["0.001", "0.03", "0.1"]),
        (
            [0, 3e-6, 1e-5, 1e-4],
            ["0", "3×10⁻⁶", "10⁻⁵", "10⁻⁴"],
        ),
        ([16, 64, 256], ["16", "64", "256"]),
    ],
)
def test_a_logarithmic_axis_tells_the_values_of_the_grid(grid, told):
    axes = make_axes()
    scales.set_scale(axes, grid, logarithmic=True)
    assert axes.xaxis.get_majorticklocs().tolist() == pytest.approx(grid)
    assert not len(axes.xaxis.get_minorticklocs())
    assert [label.get_text() for label in axes.get_xticklabels()] == told


@pytest.mark.parametrize(("highest", "told"), [(100, [1, 2, 5, 10, 20, 50, 100]), (10_000, [1, 10, 100, 1000, 10_000])])
def test_values_too_close_for_their_labels_have_round_ticks(highest, told):
    axes = make_axes()
    scales.set_scale(axes, [1, 1.01, 10, highest], logarithmic=True)
    low, high = axes.get_xlim()
    assert [tick for tick in axes.xaxis.get_majorticklocs() if low <= tick <= high] == pytest.approx(told)
    assert not len(axes.xaxis.get_minorticklocs())


def test_round_ticks_beside_zero_are_told_in_plain_letters():
    axes = make_axes()
    scales.set_scale(axes, [0, 1e-6, 1e-5, 1.1e-5, 1e-4], logarithmic=True)
    low, high = axes.get_xlim()
    told = [
        label.get_text()
        for tick, label in zip(axes.xaxis.get_majorticklocs(), axes.get_xticklabels(), strict=True)
        if low <= tick <= high
    ]
    assert told == ["0", "10⁻⁶", "10⁻⁵", "10⁻⁴"]


@pytest.mark.parametrize(("grid", "whole"), [([0, 1, 2], True), ([0.0, 0.5, 1.0], False)])
def test_whole_numbers_have_whole_ticks(grid, whole):
    axes = make_axes()
    scales.set_scale(axes, grid, logarithmic=False)
    ticks = axes.xaxis.get_majorticklocs()
    assert bool((ticks == ticks.round()).all()) is whole


@pytest.mark.parametrize(
    ("metric", "values", "scale"),
    [
        ("test_accuracy", [0.95, 0.99], "logit"),
        ("test_accuracy", [0.97, 0.99], "linear"),
        # 100 % and what learned nothing have no place among log odds.
        ("test_accuracy", [0.95, 1.0], "linear"),
        ("test_accuracy", [0.15, 0.99], "linear"),
        ("test_loss", [0.1, 2.1], "log"),
        ("test_loss", [0.1, 1.9], "linear"),
        ("test_loss", [0.0, 2.1], "linear"),
    ],
)
def test_values_that_differ_by_factors_are_shown_by_factors(metric, values, scale):
    axes = make_axes()
    scales.set_range(axes, pd.Series(values), metric)
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    assert low < min(values)
    assert high > max(values)
    # Most of the axis is for the values.
    (bottom, top), (lowest, highest) = (
        axes.transAxes.transform([(0, 0), (0, 1)]),
        axes.transData.transform([(0, value) for value in values]),
    )
    assert highest[1] - lowest[1] > 0.75 * (top[1] - bottom[1])


def test_equal_values_stand_in_the_middle_of_an_axis():
    for metric, value in (("test_accuracy", 0.9), ("test_loss", 0.5), ("test_loss", -2.0), ("test_loss", 0.0)):
        axes = make_axes()
        scales.set_range(axes, pd.Series([value, value]), metric)
        low, high = axes.get_ylim()
        assert (low + high) / 2 == pytest.approx(value)
        assert low < high


def test_percent_are_round_and_as_far_apart_as_their_labels_need():
    axes = make_axes()
    scales.set_range(axes, pd.Series([0.9, 0.99]), "test_accuracy")
    assert list_y_ticks(axes) == [0.99, 0.985, 0.98, 0.975, 0.97, 0.96, 0.95, 0.925, 0.9]
    assert [axes.yaxis.get_major_formatter()(tick) for tick in (0.985, 0.9)] == ["98.5 %", "90 %"]
    assert not len(axes.yaxis.get_minorticklocs())
    wide = make_axes()
    scales.set_range(wide, pd.Series([0.3, 0.998]), "test_accuracy")
    assert list_y_ticks(wide) == [0.998, 0.995, 0.99, 0.985, 0.975, 0.96, 0.925, 0.85, 0.7, 0.6, 0.3, 0.2]
    places = wide.transData.transform([(0, tick) for tick in list_y_ticks(wide)])[:, 1]
    assert (-np.diff(places) > 0.04 * wide.bbox.height).all()


def test_differences_of_accuracies_are_told_in_points():
    axes = make_axes()
    scales.set_difference_range(axes, pd.Series([0.01, -0.002]), pd.Series([0.001, 0.001]), "test_accuracy")
    assert axes.get_yscale() == "linear"
    label = axes.yaxis.get_major_formatter()
    assert [label(value) for value in (0.012, -0.005, 0)] == ["+1.2", "-0.5", "0"]


def test_large_differences_of_accuracies_are_logarithmic_beyond_one_point():
    for differences in ([0.5, -0.002], [0.002, -0.5]):
        axes = make_axes()
        scales.set_difference_range(axes, pd.Series(differences), pd.Series([0.001, 0.001]), "test_accuracy")
        assert axes.get_yscale() == "symlog"
        assert {0, 0.01, -0.01, 0.3, -0.3} <= set(list_y_ticks(axes))
        assert not len(axes.yaxis.get_minorticklocs())
        heights = [axes.transData.transform((0, value))[1] for value in (0, 0.005, 0.01, 0.1)]
        # Even up to one point, and beyond it a power of ten is about as long.
        assert heights[2] - heights[1] == pytest.approx(heights[1] - heights[0])
        assert heights[3] - heights[2] == pytest.approx(heights[2] - heights[0], rel=0.15)


def test_other_differences_have_zero_and_all_intervals_within_their_axis():
    for differences, halves, reach in (
        ([3.0, 5.0], [1.0, 2.0], (0, 7)),
        ([-3.0, -5.0], [1.0, 2.0], (-7, 0)),
        # A single pair has no interval.
        ([2.0, 1.0], [float("nan"), 0.5], (0, 2)),
    ):
        axes = make_axes()
        scales.set_difference_range(axes, pd.Series(differences), pd.Series(halves), "test_loss")
        low, high = axes.get_ylim()
        size = reach[1] - reach[0]
        assert (low, high) == pytest.approx((reach[0] - 0.1 * size, reach[1] + 0.1 * size))


@pytest.mark.parametrize(
    ("metric", "values", "panels"),
    [
        ("test_accuracy", [0.98, 0.1, 0.97], 2),
        ("test_accuracy", [0.98, 0.4, 0.1], 1),
        ("test_accuracy", [0.1, 0.12], 1),
        ("test_accuracy", [0.98, 0.97], 1),
        ("test_loss", [0.98, 0.1], 1),
    ],
)
def test_an_axis_is_broken_between_runs_that_learned_nothing_and_others_that_all_learned(metric, values, panels):
    figure = Figure()
    shown = pd.Series([*values, float("nan")])
    axes, below = scales.make_value_axes(figure, shown, pd.Series([], dtype=float), metric, lower_panel=False)
    assert (len(axes), below) == (panels, None)
    if panels == 2:
        upper, lower = (one.get_ylim() for one in axes)
        assert 0 < lower[0] < 0.1 < lower[1] < upper[0] < 0.97
        assert 0.98 < upper[1] < 1
        assert not axes[0].spines.bottom.get_visible()
        assert not axes[1].spines.top.get_visible()
        assert [[tuple(point) for point in line.get_xydata()] for one in axes for line in one.lines] == [
            [(0, 0), (1, 0)],
            [(0, 1), (1, 1)],
        ]


def test_a_panel_below_shares_the_horizontal_axis():
    values = pd.Series([0.98, 0.97])
    axes, below = scales.make_value_axes(Figure(), values, pd.Series([], dtype=float), "test_accuracy", True)
    axes[0].set_xlim(3, 4)
    assert below.get_xlim() == (3, 4)
    assert axes[0].bbox.height > below.bbox.height


def test_error_bars_have_room_but_for_those_that_come_close_to_zero():
    (axes,), _ = scales.make_value_axes(Figure(), pd.Series([1.0, 2.0]), pd.Series([0.8, 2.3]), "test_loss", False)
    low, high = axes.get_ylim()
    assert low < 0.8
    assert high > 2.3
    (axes,), _ = scales.make_value_axes(Figure(), pd.Series([1.0, 2.0]), pd.Series([-5, 9.0]), "test_loss", False)
    # Down to half of the smallest and up to twice the largest.
    assert 0 < axes.get_ylim()[0] < 0.5
    assert 4 < axes.get_ylim()[1] < 4.5
