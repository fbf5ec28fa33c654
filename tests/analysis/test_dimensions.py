import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution, FloatDistribution

from mnist_flow.analysis.dimensions import Dimension, shorten_choices


@pytest.mark.parametrize(
    ("choices", "labels"),
    [
        (["relu", "gelu"], ["relu", "gelu"]),
        (
            ["[{filters:[8],kernel_size:5},{filters:[24]}]", "[{filters:[16],kernel_size:5},{filters:[32]}]"],
            ["8, 24", "16, 32"],
        ),
        # Of different lengths.
        (["[100]", "[500,400,300,200,100]"], ["[100]", "[500,40…00,100]"]),
        # The same words in other lists.
        (["[[100,200],[300]]", "[[100],[200,300]]"], ["[[100,2…,[300]]", "[[100],…0,300]]"]),
        # What differs is long.
        (["a_name_of_a_network", "another_name_of_it"], ["a_name_…network", "another…e_of_it"]),
    ],
)
def test_long_choices_are_told_by_what_differs(choices, labels):
    assert shorten_choices(choices) == labels


RATE = Dimension.read("rate", FloatDistribution(0.001, 1.0, log=True))
SHIFT = Dimension.read("shift", FloatDistribution(-1.0, 3.0))
UNITS = Dimension.read("units", CategoricalDistribution(["a", "b", None]))


def test_numbers_lie_in_their_unit_or_by_powers_of_ten_and_choices_close_to_their_number():
    np.testing.assert_allclose(RATE.place(pd.Series([0.001, 0.1, None])), [-3, -1, np.nan])
    np.testing.assert_allclose(SHIFT.place(pd.Series([-1, 3])), [-1, 3])
    places = UNITS.place(pd.Series(["b", "a", "b", "c"]))
    np.testing.assert_allclose(places.round(), [1, 0, 1, np.nan])
    # Those of one choice do not cover each other, and lie where they lay before.
    assert 0 < abs(places[0] - places[2]) < 0.3
    np.testing.assert_array_equal(UNITS.place(pd.Series(["b", "a", "b", "c"])), places)


@pytest.mark.parametrize(
    ("dimension", "places", "fractions", "ticks"),
    [
        (RATE, [-3, -1.5, 0], [0, 0.5, 1], [(0, "0.001"), (1, "1")]),
        (SHIFT, [-1, 0, 3], [0, 0.25, 1], [(0, "-1"), (1, "3")]),
        (UNITS, [0, 1, 2], [1 / 6, 1 / 2, 5 / 6], [(1 / 6, "a"), (1 / 2, "b"), (5 / 6, "None")]),
        (Dimension("one", 2, 2), [2], [0], [(0, "2"), (1, "2")]),
    ],
)
def test_fractions_of_an_axis_and_its_ticks(dimension, places, fractions, ticks):
    np.testing.assert_allclose(dimension.normalise(np.array(places)), fractions)
    places, labels = zip(*dimension.list_ticks(), strict=True)
    np.testing.assert_allclose(places, [place for place, _ in ticks])
    assert list(labels) == [label for _, label in ticks]


@pytest.mark.parametrize("vertical", [False, True])
def test_an_axis_has_the_range_the_ticks_and_the_name_of_its_key(vertical):
    def make(dimension):
        axes = Figure().subplots()
        dimension.set_axis(axes, vertical)
        chosen = (axes.yaxis, axes.get_ylim()) if vertical else (axes.xaxis, axes.get_xlim())
        assert chosen[0].get_label_text() == dimension.key
        return chosen

    axis, limits = make(RATE)
    # A twenty-fifth of the length is beyond either end.
    np.testing.assert_allclose(limits, [-3.12, 0.12])
    assert [axis.get_major_formatter()(place) for place in (-3, -1, 0)] == ["0.001", "0.1", "1"]
    assert {float(place).is_integer() for place in axis.get_majorticklocs()} == {True}
    np.testing.assert_allclose(make(SHIFT)[1], [-1.16, 3.16])
    axis, limits = make(UNITS)
    assert limits == (-0.5, 2.5)
    assert [label.get_text() for label in axis.get_ticklabels()] == ["a", "b", "None"]
    assert {label.get_rotation() for label in axis.get_ticklabels()} == {0}
    axis, _ = make(Dimension.read("long", CategoricalDistribution(["a_long_name", "another_name"])))
    assert {label.get_rotation() for label in axis.get_ticklabels()} == {0 if vertical else 35}
