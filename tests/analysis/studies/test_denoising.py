import math
from functools import partial

import mlflow
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from mnist_flow import CONF_DIR
from mnist_flow.analysis.studies.denoising import (
    average_draws,
    find_crossing,
    find_crossings,
    plot_digits,
    plot_quality,
    plot_recall,
    tabulate_levels,
)
from mnist_flow.errors import TrackingError
from mnist_flow.evaluation.orchestrator import evaluate_runs
from mnist_flow.runs.orchestrator import run_experiment

LEVELS = [0.0, 0.25, 0.5, 0.75, 1.0]
NOISY, DENOISED = [0.99, 0.95, 0.7, 0.3, 0.1], [0.98, 0.97, 0.9, 0.4, 0.1]


def make_measured(seeds=(0, 1), denoisers=("dense",), draws=(0, 1)) -> pd.DataFrame:
    """Seed 1 is one point better where its images are denoised; draw 1 a tenth of a point worse everywhere."""
    rows = []
    for seed in seeds:
        for draw in draws:
            for index, level in enumerate(LEVELS):
                inputs = [("noisy", "", NOISY[index])]
                inputs += [("denoised", name, DENOISED[index] + 0.01 * seed) for name in denoisers]
                for which, denoiser, recall in inputs:
                    value = recall - 0.001 * draw
                    rows.append(
                        {
                            "run_id": f"run {seed}",
                            "seed": seed,
                            "classifier": "cnn",
                            "level": level,
                            "draw": draw,
                            "input": which,
                            "denoiser": denoiser,
                            "macro_recall": value,
                            **{f"recall_{digit}": value for digit in range(10)},
                            "psnr": math.inf if which == "noisy" and level == 0 else 20 - level,
                            "ssim": 1 - level,
                        }
                    )
    return pd.DataFrame(rows)


@pytest.fixture
def chains() -> pd.DataFrame:
    return average_draws(make_measured(), "level")


def test_draws_are_averaged_before_seeds_are_compared(chains):
    assert list(dict.fromkeys(chains["curve"])) == ["cnn: noisy images", "cnn: denoised by dense"]
    assert len(chains) == 2 * 2 * 5
    first = chains[(chains["input"] == "noisy") & (chains["seed"] == 0) & (chains["strength"] == 0.5)]
    assert first["macro_recall"].tolist() == [pytest.approx(0.6995)]


@pytest.mark.parametrize(
    ("gains", "crossing"),
    [
        ([-0.01, 0.02, 0.1], 1 / 6),
        ([-0.01, -0.01, 0.01], 0.75),
        ([0.0, 0.02, 0.1], 0.0),
        ([0.01, 0.02, -0.1], 0.0),
        ([-0.01, 0.0, 0.02], 0.5),
        ([-0.02, -0.01, 0.0], math.nan),
    ],
)
def test_the_crossing_lies_on_a_straight_line(gains, crossing):
    found = find_crossing(np.array([0.0, 0.5, 1.0]), np.array(gains))
    assert found == pytest.approx(crossing, nan_ok=True)


def test_crossings_have_their_spread_over_the_seeds(chains):
    (row,) = find_crossings(chains).to_dict("records")
    # Seed 0: from -0.01 at 0 to +0.02 at 0.25; seed 1: 0 at 0, which loses nothing.
    first, second = 0.25 / 3, 0.0
    assert (row["classifier"], row["denoiser"], row["n"], row["crossed"]) == ("cnn", "dense", 2, 2)
    assert row["crossing"] == pytest.approx((first + second) / 2)
    assert row["std"] == pytest.approx(abs(first - second) / math.sqrt(2))
    # t of 1 degree of freedom at 97.5 %: 12.706.
    assert row["ci_high"] - row["crossing"] == pytest.approx(12.706 * abs(first - second) / 2, rel=1e-4)
    assert row["change_at_0"] == pytest.approx(-0.005)


def test_nobody_passes_where_no_digit_is_found():
    late = make_measured()
    late.loc[late["input"] == "denoised", "macro_recall"] = [0.98, 0.94, 0.6, 0.2, 0.15] * 4
    (row,) = find_crossings(average_draws(late, "level")).to_dict("records")
    assert (row["n"], row["crossed"]) == (2, 0)
    assert math.isnan(row["crossing"])


def test_the_table_of_levels_reads_as_percent(chains):
    assert tabulate_levels(chains, "level").to_dict("records") == [
        {"curve": "cnn: noisy images", "n": 2, "level 0": "98.95 ± 0.00 %", "level 0.5": "69.95 ± 0.00 %"},
        {"curve": "cnn: denoised by dense", "n": 2, "level 0": "98.45 ± 0.71 %", "level 0.5": "90.45 ± 0.71 %"},
    ]


def test_the_figures_hold_the_means(chains):
    figure = plot_recall(chains, find_crossings(chains), "title", "level")
    whole, near = figure.axes
    drawn = {container.get_label(): container.lines[0] for container in whole.containers}
    np.testing.assert_allclose(
        drawn["cnn: denoised by dense"].get_ydata().astype(float), np.array(DENOISED) + 0.005 - 0.0005
    )
    np.testing.assert_allclose(drawn["cnn: noisy images"].get_ydata().astype(float), np.array(NOISY) - 0.0005)
    marked = [line.get_xdata()[0] for line in near.lines if list(line.get_xdata()) == [line.get_xdata()[0]] * 2]
    assert pytest.approx(0.25 / 6) in marked
    assert near.get_ylim() == (0.9, 1.0)
    digits = plot_digits(chains, "title", "level")
    assert [axes.get_title() for axes in digits.axes] == [f"digit {digit}" for digit in range(10)]


def test_an_infinite_psnr_is_not_drawn(chains):
    psnr = plot_quality(chains, "title", "level").axes[0]
    drawn = {container.get_label(): container.lines[0] for container in psnr.containers}
    assert list(drawn["noisy images"].get_xdata()) == LEVELS[1:]
    assert list(drawn["denoised by dense"].get_xdata()) == LEVELS


# From trained networks to the figures


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A store of its own: two classifiers of seeds 0 and 1 behind two denoisers of each seed."""
    folder = tmp_path_factory.mktemp("denoising")
    uri = f"tracking.uri='sqlite:///{folder / 'mlflow.db'}'"
    small = ["data=digits", "epochs=1", "evaluation.noise_levels=[0.4]", "evaluation.quality_images=5", uri]
    short = ["measure.denoising.levels=[0.0,0.5]", "measure.denoising.draws=2", "measure.denoising.quality_images=5"]
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(CONF_DIR, version_base="1.3"):
        patch.chdir(folder)
        for name in ("autoencoder", "autoencoder_2d"):
            chosen = [f"model={name}", "noise=salt_and_pepper", f"tracking.experiment_name={name}", "batch_size=32"]
            for seed in (0, 1):
                run_experiment(compose("config", [*small, *chosen, f"seed={seed}"]))
        for seed in (0, 1):
            chosen = ["model=mlp_100", "tracking.experiment_name=denoising", "batch_size=32"]
            run_experiment(compose("config", [*small, *chosen, f"seed={seed}"]))
        for name in ("autoencoder", "autoencoder_2d"):
            chosen = ["measure=denoising", f"measure.denoising.denoiser.experiment_name={name}"]
            evaluate_runs(compose("evaluate", [*chosen, *short, "tracking.experiment_name=denoising", uri]))
    mlflow.set_tracking_uri(None)
    return folder


@pytest.fixture
def draw(analyze):
    return partial(analyze, "study=denoising")


@pytest.mark.timeout(600)
def test_the_study_compares_both_denoisers(draw, tmp_path):
    result = draw("study.experiments=[denoising]")
    figures = ["denoising", "denoising_digits", "denoising_quality"]
    names = sorted(path.name for path in result.files)
    pictures = [f"denoising_pictures_{number}.png" for number in (1, 2)]
    tables = [f"denoising{what}.csv" for what in ("", "_crossings", "_levels")]
    assert names == sorted([*(f"{one}{end}" for one in figures for end in (".png", ".svg")), *pictures, *tables])
    table = pd.read_csv(tmp_path / "denoising.csv")
    assert list(dict.fromkeys(table["curve"])) == [
        "denoising: noisy images",
        "denoising: 3×3 median filter",
        "denoising: denoised by autoencoder, level 0.4",
        "denoising: denoised by autoencoder_2d, level 0.4",
    ]
    assert table["n"].tolist() == [2] * 8
    assert result.tables["crossings"]["denoiser"].tolist() == ["autoencoder, level 0.4", "autoencoder_2d, level 0.4"]


def test_classifiers_that_are_not_measured_name_the_command(draw):
    command = "python -m mnist_flow.evaluate measure=denoising tracking.experiment_name=NAME"
    message = f"^study=denoising: no run of autoencoder is measured; .*: {command} measure.denoising.denoiser"
    with pytest.raises(TrackingError, match=message):
        draw("tracking.experiment_name=autoencoder")
