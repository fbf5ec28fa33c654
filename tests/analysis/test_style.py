"""Looks, words and legends that all figures share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mnist_flow.analysis import style


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.985, "98.5 %"), (0.98765, "98.77 %"), (1, "100 %"), (1.001, ""), (0, "0 %")]
)
def test_percent_have_four_digits_and_end_at_a_hundred(fraction, text):
    assert style.format_percent(fraction) == text


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"n": [3, 3]}, "n = 3"),
        ({"n": [3, 2, 5]}, "n = 2 to 5"),
        ({"n": [5, 5], "replicates": ["5 folds", "5 folds"]}, "n = 5 folds"),
        ({"n": [5, 3], "replicates": ["5 folds", "3 seeds"]}, "n = 5 folds or 3 seeds"),
        ({"n": [3, 3], "replicates": ["3 seeds", "3 seeds"]}, "n = 3"),
    ],
)
def test_what_stands_behind_a_mean_is_told(columns, text):
    assert style.describe_n(pd.DataFrame(columns)) == text


def test_folds_are_told_where_some_runs_have_them():
    seeds = pd.DataFrame({"seed": [0, 1]})
    assert style.name_replicates(seeds) == "runs"
    assert style.name_replicates(seeds.assign(**{"data.fold": [None, None]})) == "runs"
    folded = seeds.assign(**{"data.fold": [None, 1]})
    assert style.name_replicates(folded) == "folds, each the mean of its seeds"


def test_eighteen_lines_all_look_different():
    looks = [style.choose_line_style(index) for index in range(18)]
    assert len({tuple(look.values()) for look in looks}) == 18
    assert [look["linestyle"] for look in looks[::6]] == ["-", "--", ":"]
    assert looks[0] == {"color": "#0072B2", "marker": "o", "linestyle": "-"}
    assert looks[6]["color"] == looks[0]["color"] != looks[1]["color"]
    assert looks[7]["marker"] == "o"
    assert style.choose_line_style(18)["linestyle"] == "-"


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("test_accuracy", "test accuracy"),
        ("val_accuracy", "validation accuracy"),
        ("n_parameters", "number of parameters"),
        ("fit_seconds", "training time (s)"),
        ("val_loss", "validation loss (cross-entropy + penalty)"),
    ],
)
def test_a_metric_is_called_by_plain_words(metric, name):
    assert style.describe_metric(metric) == name
    assert style.is_accuracy(metric) is metric.endswith("accuracy")


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (
            {"data.name": ["mnist", "digits"], "data.validation": "holdout"},
            "What\ndigits and mnist, settings chosen on held-out training images",
        ),
        (
            {"data.name": "mnist", "data.validation": ["test", "holdout"]},
            "What\nmnist, settings chosen on held-out training images / "
            "validated on the test set: choosing is optimistic",
        ),
        (
            {"data.name": "mnist", "data.validation": "holdout", "data.fold": [0, 1]},
            "What\nmnist, settings chosen on folds of the training images",
        ),
        (
            {"data.name": "mnist", "data.validation": "holdout", "data.fold": [0, None]},
            "What\nmnist, settings chosen on folds of the training images / "
            "settings chosen on held-out training images",
        ),
    ],
)
def test_a_title_names_the_data_and_how_settings_were_chosen(columns, text):
    table = pd.DataFrame(columns, index=[0, 1])
    assert style.build_title("What", table) == text


@pytest.mark.parametrize(
    ("n", "n_columns", "grid"), [(1, 3, (1, 1)), (3, 3, (1, 3)), (4, 3, (2, 3)), (5, 2, (3, 2)), (6, 2, (3, 2))]
)
def test_panels_fill_a_grid_row_by_row_and_spare_ones_are_gone(n, n_columns, grid):
    figure, panels = style.make_panels(n, n_columns, (4.0, 3.0), 1.0, "title")
    assert len(figure.axes) == len(panels) == n
    specs = [axes.get_subplotspec() for axes in panels]
    assert specs[0].get_gridspec().get_geometry() == grid
    assert [spec.num1 for spec in specs] == list(range(n))
    assert figure.get_figwidth() == max(6.4, 4.0 * grid[1])
    assert figure.get_figheight() == 3.0 * grid[0] + 1.0
    assert figure.get_suptitle() == "title"


def test_shared_panels_have_numbers_at_the_bottom_of_each_column():
    _, panels = style.make_panels(4, 3, (4.0, 3.0), 1.0, "title", share=True)
    panels[0].set_xlim(2, 5)
    panels[0].set_ylim(1, 3)
    assert all((axes.get_xlim(), axes.get_ylim()) == ((2, 5), (1, 3)) for axes in panels)
    labelled = [axes.xaxis.get_tick_params()["labelbottom"] for axes in panels]
    # The first has another one below it.
    assert labelled == [False, True, True, True]
    apart = style.make_panels(2, 2, (4.0, 3.0), 1.0, "title")[1]
    apart[0].set_xlim(2, 5)
    assert apart[1].get_xlim() != (2, 5)


RUNS = pd.DataFrame({"place": [0, 0, 1], "x": [2, 2, 1], "accuracy": [0.9, 0.8, 0.7]})


def test_rows_show_every_run_and_means_with_their_spread_from_left_to_right():
    axes = Figure().subplots()
    style.plot_rows(axes, RUNS, "accuracy", 1, size=6)
    faint = axes.lines[0]
    assert (faint.get_xdata().tolist(), faint.get_ydata().tolist()) == ([0.9, 0.8, 0.7], [0, 0, 1])
    assert (faint.get_alpha(), faint.get_linestyle(), faint.get_color()) == (0.35, "None", style.COLORS[1])
    ((means, _, (bars,)),) = axes.containers
    np.testing.assert_allclose(means.get_xydata(), [[0.85, 0], [0.7, 1]])
    assert (means.get_markersize(), means.get_markerfacecolor()) == (6, "white")
    np.testing.assert_allclose([np.ptp(one[:, 0]) for one in bars.get_segments()], [2 * 0.1 / 2**0.5, 0])


def test_replicates_are_joined_by_their_means_from_left_to_right():
    axes = Figure().subplots()
    style.plot_replicates(axes, RUNS, "x", "accuracy", 0, "named")
    assert axes.lines[0].get_xydata().tolist() == [[2, 0.9], [2, 0.8], [1, 0.7]]
    ((means, _, (bars,)),) = axes.containers
    np.testing.assert_allclose(means.get_xydata(), [[1, 0.7], [2, 0.85]])
    assert means.get_linestyle() == "-"
    assert axes.containers[0].get_label() == "named"
    np.testing.assert_allclose([np.ptp(one[:, 1]) for one in bars.get_segments()], [0, 2 * 0.1 / 2**0.5])


def test_published_values_are_open_black_marks_of_a_kind_for_each_report():
    axes = Figure().subplots()
    for index in range(7):
        style.plot_published(axes, [1], [2], index, f"report {index}")
    assert [line.get_marker() for line in axes.lines] == [*"DsP^vX", "D"]
    assert {(line.get_color(), line.get_fillstyle(), line.get_linestyle()) for line in axes.lines} == {
        ("k", "none", "None")
    }
    assert axes.lines[3].get_label() == "report 3"


@pytest.mark.parametrize(
    ("metric", "data", "best", "compared"),
    [
        ("test_accuracy", ["mnist"], 0.95, True),
        ("val_accuracy", ["mnist"], 0.95, True),
        ("test_accuracy", ["mnist"], 0.9, False),
        ("accuracy", ["mnist"], 0.95, False),
        ("test_accuracy", ["mnist", "digits"], 0.95, False),
    ],
)
def test_baselines_are_for_good_networks_on_mnist(metric, data, best, compared):
    table = pd.DataFrame({"data.name": data, metric: [best, *[0.1] * (len(data) - 1)]})
    assert style.has_baselines(table, metric) is compared


def test_baselines_lie_across_or_stand():
    axes = Figure().subplots()
    style.add_baselines(axes)
    assert [line.get_ydata()[0] for line in axes.lines] == [0.9847, 0.9849]
    axes = Figure().subplots()
    style.add_baselines(axes, vertical=True)
    assert [line.get_xdata()[0] for line in axes.lines] == [0.9847, 0.9849]
    assert [line.get_linestyle() for line in axes.lines] == ["--", ":"]


def test_a_legend_has_each_name_once_and_measured_ones_before_published_ones():
    figure = Figure()
    for axes in figure.subplots(1, 2):
        axes.plot([0], [0], label="published")
        axes.errorbar([0], [0], yerr=[1], label="measured")
    style.add_legend(figure, figure.axes, "the key")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["measured", "published"]
    assert (legend.get_title().get_text(), legend._ncols) == ("the key", 1)
    # Of those of one name the first is shown.
    again = Figure()
    for axes, color in zip(again.subplots(1, 2), ("red", "blue"), strict=True):
        axes.plot([0], [0], label="same", color=color)
    style.add_legend(again, again.axes)
    assert [line.get_color() for line in again.legends[0].get_lines()] == ["red"]
    figure.axes[0].plot([0], [0], label="third")
    figure.axes[0].plot([0], [0], label="fourth")
    style.add_legend(figure, figure.axes)
    assert figure.legends[1]._ncols == 2
    empty = Figure()
    style.add_legend(empty, [empty.subplots()])
    assert empty.legends == []


def test_an_entry_of_a_legend_has_the_look_of_its_line():
    handle = style.make_handle(1, "mlp", pd.DataFrame({"n": [3]}), "none")
    assert handle.get_label() == "mlp: mean ± sample standard deviation, n = 3; faint: every run"
    assert (handle.get_color(), handle.get_marker(), handle.get_linestyle()) == (style.COLORS[1], "s", "None")
    assert style.make_handle(1, "mlp", pd.DataFrame({"n": [3]})).get_linestyle() == "-"
