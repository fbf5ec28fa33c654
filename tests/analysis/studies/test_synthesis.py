import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.studies import synthesis
from mnist_flow.analysis.studies.synthesis import plot_methods, summarise_methods


@pytest.fixture
def tables():
    """Two runs of an autoencoder and one of a conditional decoder; each measured on all digits and on digit 3."""
    rows = []
    for model, run_id, way, steps, agreement in (
        ("autoencoder", "a", "gaussian_mixture", 2, 0.98),
        ("autoencoder", "b", "gaussian_mixture", 2, 0.96),
        ("autoencoder", "a", "noise_codes_kept", 1, np.nan),
        ("cvae", "c", "conditional_decoder", 1, 0.9),
        *((model, run_id, "test_images", 1, 0.99) for model, run_id in (("autoencoder", "a"), ("cvae", "c"))),
    ):
        for step in range(steps):
            about = {"model": model, "run_id": run_id, "way": way, "step": step}
            measured = {
                "agreement": agreement - step / 10,
                "confidence": 0.8,
                "diversity": 0.7,
                "nearest_distance": 0.15,
            }
            rows += [{**about, "digit": digit, **measured} for digit in ("all", "3")]
    return pd.DataFrame(rows)


def test_replicates_become_one_row_a_measure(tables):
    summary = summarise_methods(tables)
    assert set(summary["digit"]) == {"all"}
    mixture = summary[(summary["way"] == "gaussian_mixture") & (summary["measure"] == "agreement")]
    assert mixture[["step", "n"]].to_numpy().tolist() == [[0, 2], [1, 2]]
    np.testing.assert_allclose(mixture["mean"], [0.97, 0.87])
    np.testing.assert_allclose(mixture["std"], 0.02 / np.sqrt(2))
    measures = summary.loc[summary["way"] == "noise_codes_kept", "measure"].tolist()
    assert measures == ["diversity", "nearest_distance", "confidence"]
    assert set(summarise_methods(tables, by_digit=True)["digit"]) == {"3"}


def test_a_panel_a_measure_and_a_row_a_method(tables):
    figure = plot_methods(tables, "title")
    agreement, diversity, nearest = figure.axes
    assert [text.get_text() for text in agreement.get_yticklabels()] == [
        "4D-4 conditional decoder",
        "4D-5 noise as code, level as printed",
        "Gaussian mixture a class",
        "Gaussian mixture a class, sharpened once",
    ]
    assert agreement.xaxis.get_major_formatter()(0.5) == "50 %"
    between = [line.get_ydata()[0] for line in agreement.lines if line.get_color() == "0.9"]
    assert between == [0.5, 1.5, 2.5]
    points = [line for line in agreement.lines if line.get_alpha() == 0.35]
    np.testing.assert_allclose(sorted(points[0].get_xdata()), [0.86, 0.88, 0.96, 0.98, np.nan])
    assert points[1].get_xdata().tolist() == [0.9]
    for axes, real in ((agreement, 0.99), (diversity, 0.7), (nearest, 0.15)):
        (baseline,) = [line for line in axes.lines if line.get_linestyle() == "--"]
        np.testing.assert_allclose(baseline.get_xdata(), real)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "autoencoder: mean ± sample standard deviation, n = 2; faint: every run",
        "cvae: mean ± sample standard deviation, n = 1; faint: every run",
        "real test images, mean",
    ]


@pytest.mark.parametrize(("classes", "made"), [("0123456789", "digits"), ("ab", "images")])
def test_the_study_tells_all_images_and_each_class(measured_runs, classes, made):
    for seed, agreement in ((0, 0.98), (1, 0.96)):
        rows = [
            {"way": way, "step": 0, "digit": digit, "n": 10, "agreement": agreement, "confidence": 0.8}
            for way in ("gaussian_mixture", "test_images")
            for digit in ("all", *classes)
        ]
        table = pd.DataFrame(rows).assign(diversity=0.7, nearest_distance=0.15)
        measured_runs.evaluate(measured_runs.train("autoencoder", seed), "synthesis", table)
    drawing = synthesis.draw(measured_runs.build(), synthesis.Config(name="synthesis", experiments=["x"], filter=None))
    assert drawing.figures[""].get_suptitle().startswith(f"Synthetic {made}\nmnist, ")
    assert list(drawing.tables) == ["", "digits"]
    assert set(drawing.tables[""]["digit"]) == {"all"}
    assert set(drawing.tables["digits"]["digit"]) == set(classes)
    told = drawing.tables[""].query("way == 'gaussian_mixture' and measure == 'agreement'")
    assert told[["model", "n"]].to_numpy().tolist() == [["autoencoder", 2]]
    assert told["mean"].tolist() == [pytest.approx(0.97)]
    # What is told in several units is not printed in percent.
    assert drawing.metric is None
