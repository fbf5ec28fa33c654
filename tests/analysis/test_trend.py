import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.style import BASELINES, COLORS
from mnist_flow.analysis.trend import build_trend, plot_trend

# Report 001-2.4b: three replicates at each of two λ.
ACCURACIES = {1e-6: [0.9819, 0.9813, 0.9821], 1e-3: [0.9796, 0.9791, 0.9817]}
NOTHING = pd.DataFrame({"row": [], "x": [], "value": [], "mean_of": []})


def make_runs(accuracies: dict, setting: str = "mlp_500_300", **columns) -> pd.DataFrame:
    """A table of runs, one for each accuracy."""
    rows = [(x, seed, value) for x, values in accuracies.items() for seed, value in enumerate(values)]
    table = pd.DataFrame(rows, columns=["x", "seed", "test_accuracy"])
    return table.assign(setting=setting, **{"data.name": "mnist", "data.validation": "test", **columns})


def plot(runs: pd.DataFrame, metric: str = "test_accuracy", published: pd.DataFrame = NOTHING, reference=None):
    """The axes of the figure: one or two of values, and the differences where there are any."""
    figure = plot_trend(build_trend(runs, metric, published, reference), "title", "λ")
    figure.draw_without_rendering()
    return figure.axes


def legend(axes) -> list[str]:
    (found,) = axes.get_figure().legends
    return [text.get_text() for text in found.get_texts()]


def test_every_replicate_is_a_point():
    points = plot(make_runs(ACCURACIES))[0].lines[0]
    assert points.get_linestyle() == "None"
    assert points.get_xdata().tolist() == [1e-6] * 3 + [1e-3] * 3
    assert points.get_ydata().tolist() == [0.9819, 0.9813, 0.9821, 0.9796, 0.9791, 0.9817]


def test_means_and_standard_deviations():
    axes = plot(make_runs(ACCURACIES))[0]
    ((line, _, (bars,)),) = axes.containers
    # A dash, wider than the point of a run.
    assert line.get_marker() == "_"
    assert line.get_markersize() > 2 * axes.lines[0].get_markersize()
    assert line.get_xdata().tolist() == [1e-6, 1e-3]
    assert line.get_ydata().tolist() == pytest.approx([0.98176667, 0.98013333], abs=1e-8)
    ends = np.array(bars.get_segments())  # x, end, (x, y)
    np.testing.assert_allclose(ends[:, 1, 1] - ends[:, 0, 1], [2 * 0.00041633, 2 * 0.00137961], atol=1e-7)


def test_single_runs_have_bars_of_no_length():
    axes = plot(make_runs({1e-6: [0.98], 1e-3: [0.97]}))[0]
    ((_, _, (bars,)),) = axes.containers
    assert [np.ptp(segment[:, 1]) for segment in bars.get_segments()] == [0, 0]


def test_axes_and_the_number_of_runs_are_named():
    upper, lower = plot(make_runs(ACCURACIES))
    assert upper.get_ylabel() == "test accuracy"
    assert lower.get_xlabel() == "λ"
    assert legend(upper)[0] == "mlp_500_300, n = 3"
    assert legend(plot(make_runs(ACCURACIES).drop(index=5))[0])[0] == "mlp_500_300, n = 2 to 3"


def test_each_setting_has_its_line():
    few = {x: values[:1] for x, values in ACCURACIES.items()}
    axes = plot(pd.concat([make_runs(ACCURACIES, "epochs=40"), make_runs(few, "epochs=10")]))[0]
    first, second = (container.lines[0] for container in axes.containers)
    assert first.get_color() != second.get_color()
    assert second.get_ydata().tolist() == [0.9819, 0.9796]
    assert legend(axes)[:2] == ["epochs=40, n = 3", "epochs=10, n = 1"]


def test_differences_have_their_intervals():
    lower = plot(make_runs(ACCURACIES))[1]
    ((line, _, (bars,)),) = lower.containers
    assert line.get_ydata().tolist() == pytest.approx([-0.00163333], abs=1e-8)
    # 4.30265 standard errors either way.
    np.testing.assert_allclose(np.ptp(bars.get_segments()[0][:, 1]), 2 * 4.30265 * 0.00106927 / np.sqrt(3), atol=1e-7)


def test_the_differences_of_a_setting_look_like_it_and_stand_where_its_means_stand():
    both = pd.concat([make_runs(ACCURACIES, "epochs=40"), make_runs(ACCURACIES, "epochs=10")])
    upper, lower = plot(both)
    above, below = ([container.lines[0] for container in axes.containers] for axes in (upper, lower))
    assert [line.get_color() for line in above] == [line.get_color() for line in below] == list(COLORS[:2])
    assert [line.get_marker() for line in below] == ["o", "s"]
    for axes, lines in ((upper, above), (lower, below)):
        places = [line.get_transform().transform((1e-3, 0))[0] for line in lines]
        # Three points apart, with the place of the value in the middle.
        points = (np.array(places) - axes.transData.transform((1e-3, 0))[0]) * 72 / axes.get_figure().dpi
        np.testing.assert_allclose(points, [-1.5, 1.5])


def test_what_was_published_is_marked_and_named():
    rows = [("001-2.4b", 1e-6, 0.9819, 1), ("001-2.4b", 1e-6, 0.9813, 1), ("003-2D'", 1e-3, 0.97, 3)]
    axes = plot(make_runs(ACCURACIES), published=pd.DataFrame(rows, columns=list(NOTHING)))[0]
    marks = {line.get_label(): line for line in axes.lines if line.get_label().startswith("published")}
    assert list(marks) == ["published: 001-2.4b, each run", "published: 003-2D', mean of 3"]
    assert marks["published: 001-2.4b, each run"].get_ydata().tolist() == [0.9819, 0.9813]
    assert axes.get_ylim()[0] < 0.97


def test_baselines_are_the_published_ones():
    axes = plot(make_runs(ACCURACIES))[0]
    heights = [line.get_ydata()[0] for line in axes.lines if line.get_label() in BASELINES]
    assert heights == [0.9847, 0.9849]
    assert set(BASELINES) <= set(legend(axes))
    assert axes.get_ylim()[1] > 0.9849


@pytest.mark.parametrize(("data", "metric"), [("digits", "test_accuracy"), ("mnist", "test_loss")])
def test_anything_else_has_no_baselines(data, metric):
    axes = plot(make_runs(ACCURACIES, **{"data.name": data, "test_loss": 0.1}), metric)[0]
    assert not set(BASELINES) & set(legend(axes))


def test_no_penalty_has_its_place():
    axes = plot(make_runs({0.0: [0.9812], **ACCURACIES}))[0]
    assert axes.get_xscale() == "symlog"
    assert axes.get_xlim()[0] < 0
    assert 0 in axes.lines[0].get_xdata()
    # Zero, 1e-6 and 1e-3 stand apart.
    x = axes.transData.transform([(value, 0.98) for value in (0, 1e-6, 1e-3)])[:, 0]
    assert np.diff(x).min() > 0.05 * np.ptp(axes.bbox.get_points()[:, 0])


def test_no_penalty_alone_has_no_differences():
    (axes,) = plot(make_runs({0.0: [0.9812, 0.9820]}))
    assert axes.lines[0].get_ydata().tolist() == [0.9812, 0.9820]


def test_texts_are_categories():
    upper, lower = plot(make_runs({"lenet5": [0.99, 0.991], "mlp_100": [0.977, 0.978]}))
    assert [label.get_text() for label in lower.get_xticklabels()] == ["lenet5", "mlp_100"]
    assert upper.containers[0].lines[0].get_linestyle() == "None"


def test_a_collapsed_run_does_not_squash_the_others():
    upper, middle, _ = plot(make_runs({0.1: [0.9785, 0.978], 1.0: [0.9577, 0.957], 10.0: [0.0974, 0.0974]}))
    assert upper.get_ylim()[0] > 0.9
    assert middle.get_ylim()[0] < 0.0974 < middle.get_ylim()[1] < 0.2


def test_wide_errors_are_spaced_by_log_odds():
    assert plot(make_runs({0.001: [0.86], 0.1: [0.98]}))[0].get_yscale() == "logit"
    assert plot(make_runs(ACCURACIES))[0].get_yscale() == "linear"


def test_an_error_bar_is_whole_unless_it_comes_close_to_100_percent():
    digits = {"data.name": "digits"}
    axes = plot(make_runs({0.0: [0.94, 0.97], 0.1: [0.6, 0.7]}, **digits))[0]
    low, high = axes.get_ylim()
    # 0.955 ± 0.0212 and 0.65 ± 0.0707.
    assert low < 0.65 - 0.0707
    assert 0.955 + 0.0212 < high < 0.985
    # 0.985 ± 0.0212 is more than there is; half of the way from 0.9999 on is shown.
    assert plot(make_runs({0.0: [0.97, 0.9999], 0.1: [0.6, 0.7]}, **digits))[0].get_ylim()[1] < 1


def test_a_reference_without_runs_is_replaced_and_told(caplog):
    trend = build_trend(make_runs(ACCURACIES), "test_accuracy", NOTHING, 0.5)
    assert trend.reference == 1e-6
    assert "study.reference=0.5: no finished run has it, 1e-06 is taken; choices: 1e-06 0.001" in caplog.text


def test_a_reference_is_found_among_the_texts_of_a_param(caplog):
    trend = build_trend(make_runs({"False": [0.9], "True": [0.8]}), "test_accuracy", NOTHING, True)
    assert (trend.reference, trend.differences["x"].tolist(), caplog.text) == ("True", ["False"], "")


def test_one_interval_that_is_far_longer_than_the_others_leaves_the_panel():
    close = [0.001, 0.0012, 0.0008]
    accuracies = {0.0: [0.98] * 3, 1e-6: [0.97, 0.98, 0.99]}
    accuracies |= {10**-power: [0.98 + number for number in close] for power in (5, 4, 3)}
    lower = plot(make_runs(accuracies))[-1]
    # Half of the intervals of the others is 0.0005, and that of the long one 0.025.
    low, high = lower.get_ylim()
    assert low == pytest.approx(1.6 * -4 * 0.000497 - 0.003, rel=1e-2)
    assert high == pytest.approx(1.6 * 4 * 0.000497 + 0.003, rel=1e-2)
