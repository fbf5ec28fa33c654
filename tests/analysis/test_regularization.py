import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.regularization import YARDSTICKS, plot_regularization, summarise

# Report 001-2.4b: three replicates at each of two λ.
ACCURACIES = {1e-6: [0.9819, 0.9813, 0.9821], 1e-3: [0.9796, 0.9791, 0.9817]}


def make_table(accuracies: dict[float, list[float]], **columns) -> pd.DataFrame:
    """A table of runs, one for each accuracy."""
    rows = [(reg, seed, value) for reg, values in accuracies.items() for seed, value in enumerate(values)]
    table = pd.DataFrame(rows, columns=["reg", "seed", "test_accuracy"])
    constant = {"model.name": "mlp_500_300", "data.name": "mnist", "data.validation": "test", **columns}
    return table.assign(run_id=[str(number) for number in range(len(rows))], **constant)


@pytest.fixture
def table() -> pd.DataFrame:
    return make_table(ACCURACIES)


@pytest.fixture
def two_settings() -> pd.DataFrame:
    """Two settings, the second with one run at each λ."""
    few = {reg: values[:1] for reg, values in ACCURACIES.items()}
    return pd.concat([make_table(ACCURACIES, epochs=10), make_table(few, epochs=40)], ignore_index=True)


def plot(table: pd.DataFrame, metric: str = "test_accuracy"):
    """The axes of the figure."""
    (axes,) = plot_regularization(table, summarise(table, metric), metric).axes
    return axes


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_summary_against_literals(table):
    summary = summarise(table, "test_accuracy")
    assert list(summary) == ["setting", "reg", "n", "mean", "std", "min", "max"]
    assert summary["setting"].tolist() == ["mlp_500_300", "mlp_500_300"]
    assert summary["reg"].tolist() == [1e-6, 1e-3]
    assert summary["n"].tolist() == [3, 3]
    np.testing.assert_allclose(summary["mean"], [0.98176667, 0.98013333], atol=1e-8)
    # ddof = 1; with ddof = 0 they would be 0.00033993 and 0.00112645.
    np.testing.assert_allclose(summary["std"], [0.00041633, 0.00137961], atol=1e-8)
    assert summary["min"].tolist() == [0.9813, 0.9791]
    assert summary["max"].tolist() == [0.9821, 0.9817]


def test_summary_of_single_runs_has_no_standard_deviation():
    summary = summarise(make_table({0.0: [0.98], 0.1: [0.97]}), "test_accuracy")
    assert summary["n"].tolist() == [1, 1]
    assert summary["std"].isna().all()


def test_summary_keeps_settings_apart(two_settings):
    summary = summarise(two_settings, "test_accuracy")
    assert summary[["setting", "reg", "n"]].to_numpy().tolist() == [
        ["mlp_500_300, epochs=10", 1e-6, 3],
        ["mlp_500_300, epochs=10", 1e-3, 3],
        ["mlp_500_300, epochs=40", 1e-6, 1],
        ["mlp_500_300, epochs=40", 1e-3, 1],
    ]


def test_figure_shows_every_replicate(table):
    points = plot(table).lines[0]
    assert points.get_linestyle() == "None"
    assert points.get_xdata().tolist() == [1e-6] * 3 + [1e-3] * 3
    assert points.get_ydata().tolist() == [0.9819, 0.9813, 0.9821, 0.9796, 0.9791, 0.9817]


def test_figure_shows_means_and_standard_deviations(table):
    ((line, _, (bars,)),) = plot(table).containers
    assert line.get_xdata().tolist() == [1e-6, 1e-3]
    assert line.get_ydata().tolist() == pytest.approx([0.98176667, 0.98013333], abs=1e-8)
    ends = np.array(bars.get_segments())  # λ, end, (x, y)
    np.testing.assert_allclose(ends[:, :, 0], [[1e-6, 1e-6], [1e-3, 1e-3]])
    np.testing.assert_allclose(ends[:, 1, 1] - ends[:, 0, 1], [2 * 0.00041633, 2 * 0.00137961], atol=1e-7)


def test_figure_of_single_runs_has_bars_of_no_length():
    ((line, _, (bars,)),) = plot(make_table({1e-6: [0.98], 1e-3: [0.97]})).containers
    assert line.get_ydata().tolist() == [0.98, 0.97]
    assert [np.ptp(segment[:, 1]) for segment in bars.get_segments()] == [0, 0]


def test_figure_names_its_axes_and_protocol(table):
    axes = plot(table)
    assert axes.get_xlabel() == "λ of the L2 penalty λ·Σw² (reg)"
    assert axes.get_ylabel() == "test accuracy"
    assert axes.get_title() == "L2 regularization on mnist (test set as validation)"


def test_figure_names_the_honest_protocol(table):
    axes = plot(table.assign(**{"data.validation": "holdout"}))
    assert axes.get_title() == "L2 regularization on mnist (λ to be chosen on held-out images)"


def test_figure_says_how_many_replicates(table):
    assert legend(plot(table))[-1] == "mlp_500_300: mean ± sample standard deviation, n = 3"
    assert legend(plot(table.drop(index=5)))[-1] == "mlp_500_300: mean ± sample standard deviation, n = 2 to 3"


def test_figure_has_a_line_for_each_setting(two_settings):
    axes = plot(two_settings)
    first, second = (container.lines[0] for container in axes.containers)
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    assert second.get_ydata().tolist() == [0.9819, 0.9796]
    assert [entry.partition(":")[0] for entry in legend(axes)[-2:]] == [
        "mlp_500_300, epochs=10",
        "mlp_500_300, epochs=40",
    ]


def test_figure_is_logarithmic_in_lambda(table):
    assert plot(table).get_xscale() == "log"


def test_figure_has_room_for_no_penalty():
    axes = plot(make_table({0.0: [0.9812], **ACCURACIES}))
    assert axes.get_xscale() == "symlog"
    assert axes.get_xlim()[0] < 0
    assert 0 in axes.lines[0].get_xdata()
    # Zero, 1e-6 and 1e-3 stand apart.
    x = axes.transData.transform([(value, 0.98) for value in (0, 1e-6, 1e-3)])[:, 0]
    assert np.diff(x).min() > 0.05 * np.ptp(axes.bbox.get_points()[:, 0])


def test_figure_of_no_penalty_alone():
    axes = plot(make_table({0.0: [0.9812, 0.9820]}))
    assert axes.lines[0].get_ydata().tolist() == [0.9812, 0.9820]


def test_yardsticks_are_the_published_ones():
    assert sorted(YARDSTICKS.values()) == [0.9847, 0.9849]


def test_figure_of_mnist_accuracies_has_the_yardsticks(table):
    axes = plot(table)
    heights = [line.get_ydata()[0] for line in axes.lines if line.get_label() in YARDSTICKS]
    assert heights == [0.9847, 0.9849]
    assert set(YARDSTICKS) <= set(legend(axes))


@pytest.mark.parametrize(("data", "metric"), [("digits", "test_accuracy"), ("mnist", "test_loss")])
def test_figure_of_anything_else_has_none(table, data, metric):
    axes = plot(table.assign(**{"data.name": data, "test_loss": 0.1}), metric)
    assert not set(YARDSTICKS) & set(legend(axes))
    assert axes.get_ylabel() == metric.replace("_", " ")
