"""The figures of a search by their data; a search of literal values, no store."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.tri import TriContourSet
from optuna.distributions import CategoricalDistribution, FloatDistribution

from mnist_flow.analysis.dimensions import Dimension
from mnist_flow.analysis.searches import SearchTables, leave_out_pauses
from mnist_flow.analysis.studies import search as study
from mnist_flow.sweeps.search.memory import Terms

RATE, MOMENTUM, OPTIMIZER = "optimizer.learning_rate", "optimizer.momentum", "optimizer"
SPACE = {
    OPTIMIZER: CategoricalDistribution(["sgd", "adam"]),
    RATE: FloatDistribution(0.001, 1.0, log=True),
    "reg": FloatDistribution(0.0, 1.0),
    MOMENTUM: FloatDistribution(0.0, 0.9),
}
# trial, optimizer, rate, reg, momentum, state, val_accuracy, minutes
ROWS = [
    (0, "sgd", 0.1, 0.1, 0.5, "complete", 0.90, 1.0),
    (1, "adam", 0.01, 0.5, None, "pruned", 0.15, 1.5),
    (2, "adam", 0.1, 0.9, None, "complete", 0.95, 4.0),
    (3, "sgd", 0.001, 0.2, 0.1, "failed", None, 2.0),
    (4, "sgd", 0.01, 0.3, 0.2, "complete", 0.92, 3.0),
    (5, "sgd", 1.0, 0.3, 0.2, "running", None, None),
]


@pytest.fixture
def search():
    columns = ["trial", OPTIMIZER, RATE, "reg", MOMENTUM, "state", "val_accuracy", "minutes"]
    trials = pd.DataFrame(ROWS, columns=columns)
    trials["run_ids"] = [f"run{number}" for number in trials["trial"]]
    curves = pd.DataFrame(
        [
            (f"run{trial}", trial, state, "val_accuracy", epoch, value)
            for trial, state, values in (
                (0, "complete", [0.5, 0.9]),
                (1, "pruned", [0.15]),
                (2, "complete", [0.6, 0.95]),
                (3, "failed", [0.3]),
            )
            for epoch, value in enumerate(values, start=1)
        ],
        columns=["run_id", "trial", "state", "metric", "epoch", "value"],
    )
    importances = pd.DataFrame(
        [(OPTIMIZER, 0.5, 0.4, 0.6), ("reg", 0.3, 0.35, 0.4), (MOMENTUM, 0.15, 0.0, 0.3), (RATE, 0.05, 0.0, 0.1)],
        columns=["key", "importance", "ci_low", "ci_high"],
    ).assign(objective="val_accuracy", evaluator="fANOVA")
    dimensions = [Dimension.read(key, distribution) for key, distribution in SPACE.items()]
    return SearchTables("abc", Terms(SPACE, ("val_accuracy",), 1), dimensions, trials, curves, importances)


def find_line(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return [list(map(float, data)) for data in line.get_data()]


def test_time_stands_still_while_no_trial_runs():
    # Two at a time, then a pause of 90, then one; of another nothing is known.
    seconds = leave_out_pauses([10, 12, 110, None], [15, 20, 130, None])
    np.testing.assert_allclose(seconds, [5, 10, 30, np.nan])
    # One that still runs has no time, and takes none from those that began after it.
    np.testing.assert_allclose(leave_out_pauses([10, 12, 110], [15, None, 130]), [5, np.nan, 25])


def test_the_best_so_far_is_in_the_order_of_numbers_and_of_ends(search):
    left, right = study.plot_history(search, "Best").axes
    assert find_line(left, "best so far") == [[0, 2, 4, 5], [0.90, 0.95, 0.95, 0.95]]
    assert find_line(right, "best so far") == [[1, 3, 4, 4], [0.90, 0.92, 0.95, 0.95]]
    assert find_line(left, "pruned, at its last value") == [[1], [0.15]]
    # A failed trial has no value, and what learned nothing would squash all that did.
    assert find_line(left, "failed") == [[3], [0]]
    assert find_line(left, "below the axis") == [[1], [0]]
    assert left.get_ylim()[0] > 0.15


def test_where_no_time_of_a_complete_trial_is_known_there_is_no_panel_over_time(search):
    """All of them may be runs that were finished before."""
    adopted = search.trials.assign(minutes=search.trials["minutes"].where(search.trials["state"] == "pruned"))
    (axes,) = study.plot_history(replace(search, trials=adopted), "Best").axes
    assert axes.get_xlabel() == "trial"
    assert find_line(axes, "best so far") == [[0, 2, 4, 5], [0.90, 0.95, 0.95, 0.95]]


def test_a_slice_has_the_trials_that_have_its_key(search):
    figure = study.plot_slices(search, "val_accuracy", "Slices")
    by_key = {axes.get_xlabel(): axes for axes in figure.axes}
    assert list(by_key) == list(SPACE)
    points = {key: np.ma.filled(axes.collections[0].get_offsets(), np.nan) for key, axes in by_key.items()}
    np.testing.assert_allclose(points[RATE], [[-1, 0.90], [-1, 0.95], [-2, 0.92]])
    np.testing.assert_allclose(points[MOMENTUM][[0, 2]], [[0.5, 0.90], [0.2, 0.92]])
    assert np.isnan(points[MOMENTUM][1]).any()
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    np.testing.assert_allclose(points[OPTIMIZER][:, 0].round(), [0, 1, 0])


@pytest.mark.parametrize(("n", "grid"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (9, (3, 3))])
def test_slices_stand_at_most_four_in_a_row_and_rows_are_even(search, n, grid):
    dimensions = [Dimension(f"key_{number}", 0, 1) for number in range(n)]
    trials = search.trials.assign(**{one.key: search.trials["reg"] for one in dimensions})
    figure = study.plot_slices(replace(search, dimensions=dimensions, trials=trials), "val_accuracy", "Slices")
    assert len(figure.axes) == n
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == grid


def test_contours_are_of_the_two_most_important_numbers_that_all_complete_trials_have(search):
    pair = study.choose_pair(search, "val_accuracy")
    assert pair is None  # Two learning rates are no surface.
    trials = search.trials.copy()
    trials.loc[0, RATE] = 0.03
    search = SearchTables(search.run_id, search.terms, search.dimensions, trials, search.curves, search.importances)
    pair = study.choose_pair(search, "val_accuracy")
    assert [one.key for one in pair] == ["reg", RATE]
    axes = study.plot_contour(search, "val_accuracy", pair, "Contours").axes[0]
    assert find_line(axes, "best") == [[0.9], [-1.0]]
    assert find_line(axes, "pruned") == [[0.5], [-2.0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("reg", RATE)


def test_neighbours_in_contours_are_those_that_are_near_by_each_keys_own_range(search):
    # The first two are near each other in the range of the widths, though further apart in units than the others.
    trials = pd.DataFrame(
        {"trial": range(4), "state": "complete", "width": [40, 60, 50, 50], "reg": [0.5, 0.5, 0, 1]}
    ).assign(val_accuracy=[0.9, 0.9, 0.5, 0.5])
    pair = Dimension("width", 0, 100), Dimension("reg", 0, 1)
    axes = study.plot_contour(replace(search, trials=trials), "val_accuracy", pair, "Contours").axes[0]
    (surface,) = [one for one in axes.collections if isinstance(one, TriContourSet)]
    assert [path.contains_point((50, 0.5)) for path in surface.get_paths()][-1]
    assert not any(path.contains_point((50, 0.5)) for path in surface.get_paths()[:-1])


def test_parallel_lines_end_at_the_rank_and_leave_out_keys_that_a_trial_does_not_have(search):
    (axes,) = study.plot_parallel(search, "val_accuracy", "Parallel").axes
    pruned, complete = (one for one in axes.collections if isinstance(one, LineCollection))
    assert [len(line) for line in pruned.get_segments()] == [3]
    assert [len(line) for line in complete.get_segments()] == [5, 5, 4]
    np.testing.assert_allclose([line[-1, 1] for line in complete.get_segments()], [0, 0.5, 1])
    # Both ends of each key are told, and which end of the ranks is the better one.
    told = {text.get_text(): text.xy for text in axes.texts}
    assert (told["0.9"], told["sgd"][0], told["worst"], told["best"]) == ((3, 1), 0, (4, 0), (4, 1))
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == [*SPACE, "validation accuracy\n(rank among complete)"]
    (first, last) = (axes.get_xlim()[0], axes.get_xlim()[1])
    assert first < 0 < 4 < last


@pytest.mark.parametrize(("states", "named"), [(["complete", "pruned"], True), (["complete"], False)])
def test_parallel_lines_name_pruned_trials_where_there_are_some(search, states, named):
    search = replace(search, trials=search.trials[search.trials["state"].isin(states)])
    (legend,) = study.plot_parallel(search, "val_accuracy", "Parallel").legends
    assert ("pruned" in [text.get_text() for text in legend.get_texts()]) is named


def test_a_pruned_curve_ends_with_a_cross(search):
    figure = study.plot_curves(search, "Curves")
    (axes,) = figure.axes
    crosses = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "x"]
    assert crosses == [[[1, 0.15]]]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    kinds = ["failed or not at its end (1)", "pruned (1)", "complete (1)", "best: trial 2 (1)"]
    # The pruned one, and the one that failed.
    assert labels == [*kinds, "below the axis"]
    (below,) = [line for line in axes.lines if line.get_marker() == "v"]
    assert below.get_xydata().tolist() == [[1, 0], [1, 0]]


def test_an_interval_that_lies_beside_its_importance_is_drawn_from_it(search):
    (axes,) = study.plot_importances(search.importances, "Importances").axes
    (bars,) = axes.containers
    segments = bars[2][0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in segments[:2]], [[0.4, 0.6], [0.3, 0.4]])
    assert [label.get_text() for label in axes.get_yticklabels()] == [OPTIMIZER, "reg", MOMENTUM, RATE]


def test_complete_trials_come_first_and_the_best_of_them_before_all(search):
    assert list(study.sort_trials(search, "val_accuracy")["trial"][:4]) == [2, 4, 0, 1]


def test_a_pareto_front_is_joined_from_the_smallest_network_to_the_best(search):
    trials = search.trials.assign(n_parameters=[100, 10, 400, None, 200, None], on_front=[True] + 5 * [False])
    trials.loc[[2, 4], "on_front"] = True
    terms = Terms(SPACE, ("val_accuracy", "n_parameters"), 1)
    two = SearchTables("abc", terms, search.dimensions, trials, search.curves, search.importances)
    (axes,) = study.plot_pareto(two, "Front").axes
    assert find_line(axes, "on the Pareto front") == [[100, 200, 400], [0.90, 0.92, 0.95]]
    # A trial of which nothing is known has no place.
    assert find_line(axes, "complete")[0] == [100, 400, 200]
    assert axes.get_xlabel() == "number of parameters (minimised)"
    assert axes.get_ylabel() == "validation accuracy (maximised)"
    labels = [text.get_text() for text in study.plot_curves(two, "Curves").legends[0].get_texts()]
    assert labels[2:] == ["on the Pareto front (2)", "below the axis"]
    assert [axes.get_ylabel() for axes in study.plot_history(two, "Best").axes[::2]] == [
        "validation accuracy",
        "number of parameters",
    ]


def test_a_pareto_front_is_seen_whole_and_what_lies_below_the_axis_has_a_mark(search):
    trials = search.trials.assign(n_parameters=[100, 10, 400, None, 200, None], on_front=[True] + 5 * [False])
    trials.loc[[0, 4], "val_accuracy"] = [0.11, 0.12]
    terms = Terms(SPACE, ("val_accuracy", "n_parameters"), 1)
    (axes,) = study.plot_pareto(replace(search, terms=terms, trials=trials), "Front").axes
    low, high = axes.get_ylim()
    assert low < 0.11 < 0.95 < high
    trials["on_front"] = trials["trial"] == 2
    figure = study.plot_pareto(replace(search, terms=terms, trials=trials), "Front")
    assert figure.axes[0].get_ylim()[0] > 0.12
    assert find_line(figure.axes[0], "below the axis") == [[100, 200], [0, 0]]
    assert "below the axis" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_question_that_has_an_answer_has_its_figure(search, monkeypatch):
    runs = SimpleNamespace(
        table=pd.DataFrame({"run_id": search.trials["run_ids"], "data.name": "digits", "data.validation": "holdout"})
    )
    monkeypatch.setattr(study, "fetch_search", lambda runs, run_id: search)
    config = study.Config(name="search", experiments=["x"], filter=None, run_id=None)
    # Two learning rates are no surface.
    assert list(study.draw(runs, config).figures) == ["history", "slices", "parallel", "importances", "curves"]
    search.trials.loc[0, RATE] = 0.03
    drawing = study.draw(runs, config)
    assert list(drawing.figures) == ["history", "slices", "parallel", "contour", "importances", "curves"]
    assert list(drawing.tables) == ["trials", "importances"]
    assert drawing.parent_run_id == "abc"
