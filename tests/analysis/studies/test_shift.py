import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.query import build_published
from mnist_flow.analysis.statistics import compare_paired, summarise
from mnist_flow.analysis.studies.shift import CONDITION, plot_shift, repeat_unmoved, select_shifted, select_worst
from mnist_flow.metrics.robustness import list_shifts

SEEDS = {"cnn_45_60": 3, "mlp_100": 2}
SPREAD = ["mean", "std", "sem", "ci_low", "ci_high", "min", "max"]
PUBLISHED = pd.DataFrame(
    [("000-4B", "cnn_45_60", "wrap", "right", 3.0, 0.901), ("000-4B", "mlp_100", "wrap", "right", 3.0, 0.571)],
    columns=["row", "model", *CONDITION, "accuracy"],
)


def make_tables(**columns) -> pd.DataFrame:
    """Shift tables of five runs: a model loses 10 points a pixel from its start, and each seed one point more."""
    tables = []
    for model, n_seeds in SEEDS.items():
        for seed in range(n_seeds):
            rows = pd.DataFrame([one.columns for one in list_shifts(2, ["right", "left", "up"], ["wrap", "zero"])])
            start = {"cnn_45_60": 0.99, "mlp_100": 0.97}[model] - 0.01 * seed
            rows["accuracy"] = start - 0.1 * rows["pixels"]
            tables.append(rows.assign(run_id=f"{model}-{seed}", seed=seed, model=model))
    return pd.concat(tables, ignore_index=True).assign(**{"data.name": "mnist", **columns})


@pytest.fixture
def tables() -> pd.DataFrame:
    return make_tables()


def plot(tables: pd.DataFrame, **options):
    given = {"published": PUBLISHED, "directions": ["right", "left", "up", "down"], "title": "Shifts", **options}
    return plot_shift(repeat_unmoved(tables), **given)


def summarise_shifts(tables: pd.DataFrame) -> pd.DataFrame:
    return summarise(repeat_unmoved(tables), ["model", *CONDITION], "accuracy")


def compare_models(tables: pd.DataFrame, reference: str | None) -> pd.DataFrame:
    return compare_paired(repeat_unmoved(tables), CONDITION, "model", reference, "accuracy")


def test_the_worst_of_each_run_is_of_any_direction_and_fill(tables):
    hard = (tables["run_id"] == "mlp_100-1") & (tables["direction"] == "up") & (tables["fill"] == "zero")
    tables.loc[hard & (tables["pixels"] == 2), "accuracy"] = 0.5
    worst = select_worst(repeat_unmoved(tables))
    assert len(worst) == 5 * 3
    summary = summarise(worst, ["model", "pixels"], "accuracy")
    # Models in the order of the runs, whatever these are called.
    assert list(dict.fromkeys(select_worst(repeat_unmoved(tables[::-1]))["model"])) == ["mlp_100", "cnn_45_60"]
    found = summary[summary["model"] == "mlp_100"]
    assert found["n"].tolist() == [2, 2, 2]
    # The seeds 0 and 1: 0.97, 0.87, 0.77 and 0.96, 0.86, 0.5.
    np.testing.assert_allclose(found["mean"], [0.965, 0.865, 0.635])
    assert worst.loc[worst["accuracy"] == 0.5, ["direction", "fill"]].to_numpy().tolist() == [["up", "zero"]]


def test_summary_against_literals(tables):
    summary = summarise_shifts(tables)
    assert list(summary) == ["model", "fill", "direction", "pixels", "n", *SPREAD]
    # Two models, two fills, three directions, 0 to 2 pixels.
    assert len(summary) == 2 * 2 * 3 * 3
    here = (summary["model"] == "cnn_45_60") & (summary["fill"] == "zero") & (summary["direction"] == "left")
    assert summary.loc[here, "pixels"].tolist() == [0, 1, 2]
    assert summary.loc[here, "n"].tolist() == [3, 3, 3]
    np.testing.assert_allclose(summary.loc[here, "mean"], [0.98, 0.88, 0.78])
    np.testing.assert_allclose(summary.loc[here, "std"], [0.01, 0.01, 0.01])
    # 0.01 / √3, and 4.30265 of that, the t quantile of two degrees of freedom.
    np.testing.assert_allclose(summary.loc[here, "sem"], [0.00577350] * 3, atol=1e-8)
    np.testing.assert_allclose(summary.loc[here, "ci_high"], [1.00484138, 0.90484138, 0.80484138], atol=1e-8)
    assert set(summary.loc[summary["model"] == "mlp_100", "n"]) == {2}


def test_models_keep_the_order_of_the_runs(tables):
    other_way = tables.sort_values("model", ascending=False, kind="stable")
    assert list(dict.fromkeys(summarise_shifts(other_way)["model"])) == ["mlp_100", "cnn_45_60"]
    assert plot(other_way).legends[0].get_texts()[0].get_text().startswith("mlp_100: ")


def test_models_are_compared_seed_by_seed(tables):
    # Only seeds 0 and 1 have both; the first pair is one point farther apart.
    tables.loc[(tables["model"] == "cnn_45_60") & (tables["seed"] == 0), "accuracy"] += 0.01
    differences = compare_models(tables, "mlp_100")
    assert list(differences)[:6] == ["fill", "direction", "pixels", "model", "reference", "n"]
    assert len(differences) == 2 * 3 * 3
    here = differences[(differences["fill"] == "wrap") & (differences["direction"] == "up")]
    assert here["pixels"].tolist() == [0, 1, 2]
    assert set(here["model"]) == {"cnn_45_60"}
    assert set(here["n"]) == {2}
    np.testing.assert_allclose(here["difference"], [0.025] * 3)
    np.testing.assert_allclose(here["std"], [0.00707107] * 3, atol=1e-8)


@pytest.mark.parametrize("reference", [None, "lenet5"])
def test_without_the_reference_nothing_is_compared(tables, reference):
    assert compare_models(tables, reference).empty


def test_summary_of_single_runs_has_no_standard_deviation(tables):
    summary = summarise_shifts(tables[tables["seed"] == 0])
    assert set(summary["n"]) == {1}
    assert summary["std"].isna().all()


def test_figure_has_a_panel_for_each_fill_and_direction_measured(tables):
    panels = plot(tables).axes
    assert [axes.get_title() for axes in panels] == ["right", "left", "up", "", "", ""]
    assert [axes.get_ylabel().partition("\n")[0] for axes in panels[::3]] == ["wrap-around", "zero fill"]
    assert {axes.get_xlabel() for axes in panels[3:]} == {"pixels"}


def test_each_panel_shows_every_run_and_the_means(tables):
    for axes in plot(tables, published=PUBLISHED.head(0)).axes:
        points = [line for line in axes.lines if line.get_linestyle() == "None" and line.get_alpha() == 0.3]
        assert [len(line.get_xdata()) for line in points] == [3 * 3, 2 * 3]
        means = [container.lines[0] for container in axes.containers]
        assert means[0].get_ydata().tolist() == pytest.approx([0.98, 0.88, 0.78])
        assert means[1].get_ydata().tolist() == pytest.approx([0.965, 0.865, 0.765])
        assert means[0].get_color() != means[1].get_color()
        assert means[0].get_marker() != means[1].get_marker()


def test_the_published_values_are_those_of_the_presets():
    table = pd.DataFrame({"experiment": ["cnn_45_60", "mlp_100", "lenet5"], "data.name": "mnist"})
    pd.testing.assert_frame_equal(select_shifted(build_published(table)), PUBLISHED)


def list_stars(figure) -> list[list[tuple[float, float]]]:
    return [
        [tuple(line.get_xydata()[0].tolist()) for line in axes.lines if line.get_marker() == "*"]
        for axes in figure.axes
    ]


def test_published_values_are_stars_in_their_panel(tables):
    figure = plot(tables)
    assert list_stars(figure) == [[(3.0, 0.901), (3.0, 0.571)], [], [], [], [], []]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "cnn_45_60: mean ± sample standard deviation, n = 3; faint: every run",
        "mlp_100: mean ± sample standard deviation, n = 2; faint: every run",
        "published (000-4B)",
    ]


def test_published_values_of_other_models_or_data_are_left_out(tables):
    assert list_stars(plot(tables[tables["model"] == "mlp_100"]))[0] == [(3.0, 0.571)]
    digits = plot(make_tables(**{"data.name": "digits"}))
    assert not any(list_stars(digits))
    assert "published" not in digits.legends[0].get_texts()[-1].get_text()


def test_diagonals_have_a_figure_of_their_own():
    rows = pd.DataFrame([one.columns for one in list_shifts(1, ["up_left"], ["zero"])])
    table = rows.assign(accuracy=0.9, run_id="a", seed=0, model="mlp_100", **{"data.name": "mnist"})
    (axes,) = plot(table, directions=["up_left"]).axes
    assert axes.get_title() == "up and left"
    assert axes.get_xlabel() == "pixels along each axis"
