import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.statistics import summarise
from mnist_flow.analysis.studies.confusion import build_fractions, list_pairs, plot_confusions
from mnist_flow.analysis.studies.noise_layer import count_predictions, plot_predictions, summarise_predictions

# Not in the alphabet's order; classes of different sizes; nothing about the matrix is symmetric.
CLASSES = ("shoe", "coat", "bag")
COUNTS = {"a": [[8, 2, 0], [1, 4, 0], [0, 0, 2]], "b": [[6, 4, 0], [0, 5, 0], [1, 0, 1]]}


def list_cells(matrices: dict[str, list[list[int]]], classes: tuple[int | str, ...]) -> pd.DataFrame:
    """A row a run and cell of its matrix, as `fetch_confusions` gives them."""
    cells = [
        ("one", run_id, true, predicted, count)
        for run_id, matrix in matrices.items()
        for true, row in zip(classes, matrix, strict=True)
        for predicted, count in zip(classes, row, strict=True)
    ]
    return pd.DataFrame(cells, columns=["panel", "run_id", "true", "predicted", "count"])


@pytest.fixture
def cells() -> pd.DataFrame:
    return list_cells(COUNTS, CLASSES)


@pytest.fixture
def summary(cells) -> pd.DataFrame:
    return summarise(build_fractions(cells), ["panel", "true", "predicted"], "fraction")


def test_fractions_are_of_the_true_class(summary):
    means = summary.pivot_table(index="true", columns="predicted", values="mean").loc[list(CLASSES), list(CLASSES)]
    np.testing.assert_allclose(means, [[0.7, 0.3, 0], [0.1, 0.9, 0], [0.25, 0, 0.75]])
    assert set(summary["n"]) == {2}


def test_pairs_are_the_largest_mistakes_of_each_panel(summary):
    both = pd.concat([summary.assign(panel="z"), summary.assign(panel="a", mean=summary["mean"] / 2)])
    pairs = list_pairs(both, 2)
    assert pairs[["panel", "true", "predicted", "mean"]].to_numpy().tolist() == [
        ["z", "shoe", "coat", pytest.approx(0.3)],
        ["z", "bag", "shoe", pytest.approx(0.25)],
        ["a", "shoe", "coat", pytest.approx(0.15)],
        ["a", "bag", "shoe", pytest.approx(0.125)],
    ]


def test_the_matrix_has_true_classes_as_rows_and_its_colours_end_at_the_largest_mistake(summary):
    axes, bar = plot_confusions(summary, "title").axes
    np.testing.assert_allclose(axes.images[0].get_array(), [[70, 30, 0], [10, 90, 0], [25, 0, 75]])
    assert axes.images[0].get_clim() == pytest.approx((0, 30))
    texts = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    # Columns come first in a position. What is nothing is not written; dark cells have white letters.
    assert texts[1, 0] == ("30.0", "white")
    assert texts[0, 1] == ("10.0", "black")
    assert texts[2, 1][0] == ""
    assert [label.get_text() for label in axes.get_yticklabels()] == list(CLASSES)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert axes.get_title() == "one (mean of n = 2)"
    assert bar.get_ylabel().startswith("share of the true class's images in %")
    # What is darker than the largest mistake has the colour of the bar's pointed end.
    assert axes.images[0].colorbar.extend == "max"


def test_long_headings_do_not_cover_the_next_one(summary):
    names = [f"mnist_flow: epochs=2, model.hidden_units=[16], reg=0.{number}" for number in (1, 2)]
    figure = plot_confusions(pd.concat([summary.assign(panel=name) for name in names]), "Confusion")
    figure.draw_without_rendering()
    one, other = (axes.title.get_window_extent() for axes in figure.axes[:2])
    assert one.x1 < other.x0


def test_predictions_are_counted_by_class(cells):
    predictions = count_predictions(cells)
    assert predictions["digit"].tolist() == [*CLASSES, *CLASSES]
    np.testing.assert_allclose(predictions["fraction"], np.array([9, 6, 2, 7, 9, 1]) / 17)
    np.testing.assert_allclose(predictions["true_fraction"], np.array([10, 5, 2] * 2) / 17)
    axes = plot_predictions(predictions, summarise_predictions(predictions), "title").axes[0]
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches[:3]], np.array([8, 7.5, 1.5]) / 17)
    (points,) = [line for line in axes.lines if line.get_label() == "one run"]
    assert points.get_xdata().tolist() == [0, 1, 2] * 2
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CLASSES)
    assert axes.get_xlabel() == "class answered"
    assert axes.get_title() == "one\nn = 2"


def test_each_panel_of_predictions_has_its_own_runs(cells):
    first = count_predictions(cells)
    second = first.assign(panel="two", fraction=first["fraction"].to_numpy()[::-1])
    both = pd.concat([first, second])
    panels = plot_predictions(both, summarise_predictions(both), "title").axes
    for axes, shown in zip(panels, (first, second), strict=True):
        (points,) = [line for line in axes.lines if line.get_label() == "one run"]
        np.testing.assert_array_equal(points.get_ydata(), shown["fraction"])


def test_runs_that_predict_one_class_only_are_counted():
    stuck = [[0, 3], [0, 2]]
    predictions = count_predictions(list_cells({"a": stuck, "b": stuck, "c": [[3, 0], [0, 2]]}, (3, 8)))
    summary = summarise_predictions(predictions)
    assert summary[["digit", "only_answer"]].to_numpy().tolist() == [[3, 0], [8, 2]]
    assert plot_predictions(predictions, summary, "title").axes[0].get_title() == "one\nn = 3, 2 of them answer only 8"
