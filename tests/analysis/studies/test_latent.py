"""Latents from a trained autoencoder to the figure, and what the figure shows of given points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mnist_flow.analysis.studies import latent
from mnist_flow.analysis.studies.latent import (
    CLASS_COLORS,
    LatentPanel,
    build_panel,
    fit_labels,
    plot_latent,
    separate_labels,
)
from mnist_flow.errors import TrackingError


def make_summary(std: float, n: int) -> pd.DataFrame:
    return pd.DataFrame({"k": [10], "n": [n], "mean": [0.51234], "std": [std]})


def make_panel(points: np.ndarray, labels: np.ndarray) -> LatentPanel:
    return LatentPanel("panel", points.astype(np.float32), labels, ("x", "y"), tuple("0123456789"))


def list_digits(axes) -> dict[str, tuple[float, float]]:
    """Where the digits are written, in coordinates of the data."""
    low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
    return {text.get_text(): tuple(low + np.array(text.xy) * (high - low)) for text in axes.texts}


def test_a_panel_says_what_is_drawn_and_how_well_neighbours_do():
    arrays = {"points": np.zeros((1, 2)), "labels": np.zeros(1, int), "latent": np.array(2), "explained": np.empty(0)}
    panel = build_panel("autoencoder_2d", 3, arrays, make_summary(0.01, 2))
    assert panel.title.splitlines() == [
        "autoencoder_2d, run of seed 3: latent space of 2 dimensions",
        "10 nearest neighbours in all dimensions: 51.23 ± 1.00 % right (n = 2)",
    ]
    assert panel.axis_labels == ("first latent dimension", "second latent dimension")
    arrays |= {"latent": np.array(3136), "explained": np.float32([0.251, 0.1])}
    panel = build_panel("conv_autoencoder", 0, arrays, make_summary(np.nan, 1))
    assert panel.title.splitlines() == [
        "conv_autoencoder, run of seed 0: latent space of 3,136 dimensions, its first",
        "two principal components",
        "10 nearest neighbours in all dimensions: 51.23 % right (n = 1)",
    ]
    assert panel.axis_labels == ("first component (25.1 % of the variance)", "second component (10 %)")
    arrays |= {"latent": np.array(1), "explained": np.empty(0)}
    panel = build_panel("autoencoder_1d", 0, arrays, make_summary(np.nan, 1))
    assert panel.title.splitlines()[0] == "autoencoder_1d, run of seed 0: latent space of 1 dimension"


def test_points_have_the_colours_of_their_digits_and_digits_stand_at_the_medians():
    labels = np.repeat([0, 4, 9], 50)
    centres = np.array([[0, 0], [10, 0], [0, 10]])
    points = np.repeat(centres, 50, axis=0) + np.tile(np.linspace(-1, 1, 50)[:, None], (3, 2))
    figure = plot_latent([make_panel(points, labels)], "Latents")
    axes = figure.axes[0]
    drawn = axes.collections[0]
    np.testing.assert_allclose(drawn.get_offsets(), points, atol=1e-6)
    assert [to_hex(color).upper() for color in drawn.get_facecolors()[::50]] == [CLASS_COLORS[d] for d in (0, 4, 9)]
    for (digit, place), centre in zip(list_digits(axes).items(), centres, strict=True):
        assert digit in "049"
        np.testing.assert_allclose(place, centre, atol=1e-3)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [str(digit) for digit in range(10)]
    assert len(set(CLASS_COLORS)) == 10


def test_classes_with_names_are_called_by_them():
    arrays = {"points": np.zeros((2, 2)), "labels": np.array([1, 0]), "latent": np.array(2), "explained": np.empty(0)}
    panel = build_panel("ae", 0, arrays | {"class_names": np.array(["shoe", "coat"])}, make_summary(np.nan, 1))
    figure = plot_latent([panel], "Latents")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["shoe", "coat"]
    assert figure.legends[0].get_title().get_text().startswith("class (")
    assert [text.get_text() for text in figure.axes[0].texts] == ["shoe", "coat"]
    digits = make_panel(np.zeros((1, 2)), np.zeros(1, int))
    both = plot_latent([digits, panel], "Latents").legends[0]
    assert both.get_title().get_text().startswith("class (")
    assert [text.get_text() for text in both.get_texts()] == [*"0123456789", "shoe", "coat"]
    many = LatentPanel("many", np.zeros((12, 2)), np.arange(12), ("x", "y"), tuple("abcdefghijkl"))
    assert len(plot_latent([many], "Latents").legends[0].get_texts()) == 12


def test_few_points_far_away_do_not_press_the_others_together():
    points = np.random.default_rng(0).random((1000, 2))
    points[0] = 1e6
    axes = plot_latent([make_panel(points, np.arange(1000) % 10)], "Latents").axes[0]
    assert axes.get_xlim()[1] < 2
    assert axes.get_title().endswith("of 1,000 images lie outside the frame")


def test_latents_that_are_all_one_are_drawn():
    axes = plot_latent([make_panel(np.zeros((20, 2)), np.arange(20) % 10)], "Latents").axes[0]
    assert axes.get_xlim() == (-1, 1)
    assert len(axes.texts) == 10


def test_labels_are_pushed_apart_along_their_line():
    places = separate_labels(np.array([[0.5, 0.5], [0.52, 0.5], [0.1, 0.1]]), 0.04)
    np.testing.assert_allclose(places, [[0.49, 0.5], [0.53, 0.5], [0.1, 0.1]], atol=1e-4)
    same = separate_labels(np.full((2, 2), 0.5), 0.04)
    assert np.linalg.norm(same[0] - same[1]) == pytest.approx(0.04)


def test_long_names_cover_no_other_name_and_stay_in_the_panel():
    names = ["red disc", "green disc", "yellow square", "blue stripes", "red disc 2"]
    places = fit_labels(np.array([[0.5, 0.5], [0.55, 0.5], [0.99, 0.51], [0.01, 1.0], [0.5, 0.5]]), names)
    for one in range(5):
        half = 0.0125 * len(names[one])
        assert half - 1e-9 <= places[one, 0] <= 1 - half + 1e-9
        for other in range(one):
            apart_x, apart_y = np.abs(places[one] - places[other])
            assert apart_x >= half + 0.0125 * len(names[other]) or apart_y > 0.038
    # At the upper edge one of them goes down.
    assert fit_labels(np.ones((2, 2)), names[:2])[:, 1].max() <= 1 - 0.019
    digits = separate_labels(np.random.default_rng(0).uniform(0.1, 0.9, (10, 2)), 0.045)
    np.testing.assert_array_equal(fit_labels(digits, "0123456789"), digits)


@pytest.fixture
def draw(analyze):
    return lambda *overrides: sorted(path.name for path in analyze(*overrides).files)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_study_draws_a_run_of_each_model_and_counts_all(draw, tmp_path, monkeypatch):
    drawn = []
    plot = latent.plot_latent
    monkeypatch.setattr(latent, "plot_latent", lambda panels, title: (drawn.extend(panels), plot(panels, title))[1])
    assert draw("study=latent") == ["latent.csv", "latent.png", "latent.svg"]
    assert [panel.title.partition(":")[0] for panel in drawn] == [
        "autoencoder_2d, run of seed 0",
        "autoencoder, run of seed 0",
    ]
    assert [panel.points.shape for panel in drawn] == [(360, 2), (360, 2)]
    table = pd.read_csv(tmp_path / "latent.csv")
    assert table[["model", "latent", "k", "neighbours_from", "n"]].to_numpy().tolist() == [
        ["autoencoder_2d", 2, 10, 1437, 2],
        ["autoencoder", 96, 10, 1437, 1],
    ]
    # One digit for all is right for a tenth.
    assert table["mean"].between(0.15, 1).all()


@pytest.mark.slow
def test_nothing_measured_names_the_command(draw):
    command = "python -m mnist_flow.evaluate measure=feature_maps tracking.experiment_name=autoencoder"
    message = f"^study=feature_maps: no run of autoencoder is measured; .*: {command}$"
    with pytest.raises(TrackingError, match=message):
        draw("study=feature_maps", "tracking.experiment_name=autoencoder")


def test_the_run_of_the_lowest_seed_is_drawn_and_all_are_summarised(measured_runs, caplog):
    table = pd.DataFrame({"latent": [2], "k": [10], "neighbours_from": [100], "n": [3], "accuracy": [0.5]})
    for model in ("wide", "narrow"):
        for seed in (1, 0):
            run_id = measured_runs.train(model, seed)
            # The newest evaluation counts.
            for number in (0, 1):
                arrays = {
                    "points": np.float32([[seed, number], [2, 3], [5, 4]]),
                    "labels": np.array([0, 1, 1]),
                    "class_names": np.array(["cat", "dog"]),
                    "explained": np.empty(0),
                    "latent": np.array(2),
                }
                measured_runs.evaluate(run_id, "latent", table.assign(accuracy=0.5 + seed / 10), arrays)
    for seed in (2, 3):
        measured_runs.train("narrow", seed)
    runs = measured_runs.build()
    drawing = latent.draw(runs, latent.Config(name="latent", experiments=["x"], filter=None))
    command = "python -m mnist_flow.evaluate measure=latent tracking.experiment_name=narrow"
    assert runs.missing == [f"experiment 'narrow': 2 runs not measured yet; measure: {command}"]
    assert runs.missing[0] in caplog.messages
    figure = drawing.figures[""]
    assert figure.get_suptitle().startswith("Latents of the clean test images, coloured by class\nmnist, ")
    assert [axes.get_title().splitlines() for axes in figure.axes] == [
        [
            f"{model}, run of seed 0: latent space of 2 dimensions",
            "10 nearest neighbours in all dimensions: 55.00 ± 7.07 % right (n = 2)",
        ]
        for model in ("wide", "narrow")
    ]
    assert [axes.collections[0].get_offsets()[0].tolist() for axes in figure.axes] == [[0, 1], [0, 1]]
    (summary,) = drawing.tables.values()
    assert summary[["model", "latent", "k", "neighbours_from", "n"]].to_numpy().tolist() == [
        ["wide", 2, 10, 100, 2],
        ["narrow", 2, 10, 100, 2],
    ]
    assert drawing.metric == "accuracy"
